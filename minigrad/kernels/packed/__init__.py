"""A matrix product as fast as BLAS, tiled for the registers of this processor; README.md beside this file explains it.

`matmul(a, b, out=None)` is a @ b. `times(h, prepare(w), out)` is h @ w, for a w that is used many times.
`supported()` says whether it runs on this processor, `why_not()` why not, and `wins` where NumPy's BLAS is slower.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import numpy as np

from minigrad.kernels import pool

__all__ = ["matmul", "prepare", "supported", "times", "why_not", "wins"]

LEAST = {np.dtype("float32"): 9, np.dtype("float64"): 2}  # columns that pay off: 8 of float32 fill half a vector
SHARED = 2**23  # multiplications from which threads pay off: waking one takes some 20 µs


def __getattr__(name: str) -> Any:  # runs once per name; only the product needs Numba
    if name in ("matmul", "prepare", "times"):
        return globals().setdefault(name, getattr(import_module("minigrad.kernels.packed.product"), name))
    raise AttributeError(f"minigrad.kernels.packed has no {name!r}")


@functools.cache
def vector_bytes() -> int:
    """Bytes of the vectors that this processor multiplies and adds in one instruction; 0 if none, or without Numba."""
    try:
        codegen, config = map(import_module, ("numba.core.codegen", "numba.core.config"))
    except ImportError:
        return 0
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    has = {name[1:] for name in features.split(",") if name.startswith("+") and not config.DISABLE_JIT}
    return 64 if "avx512f" in has else 32 if {"avx2", "fma"} <= has else 16 if "neon" in has else 0


def supported() -> bool:
    """Whether the product can be compiled here."""
    return vector_bytes() > 0


def why_not() -> str:
    """Why it cannot; empty if it can."""
    return "" if supported() else "packed: needs Numba's compiler, and AVX-512, or AVX2 with FMA, or NEON"


def wins(m: int, k: int, n: int, transposed: bool, dtype: Any, blas_threads: int = 1) -> bool:
    """Whether `matmul` is faster than NumPy's BLAS with `blas_threads` for (m, k) @ (k, n), as measured.

    Below 10⁶ multiplications OpenBLAS makes no copies and is as fast, unless B is the transpose of an array
    (`transposed`) and m·n > 1200. BLAS uses its threads from 2¹⁹ multiplications on, and wakes them faster than we
    wake ours: with as many threads this product is as fast only from twice `SHARED` on.
    """
    turned, work = transposed and m * n > 1200, m * k * n
    if m < 2 or n < LEAST.get(np.dtype(dtype), np.inf) or not (turned or 10**6 < work <= 5 * 10**8):
        return False
    threads = pool.count() if work > 2 * SHARED else 1
    return (threads >= blas_threads or work <= 2**19) and supported()
