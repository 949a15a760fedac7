"""A kernel is compiled once, kept on disk, and compiled again when any file that it may be made of has changed."""

import subprocess
import sys

import pytest

pytest.importorskip("numba")

KERNEL = """
import numpy as np
from minigrad.kernels.compiler import compiled
from helpers import twice

@compiled
def double(x):
    for i in range(x.size):
        x[i] = twice(x[i])

x = np.ones(3, np.float32)
double(x)
print(x[0], sum(double.stats.cache_hits.values()))
"""
HELPER = """
from minigrad.kernels.compiler import helper

@helper
def twice(x):
    return {} * x
"""


@pytest.mark.slow
def test_an_edited_helper_in_another_file_makes_the_cache_of_its_callers_stale(tmp_path):
    def run(factor):
        (tmp_path / "helpers.py").write_text(HELPER.format(factor))
        result = subprocess.run([sys.executable, "kernel.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return result.stdout.split()

    (tmp_path / "kernel.py").write_text(KERNEL)
    assert run(2) == ["2.0", "0"]
    assert run(5) == ["5.0", "0"]
    assert run(5) == ["5.0", "1"]
