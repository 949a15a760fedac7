"""Installs minigrad with its layers, optimizers and demos: `pip install -e .[test]`."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="minigrad",
    version="0.1.0",
    description="Reverse-mode automatic differentiation in which every gradient product can be seen",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    package_dir={"": "."},
    packages=find_packages(include=["minigrad*", "layers*", "optim*", "demos*"]),
    package_data={
        "minigrad": ["py.typed", "inspection/*.md", "kernels/packed/*.md"],
        "layers": ["py.typed"],
        "optim": ["py.typed"],
        "demos": ["data/*", "*.ipynb"],
    },
    install_requires=["numpy>=2.0", "numba>=0.60", "matplotlib>=3.8", "tqdm>=4.60"],
    extras_require={
        "test": ["pytest>=8", "hypothesis>=6", "pytest-cov>=5", "pytest-xdist>=3", "ruff>=0.6", "mypy>=1.10"],
        "bench": ["torch>=2.4"],  # without it, benchmarks compare with NumPy only
        "tensorboard": ["tensorboardX>=2.6"],
        "dask": ["distributed>=2024.1"],
    },
    classifiers=[
        "Private :: Do Not Upload",  # on PyPI these package names belong to other projects
        "Programming Language :: Python :: 3",
    ],
)
