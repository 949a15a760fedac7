"""Helpers for arrays: which ones an op accepts, how a gradient is multiplied and summed, how long an array is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels import twin
from minigrad.settings import default_dtype

COMMON = {np.dtype(name) for name in ("float32", "float64", "int64", "bool")}
BOOLEAN = np.dtype(bool)


def accepted(dtype: np.dtype) -> np.dtype:
    """`dtype` if tensors can hold it; TypeError otherwise."""
    if dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize >= 4):
        return dtype
    raise TypeError(f"tensors hold float32, float64, integers or booleans, not {dtype}; convert with .astype() first")


def as_array(x: Any) -> np.ndarray:
    """An operand that is not a Tensor, as an array that ops accept; lists of floats get the default dtype."""
    if x is None:
        raise TypeError("None is not an array; did the function that it comes from forget to return its result?")
    array = np.asarray(x)
    if array.dtype not in COMMON:
        accepted(array.dtype)
    listed = array is not x and array.dtype == np.float64 and not isinstance(x, np.generic)
    return array.astype(default_dtype(), copy=False) if listed else array


def times(g: Any, local: Any) -> Any:
    """g·∂y/∂x of each element; a derivative that is a condition selects: where it is False, even 0·∞ is 0."""
    return np.where(local, g, 0) if getattr(local, "dtype", None) is BOOLEAN else g * local


def sum_rows(x: Any) -> Any:
    """Σ over the first axis, of many rows by groups of 256: a large float32 total loses digits of what is added."""
    if x.ndim == 1 or len(x) <= 2048:  # NumPy adds numbers in pairs; of so few rows five digits are right, mostly six
        return x.sum(axis=0)
    groups = len(x) // 256
    sums = x[: 256 * groups].reshape(256, groups, *x.shape[1:]).sum(axis=0)
    return sum_rows(sums) + x[256 * groups :].sum(axis=0)


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting from `shape`: sum `g` over the axes along which the array was repeated."""
    inner = shape
    while inner[:1] == (1,):  # a leading axis of length 1 makes no difference
        inner = inner[1:]
    if new := g.ndim - len(inner):
        g = sum_rows(g if new == 1 else g.reshape(math.prod(g.shape[:new]), *g.shape[new:]))
    repeated = tuple(i for i, n in enumerate(inner) if n == 1 and g.shape[i] != 1)
    g = g.sum(axis=repeated) if repeated else g
    return g if g.shape == shape else g.reshape(shape)


def squares_in_float64(x: np.ndarray) -> float:
    """Σx², which may overflow if x is float64."""
    x = np.asarray(x, dtype=np.float64)
    return float(np.vdot(x, x))  # unlike dot it takes any shape, and does not warn of an overflow


sum_of_squares = twin("sum_of_squares", squares_in_float64, "updates", why="float32: 3 times as fast, without a copy")


def squares_in_blocks(x: np.ndarray) -> float:
    """Σx² for statistics: a large float32 array without a kernel in a fifth of the time, and right to 7 digits.

    Blocks of 256 are summed in float32, and their sums in float64; near the limits of float32, all is in float64.
    """
    if x.dtype == np.float32 and x.size > 4096 and not sum_of_squares.serves(x):
        flat, whole = x.ravel(order="K"), x.size // 256 * 256
        blocks = flat[:whole].reshape(-1, 256)
        with np.errstate(all="ignore"):
            total = float(np.vecdot(blocks, blocks).sum(dtype=np.float64)) + squares_in_float64(flat[whole:])
        if 1e-20 < total < 1e30:
            return total
    return sum_of_squares(x)


def length(x: np.ndarray, sum_of_squares: Callable = sum_of_squares) -> float:
    """‖x‖ = √Σx², in float64, even where the squares would underflow or overflow."""
    x = np.asarray(x)
    squares = sum_of_squares(x)
    if 1e-290 < squares < math.inf:
        return math.sqrt(squares)
    largest = float(np.max(np.abs(x), initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * math.sqrt(squares_in_float64(x / largest))
