"""Checks of arguments; each error is one sentence that names the argument."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from minigrad import Tensor


def array_of(x: Any) -> np.ndarray:
    """The numbers of a Tensor, an array or a list, as an array without a graph."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def integer(layer: str, name: str, value: Any) -> int:
    """`value` as an int; booleans are refused."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{layer}: {name} must be an integer, not {value!r}")
    return int(value)


def size(layer: str, name: str, value: Any) -> int:
    """`value` as a number of units: an integer of at least 1."""
    if integer(layer, name, value) < 1:
        raise ValueError(f"{layer}: {name} must be at least 1, not {value}")
    return int(value)


def number(layer: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` as a float, if it is finite and low ≤ value ≤ high."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{layer}: {name} must be a number, not {value!r}")
    if not (math.isfinite(value) and low <= float(value) <= high):
        raise ValueError(f"{layer}: {name} must lie in [{low}, {high}], not {value}")
    return float(value)


def one_of(layer: str, name: str, value: Any, known: Collection[str]) -> str:
    """`value`, if it is one of the known names; else the error suggests the nearest one."""
    if not isinstance(value, str):
        raise TypeError(f"{layer}: {name} must be one of {', '.join(known)}, not {value!r}")
    if value not in known:
        near = difflib.get_close_matches(value.lower(), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{layer}: {name}={value!r} is not one of {', '.join(known)}{hint}")
    return value


def targets(loss: str, given: Any, right: Callable[[np.ndarray], np.ndarray], allowed: str) -> None:
    """ValueError with the first target that is not as allowed, after the op has accepted their kind and shape."""
    t = array_of(given)
    wrong = t[~right(t)]
    if wrong.size:
        raise ValueError(f"{loss}: targets must be {allowed}, not {float(wrong[0]):g}")


def modules(layer: str, name: str, values: Iterable[Any]) -> list:
    """`values` as a list, if each is a layer or a function, not a class."""
    values = list(values)
    for i, value in enumerate(values):
        if isinstance(value, type):
            raise TypeError(f"{layer}: {name}[{i}] is the class {value.__name__}; make one: {value.__name__}(…)")
        if not callable(value):
            hint = "; write each layer as an argument of its own" if isinstance(value, (list, tuple)) else ""
            raise TypeError(f"{layer}: {name}[{i}] must be a module, not {type(value).__name__}{hint}")
    return values
