"""Recurrence in plain NumPy: the kernels of `rnn`, `lstm` and `gru_gates`, over all steps there and back.

All xₜ are multiplied by W_input at once, and the gradient of a weight is one product over all steps; only what
depends on the state before is done step by step. Arrays have time first here, so that those of one step lie
together.
"""

from __future__ import annotations

import numpy as np

from minigrad.ops.affine import activations
from minigrad.ops.elementwise import logistic


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
    z = (rows(x) @ w_input).astype(dtype, copy=False)
    z += bias
    return z.reshape(x.shape[1], x.shape[0], z.shape[-1])


def rows(x):
    """(batch, time, n) as a matrix, the rows of one step next to each other."""
    return x.swapaxes(0, 1).reshape(-1, x.shape[-1])


def products(g_z, h, x, w_input):
    """Gradients of x, W_input, W_hidden and b from those at z, all steps at once; h are the states before each step."""
    g_rows = g_z.reshape(-1, g_z.shape[-1])
    by_x = (g_rows @ w_input.T).reshape(x.shape[1], x.shape[0], x.shape[2]).swapaxes(0, 1)
    return by_x, rows(x).T @ g_rows, h.reshape(-1, h.shape[-1]).T @ g_rows, g_rows.sum(axis=0)


def rnn_forward(x, h, w_input, w_hidden, bias, activation):
    check_shapes("rnn", 1, x, w_input, w_hidden, bias, h=h)
    act, h = phi(activation), first_state(h, x, w_hidden)
    z = projected(x, w_input, bias, np.result_type(x, h, w_input, w_hidden, bias))
    states = np.empty((len(z) + 1, *h.shape), z.dtype)
    states[0] = h
    for t, z_t in enumerate(z):
        z_t += states[t] @ w_hidden
        states[t + 1] = act.forward(z_t)
    return states[1:].swapaxes(0, 1), (z, states)


def rnn_backward(g, y, saved, x, h, w_input, w_hidden, bias, activation):
    (z, states), act = saved, phi(activation)
    g_z = np.empty_like(z)
    g_h = 0  # what comes back from the step after
    for t in reversed(range(len(z))):
        g_z[t] = (g[:, t] + g_h) * act.local(0, states[t + 1], (z[t],), act.defaults)
        g_h = g_z[t] @ w_hidden.T
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states[:-1], x, w_input)
    return by_x, g_h, by_w_input, by_w_hidden, by_bias


def lstm_forward(x, h, c, w_input, w_hidden, bias):
    check_shapes("lstm", 4, x, w_input, w_hidden, bias, h=h, c=c)
    h, c = first_state(h, x, w_hidden), first_state(c, x, w_hidden)
    n = h.shape[1]
    z = projected(x, w_input, bias, np.result_type(x, h, c, w_input, w_hidden, bias))
    states = np.empty((len(z) + 1, len(h), 2 * n), z.dtype)
    states[0, :, :n], states[0, :, n:] = h, c
    tanh_c = np.empty((len(z), *h.shape), z.dtype)
    with np.errstate(over="ignore"):  # where e⁻ᶻ is infinite, σ is 0
        for t, z_t in enumerate(z):
            z_t += states[t, :, :n] @ w_hidden
            i, f, g, o = activated(z_t)
            c = f * states[t, :, n:] + i * g
            tanh_c[t] = np.tanh(c)
            states[t + 1, :, :n], states[t + 1, :, n:] = o * tanh_c[t], c
    return states[1:].swapaxes(0, 1), (z, states, tanh_c)


def activated(z):
    """The gates i, f, g, o, in place of z: σ of everything (four passes, no new array), but tanh for g."""
    i, f, g, o = gates(z, 4)
    tanh_g = np.tanh(g)
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)
    g[:] = tanh_g
    return i, f, g, o


def lstm_backward(upstream, y, saved, x, h, c, w_input, w_hidden, bias):
    all_gates, states, tanh_c = saved
    n = tanh_c.shape[-1]
    g_z = np.empty_like(all_gates)
    g_h = g_c = 0  # what comes back from the step after
    for t in reversed(range(len(g_z))):
        i, f, g, o = gates(all_gates[t], 4)
        by_i, by_f, by_g, by_o = gates(g_z[t], 4)
        g_h = upstream[:, t, :n] + g_h
        g_c = upstream[:, t, n:] + g_c + g_h * o * (1 - tanh_c[t] ** 2)
        by_i[:] = g_c * g * i * (1 - i)
        by_f[:] = g_c * states[t, :, n:] * f * (1 - f)
        by_g[:] = g_c * i * (1 - g * g)
        by_o[:] = g_h * tanh_c[t] * o * (1 - o)
        g_h, g_c = g_z[t] @ w_hidden.T, g_c * f
    by_x, by_w_input, by_w_hidden, by_bias = products(g_z, states[:-1, :, :n], x, w_input)
    return by_x, g_h, g_c, by_w_input, by_w_hidden, by_bias


def gru_gates_forward(a, b, h):
    a_r, a_z, a_n = gates(a, 3)
    b_r, b_z, b_n = gates(b, 3)
    r, z = logistic(a_r + b_r), logistic(a_z + b_z)
    n = np.tanh(a_n + r * b_n)
    return n + z * (h - n), (r, z, n)


def gru_gates_backward(g, y, saved, a, b, h):
    r, z, n = saved
    by_n = g * (1 - z) * (1 - n * n)
    by_r = by_n * gates(b, 3)[2] * r * (1 - r)
    by_z = g * (h - n) * z * (1 - z)
    return np.concatenate([by_r, by_z, by_n], -1), np.concatenate([by_r, by_z, by_n * r], -1), g * z
