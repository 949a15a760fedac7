"""Reductions, with softmax and cumsum: functions of many elements, along some axes or all of them.

A rule puts the removed axes back with length 1 (`kept`), so that gradients broadcast against the
elements. At a kink the derivative takes the value that the op's docstring states.
"""

from __future__ import annotations

import numpy as np

from minigrad.define import primitive
from minigrad.ops.elementwise import over

__all__ = ["cumsum", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var"]


def kept(a, x, axis):
    """A reduction of `x`, or the gradient at one, with the removed axes put back."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % (x.ndim or 1)
    return a.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def count(x, y):
    """How many elements of `x` went into each one of `y`."""
    return x.size / y.size if y.size else 1


def centred(x, axis):
    return x - np.mean(x, axis=axis, keepdims=True)


def reduction(name, forward, vjp, formula, doc=None):
    return primitive(name, forward, [vjp], [formula], kind="reduce", numpy=getattr(np, name, None), doc=doc)


sum = reduction(
    "sum",
    lambda x, axis=None, keepdims=False: np.sum(x, axis=axis, keepdims=keepdims),
    lambda g, y, x, axis, keepdims: np.broadcast_to(kept(g, x, axis), x.shape),
    "g to every summand",
)
mean = reduction(
    "mean",
    lambda x, axis=None, keepdims=False: np.mean(x, axis=axis, keepdims=keepdims),
    lambda g, y, x, axis, keepdims: np.broadcast_to(kept(g / count(x, y), x, axis), x.shape),
    "g/n",
)
var = reduction(
    "var",
    lambda x, axis=None, keepdims=False, ddof=0: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
    lambda g, y, x, axis, keepdims, ddof: kept(g * 2 / (count(x, y) - ddof), x, axis) * centred(x, axis),
    "g·2(x−x̄)/(n−ddof)",
)
std = reduction(
    "std",
    lambda x, axis=None, keepdims=False, ddof=0: np.std(x, axis=axis, keepdims=keepdims, ddof=ddof),
    lambda g, y, x, axis, keepdims, ddof: kept(over(g, y * (count(x, y) - ddof)), x, axis) * centred(x, axis),
    "g·(x−x̄)/((n−ddof)·std)",
    doc="The standard deviation, with n − ddof in the denominator; its derivative is 0 where all elements are equal.",
)


def euclidean(x, axis, keepdims):
    """√Σx², summed in float64 whatever the dtype of x."""
    squares = np.square(x, dtype=np.promote_types(x.dtype, np.float64))
    return np.sqrt(np.sum(squares, axis=axis, keepdims=keepdims)).astype(np.result_type(x, np.float32))


norm = reduction(
    "norm",
    lambda x, axis=None, keepdims=False: euclidean(x, axis, keepdims),
    lambda g, y, x, axis, keepdims: kept(g, x, axis) * over(x, kept(y, x, axis)),
    "g·x/‖x‖",
    doc="The Euclidean norm √Σx² over one axis, several or all; its derivative at 0 is 0.",
)

# Products


def products_before(x):
    """Per element, the product of those before it on the last axis; each round doubles how far back it reaches."""
    product = np.concatenate([np.ones_like(x[..., :1]), x[..., :-1]], axis=-1)
    reach = 1
    while reach < x.shape[-1]:
        earlier = np.concatenate([np.ones_like(x[..., :reach]), product[..., :-reach]], axis=-1)
        product, reach = product * earlier, 2 * reach
    return product


def product_of_others(y, x, axis):
    """∂(x₁·…·xₙ)/∂xᵢ: y/xᵢ, or if y is 0, infinite or short of digits, the factors before xᵢ times those after."""
    if np.all(np.isfinite(y) & (np.abs(y) >= np.finfo(y.dtype).tiny)):
        return kept(y, x, axis) / x
    axes = range(x.ndim) if axis is None or not x.ndim else np.atleast_1d(axis)
    last = range(-len(axes), 0)
    moved = np.moveaxis(x, axes, last)
    rows = moved.reshape((*moved.shape[: x.ndim - len(axes)], -1))
    others = products_before(rows) * np.flip(products_before(np.flip(rows, -1)), -1)
    return np.moveaxis(others.reshape(moved.shape), last, axes)


prod = reduction(
    "prod",
    lambda x, axis=None, keepdims=False: np.prod(x, axis=axis, keepdims=keepdims),
    lambda g, y, x, axis, keepdims: kept(g, x, axis) * product_of_others(y, x, axis),
    "g·y/x",
)

# Extremes


def to_the_extreme(g, y, x, axis, keepdims):
    """The gradient goes to the extreme element, in equal shares where several tie (if y is NaN, to every NaN)."""
    extreme = (x == kept(y, x, axis)) | np.isnan(x)
    ties = np.sum(extreme, axis=axis, keepdims=True, dtype=x.dtype.type)
    return np.where(extreme, kept(g, x, axis) / ties, 0)


max = reduction(
    "max",
    lambda x, axis=None, keepdims=False: np.max(x, axis=axis, keepdims=keepdims),
    to_the_extreme,
    "g·1[x=max]",
    doc="The largest element over one axis, several or all; elements that tie share the gradient equally.",
)
min = reduction(
    "min",
    lambda x, axis=None, keepdims=False: np.min(x, axis=axis, keepdims=keepdims),
    to_the_extreme,
    "g·1[x=min]",
    doc="The smallest element over one axis, several or all; elements that tie share the gradient equally.",
)

# Sums of exponentials


def below_largest(x, axis):
    """x − max x, whose exponentials cannot overflow, and max x (0 where that is infinite)."""
    x = np.asarray(x, np.result_type(x, np.float32))
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(over="ignore"):  # a difference too large to represent is −∞
        return x - largest, largest


def probabilities(x, axis=-1):
    powers = np.exp(below_largest(x, axis)[0])
    total = np.sum(powers, axis=axis, keepdims=True)
    return powers / np.where(total == 0, 1, total)


def log_of_sum(x, axis=None, keepdims=False):
    difference, largest = below_largest(x, axis)
    with np.errstate(divide="ignore"):  # ln 0 = −∞ is the answer where all x are −∞, or there are none
        y = np.log(np.sum(np.exp(difference), axis=axis, keepdims=True)) + largest
    return y if keepdims else np.squeeze(y, axis=axis)


softmax = primitive(
    "softmax",
    probabilities,
    [lambda g, y, x, axis: y * (g - np.sum(g * y, axis=axis, keepdims=True))],
    ["(diag(p) − p·pᵀ)·g"],
    kind="activation",
    doc="eˣ/Σeˣ along an axis (several, or all for None); 0 where all x are −∞.",
)
logsumexp = reduction(
    "logsumexp",
    log_of_sum,
    lambda g, y, x, axis, keepdims: kept(g, x, axis) * softmax(x, axis),
    "g·softmax(x)",
    doc="ln Σeˣ over one axis, several or all, without overflow.",
)
cumsum = reduction(
    "cumsum",
    lambda x, axis=None: np.cumsum(x, axis=axis),
    lambda g, y, x, axis: np.flip(np.cumsum(np.flip(g, axis), axis), axis).reshape(x.shape),
    "Σ of g from here on",
)
