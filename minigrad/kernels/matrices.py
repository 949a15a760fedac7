"""What multiplies two matrices: NumPy's BLAS, or the packed product where that is faster, by shape and threads.

The room `minigrad.kernels.packed` can be left out, and supports some processors only; without it, BLAS does them all.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minigrad.kernels.dispatch import WORTHWHILE, Twin, available, choice, twins

packed: Any = None
with suppress(ImportError):  # where the room is left out
    from minigrad.kernels import packed

# Where `packed.wins` says no in any case: it takes as long to ask as to multiply
SMALL = 64**3  # multiplications: up to so many, BLAS is as fast even where b is the transpose of an array
FEW = 10**6  # up to so many, it is as fast for any other b, or a result of at most 1200 numbers


class Product(Twin):
    """A twin of `np.matmul` that looks at the shapes of both matrices."""

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        a, b = arrays
        if type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2 and not params and choice() != "numba":
            work, size = len(a) * b.size, len(a) * b.shape[1]
            if work <= SMALL or (work <= FEW and (size <= 1200 or b.strides[1] == b.itemsize)):
                few = len(b) < 64 and size * b.itemsize > 2**15  # terms in each of many sums
                return np.matmul(a, b) if few else a.dot(b)  # dot starts sooner, but clears the result first
        return super().__call__(a, b, **params)

    def serves(self, x: Any, *others: Any, size: int | None = None) -> bool:
        """Whether the kernel takes this call; under "auto", whether the packed product is faster than BLAS."""
        a, b = x, *others
        if type(a) is not np.ndarray or type(b) is not np.ndarray:
            return False
        if choice() != "auto":
            return super().serves(a, b, size=size)
        matrix_pair = a.ndim == b.ndim == 2 and a.dtype == b.dtype
        return matrix_pair and packed_is_faster(len(a), b, b.strides[1] != b.itemsize)


WHY = "BLAS, but the packed product for shapes that it is faster at"
matrix_product = twins["matmul"] = Product("matmul", np.matmul, "products", least={}, why=WHY)


class Loop(Twin):
    """A twin for all steps of a recurrence: sums z (time, rows, …), the matrix w that each step multiplies by, …"""

    def serves(self, x: Any, *others: Any, size: int | None = None) -> bool:
        """Whether the kernel takes this call: it needs the packed product; BLAS with several threads is faster."""
        z, w = x, others[0]
        if not (super().serves(x, *others, size=size) and has_packed()):
            return False
        rows, work = z.shape[1], z.shape[1] * w.size
        alone = work <= 2**19 or blas_threads() == 1  # for smaller products BLAS, too, takes one thread
        return choice() == "numba" or (rows >= 4 and len(z) * work > 10**6 and alone)


def loop(name: str, line: Callable) -> Loop:
    """Put a kernel of `minigrad.kernels.loops` beside a loop over time."""
    found = Loop(name, line, "loops", why="0.6 to 0.9 of the time of its steps one by one; with one BLAS thread")
    twins[name] = found
    return found


def product_with(w: np.ndarray, rows: int) -> Callable[[np.ndarray, np.ndarray], Any]:
    """(h, out) ↦ out = h·w, for many h with this number of rows: w is prepared only once.

    >>> import numpy as np
    >>> times, out = product_with(np.eye(2), rows=1), np.empty((1, 2))
    >>> times(np.array([[3.0, 4.0]]), out)
    array([[3., 4.]])
    """
    if packed_is_faster(rows, w) or (choice() == "numba" and w.dtype in WORTHWHILE and has_packed()):
        prepared = packed.prepare(w)
        return lambda h, out: packed.times(h, prepared, out)
    w = np.ascontiguousarray(w)  # BLAS would rearrange a transposed one every time
    return lambda h, out: np.dot(h, w, out)


def packed_is_faster(rows: int, b: np.ndarray, transposed: bool = False) -> bool:
    """Whether "auto" takes the packed product for a matrix of `rows` rows times b."""
    large = rows * b.size > SMALL and choice() == "auto"
    return large and has_packed() and packed.wins(rows, *b.shape, transposed, b.dtype, blas_threads())


def has_packed() -> bool:
    """Whether there is a packed product for this processor."""
    return packed is not None and available() and packed.supported()


@functools.cache
def blas_threads() -> int:
    """How many threads NumPy's BLAS takes for a large product: by the environment, or else one per processor."""
    for library in ("OPENBLAS", "MKL", "OMP"):
        given = os.environ.get(f"{library}_NUM_THREADS", "")
        if given.isdigit():
            return max(1, int(given))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
