"""Dense: every output depends on every input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minigrad as mg
from layers import checks
from layers.init import make
from layers.module import Module, Parameter
from minigrad.ops.affine import activations


class Dense(Module):
    """y = φ(x·W + b), on the last axis of x.

    Parameters
    ----------
    inputs, outputs : int
        Sizes of the last axis before and after.
    activation : str, optional
        φ by name, such as "relu"; None for a linear layer. A function of your own follows it as a layer of its own:
        `Sequential(Dense(4, 8), swish)`.
    bias : bool
        Whether there is a b.
    init : callable, str or ndarray
        How W starts: a function of `layers.init`, its name, or the numbers themselves. b starts at 0.
    rng : numpy Generator or int, optional
        Source of random numbers, or its seed.

    Attributes
    ----------
    weight : Parameter, (inputs, outputs)
    bias : Parameter (outputs,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense
    >>> layer = Dense(2, 1, init=np.array([[1.0], [10.0]]))
    >>> layer(np.array([[1.0, 2.0]])).numpy()
    array([[21.]])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: str | None = None,
        bias: bool = True,
        init: str | Callable | np.ndarray = "xavier_uniform",
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.inputs = checks.size("Dense", "inputs", inputs)
        self.outputs = checks.size("Dense", "outputs", outputs)
        self.activation = None if activation is None else checks.one_of("Dense", "activation", activation, activations)
        self.weight = Parameter(make("Dense", init, (inputs, outputs), rng))
        self.bias = Parameter(np.zeros(outputs, mg.default_dtype())) if bias else None

    def forward(self, x):
        return mg.dense(x, self.weight, self.bias, activation=self.activation)
