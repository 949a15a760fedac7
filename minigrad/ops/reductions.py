"""Sums and their relatives: functions of many elements, along some axes or all of them.

A rule puts the removed axes back with length 1 (`kept`), so that gradients stand beside the elements they
belong to.
"""

from __future__ import annotations

import builtins

import numpy as np

from minigrad.op import primitive

__all__ = [
    "cumsum", "logsumexp", "max", "mean", "min", "norm", "prod", "std", "sum", "var",
]  # fmt: skip


def kept(a, x, axis):
    """A reduction of `x`, or the gradient at one, with the removed axes put back."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % builtins.max(x.ndim, 1)
    return a.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def count(x, y):
    """How many elements of `x` went into each one of `y`."""
    return builtins.max(x.size, 1) / builtins.max(y.size, 1)


def euclidean(x, axis, keepdims):
    """√Σx², summed in float64 whatever the dtype of x."""
    squares = np.square(x, dtype=np.promote_types(x.dtype, np.float64))
    return np.sqrt(np.sum(squares, axis=axis, keepdims=keepdims)).astype(np.result_type(x, np.float32))


def centred(x, axis):
    return x - np.mean(x, axis=axis, keepdims=True)


def nonzero(x):
    """x with 1 in place of 0, to divide by where the numerator is 0 as well."""
    return np.where(x == 0, 1, x)


sum = primitive(
    "sum",
    lambda x, axis=None, keepdims=False: np.sum(x, axis=axis, keepdims=keepdims),
    [lambda g, y, x, axis, keepdims: np.broadcast_to(kept(g, x, axis), x.shape)],
    ["g to every summand"],
    kind="reduce",
    numpy=np.sum,
)
mean = primitive(
    "mean",
    lambda x, axis=None, keepdims=False: np.mean(x, axis=axis, keepdims=keepdims),
    [lambda g, y, x, axis, keepdims: np.broadcast_to(kept(g, x, axis) / count(x, y), x.shape)],
    ["g/n"],
    kind="reduce",
    numpy=np.mean,
)


def product_of_others(x, y, axis):
    """∂(x₁·…·xₙ)/∂xᵢ: y/xᵢ, or multiplied out where a factor is 0."""
    if np.all(x != 0):
        return kept(y, x, axis) / x
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    rows = np.transpose(x, rest + axes)
    inner = rows.shape[len(rest) :]
    rows = rows.reshape((*rows.shape[: len(rest)], -1))
    n = rows.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, np.expand_dims(rows, -2))  # row i holds all factors but xᵢ
    others = np.prod(others, axis=-1).reshape(rows.shape[:-1] + inner)
    return np.transpose(others, np.argsort(rest + axes))


prod = primitive(
    "prod",
    lambda x, axis=None, keepdims=False: np.prod(x, axis=axis, keepdims=keepdims),
    [lambda g, y, x, axis, keepdims: kept(g, x, axis) * product_of_others(x, y, axis)],
    ["g·y/x"],
    kind="reduce",
    numpy=np.prod,
)


def share_of_ties(g, y, x, axis, keepdims):
    """The gradient goes to the extreme element; where several tie, in equal shares."""
    chosen = x == kept(y, x, axis)
    return kept(g, x, axis) * (chosen / np.sum(chosen, axis=axis, keepdims=True))


max = primitive(
    "max",
    lambda x, axis=None, keepdims=False: np.max(x, axis=axis, keepdims=keepdims),
    [share_of_ties],
    ["g·1[x=max]"],
    kind="reduce",
    numpy=np.max,
)
min = primitive(
    "min",
    lambda x, axis=None, keepdims=False: np.min(x, axis=axis, keepdims=keepdims),
    [share_of_ties],
    ["g·1[x=min]"],
    kind="reduce",
    numpy=np.min,
)
var = primitive(
    "var",
    lambda x, axis=None, keepdims=False, ddof=0: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
    [lambda g, y, x, axis, keepdims, ddof: kept(g, x, axis) * centred(x, axis) * (2 / (count(x, y) - ddof))],
    ["g·2(x−x̄)/n"],
    kind="reduce",
    numpy=np.var,
)
std = primitive(  # 0 where all elements are equal
    "std",
    lambda x, axis=None, keepdims=False, ddof=0: np.std(x, axis=axis, keepdims=keepdims, ddof=ddof),
    [
        lambda g, y, x, axis, keepdims, ddof: (
            kept(g / nonzero(y), x, axis) * centred(x, axis) * (1 / (count(x, y) - ddof))
        )
    ],
    ["g·(x−x̄)/(n·std)"],
    kind="reduce",
    numpy=np.std,
)
norm = primitive(  # 0 at 0
    "norm",
    lambda x, axis=None, keepdims=False: euclidean(x, axis, keepdims),
    [lambda g, y, x, axis, keepdims: kept(g / nonzero(y), x, axis) * x],
    ["g·x/‖x‖"],
    kind="reduce",
)


def stable_logsumexp(x, axis=None, keepdims=False):
    largest = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    y = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return y if keepdims else np.squeeze(y, axis=axis)


logsumexp = primitive(
    "logsumexp",
    stable_logsumexp,
    [lambda g, y, x, axis, keepdims: kept(g, x, axis) * np.exp(x - kept(y, x, axis))],
    ["g·softmax(x)"],
    kind="reduce",
)
cumsum = primitive(
    "cumsum",
    lambda x, axis=None: np.cumsum(x, axis=axis),
    [lambda g, y, x, axis: np.flip(np.cumsum(np.flip(g, axis), axis or 0), axis).reshape(x.shape)],
    ["Σ of g from here on"],
    kind="reduce",
    numpy=np.cumsum,
)
