"""What networks are made of: log_softmax, losses, dropout, and batch_norm, which runs as one kernel each way."""

from __future__ import annotations

import math

import numpy as np

from minigrad.arrays import sum_rows
from minigrad.define import composition, fused, primitive
from minigrad.kernels import twin
from minigrad.kernels.dispatch import MANY_CALLS
from minigrad.op import operand
from minigrad.ops.elementwise import multiply, sigmoid, sqrt, square
from minigrad.ops.reductions import below_largest, mean, sum
from minigrad.ops.shaping import getitem, values
from minigrad.settings import generator

__all__ = [
    "batch_norm", "binary_cross_entropy_with_logits", "cross_entropy", "dropout", "hinge", "log_softmax", "mse",
]  # fmt: skip


@np.errstate(divide="ignore")  # without any class, ln 0
def log_probabilities(x, axis=-1):
    """ln softmax, finite for finite x: where a difference overflows, the lowest float stands for −∞."""
    difference, _ = below_largest(x, axis)
    difference = np.where(np.isfinite(x), np.maximum(difference, np.finfo(difference.dtype).min), difference)
    return difference - np.log(np.sum(np.exp(difference), axis=axis, keepdims=True))


log_softmax = primitive(
    "log_softmax",
    log_probabilities,
    [lambda g, y, x, axis: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)],
    ["g − p·Σg"],
    kind="loss",  # the first step of cross-entropy, not a layer of a net
)

# Losses


def reduced(losses, reduction):
    """The losses of all samples as one number: their mean, their sum, or left as they are."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"loss: reduction {reduction!r} is not one of mean, sum, none")
    if reduction == "mean":  # for a few numbers .mean() takes three times as long
        return losses.sum() / losses.size if type(losses) is np.ndarray else losses.mean()
    return losses if reduction == "none" else losses.sum()


def share(g, losses_shape, reduction):
    """The gradient at each sample's loss, given the gradient at the reduced loss: one number for all, unless "none"."""
    return g / math.prod(losses_shape) if reduction == "mean" else g


def check_labels(logits, labels):
    """ValueError unless there is one class, or one distribution over the classes, per row of logits."""
    classes = logits.shape[-1] if logits.ndim else 0
    if labels.dtype.kind in "iu" and labels.shape == logits.shape[:-1]:
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"cross_entropy: labels run from {labels.min()} to {labels.max()}, classes from 0 to {classes - 1}"
            )
    elif labels.dtype.kind != "f" or labels.shape != logits.shape:
        raise ValueError(
            f"cross_entropy: logits {logits.shape} need integer labels of shape {logits.shape[:-1]} "
            f"or probabilities of shape {logits.shape}, not {labels.dtype} of shape {labels.shape}"
        )


def at_labels(labels):
    """The index of each sample's own class."""
    return (*np.indices(labels.shape, sparse=True), labels)


def negative_log_likelihood(log_p, labels):
    """−log p of the class, or −Σ t·log p of a distribution t, in which 0·ln 0 is 0."""
    if labels.dtype.kind in "iu":
        return -getitem(log_p, at_labels(labels))
    return -sum(labels * np.clip(log_p, np.finfo(log_p.dtype).min, None), axis=-1)  # at the bound its derivative is 1


def row_losses_line(logits, labels):
    """The loss of each row, and the probabilities p."""
    log_p = log_probabilities(logits)
    return negative_log_likelihood(log_p, labels), np.exp(log_p)


def row_losses_backward_line(p, g, labels):
    """g·(p − t), where t is 1 at the row's own class, or a distribution."""
    if labels.dtype.kind in "iu":
        by_logits = p.copy()
        by_logits[at_labels(labels)] -= 1
        return g[..., None] * by_logits
    return g[..., None] * (p * np.sum(labels, axis=-1, keepdims=True) - labels)


row_losses = twin("row_losses", row_losses_line, "losses", MANY_CALLS, "5 to 7 times as fast, in float64 3 to 6")
row_losses_backward = twin("row_losses_backward", row_losses_backward_line, "losses", MANY_CALLS, "2 to 4 × as fast")
row_losses.kinds = row_losses_backward.kinds = "f"  # labels are integers


def cross_entropy_forward(logits, labels, reduction):
    check_labels(logits, labels)
    losses, p = row_losses(logits, labels)
    return reduced(losses, reduction), p


def cross_entropy_backward(g, y, p, logits, labels, reduction):
    g = share(g, logits.shape[:-1], reduction)

    def by_labels():
        return -g[..., None] * np.maximum(log_probabilities(logits), np.finfo(p.dtype).min)

    return row_losses_backward(p, g, labels), None if labels.dtype.kind in "iu" else by_labels


def cross_entropy_definition(logits, labels, reduction="mean"):
    logits, labels = operand(logits), operand(labels)
    check_labels(values(logits), values(labels))
    return operand(reduced(negative_log_likelihood(log_softmax(logits), labels), reduction))


cross_entropy = fused(
    "cross_entropy",
    cross_entropy_forward,
    cross_entropy_backward,
    cross_entropy_definition,
    kind="loss",
    formulas=["(p − t)/B", "−log p/B"],
    doc="""−log of the probability that softmax(logits) gives to the labels; reduction "mean", "sum" or "none".

    Parameters
    ----------
    logits : array_like, (..., classes)
    labels : array_like
        Integer classes of shape (...), or probabilities of the shape of the logits.

    >>> import minigrad as mg
    >>> mg.cross_entropy(mg.tensor([[0.0, 0.0]]), [1]).item().__round__(6)
    0.693147
    """,
)


def same_shape(name, y, t):
    if np.shape(y) != np.shape(t):
        raise ValueError(f"{name}: predictions {np.shape(y)} and targets {np.shape(t)} must have one shape")


def squared_errors(y, t, reduction="mean"):
    same_shape("mse", y, t)
    return reduced(np.square(y - t), reduction)


def logistic_losses(z, t, reduction="mean"):
    same_shape("binary_cross_entropy_with_logits", z, t)
    return reduced(np.maximum(z, 0) - t * z + np.log1p(np.exp(-np.abs(z))), reduction)


def hinge_losses(y, t, reduction="mean"):
    same_shape("hinge", y, t)
    return reduced(np.maximum(1 - t * y, 0), reduction)


mse = primitive(
    "mse",
    squared_errors,
    [
        lambda g, loss, y, t, reduction: share(g, y.shape, reduction) * 2 * (y - t),
        lambda g, loss, y, t, reduction: share(g, y.shape, reduction) * 2 * (t - y),
    ],
    ["2(y−t)/n", "2(t−y)/n"],
    kind="loss",
    doc="""The mean of (y − t)² over all elements; reduction "mean", "sum" or "none".""",
)
binary_cross_entropy_with_logits = primitive(
    "binary_cross_entropy_with_logits",
    logistic_losses,
    [
        lambda g, loss, z, t, reduction: share(g, z.shape, reduction) * (sigmoid(z) - t),
        lambda g, loss, z, t, reduction: share(g, z.shape, reduction) * -z,
    ],
    ["(σ(z)−t)/n", "−z/n"],
    kind="loss",
    doc="The mean of −t·ln σ(z) − (1 − t)·ln(1 − σ(z)) for targets t from 0 to 1.",
)
hinge = primitive(
    "hinge",
    hinge_losses,
    [
        lambda g, loss, y, t, reduction: np.where(t * y < 1, -share(g, y.shape, reduction) * t, 0),
        lambda g, loss, y, t, reduction: np.where(t * y < 1, -share(g, y.shape, reduction) * y, 0),
    ],
    ["−t·1[ty<1]/n", "−y·1[ty<1]/n"],
    kind="loss",
    doc="The mean of max(0, 1 − t·y) for targets t = ±1; its derivative at the kink t·y = 1 is 0.",
)


@composition()
def dropout(x, p, rng=None):
    """x with each element set to 0 with probability p and the others divided by 1 − p (Srivastava et al., 2014)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie in [0, 1], not {p}")
    x = operand(x)
    mask = generator(rng).random(x.shape) >= p
    return multiply(x, mask.astype(x.dtype) / (1 - float(p) or 1.0))  # with p = 1 every element is 0


# A layer in one kernel


def check_batch(x, gamma, beta):
    if x.ndim != 2 or not x.shape[0] or not gamma.shape == beta.shape == x.shape[1:]:
        shapes = f"input {x.shape}, gamma {gamma.shape} and beta {beta.shape}"
        raise ValueError(f"batch_norm: {shapes} must be (batch, features), (features,) and (features,)")


def moments_line(x):
    """Mean and variance of every feature over the batch, summed in float64."""
    dtype = np.result_type(x, np.float32)  # that of x, unless it holds integers
    mean = x.mean(axis=0, dtype=np.float64).astype(dtype)
    return mean, np.mean(np.square(x - mean), axis=0, dtype=np.float64).astype(dtype)


def running_moments_line(x, mean, variance, momentum):
    """Mean and variance, moved by the share `momentum` towards those of a batch (its variance unbiased)."""
    batch_mean, batch_variance = moments_line(x)
    unbiased = batch_variance * (len(x) / (len(x) - 1))
    moved = (1 - momentum) * mean + momentum * batch_mean, (1 - momentum) * variance + momentum * unbiased
    return tuple(array.astype(mean.dtype) for array in moved)


def normalise_line(x, gamma, beta, eps):
    """y, and the μ and 1/s it was made with."""
    mean, variance = moments_line(x)
    scale = 1 / np.sqrt(variance + eps)
    return (x - mean) * scale * gamma + beta, mean, scale


def normalise_backward_line(g, x, gamma, mean, scale):
    """γ/s·(I − 11ᵀ/B − x̂x̂ᵀ/B)·g: shifting or scaling all samples alike does not change y."""
    normal = (x - mean) * scale
    by_gamma, by_beta = sum_rows(g * normal), sum_rows(g)
    return gamma * scale * (g - (by_beta + normal * by_gamma) / len(x)), by_gamma, by_beta


running_moments = twin("running_moments", running_moments_line, "normalising", MANY_CALLS, "8 times as fast, and more")
normalise = twin("normalise", normalise_line, "normalising", MANY_CALLS, "5 times as fast, and more")
normalise_backward = twin("normalise_backward", normalise_backward_line, "normalising", MANY_CALLS, "4 to 7 × as fast")


def batch_norm_forward(x, gamma, beta, eps):
    check_batch(x, gamma, beta)
    y, mean, scale = normalise(x, gamma, beta, eps)
    return y, (mean, scale)


def batch_norm_backward(g, y, saved, x, gamma, beta, eps):
    return normalise_backward(g, x, gamma, *saved)


def batch_norm_definition(x, gamma, beta, eps=1e-5):
    x, gamma, beta = operand(x), operand(gamma), operand(beta)
    check_batch(x, gamma, beta)
    centred = x - mean(x, axis=0)
    return centred / sqrt(mean(square(centred), axis=0) + eps) * gamma + beta


batch_norm = fused(
    "batch_norm",
    batch_norm_forward,
    batch_norm_backward,
    batch_norm_definition,
    kind="norm",
    formulas=["γ/s·(I − 11ᵀ/B − x̂x̂ᵀ/B)·g", "Σ g·x̂ over the batch", "Σ g over the batch"],
    doc="γ·(x − μ)/√(σ² + eps) + β per feature, with mean μ and variance σ² of the batch (Ioffe and Szegedy, 2015).",
)
