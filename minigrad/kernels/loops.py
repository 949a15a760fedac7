"""All steps of a recurrence in one call: product, gates, product, gates … with the hidden weights packed once.

They need the packed product, and `matrices.Loop` calls them only where there is one; elsewhere NumPy's lines loop over
the steps of `recurrent` in Python.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiler import compiled
from minigrad.kernels.packed.product import prepare, run
from minigrad.kernels.recurrent import lstm_step, lstm_step_back, tanh_step, tanh_step_back


@compiled
def all_tanh_steps(address, panels, columns, z, states, by_h):
    for t in range(z.shape[0]):
        run(address, states[t], panels, by_h, columns)
        tanh_step(z[t], by_h, states[t + 1])


@compiled
def all_tanh_steps_back(address, panels, columns, g, z, states, g_h, g_z):
    for t in range(z.shape[0] - 1, -1, -1):
        tanh_step_back(g, t, g_h, z[t], states[t + 1], g_z[t])
        run(address, g_z[t], panels, g_h, columns)


@compiled
def all_lstm_steps(address, panels, columns, z, states, tanh_c, by_h):
    n = tanh_c.shape[2]
    for t in range(z.shape[0]):
        run(address, states[t][:, :n], panels, by_h, columns)
        lstm_step(z[t], by_h, states[t], states[t + 1], tanh_c[t])


@compiled
def all_lstm_steps_back(address, panels, columns, g, gates, states, tanh_c, g_h, g_c, g_z):
    for t in range(gates.shape[0] - 1, -1, -1):
        lstm_step_back(g, t, gates[t], states[t], tanh_c[t], g_h, g_c, g_z[t])
        run(address, g_z[t], panels, g_h, columns)


def tanh_steps(z, w, states):
    all_tanh_steps(*prepare(w), z, states, np.empty(z.shape[1:], z.dtype))


def tanh_steps_back(z, w, g, states):
    """The gradients of z and of the state before the first step."""
    g_z, g_h = np.empty_like(z), np.zeros_like(states[0])
    all_tanh_steps_back(*prepare(w.T), g, z, states, g_h, g_z)
    return g_z, g_h


def lstm_steps(z, w, states, tanh_c):
    all_lstm_steps(*prepare(w), z, states, tanh_c, np.empty(z.shape[1:], z.dtype))


def lstm_steps_back(gates, w, g, states, tanh_c):
    """The gradients of the gates' sums, and of both states before the first step."""
    g_z, g_h, g_c = np.empty_like(gates), np.zeros_like(tanh_c[0]), np.zeros_like(tanh_c[0])
    all_lstm_steps_back(*prepare(w.T), g, gates, states, tanh_c, g_h, g_c, g_z)
    return g_z, g_h, g_c
