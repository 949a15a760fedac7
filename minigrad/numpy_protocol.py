"""NumPy's own functions on Tensors: `np.tanh(t)` and `np.sum(t, axis=0)` call the op and record.

- A function that an op registered with `numpy=`, or that was added to `numpy_overrides`, runs that op.
- One without a derivative (`np.argmax`, `np.sign`, `np.isnan`) returns plain arrays.
- Any other raises TypeError with its name, rather than losing the graph in silence.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.define import numpy_overrides
from minigrad.tensor import Tensor

PLAIN_UFUNCS = """sign floor ceil rint trunc isnan isinf isfinite signbit equal not_equal less less_equal greater
    greater_equal logical_and logical_or logical_xor logical_not floor_divide spacing nextafter heaviside"""
PLAIN_FUNCTIONS = """argmax argmin argsort argwhere argpartition nanargmax nanargmin nonzero flatnonzero
    count_nonzero searchsorted digitize lexsort unique histogram isin shape ndim size all any isclose
    allclose array_equal array_equiv around round fix imag angle isreal iscomplex iscomplexobj isrealobj
    isposinf isneginf zeros_like ones_like empty_like full_like result_type can_cast min_scalar_type common_type
    may_share_memory shares_memory tril_indices_from triu_indices_from diag_indices_from
    array_repr array_str array2string save savetxt"""

without_derivative = {getattr(np, name, None) for name in (PLAIN_UFUNCS + " " + PLAIN_FUNCTIONS).split()}
RENAMED = {"a_min": "low", "a_max": "high", "min": "low", "max": "high", "newshape": "shape"}  # NumPy's name → ours

numpy_overrides |= {np.amax: numpy_overrides[np.max], np.amin: numpy_overrides[np.min]}


def name_of(function: Callable) -> str:
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{function.__name__}"


def plain(x: Any) -> Any:
    """x with every Tensor replaced by its array, also within lists and dicts."""
    if isinstance(x, Tensor):
        return x._array
    if isinstance(x, (list, tuple)):
        return type(x)(plain(part) for part in x)
    return {key: plain(part) for key, part in x.items()} if isinstance(x, dict) else x


@functools.cache
def parameters(function: Callable) -> dict[str, Any]:
    """Names and defaults of the arguments of `function`; none if it takes any number, or has no signature."""
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return {}
    variable = any(p.kind is p.VAR_POSITIONAL for p in found)
    return {} if variable else {p.name: p.default for p in found if p.kind is not p.VAR_KEYWORD}


@functools.cache
def input_count(override: Callable) -> int:
    """How many arguments of `override` are inputs; the others are passed by name."""
    if hasattr(override, "arity"):
        return override.arity
    return sum(default is inspect.Parameter.empty for default in parameters(override).values())


def arguments(function: Callable, override: Callable, args: Sequence, keywords: dict) -> tuple[Sequence, dict]:
    """A call of NumPy's `function` as arguments for `override`, without those that equal NumPy's default."""
    known = parameters(function)
    if not known:  # as einsum, which takes any number of operands; by default, out and dtype are None in all of NumPy
        return args, {name: x for name, x in keywords.items() if x is not None or name not in ("out", "dtype")}
    given = {**dict(zip(known, args, strict=False)), **keywords}
    inputs = tuple(given.pop(name) for name in list(known)[: input_count(override)] if name in given)
    return inputs, {RENAMED.get(name, name): x for name, x in given.items() if x is not known.get(name)}


def call(function: Callable, args: Sequence, keywords: dict) -> Any:
    """What NumPy's `function` does when Tensors are among its arguments."""
    if function in without_derivative or (function is np.where and len(args) == 1):
        weights = keywords.get("weights", *args[4:5])
        if not isinstance(weights, Tensor):  # np.histogram has a derivative by its weights, the fifth argument
            return function(*plain(args), **plain(keywords))
    if function not in numpy_overrides:
        raise TypeError(f"{name_of(function)} is not supported on Tensors; call it on t.data if no gradient is needed")
    override = numpy_overrides[function]
    if not isinstance(function, np.ufunc):
        args, keywords = arguments(function, override, args, keywords)
    if keywords.get("dtype") is not None and any(isinstance(x, Tensor) for x in args):
        dtype = keywords.pop("dtype")
        args = tuple(x.astype(dtype) if hasattr(x, "astype") else x for x in args)
    return override(*args, **keywords)


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *args: Any, **keywords: Any) -> Any:
    if method != "__call__":
        raise TypeError(f"{name_of(ufunc)}.{method} is not supported on Tensors")
    if "out" in keywords:
        raise TypeError(f"{name_of(ufunc)}: out= is an array, which has no history: write a = a + t, not a += t")
    return call(ufunc, [np.asarray(x) if isinstance(x, (list, tuple)) else x for x in args], keywords)


def array_function(self: Tensor, function: Callable, types: Any, args: tuple, keywords: dict) -> Any:
    return call(function, args, keywords)


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
