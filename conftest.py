"""What every test and doctest starts with."""

import matplotlib
import pytest

import minigrad as mg

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _fresh_state():
    """The same random numbers and the default dtype in every test, whatever ran before."""
    mg.seed(0)
    mg.set_default_dtype("float64")
    yield
    mg.set_default_dtype("float64")
