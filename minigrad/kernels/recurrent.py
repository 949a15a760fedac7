"""One step of recurrence without its matrix product: all elementwise work, in one pass forward and one backward.

`minigrad.ops.steps` holds the lines of NumPy that these equal, `minigrad.ops.sequences` the loops over time. z holds
the sums before the activations, to which `by_h` = h·W_hidden is still to be added. `g` is the gradient from above for
all steps, (batch, time, …), of which step t is read; `g_h` comes from the next step.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiler import compiled, helper, matrix
from minigrad.kernels.exponentials import sigmoid_of, tanh_of


@compiled
def tanh_step(z, by_h, h):
    """h = tanh(z + by_h)."""
    for sample in range(h.shape[0]):
        z_row, by_row, h_row = z[sample], by_h[sample], h[sample]
        for j in range(h_row.size):
            z_row[j] += by_row[j]
            h_row[j] = tanh_of(z_row[j])


@compiled
def tanh_step_back(g, t, g_h, z, h, g_z):
    """g_z = (g + g_h)·(1 − h²)."""
    one = h.dtype.type(1)
    for sample in range(h.shape[0]):
        g_row, after, h_row, out = g[sample, t], g_h[sample], h[sample], g_z[sample]
        for j in range(h_row.size):
            out[j] = (g_row[j] + after[j]) * (one - h_row[j] * h_row[j])


@helper
def sigmoid_of_sum(z, by_h):
    for j in range(z.size):
        z[j] = sigmoid_of(z[j] + by_h[j])


@helper
def tanh_of_sum(z, by_h):
    for j in range(z.size):
        z[j] = tanh_of(z[j] + by_h[j])


@compiled
def lstm_step(z, by_h, state, new, tanh_c):
    """z becomes the gates i, f, g, o; `state` is [h, c] before this step, `new` after it."""
    n = tanh_c.shape[1]
    for sample in range(tanh_c.shape[0]):
        row, by_row, tanh_row = z[sample], by_h[sample], tanh_c[sample]
        sigmoid_of_sum(row[: 2 * n], by_row[: 2 * n])
        tanh_of_sum(row[2 * n : 3 * n], by_row[2 * n : 3 * n])
        sigmoid_of_sum(row[3 * n :], by_row[3 * n :])
        i, f, g, o = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n :]
        before, h, c = state[sample, n:], new[sample, :n], new[sample, n:]
        for j in range(n):
            c[j] = f[j] * before[j] + i[j] * g[j]
            tanh_row[j] = tanh_of(c[j])
            h[j] = o[j] * tanh_row[j]


@compiled
def lstm_step_back(g, t, gates, state, tanh_c, g_h, g_c, g_z):
    """The gradients of the four sums; g_c becomes that of the previous cell state."""
    one, n = tanh_c.dtype.type(1), tanh_c.shape[1]
    for sample in range(tanh_c.shape[0]):
        row, before, tanh_row = gates[sample], state[sample, n:], tanh_c[sample]
        i, f, g_, o = row[:n], row[n : 2 * n], row[2 * n : 3 * n], row[3 * n :]
        by_h, by_c, after_h, after_c = g[sample, t, :n], g[sample, t, n:], g_h[sample], g_c[sample]
        out = g_z[sample]
        by_i, by_f, by_g, by_o = out[:n], out[n : 2 * n], out[2 * n : 3 * n], out[3 * n :]
        for j in range(n):
            g_out = by_h[j] + after_h[j]
            g_cell = by_c[j] + after_c[j] + g_out * o[j] * (one - tanh_row[j] * tanh_row[j])
            by_i[j] = g_cell * g_[j] * i[j] * (one - i[j])
            by_f[j] = g_cell * before[j] * f[j] * (one - f[j])
            by_g[j] = g_cell * i[j] * (one - g_[j] * g_[j])
            by_o[j] = g_out * tanh_row[j] * o[j] * (one - o[j])
            after_c[j] = g_cell * f[j]


@compiled
def gru_rows(a, b, h, y, r, z, n):
    """y = n + z·(h − n), with the gates r and z and the proposal n."""
    size = h.shape[1]
    for sample in range(h.shape[0]):
        a_row, b_row, h_row, y_row = a[sample], b[sample], h[sample], y[sample]
        r_row, z_row, n_row = r[sample], z[sample], n[sample]
        a_r, a_z, a_n = a_row[:size], a_row[size : 2 * size], a_row[2 * size :]
        b_r, b_z, b_n = b_row[:size], b_row[size : 2 * size], b_row[2 * size :]
        for j in range(size):
            r_row[j] = sigmoid_of(a_r[j] + b_r[j])
            z_row[j] = sigmoid_of(a_z[j] + b_z[j])
            n_row[j] = tanh_of(a_n[j] + r_row[j] * b_n[j])
            y_row[j] = n_row[j] + z_row[j] * (h_row[j] - n_row[j])


@compiled
def gru_rows_back(g, r, z, n, b, h, by_a, by_b, by_h):
    size, one = h.shape[1], h.dtype.type(1)
    for sample in range(h.shape[0]):
        g_row, r_row, z_row, n_row, h_row = g[sample], r[sample], z[sample], n[sample], h[sample]
        b_n, a_out, b_out, h_out = b[sample, 2 * size :], by_a[sample], by_b[sample], by_h[sample]
        a_r, a_z, a_n = a_out[:size], a_out[size : 2 * size], a_out[2 * size :]
        b_r, b_z, by_b_n = b_out[:size], b_out[size : 2 * size], b_out[2 * size :]
        for j in range(size):
            by_n = g_row[j] * (one - z_row[j]) * (one - n_row[j] * n_row[j])
            by_r = by_n * b_n[j] * r_row[j] * (one - r_row[j])
            by_z = g_row[j] * (h_row[j] - n_row[j]) * z_row[j] * (one - z_row[j])
            a_r[j], a_z[j], a_n[j] = by_r, by_z, by_n
            b_r[j], b_z[j], by_b_n[j] = by_r, by_z, by_n * r_row[j]
            h_out[j] = g_row[j] * z_row[j]


def gru(a, b, h):
    """The state after a step, and r, z and n for the way back."""
    y, *saved = (np.empty(h.shape, h.dtype) for _ in range(4))
    gru_rows(*map(matrix, (a, b, h, y, *saved)))
    return y, tuple(saved)


def gru_back(g, saved, a, b, h):
    """The gradients of a, b and h."""
    by_a, by_b, by_h = np.empty(a.shape, a.dtype), np.empty(a.shape, a.dtype), np.empty(h.shape, h.dtype)
    gru_rows_back(*map(matrix, (g, *saved, b, h, by_a, by_b, by_h)))
    return by_a, by_b, by_h
