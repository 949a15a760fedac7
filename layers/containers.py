"""Sequential: each layer takes the output of the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from layers import checks
from layers.module import Module


class Sequential(Module):
    """y = fₙ(…f₂(f₁(x))).

    Parameters
    ----------
    *layers : Module, or a function such as `mg.relu`
        In the order in which they are called. `print(model)` lists the modules.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense, ReLU, Sequential
    >>> model = Sequential(Dense(4, 8), ReLU(), Dense(8, 2))
    >>> model(np.ones((5, 4))).shape
    (5, 2)
    >>> model[1]
    ReLU()
    >>> len(model[:2])
    2
    """

    def __init__(self, *layers: Module) -> None:
        self.layers = checks.modules("Sequential", "layers", layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
