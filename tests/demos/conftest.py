"""What the tests of lessons share."""

import pytest

from demos import datasets


@pytest.fixture(scope="module")
def images():
    """The digits, with those held out that seed 0 draws."""
    return datasets.digits(0)


@pytest.fixture(scope="module")
def rows(result):
    """What the run that the test file calls `result` measured of each of its networks."""
    return result.numbers["rows"]
