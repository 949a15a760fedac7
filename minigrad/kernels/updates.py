"""Optimizers in one pass: one loop over a parameter, its gradient and its part of the optimizer's state.

- `sgd`, `adagrad`, `rmsprop`, `adam`, `adamw` move w in place by what the optimizer's `change` returns, bit for bit: no
  two operations are contracted into one, and none is reordered. Their arguments `change` and `squares`, if not None,
  are arrays that receive the change itself, and Σw² before the step and Σchange².
- `sum_of_squares(x)` in float64, to measure gradients and to see whether they are finite.

A setting that is 0 is not applied at all: 0·∞ would be NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from minigrad.kernels.compiler import REORDERED, compiled

exact = compiled(fastmath=False)  # every operation rounds for itself, as in NumPy


@register_jitable(fastmath=REORDERED)
def with_square(total, x):
    """The only sum in these loops that may be reordered."""
    value = np.float64(x)
    return total + value * value


@register_jitable
def descend(w, i, step, change, squares, sums):
    """w[i] ← w[i] − step; returns Σw² and Σstep² so far, which grow only if `squares` are wanted."""
    if squares is not None:  # Numba drops what is None
        sums = with_square(sums[0], w[i]), with_square(sums[1], step)
    if change is not None:
        change[i] = step
    w[i] -= step
    return sums


@exact
def descent_pass(w, g, change, squares, scale, lr, weight_decay):
    number = w.dtype.type
    factor, rate, decay = number(scale), number(lr), number(weight_decay)
    sums = 0.0, 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        if weight_decay:
            g_i += decay * w[i]
        step = rate * g_i
        sums = descend(w, i, step, change, squares, sums)
    if squares is not None:
        squares[:] = sums


@exact
def momentum_pass(w, g, velocity, change, squares, scale, lr, momentum, nesterov, weight_decay):
    number = w.dtype.type
    factor, rate, keep, decay = number(scale), number(lr), number(momentum), number(weight_decay)
    sums = 0.0, 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        if weight_decay:
            g_i += decay * w[i]
        v = keep * velocity[i] + g_i
        velocity[i] = v
        step = rate * (g_i + keep * v if nesterov else v)
        sums = descend(w, i, step, change, squares, sums)
    if squares is not None:
        squares[:] = sums


@exact
def scaled_pass(w, g, square, change, squares, scale, lr, decay, share, eps):
    """s ← decay·s + share·g² and w ← w − lr·g/(√s + eps)."""
    number = w.dtype.type
    factor, rate, keep, new, floor = number(scale), number(lr), number(decay), number(share), number(eps)
    sums = 0.0, 0.0
    for i in range(w.size):
        g_i = factor * g[i]
        s = keep * square[i] + new * (g_i * g_i)
        square[i] = s
        step = rate * g_i / (np.sqrt(s) + floor)
        sums = descend(w, i, step, change, squares, sums)
    if squares is not None:
        squares[:] = sums


@exact
def adam_pass(w, g, mean, square, change, squares, scale, rate, b1, b2, root, eps, weight_decay, shrinkage):
    """m ← b1·m + (1 − b1)·g, v ← b2·v + (1 − b2)·g² and w ← w − (rate·m/(root·√v + eps) + shrinkage·w)."""
    number = w.dtype.type
    factor, rated, rooted, floor = number(scale), number(rate), number(root), number(eps)
    keep_m, new_m, keep_v, new_v = number(b1), number(1 - b1), number(b2), number(1 - b2)
    decay, shrink = number(weight_decay), number(shrinkage)
    sums = 0.0, 0.0
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
        sums = descend(w, i, step, change, squares, sums)
    if squares is not None:
        squares[:] = sums


@compiled(fastmath=REORDERED)
def squares_pass(x):
    total = 0.0
    for i in range(x.size):
        value = np.float64(x[i])
        total += value * value
    return total


def remembered(state, name, w, share=1.0):
    """An array of a parameter's state, flat; zeros before the first step, and where the share that is kept is 0."""
    x = state.get(name) if share else None
    if type(x) is not np.ndarray or not x.flags.carray:
        x = state[name] = np.zeros(w.shape, w.dtype) if x is None else np.array(x, w.dtype, order="C")
    return x.ravel()


def flat(x):
    return x if x is None else x.ravel()


def sgd(w, g, state, scale, change, squares, lr, momentum, nesterov, weight_decay):
    if momentum:
        velocity = remembered(state, "velocity", w)
        settings = scale, lr, momentum, nesterov, weight_decay
        momentum_pass(w.ravel(), g.ravel(), velocity, flat(change), squares, *settings)
    else:
        descent_pass(w.ravel(), g.ravel(), flat(change), squares, scale, lr, weight_decay)


def adagrad(w, g, state, scale, change, squares, lr, eps):
    sums = remembered(state, "sum_of_squares", w)
    scaled_pass(w.ravel(), g.ravel(), sums, flat(change), squares, scale, lr, 1.0, 1.0, eps)


def rmsprop(w, g, state, scale, change, squares, lr, decay, eps):
    means = remembered(state, "mean_square", w, decay)
    scaled_pass(w.ravel(), g.ravel(), means, flat(change), squares, scale, lr, decay, 1 - decay, eps)


def adam(w, g, state, scale, change, squares, lr, betas, eps, weight_decay, shrinkage=0.0):
    (b1, b2), t = betas, state["steps"]
    rate, root = lr / (1 - b1**t), 1 / math.sqrt(1 - b2**t)
    mean, square = remembered(state, "mean", w), remembered(state, "square", w, b2)
    settings = scale, rate, b1, b2, root, eps, weight_decay, shrinkage
    adam_pass(w.ravel(), g.ravel(), mean, square, flat(change), squares, *settings)


def adamw(w, g, state, scale, change, squares, lr, betas, eps, weight_decay):
    adam(w, g, state, scale, change, squares, lr, betas, eps, 0.0, lr * weight_decay)


def sum_of_squares(x):
    return squares_pass(x.ravel("K"))
