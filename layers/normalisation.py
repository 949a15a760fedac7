"""Normalisation: activations with mean 0 and variance 1, over the batch or over the features."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from layers import checks
from layers.module import Module, Parameter
from minigrad.op import operand
from minigrad.ops.networks import running_moments


class BatchNorm(Module):
    """y = γ·(x − μ)/√(σ² + eps) + β per feature; μ and σ² over the batch (Ioffe and Szegedy, 2015).

    In training, μ and σ² are those of the batch, and running averages of them are kept; after `eval()`, the running
    averages take their place. σ² divides by n, the running variance by n − 1.

    Parameters
    ----------
    features : int
    eps : float
        Keeps the denominator away from 0.
    momentum : float
        Weight of a new batch in the running averages.

    Attributes
    ----------
    gamma, beta : Parameter, (features,)
    running_mean, running_var : ndarray, (features,)

    Raises
    ------
    ValueError
        If x is not (batch, features), or in training has only one row.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import BatchNorm
    >>> layer = BatchNorm(1)
    >>> layer(np.array([[1.0], [3.0]])).numpy().round(3)
    array([[-1.],
           [ 1.]])
    >>> layer.running_mean, layer.running_var
    (array([0.2]), array([1.1]))
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.features = checks.size("BatchNorm", "features", features)
        self.eps = checks.number("BatchNorm", "eps", eps, 0)
        self.momentum = checks.number("BatchNorm", "momentum", momentum, 0, 1)
        self.gamma = Parameter(np.ones(features, mg.default_dtype()))
        self.beta = Parameter(np.zeros(features, mg.default_dtype()))
        self.running_mean = np.zeros(features, mg.default_dtype())
        self.running_var = np.ones(features, mg.default_dtype())

    def forward(self, x: Any) -> Any:
        array = checks.array_of(x)
        if array.ndim != 2 or array.shape[1] != self.features:
            raise ValueError(f"BatchNorm: input must be (batch, {self.features}), not {array.shape}")
        if not self.training:
            return (x - self.running_mean) / np.sqrt(self.running_var + self.eps) * self.gamma + self.beta
        if len(array) < 2:
            raise ValueError("BatchNorm: one row has no variance; train on batches of at least 2 rows, or call eval()")
        running = self.running_mean, self.running_var  # replaced, not written to: graphs may hold these arrays
        self.running_mean, self.running_var = running_moments(array, *running, self.momentum)
        return mg.batch_norm(x, self.gamma, self.beta, self.eps)


class LayerNorm(Module):
    """y = γ·(x − μ)/√(σ² + eps) + β per sample; μ and σ² over the features, the last axis (Ba et al., 2016).

    Parameters
    ----------
    features : int
    eps : float

    Attributes
    ----------
    gamma, beta : Parameter, (features,)

    Examples
    --------
    >>> import numpy as np
    >>> from layers import LayerNorm
    >>> LayerNorm(2)(np.array([[1.0, 3.0]])).numpy().round(3)
    array([[-1.,  1.]])
    """

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        self.features = checks.size("LayerNorm", "features", features)
        self.eps = checks.number("LayerNorm", "eps", eps, 0)
        self.gamma = Parameter(np.ones(features, mg.default_dtype()))
        self.beta = Parameter(np.zeros(features, mg.default_dtype()))

    def forward(self, x: Any) -> Any:
        x = operand(x)
        if x.shape[-1:] != (self.features,):
            raise ValueError(f"LayerNorm: the last axis must be {self.features}, input has shape {x.shape}")
        centred = x - mg.mean(x, axis=-1, keepdims=True)
        variance = mg.mean(mg.square(centred), axis=-1, keepdims=True)
        return centred / mg.sqrt(variance + self.eps) * self.gamma + self.beta
