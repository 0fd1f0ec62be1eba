"""Options of the test suite."""

import signal


def pytest_configure(config):
    """Let Ctrl-C reach the processes of tests, even if the shell ignored SIGINT for pytest."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--chains",
        type=int,
        default=24,
        help="how many chains test_exact_chains.py (measured: 500) and test_imported_chains.py try",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=12,
        help="at how many random moments test_resume.py kills a search (measured: 25)",
    )
