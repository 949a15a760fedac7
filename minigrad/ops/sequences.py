"""Recurrence in plain NumPy: `rnn` and `lstm` over all steps, forward and backward; `minigrad.ops.steps` has one step.

All xₜ are multiplied by W_input at once, and the gradient of a weight is one product over all steps; only what
depends on the previous state is done step by step. Time is the first axis of arrays here, so that the numbers of a
step lie together.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from minigrad.kernels.matrices import loop, matrix_product, product_with
from minigrad.ops.affine import BY_INPUT
from minigrad.ops.elementwise import tanh
from minigrad.ops.steps import (
    lstm_step,
    lstm_step_back,
    phi,
    tanh_step,
    tanh_step_back,
    tanh_step_back_line,
    tanh_step_line,
)


def check_shapes(name, gates, x, w_input, w_hidden, bias, **states):
    if len(x.shape) != 3 or x.shape[1] == 0:
        raise ValueError(f"{name}: x must be (batch, time, inputs) with at least one step, not {x.shape}")
    batch, _, inputs = x.shape
    hidden, width = w_hidden.shape[0], gates * w_hidden.shape[0]
    given = [("w_input", w_input, (inputs, width)), ("w_hidden", w_hidden, (hidden, width)), ("bias", bias, (width,))]
    given += [(part, state, (batch, hidden)) for part, state in states.items() if state is not None]
    for part, value, shape in given:
        if np.shape(value) != shape:
            raise ValueError(
                f"{name}: {part} must be {shape} for x {x.shape} and {hidden} units, not {np.shape(value)}"
            )


def first_state(state, x, w_hidden):
    """The state before the first step: zeros unless it is given."""
    return np.zeros((x.shape[0], w_hidden.shape[0]), x.dtype) if state is None else state


def projected(x, w_input, bias, dtype):
    """xₜ·W_input + b for all t in one product: (time, batch, gates·hidden)."""
    z = matrix_product(rows(x, dtype), np.vstack([w_input, bias]).astype(dtype, copy=False))
    return z.reshape(x.shape[1], x.shape[0], len(bias))


def rows(x, dtype):
    """Every xₜ with a 1 appended for the bias, as a matrix in which the rows of a step lie together."""
    batch, time, inputs = x.shape
    with_ones = np.empty((time, batch, inputs + 1), dtype)
    with_ones[:, :, :inputs], with_ones[:, :, inputs] = x.swapaxes(0, 1), 1
    return with_ones.reshape(time * batch, inputs + 1)


def products(g_z, states, x, w_input, w_hidden):
    """Gradients of x, W_input, W_hidden and b from those at z, all steps at once; that of x only on demand."""
    batch, time, inputs = x.shape
    g_rows = g_z.reshape(time * batch, g_z.shape[2])
    h_rows = states[:-1].reshape(time * batch, states.shape[2])[:, : len(w_hidden)]  # h before each step
    by_weights = matrix_product(rows(x, g_z.dtype).T, g_rows)

    def by_x():
        return matrix_product(g_rows, w_input.T).reshape(time, batch, inputs).swapaxes(0, 1)

    return by_x, by_weights[:-1], matrix_product(h_rows.T, g_rows), by_weights[-1]


# Simple recurrent units


def tanh_steps_line(z, w, states, act=tanh):
    """All steps: states[t + 1] = φ(z[t] + states[t]·w); the sums replace z."""
    step = tanh_step.chosen(z) if act is tanh else partial(tanh_step_line, act=act)
    times, by_h = product_with(w, z.shape[1]), np.empty(z.shape[1:], z.dtype)
    for z_t, before, after in zip(z, states[:-1], states[1:], strict=True):
        times(before, by_h)
        step(z_t, by_h, after)


def tanh_steps_back_line(z, w, g, states, act=tanh):
    """The gradients of z and of the state before the first step."""
    step = tanh_step_back.chosen(z) if act is tanh else partial(tanh_step_back_line, act=act)
    times, g_z, g_h = product_with(w.T, z.shape[1]), np.empty_like(z), np.zeros_like(states[0])
    for t in reversed(range(len(z))):
        step(g, t, g_h, z[t], states[t + 1], g_z[t])
        times(g_z[t], g_h)
    return g_z, g_h


tanh_steps = loop("tanh_steps", tanh_steps_line)
tanh_steps_back = loop("tanh_steps_back", tanh_steps_back_line)


def rnn_forward(x, h, w_input, w_hidden, bias, activation):
    check_shapes("rnn", 1, x, w_input, w_hidden, bias, h=h)
    act, h = phi(activation), first_state(h, x, w_hidden)
    z = projected(x, w_input, bias, np.result_type(x, h, w_input, w_hidden, bias))
    states = np.empty((len(z) + 1, *h.shape), z.dtype)
    states[0] = h
    steps = tanh_steps if act is tanh else partial(tanh_steps_line, act=act)
    steps(z, w_hidden.astype(z.dtype, copy=False), states)
    after = states[1:]
    return after.swapaxes(0, 1), (z if activation in BY_INPUT else after, states)  # φ' of all others follows from h


def rnn_backward(g, y, saved, x, h, w_input, w_hidden, bias, activation):
    (z, states), act = saved, phi(activation)
    steps = tanh_steps_back if act is tanh else partial(tanh_steps_back_line, act=act)
    g_z, g_h = steps(z, w_hidden.astype(z.dtype, copy=False), np.ascontiguousarray(g), states)
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states, x, w_input, w_hidden)
    return by_x, g_h, by_w_input, by_w_hidden, by_bias


# Long short-term memory


def lstm_steps_line(z, w, states, tanh_c):
    """All steps: the gates replace z, and states[t + 1] = [hₜ, cₜ]."""
    step, n = lstm_step.chosen(z), tanh_c.shape[2]
    times, by_h = product_with(w, z.shape[1]), np.empty(z.shape[1:], z.dtype)
    with np.errstate(over="ignore"):  # where e⁻ᶻ is infinite, σ is 0
        for z_t, before, after, tanh_t in zip(z, states[:-1], states[1:], tanh_c, strict=True):
            times(before[:, :n], by_h)
            step(z_t, by_h, before, after, tanh_t)


def lstm_steps_back_line(all_gates, w, g, states, tanh_c):
    """The gradients of the gates' sums, and of both states before the first step."""
    step, times = lstm_step_back.chosen(all_gates), product_with(w.T, all_gates.shape[1])
    g_z, g_h, g_c = np.empty_like(all_gates), np.zeros_like(tanh_c[0]), np.zeros_like(tanh_c[0])
    for t in reversed(range(len(g_z))):
        step(g, t, all_gates[t], states[t], tanh_c[t], g_h, g_c, g_z[t])
        times(g_z[t], g_h)
    return g_z, g_h, g_c


lstm_steps = loop("lstm_steps", lstm_steps_line)
lstm_steps_back = loop("lstm_steps_back", lstm_steps_back_line)


def lstm_forward(x, h, c, w_input, w_hidden, bias):
    check_shapes("lstm", 4, x, w_input, w_hidden, bias, h=h, c=c)
    h, c = first_state(h, x, w_hidden), first_state(c, x, w_hidden)
    n = h.shape[1]
    z = projected(x, w_input, bias, np.result_type(x, h, c, w_input, w_hidden, bias))
    states, tanh_c = np.empty((len(z) + 1, len(h), 2 * n), z.dtype), np.empty((len(z), *h.shape), z.dtype)
    states[0, :, :n], states[0, :, n:] = h, c
    lstm_steps(z, w_hidden.astype(z.dtype, copy=False), states, tanh_c)
    return states[1:].swapaxes(0, 1), (z, states, tanh_c)


def lstm_backward(g, y, saved, x, h, c, w_input, w_hidden, bias):
    all_gates, states, tanh_c = saved
    w = w_hidden.astype(all_gates.dtype, copy=False)
    g_z, g_h, g_c = lstm_steps_back(all_gates, w, np.ascontiguousarray(g), states, tanh_c)
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states, x, w_input, w_hidden)
    return by_x, g_h, g_c, by_w_input, by_w_hidden, by_bias
