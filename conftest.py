"""What every test and doctest starts with."""

import os

for library in ("OPENBLAS", "MKL", "OMP"):  # read when NumPy is loaded; small products only wait for a second thread
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import matplotlib
import pytest

import minigrad as mg
from demos.lesson import check_packages

matplotlib.use("Agg")
check_packages()


@pytest.fixture(autouse=True)
def _fresh_state():
    """The same random numbers and the default dtype in every test, whatever ran before."""
    mg.seed(0)
    mg.set_default_dtype("float64")
    yield
    mg.set_default_dtype("float64")
