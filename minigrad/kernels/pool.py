"""How many threads a kernel may use: one, unless you ask for more.

>>> import minigrad as mg
>>> with mg.kernels.threads(2):
...     mg.kernels.pool.count()
2

The threads are Python's own and need no GIL while a kernel runs. Any number of your threads may call kernels at the
same time, and a forked child makes a pool of its own.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

_count = 1


def count() -> int:
    """The number of threads that a kernel may use, for the whole process."""
    return _count


class threads:
    """Let a kernel use so many threads from now on; as a context manager, until the end of the block.

    Results are the same bits for any number. Only kernels are meant: NumPy's BLAS has threads of its own, which go on
    spinning for a tenth of a second when they have nothing to do (OpenBLAS), and keep a core from these as long.
    """

    def __init__(self, number: int) -> None:
        global _count
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"kernels.threads: {number!r} is not a number of threads")
        if number < 1:
            raise ValueError(f"kernels.threads: at least 1 thread computes, not {number}")
        self.before, _count = _count, number

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        global _count
        _count = self.before


@functools.cache
def workers(process: int, number: int) -> Any:
    """The pool of a process. A forked child inherits its parent's, but none of the threads in it: it gets another."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(number, "minigrad")


def share(product: Callable, a: np.ndarray, b: np.ndarray, out: np.ndarray, rows: int, columns: int) -> list:
    """`product(a, b, out)` in parts: of columns if there are more of these, otherwise of rows, a multiple each.

    The caller does the first part and the pool does the others at the same time; the list of what all returned.
    """
    m, n = out.shape
    length, grain = (n, columns) if n >= m else (m, rows)
    size = -(-length // (grain * _count)) * grain
    parts = [slice(i, i + size) for i in range(0, length, size)]
    operands = [(a, b[:, part], out[:, part]) if n >= m else (a[part], b, out[part]) for part in parts]
    pool = workers(os.getpid(), _count)
    others = [pool.submit(product, *each) for each in operands[1:]]
    first = product(*operands[0])
    return [first, *(other.result() for other in others)]
