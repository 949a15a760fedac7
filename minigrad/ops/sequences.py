"""Recurrence in plain NumPy: the kernels of `rnn`, `lstm` and `gru_gates`, over all steps there and back.

All xₜ are multiplied by W_input at once, and the gradient of a weight is one product over all steps; only what
depends on the state before is done step by step. Arrays have time first here, so that those of one step lie
together.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from minigrad.kernels import twin
from minigrad.kernels.matrices import product_with
from minigrad.ops.affine import activations
from minigrad.ops.elementwise import logistic, tanh
from minigrad.ops.linear import matrix_product


def check_shapes(name, gates, x, w_input, w_hidden, bias, **states):
    if len(x.shape) != 3 or x.shape[1] == 0:
        raise ValueError(f"{name}: x must be (batch, time, inputs) with at least one step, not {x.shape}")
    batch, _, inputs = x.shape
    hidden = w_hidden.shape[0]
    expected = {"w_input": (inputs, gates * hidden), "w_hidden": (hidden, gates * hidden), "bias": (gates * hidden,)}
    given = {"w_input": w_input, "w_hidden": w_hidden, "bias": bias, **states}
    for part, value in given.items():
        shape = expected.get(part, (batch, hidden))
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}: {part} must be {shape} for x {x.shape} and {hidden} units, not {value.shape}")


def check_gates(a, b, h):
    """ValueError unless a and b have the three parts that belong to the state h."""
    expected = (*h.shape[:-1], 3 * h.shape[-1]) if h.ndim else None
    if not a.shape == b.shape == expected:
        raise ValueError(f"gru_gates: a {a.shape} and b {b.shape} must have three parts, each like h {h.shape}")


def phi(name):
    """The activation φ of a simple recurrent unit, by its name."""
    if name not in activations:
        raise ValueError(f"rnn: activation {name!r} is not one of {', '.join(activations)}")
    return activations[name]


def first_state(state, x, w_hidden):
    """The state before the first step: zeros unless it is given."""
    return np.zeros((x.shape[0], w_hidden.shape[0]), x.dtype) if state is None else state


def gates(z, n):
    """The n equal parts of the last axis, as views."""
    size = z.shape[-1] // n
    return [z[..., k * size : (k + 1) * size] for k in range(n)]


def projected(x, w_input, bias, dtype):
    """xₜ·W_input + b for all t in one product: (time, batch, gates·hidden)."""
    z = matrix_product(rows(x, dtype), np.vstack([w_input, bias]).astype(dtype, copy=False))
    return z.reshape(x.shape[1], x.shape[0], len(bias))


def rows(x, dtype):
    """Every xₜ with a 1 behind it, which meets the bias: a matrix, the rows of one step next to each other."""
    batch, time, inputs = x.shape
    with_ones = np.empty((time, batch, inputs + 1), dtype)
    with_ones[:, :, :inputs], with_ones[:, :, inputs] = x.swapaxes(0, 1), 1
    return with_ones.reshape(time * batch, inputs + 1)


def products(g_z, states, x, w_input, w_hidden):
    """Gradients of x, W_input, W_hidden and b from those at z, all steps at once; by x only if it is asked for."""
    batch, time, inputs = x.shape
    g_rows = g_z.reshape(time * batch, g_z.shape[2])
    h_rows = states[:-1].reshape(time * batch, states.shape[2])[:, : len(w_hidden)]  # h before each step
    by_weights = matrix_product(rows(x, g_z.dtype).T, g_rows)

    def by_x():
        return matrix_product(g_rows, w_input.T).reshape(time, batch, inputs).swapaxes(0, 1)

    return by_x, by_weights[:-1], matrix_product(h_rows.T, g_rows), by_weights[-1]


# Simple recurrent units


def tanh_step_line(z, by_h, h, act=tanh):
    """z + by_h in place of z, and h = φ of it."""
    z += by_h
    h[...] = act.forward(z)


def tanh_step_back_line(g, t, g_h, z, h, g_z, act=tanh):
    np.multiply(g[:, t] + g_h, act.local(0, h, (z,), act.defaults), out=g_z)


tanh_step = twin("tanh_step", tanh_step_line, "recurrent")
tanh_step_back = twin("tanh_step_back", tanh_step_back_line, "recurrent")


def step_of(activation, step, z):
    """One step, by whoever takes such a sequence; other activations than tanh have no kernel."""
    act = phi(activation)
    return step.chosen(z) if act is tanh else partial(step.line, act=act)


def rnn_forward(x, h, w_input, w_hidden, bias, activation):
    check_shapes("rnn", 1, x, w_input, w_hidden, bias, h=h)
    phi(activation)
    h = first_state(h, x, w_hidden)
    z = projected(x, w_input, bias, np.result_type(x, h, w_input, w_hidden, bias))
    step, times, by_h = (
        step_of(activation, tanh_step, z),
        product_with(w_hidden.astype(z.dtype, copy=False), len(h)),
        np.empty(h.shape, z.dtype),
    )
    states = np.empty((len(z) + 1, *h.shape), z.dtype)
    states[0] = h
    for z_t, before, after in zip(z, states[:-1], states[1:], strict=True):
        times(before, by_h)
        step(z_t, by_h, after)
    return states[1:].swapaxes(0, 1), (z, states)


def rnn_backward(g, y, saved, x, h, w_input, w_hidden, bias, activation):
    z, states = saved
    step, times = step_of(activation, tanh_step_back, z), product_with(w_hidden.T.astype(z.dtype, copy=False), len(x))
    g, g_z, g_h = np.ascontiguousarray(g), np.empty_like(z), np.zeros_like(states[0])  # g_h: from the step after
    for t in reversed(range(len(z))):
        step(g, t, g_h, z[t], states[t + 1], g_z[t])
        times(g_z[t], g_h)
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states, x, w_input, w_hidden)
    return by_x, g_h, by_w_input, by_w_hidden, by_bias


# Long short-term memory


def lstm_step_line(z, by_h, state, new, tanh_c):
    """z becomes the gates i, f, g, o: σ of everything (four passes, no new array), but tanh for g. `new` is [h, c]."""
    n = tanh_c.shape[1]
    z += by_h
    i, f, g, o = gates(z, 4)
    tanh_g = np.tanh(g)
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)
    g[:] = tanh_g
    c = f * state[:, n:] + i * g
    np.tanh(c, out=tanh_c)
    new[:, :n], new[:, n:] = o * tanh_c, c


def lstm_step_back_line(upstream, t, all_gates, state, tanh_c, g_h, g_c, g_z):
    """The gradients of the four sums; g_c becomes that of the cell state before."""
    n = tanh_c.shape[1]
    i, f, g, o = gates(all_gates, 4)
    by_i, by_f, by_g, by_o = gates(g_z, 4)
    g_h = upstream[:, t, :n] + g_h
    g_c += upstream[:, t, n:] + g_h * o * (1 - tanh_c**2)
    by_i[:] = g_c * g * i * (1 - i)
    by_f[:] = g_c * state[:, n:] * f * (1 - f)
    by_g[:] = g_c * i * (1 - g * g)
    by_o[:] = g_h * tanh_c * o * (1 - o)
    g_c *= f


lstm_step = twin("lstm_step", lstm_step_line, "recurrent")
lstm_step_back = twin("lstm_step_back", lstm_step_back_line, "recurrent")


def lstm_forward(x, h, c, w_input, w_hidden, bias):
    check_shapes("lstm", 4, x, w_input, w_hidden, bias, h=h, c=c)
    h, c = first_state(h, x, w_hidden), first_state(c, x, w_hidden)
    n = h.shape[1]
    z = projected(x, w_input, bias, np.result_type(x, h, c, w_input, w_hidden, bias))
    step, times, by_h = (
        lstm_step.chosen(z),
        product_with(w_hidden.astype(z.dtype, copy=False), len(h)),
        np.empty(z.shape[1:], z.dtype),
    )
    states = np.empty((len(z) + 1, len(h), 2 * n), z.dtype)
    states[0, :, :n], states[0, :, n:] = h, c
    tanh_c = np.empty((len(z), *h.shape), z.dtype)
    with np.errstate(over="ignore"):  # where e⁻ᶻ is infinite, σ is 0
        for z_t, before, after, tanh_t in zip(z, states[:-1], states[1:], tanh_c, strict=True):
            times(before[:, :n], by_h)
            step(z_t, by_h, before, after, tanh_t)
    return states[1:].swapaxes(0, 1), (z, states, tanh_c)


def lstm_backward(g, y, saved, x, h, c, w_input, w_hidden, bias):
    all_gates, states, tanh_c = saved
    step, times = lstm_step_back.chosen(all_gates), product_with(w_hidden.T.astype(all_gates.dtype, copy=False), len(x))
    g, g_z = np.ascontiguousarray(g), np.empty_like(all_gates)
    g_h, g_c = np.zeros_like(tanh_c[0]), np.zeros_like(tanh_c[0])  # what comes back from the step after
    for t in reversed(range(len(g_z))):
        step(g, t, all_gates[t], states[t], tanh_c[t], g_h, g_c, g_z[t])
        times(g_z[t], g_h)
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states, x, w_input, w_hidden)
    return by_x, g_h, g_c, by_w_input, by_w_hidden, by_bias


# The gates of a GRU


def gru_line(a, b, h):
    a_r, a_z, a_n = gates(a, 3)
    b_r, b_z, b_n = gates(b, 3)
    r, z = logistic(a_r + b_r), logistic(a_z + b_z)
    n = np.tanh(a_n + r * b_n)
    return n + z * (h - n), (r, z, n)


def gru_back_line(g, saved, a, b, h):
    r, z, n = saved
    by_n = g * (1 - z) * (1 - n * n)
    by_r = by_n * gates(b, 3)[2] * r * (1 - r)
    by_z = g * (h - n) * z * (1 - z)
    return np.concatenate([by_r, by_z, by_n], -1), np.concatenate([by_r, by_z, by_n * r], -1), g * z


gru = twin("gru", gru_line, "recurrent")
gru_back = twin("gru_back", gru_back_line, "recurrent")


def gru_gates_forward(a, b, h):
    check_gates(a, b, h)
    return gru(a, b, h)


def gru_gates_backward(g, y, saved, a, b, h):
    return gru_back(g, saved, a, b, h)
