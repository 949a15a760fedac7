"""Embedding: a table with one vector per index. Flatten: all axes but the first become one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg
from layers import checks, init
from layers.module import Module, Parameter
from minigrad.op import operand


class Embedding(Module):
    """y = W[x]: row x of a table, which starts as N(0, 1).

    Parameters
    ----------
    count : int
        Number of rows: x lies in 0 … count − 1.
    features : int
        Length of a row.
    rng : numpy Generator or int, optional

    Attributes
    ----------
    weight : Parameter, (count, features)

    Raises
    ------
    TypeError, ValueError
        For an index that is not an integer, or lies outside the table.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Embedding
    >>> Embedding(10, 4)(np.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(self, count: int, features: int, rng: np.random.Generator | int | None = None) -> None:
        self.count = checks.size("Embedding", "count", count)
        self.features = checks.size("Embedding", "features", features)
        self.weight = Parameter(init.normal((count, features), rng).astype(mg.default_dtype()))

    def forward(self, x: Any) -> Any:
        index = checks.array_of(x)
        if index.dtype.kind not in "iu":
            raise TypeError(f"Embedding: indices must be integers, not {index.dtype}")
        if index.size and not 0 <= index.min() <= index.max() < self.count:
            found = f"{index.min()} to {index.max()}"
            raise ValueError(f"Embedding: indices must lie in 0 to {self.count - 1}, not in {found}")
        return self.weight[index]


class Flatten(Module):
    """Merge all axes but the first: (batch, …) → (batch, features).

    >>> import numpy as np
    >>> from layers import Flatten
    >>> Flatten()(np.zeros((5, 4, 3))).shape
    (5, 12)
    """

    def forward(self, x: Any) -> Any:
        x = operand(x)
        return mg.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
