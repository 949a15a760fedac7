"""How weights start: each function turns a shape into an array, and names the paper its scheme comes from.

A weight of shape (inputs, outputs) has fan_in = inputs and fan_out = outputs. With variance 1/fan_in, a linear layer's
output has the variance of its input; the schemes differ in how they allow for φ and for the backward pass.

>>> import numpy as np
>>> from layers import Dense, init
>>> Dense(2, 2, init="identity").weight.data
array([[1., 0.],
       [0., 1.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from layers import checks
from layers.module import Module
from layers.scope import watching
from minigrad.settings import default_dtype, generator, no_grad

Shape = tuple[int, ...]
Rng = np.random.Generator | int | None


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: all axes but the last are inputs."""
    if len(shape) < 2:
        raise ValueError(f"init: a weight of shape {shape} has no fan_in and fan_out; it needs two axes")
    return math.prod(shape[:-1]), shape[-1]


def zeros(shape: Shape, rng: Rng = None) -> np.ndarray:
    """0 everywhere: right for biases. With zero weights, all units of a layer would stay alike for ever."""
    return np.zeros(shape)


def ones(shape: Shape, rng: Rng = None) -> np.ndarray:
    """1 everywhere: right for the scale of a normalisation."""
    return np.ones(shape)


def constant(shape: Shape, rng: Rng = None, *, value: float) -> np.ndarray:
    """`value` everywhere; for a layer, `functools.partial(init.constant, value=0.1)`."""
    return np.full(shape, value, dtype=float)


def normal(shape: Shape, rng: Rng = None, *, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """N(mean, std²)."""
    return generator(rng).normal(mean, std, shape)


def uniform(shape: Shape, rng: Rng = None, *, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """U(low, high)."""
    return generator(rng).uniform(low, high, shape)


def fan_in_uniform(shape: Shape, rng: Rng = None) -> np.ndarray:
    """U(−1/√fan_in, 1/√fan_in): variance 1/(3·fan_in), common before Xavier's (Glorot and Bengio, 2010, eq. 1)."""
    bound = 1 / math.sqrt(fans(shape)[0])
    return generator(rng).uniform(-bound, bound, shape)


def xavier_uniform(shape: Shape, rng: Rng = None, *, gain: float = 1.0) -> np.ndarray:
    """U(−b, b), b = gain·√(6/(fan_in + fan_out)): keeps the size of signals and gradients (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return generator(rng).uniform(-bound, bound, shape)


def xavier_normal(shape: Shape, rng: Rng = None, *, gain: float = 1.0) -> np.ndarray:
    """N(0, gain²·2/(fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return generator(rng).normal(0, gain * math.sqrt(2 / sum(fans(shape))), shape)


def he_uniform(shape: Shape, rng: Rng = None, *, slope: float = 0.0) -> np.ndarray:
    """A uniform distribution with the variance of `he_normal` (He et al., 2015)."""
    bound = math.sqrt(6 / ((1 + slope**2) * fans(shape)[0]))
    return generator(rng).uniform(-bound, bound, shape)


def he_normal(shape: Shape, rng: Rng = None, *, slope: float = 0.0) -> np.ndarray:
    """N(0, 2/((1 + slope²)·fan_in)): makes up for what a ReLU with this slope below 0 drops (He et al., 2015)."""
    return generator(rng).normal(0, math.sqrt(2 / ((1 + slope**2) * fans(shape)[0])), shape)


def lecun_normal(shape: Shape, rng: Rng = None) -> np.ndarray:
    """N(0, 1/fan_in) (LeCun et al., Efficient BackProp, 1998)."""
    return generator(rng).normal(0, 1 / math.sqrt(fans(shape)[0]), shape)


def orthogonal(shape: Shape, rng: Rng = None, *, gain: float = 1.0) -> np.ndarray:
    """gain times a matrix with orthonormal rows or columns: every singular value is gain (Saxe et al., 2013)."""
    rows, columns = fans(shape)
    tall = generator(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # the signs that make q uniform among all such matrices
    return gain * (q if rows >= columns else q.T).reshape(shape)


def identity(shape: Shape, rng: Rng = None, *, gain: float = 1.0) -> np.ndarray:
    """gain times the identity: a recurrent net of ReLUs then starts by keeping its state (Le et al., 2015)."""
    if len(shape) != 2:
        raise ValueError(f"identity: a matrix is needed, not shape {shape}")
    return gain * np.eye(*shape)


by_name = [zeros, ones, normal, uniform, fan_in_uniform, xavier_uniform, xavier_normal, he_uniform, he_normal]
by_name += [lecun_normal, orthogonal, identity]  # not `constant`, which needs a value
schemes = {scheme.__name__: scheme for scheme in by_name}


def make(layer: str, init: str | Callable | np.ndarray, shape: Shape, rng: Rng = None) -> np.ndarray:
    """The first value of a parameter, in the default dtype; `init` is a function, its name, or an array."""
    scheme = schemes[checks.one_of(layer, "init", init, schemes)] if isinstance(init, str) else init
    array = np.array(scheme(shape, rng) if callable(scheme) else scheme, dtype=default_dtype())
    if array.shape != shape:
        raise ValueError(f"{layer}: init gave an array of shape {array.shape}, the weight has shape {shape}")
    return array


@no_grad()
def lsuv(model: Module, batch: Any, rng: Rng = None) -> None:
    """Start each Dense layer orthogonal, in forward order, and scale it so that x·W has variance 1 over the batch.

    Layer-sequential unit variance (Mishkin and Matas, 2016). Its forward passes move the running averages of BatchNorm.

    Raises
    ------
    ValueError
        If x·W of a layer has no variance to scale, for example because x is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense, Sequential, init
    >>> model = Sequential(Dense(8, 32, "relu"), Dense(32, 4))
    >>> x = np.random.default_rng(0).normal(5, 3, (100, 8))
    >>> init.lsuv(model, x)
    >>> round(model(x).numpy().var().item(), 6)
    1.0
    """
    from layers.dense import Dense  # not at the top: layers.dense imports this file

    rng = generator(rng)
    with watching() as seen:
        model(batch)
    for layer in dict.fromkeys(module for _, module, _, _ in seen if isinstance(module, Dense)):  # each once
        with watching() as seen:
            model(batch)
        x = next(xs[0] for _, module, xs, _ in seen if module is layer)
        weight = orthogonal(layer.weight.shape, rng)
        scale = np.std(checks.array_of(x) @ weight)
        if not scale > 0:
            raise ValueError(f"lsuv: x·W of {layer.scope} has no variance, so no scale can set it to 1")
        layer.weight.data = weight / scale
