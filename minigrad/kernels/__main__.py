"""`python -m minigrad.kernels` compiles every kernel, times it against NumPy on this machine and prints the table.

Compiled kernels stay on disk, so that nothing has to wait for them later. A row says from how many elements on a kernel
is used, and how many times as fast as NumPy it was here at two sizes; below 1 it was slower.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
from tqdm import tqdm

from minigrad.kernels import use
from minigrad.kernels.dispatch import WORTHWHILE, Twin, available, twins
from minigrad.kernels.examples import EXAMPLES
from minigrad.kernels.listing import SIZES, table


def examples(twin: Twin, dtype: np.dtype, size: int) -> list[tuple[Callable, Callable]]:
    """For each example of a twin, a call of its line and one of its kernel; none that the kernel does not take."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    with use("numpy"), np.errstate(all="ignore"):
        calls = EXAMPLES[twin.name](draw, size) if twin.name in EXAMPLES else []
    with use("numba"):
        served = [(arguments, parameters) for arguments, parameters in calls if twin.serves(*arguments)]
    return [(partial(twin.line, *a, **p), partial(twin.kernel, *a, **p)) for a, p in served]


def compile_all() -> dict[str, float]:
    """Compile or load every kernel for both dtypes; the seconds that each took, by name."""
    seconds = {}
    with tqdm(twins.values(), desc="compiling", unit="kernel", disable=None) as bar:
        for twin in bar:
            bar.set_postfix_str(twin.name)
            start = time.perf_counter()
            for dtype in WORTHWHILE:
                for _, kernel in examples(twin, dtype, SIZES[0]):
                    kernel()
            seconds[twin.name] = time.perf_counter() - start
    return seconds


def ratio(line: Callable, kernel: Callable, rounds: int = 21, seconds: float = 0.0005) -> float:
    """How many times as fast the kernel is: the median over rounds in which both take turns.

    Rounds are short, so that other work on the machine interrupts few of them.
    """
    calls = [max(1, int(seconds / min(duration(run, 1) for _ in range(3)))) for run in (line, kernel)]
    found = []
    with use("numpy"):  # a line may call others that have kernels
        for _ in range(rounds):
            took = [duration(run, n) / n for run, n in zip((line, kernel), calls, strict=True)]
            found.append(took[0] / took[1])
    return statistics.median(found)


def duration(run: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def measure_all() -> dict[tuple[str, np.dtype], tuple[float, ...]]:
    """(name, dtype) → the ratio at each of `SIZES`, of the first example."""
    found = {}
    with np.errstate(all="ignore"):
        for twin in tqdm(twins.values(), desc="measuring", unit="kernel", disable=None):
            for dtype in WORTHWHILE:
                found[twin.name, dtype] = tuple(
                    ratio(*pair) for size in SIZES for pair in examples(twin, dtype, size)[:1]
                )
    return found


def main(arguments: Sequence[str] = ()) -> int:
    argparse.ArgumentParser("python -m minigrad.kernels", description=__doc__).parse_args(arguments)
    with suppress(ImportError):  # optim has kernels, too, where it is installed
        importlib.import_module("optim")
    if not available():
        print("kernels: Numba cannot be imported here, so NumPy computes everything", file=sys.stderr)
        return 1
    seconds = compile_all()
    table(measure_all())
    slowest = max(seconds, key=seconds.get)
    print(f"\ncompiled or loaded in {sum(seconds.values()):.1f} s; {slowest} took longest, {seconds[slowest]:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
