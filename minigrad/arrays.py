"""What is said once about arrays: which an op accepts, how broadcasting is undone, how long one is."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.settings import default_dtype

COMMON = {np.dtype(name) for name in ("float32", "float64", "int64", "bool")}


def accepted(dtype: np.dtype) -> np.dtype:
    """`dtype` if tensors can hold it; TypeError otherwise."""
    if dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize >= 4):
        return dtype
    raise TypeError(f"tensors hold float32, float64, integers or booleans, not {dtype}; convert with .astype() first")


def as_array(x: Any) -> np.ndarray:
    """An operand that is not a Tensor, as an array that ops accept; lists of floats get the default dtype."""
    array = np.asarray(x)
    if array.dtype not in COMMON:
        accepted(array.dtype)
    listed = array is not x and array.dtype == np.float64 and not isinstance(x, np.generic)
    return array.astype(default_dtype(), copy=False) if listed else array


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting from `shape`: sum `g` over the axes along which the array was repeated."""
    new = g.ndim - len(shape)
    repeated = [i + new for i, n in enumerate(shape) if n == 1 and g.shape[i + new] != 1]
    return g.sum(axis=(*range(new), *repeated)).reshape(shape)


def length(x: np.ndarray) -> float:
    """‖x‖ = √Σx², in float64, also where the squares would underflow or overflow."""
    x = np.asarray(x, dtype=np.float64)
    squares = float(np.vdot(x, x))  # unlike dot it takes any shape, and does not warn of an overflow
    if 1e-290 < squares < np.inf:
        return squares**0.5
    largest = float(np.max(np.abs(x), initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    x = x / largest
    return largest * float(np.vdot(x, x)) ** 0.5
