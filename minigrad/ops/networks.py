"""What networks are made of: softmax, losses, dropout, and the layers that run as one kernel each way."""

from __future__ import annotations

import numpy as np

from minigrad.define import fused, primitive
from minigrad.op import operand
from minigrad.ops.elementwise import (
    elu,
    gelu,
    hard_tanh,
    leaky_relu,
    multiply,
    relu,
    sigmoid,
    silu,
    softplus,
    softsign,
    sqrt,
    square,
    tanh,
)
from minigrad.ops.linear import matmul, product
from minigrad.ops.reductions import below_largest, mean, sum
from minigrad.ops.shaping import getitem
from minigrad.settings import generator

__all__ = [
    "batch_norm", "binary_cross_entropy_with_logits", "cross_entropy", "dense", "dropout", "hinge",
    "log_softmax", "mse",
]  # fmt: skip


def log_probabilities(x, axis=-1):
    """ln softmax, which stays finite for finite x."""
    difference, _ = below_largest(x, axis)
    lowest = np.finfo(difference.dtype).min
    difference = np.where(np.isfinite(x), np.maximum(difference, lowest), difference)
    return difference - np.log(np.sum(np.exp(difference), axis=axis, keepdims=True))


log_softmax = primitive(
    "log_softmax",
    log_probabilities,
    [lambda g, y, x, axis: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)],
    ["g − p·Σg"],
    kind="activation",
)

# Losses


def reduced(losses, reduction):
    """The losses of all samples as one number: their mean, their sum, or left as they are."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: {reduction!r} is not one of mean, sum, none")
    return losses if reduction == "none" else (mean if reduction == "mean" else sum)(losses)


def share(g, losses_shape, reduction):
    """The gradient at each sample's loss, given the gradient at the reduced loss."""
    n = np.prod(losses_shape) if reduction == "mean" else 1
    return np.broadcast_to(g / n, losses_shape)


def check_labels(logits, labels):
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


def cross_entropy_forward(logits, labels, reduction):
    check_labels(logits, labels)
    log_p = log_probabilities(logits)
    losses = -log_p[at_labels(labels)] if labels.dtype.kind in "iu" else -np.sum(labels * log_p, axis=-1)
    return reduced(losses, reduction), log_p


def cross_entropy_backward(g, y, log_p, logits, labels, reduction):
    g = share(g, logits.shape[:-1], reduction)[..., None]
    if labels.dtype.kind in "iu":
        by_logits = np.exp(log_p)
        by_logits[at_labels(labels)] -= 1
        return g * by_logits, None
    return g * (np.exp(log_p) * np.sum(labels, axis=-1, keepdims=True) - labels), -g * log_p


def cross_entropy_definition(logits, labels, reduction="mean"):
    log_p = log_softmax(logits)
    labels = operand(labels)
    losses = getitem(log_p, at_labels(labels)) if labels.dtype.kind in "iu" else sum(labels * log_p, axis=-1)
    return reduced(-losses, reduction)


cross_entropy = fused(
    "cross_entropy",
    cross_entropy_forward,
    cross_entropy_backward,
    cross_entropy_definition,
    kind="loss",
    formulas=["(p − t)/B", "−log p/B"],
)


def same_shape(name, y, t):
    if np.shape(y) != np.shape(t):
        raise ValueError(f"{name}: predictions {np.shape(y)} and targets {np.shape(t)} must have one shape")


def squared_errors(y, t, reduction="mean"):
    same_shape("mse", y, t)
    return reduced(np.square(y - t), reduction)


def logistic_losses(z, t, reduction="mean"):
    same_shape("binary_cross_entropy_with_logits", z, t)
    return reduced(np.logaddexp(z, 0) - t * z, reduction)


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
)
hinge = primitive(  # targets ±1; 0 at the kink t·y = 1
    "hinge",
    hinge_losses,
    [
        lambda g, loss, y, t, reduction: share(g, y.shape, reduction) * np.where(t * y < 1, -t, 0),
        lambda g, loss, y, t, reduction: share(g, y.shape, reduction) * np.where(t * y < 1, -y, 0),
    ],
    ["−t·1[ty<1]/n", "−y·1[ty<1]/n"],
    kind="loss",
)


def dropout(x, p, rng=None):
    """x with each element set to 0 with probability p and the others divided by 1 − p (Srivastava et al., 2014)."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must lie in [0, 1), not {p}")
    x = operand(x)
    mask = generator(rng).random(x.shape) >= p
    return multiply(x, mask.astype(x.dtype) / (1 - p))


# Layers in one kernel

activations = {op.name: op for op in (sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu, softsign, hard_tanh)}


def dense_forward(x, w, b, activation):
    z = product(x, w) if b is None else product(x, w) + b
    return (z, None) if activation is None else (activations[activation].forward(z), z)


def dense_backward(g, y, z, x, w, b, activation):
    if activation is not None:
        act = activations[activation]
        g = g * act.local(0, y, (z,), act.defaults)
    rows, g_rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    return np.matmul(g, w.T), np.matmul(rows.T, g_rows), None if b is None else g_rows.sum(axis=0)


def dense_definition(x, w, b, activation=None):
    z = matmul(x, w) if b is None else matmul(x, w) + b
    return z if activation is None else activations[activation](z)


dense = fused("dense", dense_forward, dense_backward, dense_definition, formulas=["g·Wᵀ", "xᵀ·g", "Σ g over the batch"])


def batch_norm_forward(x, gamma, beta, eps):
    centred = x - x.mean(axis=0)
    scale = 1 / np.sqrt(np.mean(np.square(centred), axis=0) + eps)
    normal = centred * scale
    return normal * gamma + beta, (normal, scale)


def batch_norm_backward(g, y, saved, x, gamma, beta, eps):
    """γ/s·(I − 11ᵀ/B − x̂x̂ᵀ/B)·g: what shifts or scales all samples alike changes nothing behind the norm."""
    normal, scale = saved
    by_gamma, by_beta = np.sum(g * normal, axis=0), np.sum(g, axis=0)
    return gamma * scale * (g - (by_beta + normal * by_gamma) / len(x)), by_gamma, by_beta


def batch_norm_definition(x, gamma, beta, eps=1e-5):
    centred = x - mean(x, axis=0)
    return centred / sqrt(mean(square(centred), axis=0) + eps) * gamma + beta


batch_norm = fused(
    "batch_norm",
    batch_norm_forward,
    batch_norm_backward,
    batch_norm_definition,
    kind="norm",
    formulas=["γ/s·(I − 11ᵀ/B − x̂x̂ᵀ/B)·g", "Σ g·x̂ over the batch", "Σ g over the batch"],
)
