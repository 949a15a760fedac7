"""Dropout: noise in training that keeps units from relying on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from layers import checks
from layers.module import Module


class Dropout(Module):
    """In training, each element is 0 with probability p, else x/(1 − p); after `eval()`, x (Srivastava et al., 2014).

    Parameters
    ----------
    p : float
        In [0, 1]; with 1, nothing is left.
    rng : numpy Generator or int, optional
        Source of random numbers, or its seed.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dropout
    >>> layer = Dropout(0.5, rng=0)
    >>> layer(np.ones(6))
    array([2., 0., 0., 0., 2., 2.])
    >>> layer.eval()(np.ones(3))
    array([1., 1., 1.])
    """

    def __init__(self, p: float, rng: np.random.Generator | int | None = None) -> None:
        self.p = checks.number("Dropout", "p", p, 0, 1)
        self.rng = None if rng is None else np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        return mg.dropout(x, self.p, self.rng) if self.training and self.p else x
