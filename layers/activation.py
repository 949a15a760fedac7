"""Activations as layers, for Sequential; the functions themselves are `mg.relu`, `mg.tanh` and so on."""

from __future__ import annotations

import minigrad as mg
from layers import checks
from layers.module import Module


class Sigmoid(Module):
    """σ(x) = 1/(1 + e⁻ˣ), in (0, 1); σ' ≤ 1/4."""

    def forward(self, x):
        return mg.sigmoid(x)


class Tanh(Module):
    """tanh x, in (−1, 1); tanh' ≤ 1."""

    def forward(self, x):
        return mg.tanh(x)


class ReLU(Module):
    """max(x, 0) (Nair and Hinton, 2010); the derivative at 0 is taken as 0."""

    def forward(self, x):
        return mg.relu(x)


class LeakyReLU(Module):
    """x for x > 0, slope·x elsewhere (Maas et al., 2013)."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = checks.number("LeakyReLU", "slope", slope)

    def forward(self, x):
        return mg.leaky_relu(x, self.slope)


class ELU(Module):
    """x for x > 0, alpha·(eˣ − 1) elsewhere (Clevert et al., 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.number("ELU", "alpha", alpha, 0)

    def forward(self, x):
        return mg.elu(x, self.alpha)


class Softplus(Module):
    """ln(1 + eˣ), a smooth ReLU whose derivative is σ (Dugas et al., 2001)."""

    def forward(self, x):
        return mg.softplus(x)


class SiLU(Module):
    """x·σ(x), also called swish (Elfwing et al., 2018)."""

    def forward(self, x):
        return mg.silu(x)


class GELU(Module):
    """x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel, 2016)."""

    def forward(self, x):
        return mg.gelu(x)


class Softmax(Module):
    """eˣⁱ/Σeˣʲ: probabilities along an axis. `CrossEntropy` takes logits, without a Softmax before it."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = checks.integer("Softmax", "axis", axis)

    def forward(self, x):
        return mg.softmax(x, axis=self.axis)
