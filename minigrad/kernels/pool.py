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
    """Let a kernel use this many threads from now on; as a context manager, until the end of the block.

    Results have the same bits for any number. This does not change NumPy's BLAS, which has threads of its own; those
    of OpenBLAS keep spinning for a tenth of a second after their work, and keep a core busy meanwhile.
    """

    def __init__(self, number: int) -> None:
        global _count
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"kernels.threads: {number!r} is not a number of threads")
        if number < 1:
            raise ValueError(f"kernels.threads: at least 1 thread is needed, not {number}")
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
    """`product(a, b, out)` in parts, along the longer side of out: multiples of `columns` columns or of `rows` rows.

    The caller computes the first part while the pool computes the others. Returns the list of their results.
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
