"""One step of recurrence in plain NumPy, forward and backward; a kernel beside each function does it in one pass.

z holds the sums before the activations, to which `by_h` = h·W_hidden is still to be added. On the way back `g` is the
gradient from above for all steps, (batch, time, …), of which step t is read; `g_h` comes from the next step.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels import twin
from minigrad.ops.affine import activations
from minigrad.ops.compiled import product
from minigrad.ops.elementwise import logistic, tanh


def phi(name):
    """The activation φ of a simple recurrent unit, by its name."""
    if name not in activations:
        raise ValueError(f"rnn: activation {name!r} is not one of {', '.join(activations)}")
    return activations[name]


def gates(z, n):
    """The n equal parts of the last axis, as views."""
    size = z.shape[-1] // n
    return [z[..., k * size : (k + 1) * size] for k in range(n)]


# Simple recurrent units


def tanh_step_line(z, by_h, h, act=tanh):
    """z ← z + by_h and h ← φ(z), in place."""
    z += by_h
    h[...] = act.forward(z)


def tanh_step_back_line(g, t, g_h, z, h, g_z, act=tanh):
    g_z[...] = product(act, g[:, t] + g_h, h, z)


tanh_step = twin("tanh_step", tanh_step_line, "recurrent")
tanh_step_back = twin("tanh_step_back", tanh_step_back_line, "recurrent")


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
    """The gradients of the four sums; g_c becomes that of the previous cell state."""
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


# The gates of a GRU


def check_gates(a, b, h):
    """ValueError unless a and b have the three parts that belong to the state h."""
    expected = (*h.shape[:-1], 3 * h.shape[-1]) if h.ndim else None
    if not a.shape == b.shape == expected:
        raise ValueError(f"gru_gates: a {a.shape} and b {b.shape} must have three parts, each like h {h.shape}")


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
