"""NumPy's own functions on Tensors: `np.tanh(t)` and `np.sum(t, axis=0)` call the op and record.

- A function that an op registered with `numpy=` (or that a room adds to `numpy_overrides`) runs that op.
- One without a derivative (`np.argmax`, `np.sign`, `np.isnan`) gives plain arrays.
- Any other raises TypeError with its name, rather than losing the graph in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.define import numpy_overrides
from minigrad.tensor import Tensor

PLAIN_UFUNCS = """sign floor ceil rint trunc isnan isinf isfinite signbit equal not_equal less less_equal greater
    greater_equal logical_and logical_or logical_xor logical_not floor_divide spacing heaviside"""
PLAIN_FUNCTIONS = """argmax argmin argsort argwhere nonzero flatnonzero count_nonzero searchsorted shape ndim size
    all any isclose allclose array_equal around round fix zeros_like ones_like empty_like full_like result_type
    may_share_memory shares_memory array_repr array_str array2string iscomplexobj isrealobj"""

without_derivative = {getattr(np, name) for name in (PLAIN_UFUNCS + " " + PLAIN_FUNCTIONS).split()}


def name_of(function: Callable) -> str:
    return f"np.{getattr(function, '__name__', function)}"


def plain(x: Any) -> Any:
    """x with the array in place of every Tensor, also within lists and dicts."""
    if isinstance(x, Tensor):
        return x._data
    if isinstance(x, (list, tuple)):
        return type(x)(plain(part) for part in x)
    return {key: plain(part) for key, part in x.items()} if isinstance(x, dict) else x


def call(function: Callable, args: tuple, keywords: dict) -> Any:
    """What NumPy's `function` does when Tensors are among its arguments."""
    if function in without_derivative:
        return function(*plain(args), **plain(keywords))
    if function not in numpy_overrides:
        raise TypeError(f"{name_of(function)} is not supported on Tensors; call it on t.data if no gradient is needed")
    for name in ("out", "where", "dtype", "casting", "order", "subok", "initial"):
        if keywords.get(name) is not None:
            raise TypeError(f"{name_of(function)}: {name}= is not supported on Tensors")
    return numpy_overrides[function](*args, **keywords)


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *args: Any, **keywords: Any) -> Any:
    if method != "__call__":
        raise TypeError(f"{name_of(ufunc)}.{method} is not supported on Tensors")
    return call(ufunc, args, keywords)


def array_function(self: Tensor, function: Callable, types: Any, args: tuple, keywords: dict) -> Any:
    return call(function, args, keywords)


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
