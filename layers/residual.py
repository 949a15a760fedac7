"""Shortcuts: Residual adds its input to the output of its body, DenseBlock concatenates them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
from layers import checks
from layers.module import Module
from minigrad.op import operand
from minigrad.ops.affine import activations


class Residual(Module):
    """y = after(shortcut(x) + body(x)) (He et al., 2016).

    Parameters
    ----------
    *body : Module
        Called one after the other.
    shortcut : Module, optional
        Maps x to the shape of body(x); None for x itself.
    after : str or callable, optional
        An activation on the sum: its name, a layer or a function.

    Raises
    ------
    ValueError
        If body(x) and shortcut(x) have different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense, Residual
    >>> block = Residual(Dense(3, 3, init="zeros"))
    >>> block(np.array([[1.0, 2.0, 3.0]])).numpy()
    array([[1., 2., 3.]])
    """

    def __init__(self, *body: Module, shortcut: Module | None = None, after: str | Callable | None = None) -> None:
        self.body = checks.modules("Residual", "body", body)
        self.shortcut = None if shortcut is None else checks.modules("Residual", "shortcut", [shortcut])[0]
        if isinstance(after, str):
            self.after: Any = checks.one_of("Residual", "after", after, activations)
        else:
            self.after = None if after is None else checks.modules("Residual", "after", [after])[0]

    def forward(self, x: Any) -> Any:
        around = operand(x) if self.shortcut is None else self.shortcut(x)
        y = x
        for layer in self.body:
            y = layer(y)
        if y.shape != around.shape:  # broadcasting would add something else
            raise ValueError(
                f"Residual: body(x) is {y.shape}, the shortcut {around.shape}; shortcut= must give body(x)'s shape"
            )
        total, after = mg.add(around, y), activations.get(self.after, self.after)
        return total if after is None else after(total)


class DenseBlock(Module):
    """Each stage takes the input and the outputs of all earlier stages, concatenated (Huang et al., 2017).

    x₀ = x, xₖ = stageₖ([x₀, …, xₖ₋₁]); the block's output is [x₀, …, xₙ], along the last axis.

    Parameters
    ----------
    *stages : Module

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense, DenseBlock
    >>> block = DenseBlock(Dense(4, 3, "relu"), Dense(7, 3, "relu"))
    >>> block(np.ones((2, 4))).shape
    (2, 10)
    """

    def __init__(self, *stages: Module) -> None:
        self.stages = checks.modules("DenseBlock", "stages", stages)

    def forward(self, x: Any) -> Any:
        for stage in self.stages:
            x = mg.concatenate([x, stage(x)], axis=-1)
        return x
