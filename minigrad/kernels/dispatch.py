"""What computes: the definition in primitive ops, a line of NumPy, or a Numba kernel that equals it.

- `use("numpy")` chooses for the process, or as a context manager for a block; `MINIGRAD_KERNELS` does so from outside.
- `twin("tanh", np.tanh, "activations")` puts a kernel beside a NumPy line and picks one of them at every call.
- `table()` prints from how many elements on each kernel is used, and why.

>>> import minigrad as mg
>>> with mg.kernels.use("definition"):  # every fused op runs op by op, as it is written on paper
...     mg.kernels.choice()
'definition'
"""

from __future__ import annotations

import functools
import importlib
import math
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy import ndarray

Choice = Literal["auto", "numba", "numpy", "definition"]
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

# A call below 2⁹ elements is over before a kernel would be loaded: small programs never wait for Numba.
WORTHWHILE: Mapping[np.dtype, int] = MappingProxyType({FLOAT32: 512, FLOAT64: 512})
MANY_CALLS: Mapping[np.dtype, int] = MappingProxyType({FLOAT32: 128, FLOAT64: 128})  # where NumPy needs a dozen calls


def checked(choice: str, where: str = "kernels.use") -> str:
    if choice not in get_args(Choice):
        raise ValueError(f"{where}: {choice!r} is not one of {', '.join(get_args(Choice))}")
    return choice


_choice = checked(os.environ.get("MINIGRAD_KERNELS") or "auto", "MINIGRAD_KERNELS")


def choice() -> str:
    """The setting in force, for the whole process."""
    return _choice


class use:
    """Choose what computes from now on; as a context manager, until the end of the block.

    "auto" picks by size and dtype what is faster; "numba" takes a kernel wherever there is one; "numpy" takes none;
    "definition" runs fused ops as primitive ones. Without Numba installed, "auto" and "numba" are "numpy". Blocks of
    different threads must not overlap: at its end each restores what it found.
    """

    def __init__(self, choice: Choice) -> None:
        global _choice
        self.before, _choice = _choice, checked(choice)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        global _choice
        _choice = self.before


@functools.cache
def available() -> bool:
    """Whether Numba can be imported here; the first call imports it."""
    try:
        import numba  # noqa: F401 - only to see whether it can be imported
    except ImportError:  # not installed, or too old for this NumPy
        return False
    return True


twins: dict[str, Twin] = {}


class Twin:
    """A function of arrays: a line of NumPy, and a kernel that equals it, for the calls at which it is faster.

    Both return the same `saved` for the backward pass, as the kernel of one twin may follow the line of another.
    """

    kinds = "fiub"  # arrays of these kinds must have the dtype of the first one; losses say "f": labels are integers

    def __init__(self, name: str, line: Callable, home: str, least: Mapping = WORTHWHILE, why: str = "") -> None:
        self.name, self.line, self.home = name, line, home
        auto, numba = dict(least), dict.fromkeys(WORTHWHILE, 0)
        self.least = {"auto": auto, "definition": auto, "numba": numba, "numpy": {}}  # dtype → elements, by choice
        self.why = why
        functools.update_wrapper(self, line, assigned=("__doc__", "__name__", "__module__"))

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        served = self.serves(*arrays) and not (params and arrays_among(params))
        return (self.kernel if served else self.line)(*arrays, **params)

    def chosen(self, x: Any) -> Callable:
        """The kernel or the line, for a loop that works on parts of x and asks once."""
        return self.kernel if self.serves(x) else self.line

    def serves(self, x: Any, *others: Any, size: int | None = None) -> bool:
        """Whether the kernel takes this call: the first array decides, and the others must have its dtype.

        `size` counts instead of that of x, if given: an optimizer passes that of all its parameters.
        """
        if type(x) is not ndarray:
            return False
        dtype = x.dtype
        if (x.size if size is None else size) < self.least[_choice].get(dtype, math.inf):
            return False
        for other in others:
            found = getattr(other, "dtype", dtype)  # mostly the same object: `is` saves the slower ==
            if found is not dtype and found != dtype and found.kind in self.kinds:
                return False
        return available()

    @functools.cached_property
    def kernel(self) -> Callable:
        """The function of the same name in `minigrad.kernels`' module `home`, which is imported here, at first use."""
        return getattr(importlib.import_module(f"minigrad.kernels.{self.home}"), self.name)

    def __repr__(self) -> str:
        return f"<{self.name}: NumPy, or minigrad.kernels.{self.home}>"


def arrays_among(params: Mapping) -> bool:
    """Whether a parameter is an array, or a number with a dtype: only NumPy's line respects that dtype."""
    return any(hasattr(p, "dtype") for p in params.values())


def twin(name: str, line: Callable, home: str, least: Mapping = WORTHWHILE, why: str = "") -> Twin:
    """Put a kernel beside a line of NumPy.

    Parameters
    ----------
    name : str
        Name of the function in the module `home`; it takes the line's arguments and returns what the line returns.
    line : callable
        What the kernel must equal: to 1e-12 in float64, 1e-5 in float32.
    home : str
        Module of `minigrad.kernels`.
    least : mapping
        dtype → number of elements of the first array from which the kernel is faster; a dtype that is missing
        stays with NumPy, except under `use("numba")`.
    why : str
        What was measured, in a few words, for `table()`.
    """
    twins[name] = Twin(name, line, home, least, why)
    return twins[name]
