"""Optimizers in one pass: a parameter, its gradient and what is remembered of it go through the processor once.

- `sgd`, `adagrad`, `rmsprop`, `adam`, `adamw` move w in place by what `change` of the optimizer says, bit for bit:
  no two operations are contracted into one, and none changes its place. They hand back the change if it is `heard`,
  and the sum of its squares.
- `sum_of_squares(x)` in float64, by which gradients are measured, and found to be finite.

A setting that is 0 is not applied at all: 0·∞ would be NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from minigrad.kernels.compiler import compiled

exact = compiled(fastmath=False)  # every operation rounds for itself, as in NumPy
NOTHING = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}


@register_jitable(fastmath={"reassoc", "contract", "nsz"})
def with_square(total, x):
    """Only the order of this sum is free, of all that happens in a loop."""
    value = np.float64(x)
    return total + value * value


@exact
def descent_pass(w, g, change, scale, lr, weight_decay):
    number = w.dtype.type
    factor, rate, decay = number(scale), number(lr), number(weight_decay)
    squares = 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        if weight_decay:
            g_i += decay * w[i]
        step = rate * g_i
        squares = with_square(squares, step)
        if change.size:
            change[i] = step
        w[i] -= step
    return squares


@exact
def momentum_pass(w, g, velocity, change, scale, lr, momentum, nesterov, weight_decay):
    number = w.dtype.type
    factor, rate, keep, decay = number(scale), number(lr), number(momentum), number(weight_decay)
    squares = 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        if weight_decay:
            g_i += decay * w[i]
        v = keep * velocity[i] + g_i
        velocity[i] = v
        step = rate * (g_i + keep * v if nesterov else v)
        squares = with_square(squares, step)
        if change.size:
            change[i] = step
        w[i] -= step
    return squares


@exact
def scaled_pass(w, g, square, change, scale, lr, decay, share, eps):
    """s ← decay·s + share·g² and w ← w − lr·g/(√s + eps)."""
    number = w.dtype.type
    factor, rate, keep, new, floor = number(scale), number(lr), number(decay), number(share), number(eps)
    squares = 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        s = keep * square[i] + new * (g_i * g_i)
        square[i] = s
        step = rate * g_i / (np.sqrt(s) + floor)
        squares = with_square(squares, step)
        if change.size:
            change[i] = step
        w[i] -= step
    return squares


@exact
def adam_pass(w, g, mean, square, change, scale, rate, b1, b2, root, eps, weight_decay, shrinkage):
    """m ← b1·m + (1 − b1)·g, v ← b2·v + (1 − b2)·g² and w ← w − (rate·m/(root·√v + eps) + shrinkage·w)."""
    number = w.dtype.type
    factor, rated, rooted, floor = number(scale), number(rate), number(root), number(eps)
    keep_m, new_m, keep_v, new_v = number(b1), number(1 - b1), number(b2), number(1 - b2)
    decay, shrink = number(weight_decay), number(shrinkage)
    squares = 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        if weight_decay:
            g_i += decay * w[i]
        m = keep_m * mean[i] + new_m * g_i
        v = keep_v * square[i] + new_v * (g_i * g_i)
        mean[i] = m
        square[i] = v
        step = rated * m / (np.sqrt(v) * rooted + floor)
        if shrinkage:
            step += shrink * w[i]
        squares = with_square(squares, step)
        if change.size:
            change[i] = step
        w[i] -= step
    return squares


@compiled(fastmath={"reassoc", "contract", "nsz"})
def squares_pass(x):
    total = 0.0
    for i in range(x.size):
        value = np.float64(x[i])
        total += value * value
    return total


def remembered(state, name, w):
    """The array of this name in the state of a parameter, flat; zeros before the first step."""
    x = state.get(name)
    if type(x) is not np.ndarray or not x.flags.carray:
        x = state[name] = np.zeros(w.shape, w.dtype) if x is None else np.array(x, w.dtype, order="C")
    return x.ravel()


def room(w, heard):
    """A flat array for what is subtracted from w, if somebody wants to hear of it."""
    return np.empty(w.size, w.dtype) if heard else NOTHING[w.dtype]


def sgd(w, g, state, scale, heard, lr, momentum, nesterov, weight_decay):
    change = room(w, heard)
    if momentum:
        velocity = remembered(state, "velocity", w)
        settings = scale, lr, momentum, nesterov, weight_decay
        squares = momentum_pass(w.ravel(), g.ravel(), velocity, change, *settings)
    else:
        squares = descent_pass(w.ravel(), g.ravel(), change, scale, lr, weight_decay)
    return change.reshape(w.shape) if heard else None, squares


def adagrad(w, g, state, scale, heard, lr, eps):
    return scaled(w, g, state, scale, heard, lr, 1.0, 1.0, eps)


def rmsprop(w, g, state, scale, heard, lr, decay, eps):
    return scaled(w, g, state, scale, heard, lr, decay, 1 - decay, eps)


def scaled(w, g, state, scale, heard, *settings):
    change = room(w, heard)
    squares = scaled_pass(w.ravel(), g.ravel(), remembered(state, "square", w), change, scale, *settings)
    return change.reshape(w.shape) if heard else None, squares


def adam(w, g, state, scale, heard, lr, betas, eps, weight_decay, shrinkage=0.0):
    change = room(w, heard)
    (b1, b2), t = betas, state["steps"]
    rate, root = lr / (1 - b1**t), 1 / math.sqrt(1 - b2**t)
    mean, square = remembered(state, "mean", w), remembered(state, "square", w)
    settings = scale, rate, b1, b2, root, eps, weight_decay, shrinkage
    squares = adam_pass(w.ravel(), g.ravel(), mean, square, change, *settings)
    return change.reshape(w.shape) if heard else None, squares


def adamw(w, g, state, scale, heard, lr, betas, eps, weight_decay):
    return adam(w, g, state, scale, heard, lr, betas, eps, 0.0, lr * weight_decay)


def sum_of_squares(x):
    return squares_pass(x.ravel(order="K"))
