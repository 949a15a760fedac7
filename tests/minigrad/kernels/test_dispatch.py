"""Who computes: the setting, and where it is read from."""

import os
import subprocess
import sys

import pytest

import minigrad as mg


@pytest.mark.parametrize(("value", "expected"), [("numpy", "numpy"), ("", "auto"), (None, "auto")])
def test_the_environment_says_who_computes(value, expected):
    environment = {name: x for name, x in os.environ.items() if name != "MINIGRAD_KERNELS"}
    environment |= {} if value is None else {"MINIGRAD_KERNELS": value}
    code = "import minigrad as mg; print(mg.kernels.choice())"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


def test_an_unknown_choice_says_where_it_came_from():
    with pytest.raises(ValueError, match=r"kernels\.use: 'cuda' is not one of auto, numba, numpy, definition"):
        mg.kernels.use("cuda")
    environment = {**os.environ, "MINIGRAD_KERNELS": "cuda"}
    result = subprocess.run([sys.executable, "-c", "import minigrad"], env=environment, capture_output=True, text=True)
    assert "MINIGRAD_KERNELS: 'cuda' is not one of" in result.stderr
