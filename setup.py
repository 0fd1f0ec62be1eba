"""How lemonade_tf is installed; tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "lemonade_tf/__init__.py").read_text())[1]

setup(
    name="lemonade_tf",
    version=VERSION,
    description=(
        "Multi-objective neural architecture search by Lamarckian evolution (LEMONADE) in Keras:"
        " one search returns a Pareto front of trained networks."
    ),
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["lemonade_tf", "lemonade_tf.*"]),
    package_data={"": ["*.pyi", "py.typed", "assets/*", "demo.zip"]},
    python_requires=">=3.11",
    # plotly and tensorboardX are not extras: without them, a report of three objectives would lack
    # its interactive plot, and --tensorboard would fail. Both are small compared with TensorFlow.
    install_requires=[
        "h5py>=3.10",
        # Earlier versions have published vulnerabilities in reading .h5 and .keras files: a file
        # could return the content of other files (CVE-2026-1669, references to external datasets;
        # 3.15.1 also checks the groups on the way to a dataset), take all memory (CVE-2026-0897,
        # declared shapes) or disk space (3.15.1, members of .keras archives), or run code despite
        # safe_mode (CVE-2026-1462).
        "keras>=3.15.1",
        "matplotlib>=3.8",
        "moocore>=0.1.8",
        "numpy>=1.26",
        "pillow>=10.1",
        "plotly>=6",
        "rich>=13",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tensorboardX>=2.6.2",
        "tensorflow>=2.18",
    ],
    extras_require={
        "docs": ["mkdocs>=1.6", "mkdocstrings[python]>=0.29", "pymdown-extensions>=10"],
        "export": ["onnx>=1.17", "onnxruntime>=1.20", "openvino>=2025.0", "tf2onnx>=1.17"],
        "micro": ["tflite-micro"],
        "experiments": ["absl-py>=2.1", "optuna>=4", "pymoo>=0.6.1"],
        "ray": ["ray>=2.40"],
        "test": [
            "absl-py>=2.1",
            "hypothesis>=6.100",
            "mkdocs>=1.6",
            "mkdocstrings[python]>=0.29",
            "optuna>=4",
            "pre-commit>=4",
            "pymdown-extensions>=10",
            "pymoo>=0.6.1",
            "pyright[nodejs]>=1.1.400",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ray>=2.40",
            "ruff>=0.9",
        ],
    },
    entry_points={"console_scripts": ["lemonade-tf = lemonade_tf.cli:main"]},
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
