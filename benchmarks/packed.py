"""The packed product against NumPy's BLAS: A @ B, Aᵀ @ B and A @ Bᵀ, by shape and dtype.

`python -m benchmarks.packed` prints how many times as fast it is, one thread each; a bar of 0.95 means as fast, with
5% for noise. `OPENBLAS_NUM_THREADS=2` in the environment compares two threads each. Then it prints the overhead of a
call, the time to compile once, and the time to load from the cache in every process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks._rounds import Ratio, compared, report, times  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg

SHAPES = [
    (64, 64, 64), (128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024),
    (128, 784, 512), (32, 784, 128), (32, 128, 512), (16, 256, 256),
]  # fmt: skip
KINDS = {"A @ B": (False, False), "Aᵀ @ B": (True, False), "A @ Bᵀ": (False, True)}

FIRST_CALL = """
import time, numpy as np, minigrad
a = np.ones((64, 64), np.float32)
start = time.process_time()
from minigrad.kernels import packed
packed.matmul(a, a)
print(time.process_time() - start)
"""


def matrix(rows: int, columns: int, dtype: str, transposed: bool) -> np.ndarray:
    """A random matrix; if `transposed`, a view whose columns are contiguous in memory."""
    draw = np.random.default_rng(0).random
    return draw((columns, rows)).astype(dtype).T if transposed else draw((rows, columns)).astype(dtype)


def beside_numpy(m: int, k: int, n: int, kind: str, dtype: str) -> Ratio:
    """NumPy's time over ours."""
    from minigrad.kernels import packed

    left, right = KINDS[kind]
    a, b, out = matrix(m, k, dtype, left), matrix(k, n, dtype, right), np.empty((m, n), dtype)
    matmul = packed.matmul
    candidates = {"numpy": lambda: np.matmul(a, b, out=out), "ours": lambda: matmul(a, b, out)}
    return compared(candidates, rounds=41, seconds=0.004)


def bar(m: int, k: int, n: int, kind: str, dtype: str) -> float | None:
    """How many times as fast as NumPy it should be; None for no bar."""
    if m == 1024:
        return 0.9 if dtype == "float32" else None
    if dtype == "float32" and kind == "A @ Bᵀ" and 16 <= m <= 256:
        return 1.2
    return 0.95 if dtype == "float32" or m == n else None


def first_call(cache: str) -> float:
    """Seconds of processor time to the first product in a new process, import of Numba included."""
    run = [sys.executable, "-c", FIRST_CALL]
    done = subprocess.run(run, env=os.environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def seconds(what: str, measured: float, at_most: float, unit: str = "s") -> None:
    report(what, Ratio(measured, measured, measured), unit, at_most=at_most)


def main() -> None:
    from minigrad.kernels import packed

    if not packed.supported():
        print(packed.why_not())
        return
    threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    with mg.kernels.threads(threads):
        for dtype in ("float32", "float64"):
            for m, k, n in SHAPES:
                for kind in KINDS:
                    measured = beside_numpy(m, k, n, kind, dtype)
                    at_least = bar(m, k, n, kind, dtype) if threads == 1 else None
                    report(f"{kind:6} {f'{m}×{k}×{n}':14} {dtype}", measured, "× NumPy", at_least=at_least)
    w, h, out = packed.prepare(np.ones((1, 1))), np.ones((1, 1)), np.ones((1, 1))
    multiply = packed.times
    call = min(times({"call": lambda: multiply(h, w, out)}, seconds=0.001)["call"])
    seconds("a call of times(h, prepared, out)", call * 1e6, at_most=1, unit="µs")
    with tempfile.TemporaryDirectory() as cache:
        seconds("the first product, compiled", first_call(cache), at_most=10)
        seconds("the first product, from the cache", min(first_call(cache) for _ in range(3)), at_most=0.6)


if __name__ == "__main__":
    main()
