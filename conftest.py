"""What every test and doctest starts with."""

import gc
import os

for library in ("OPENBLAS", "MKL", "OMP"):  # read when NumPy is loaded; small products only wait for a second thread
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import matplotlib
import pytest

import minigrad as mg
from demos.lesson import check_packages
from minigrad.define import numpy_overrides

matplotlib.use("Agg")
check_packages()


@pytest.fixture(autouse=True, scope="module")
def _only_what_a_module_makes_is_collected():
    """All that is alive before it (thousands of tests) is left out when a test, or Python, collects garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fresh_state():
    """The same random numbers and the default dtype in every test, whatever ran before."""
    mg.seed(0)
    mg.set_default_dtype("float64")
    yield
    mg.set_default_dtype("float64")


@pytest.fixture
def clean():
    """Takes back what a test registers with NumPy and with Tensor."""
    overrides, methods = dict(numpy_overrides), set(vars(mg.Tensor))
    yield
    numpy_overrides.clear()
    numpy_overrides.update(overrides)
    for name in set(vars(mg.Tensor)) - methods:
        delattr(mg.Tensor, name)
