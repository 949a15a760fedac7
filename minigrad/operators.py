"""What `minigrad.ops` attaches to Tensor, declared here so that editors and type checkers know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class Operators:
    """`x + y`, `x[0]`, `x < y` and every op as a method: `x.sum(axis=0)`."""

    __slots__ = ()

    __add__: Any
    __radd__: Any
    __sub__: Any
    __rsub__: Any
    __mul__: Any
    __rmul__: Any
    __truediv__: Any
    __rtruediv__: Any
    __pow__: Any
    __rpow__: Any
    __matmul__: Any
    __rmatmul__: Any
    __mod__: Any
    __rmod__: Any
    __pos__: Any
    __neg__: Any
    __abs__: Any
    __getitem__: Any
    __setitem__: Any
    __eq__: Any
    __ne__: Any
    __lt__: Any
    __le__: Any
    __gt__: Any
    __ge__: Any
    __contains__: Any
    __bool__: Any
    __float__: Any
    __int__: Any
    __format__: Any
    __array_ufunc__: Any
    __array_function__: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
