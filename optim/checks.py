"""Checks of the arguments of this package; each error is a sentence that starts with the name of the caller."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from reprlib import repr as short
from typing import Any

import numpy as np

from minigrad import Tensor

FRACTIONS = ("momentum", "decay")  # settings that must be below 1


def tensors(caller: str, params: Iterable, allowed: type | tuple[type, ...] = Tensor) -> list:
    """`params` as a list; TypeError unless it is an iterable of tensors, or of the types in `allowed`."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        kind = type(params).__name__
        raise TypeError(f"{caller}: params is an iterable of tensors such as model.parameters() or [w], not a {kind}")
    params = list(params)
    for i, p in enumerate(params):
        if not isinstance(p, allowed):
            raise TypeError(f"{caller}: params[{i}] is a {type(p).__name__}, not a tensor; pass model.parameters()")
    return params


def real(what: str, value: Any) -> float:
    """`value` as a Python float: a NumPy float64 would widen float32 arrays."""
    value = value[()] if isinstance(value, np.ndarray) else value  # a 0-d array, as np.where returns for numbers
    if not isinstance(value, (float, Real)):  # float comes first: Real alone takes longer to check
        raise TypeError(f"{what} is a number, not {short(value)}")
    return float(value)


def number(what: str, value: Any, below: float = math.inf) -> float:
    """`value` as a Python float; ValueError unless 0 ≤ value < below."""
    result = real(what, value)
    if not 0 <= result < below:
        raise ValueError(f"{what} = {value} is out of range: 0 ≤ value < {below} is allowed")
    return result


def positive(what: str, value: Any) -> float:
    """`value` as a Python float; ValueError unless 0 < value. Infinity is allowed."""
    result = real(what, value)
    if not result > 0:
        raise ValueError(f"{what} = {value} is out of range: a value above 0 is needed")
    return result


def setting(caller: str, name: str, value: Any) -> Any:
    """A setting of an optimizer, such as momentum, checked and converted to Python numbers."""
    if name == "nesterov":
        return bool(value)
    if name == "betas":
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(f"{caller}: betas is a pair of numbers, not {value!r}")
        return tuple(number(f"{caller}: betas[{i}]", beta, below=1) for i, beta in enumerate(value))
    return number(f"{caller}: {name}", value, below=1 if name in FRACTIONS else math.inf)
