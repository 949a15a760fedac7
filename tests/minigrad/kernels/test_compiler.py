"""A kernel is compiled once, kept on disk, and compiled again when any file that it may be made of has changed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from minigrad.kernels import compiler

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


def test_an_edit_in_a_room_below_makes_the_cache_of_every_kernel_stale(tmp_path):
    """`loops.py` compiles the packed room's `run` into its kernels: an old copy would call the new product wrongly."""
    shutil.copytree(Path(compiler.__file__).parents[1], tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pyca*"))
    room = tmp_path / "minigrad/kernels/packed"
    room.mkdir(exist_ok=True)
    code = "import minigrad.kernels.compiler as c; print(c.sources(c.Path(c.__file__).parent))"

    def fingerprint():
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True).stdout

    before = fingerprint()
    assert fingerprint() == before
    with (room / "product.py").open("a") as file:
        file.write("# edited")
    assert fingerprint() != before
