"""Options of the test suite."""


def pytest_addoption(parser):
    parser.addoption(
        "--chains",
        type=int,
        default=24,
        help="how many random chains of operators test_exact_chains.py tries (README: 500)",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=12,
        help="at how many random moments test_resume.py kills a search (README: 50)",
    )
