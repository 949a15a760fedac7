"""BatchNorm in three passes forward and two backward; columns are features, and rows are taken four at a time.

Four numbers of a column are summed in their own dtype, and these sums in float64: right to more digits than NumPy's
sum along the rows, and as fast as any, since the sums of all columns are read and written once per four rows.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiler import compiled


@compiled
def moments_pass(x, mean, variance, total):
    """Σx/B, then Σ(x − μ)²/B; `total` is float64."""
    rows, columns = x.shape
    whole = rows - rows % 4
    total[:] = 0
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(columns):
            total[j] += (a[j] + b[j]) + (c[j] + d[j])
    for i in range(whole, rows):
        for j in range(columns):
            total[j] += x[i, j]
    for j in range(columns):
        mean[j] = total[j] / rows
        total[j] = 0
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(columns):
            m = mean[j]
            p, q, r, s = a[j] - m, b[j] - m, c[j] - m, d[j] - m
            total[j] += (p * p + q * q) + (r * r + s * s)
    for i in range(whole, rows):
        for j in range(columns):
            p = x[i, j] - mean[j]
            total[j] += p * p
    for j in range(columns):
        variance[j] = total[j] / rows


@compiled
def running_pass(x, mean, variance, momentum, moved_mean, moved_variance):
    rows, columns = x.shape
    moments_pass(x, moved_mean, moved_variance, np.empty(columns))
    number = x.dtype.type
    keep, new, unbiased = number(1 - momentum), number(momentum), number(momentum * rows / (rows - 1))
    for j in range(columns):
        moved_mean[j] = keep * mean[j] + new * moved_mean[j]
        moved_variance[j] = keep * variance[j] + unbiased * moved_variance[j]


@compiled
def normalise_pass(x, gamma, beta, eps, y, mean, scale):
    rows, columns = x.shape
    slope = np.empty_like(gamma)
    moments_pass(x, mean, scale, np.empty(columns))
    one, small = x.dtype.type(1), x.dtype.type(eps)
    for j in range(columns):
        scale[j] = one / np.sqrt(scale[j] + small)
        slope[j] = scale[j] * gamma[j]
    for i in range(rows):
        for j in range(columns):
            y[i, j] = (x[i, j] - mean[j]) * slope[j] + beta[j]


@compiled
def backward_pass(g, x, gamma, mean, scale, by_x, by_gamma, by_beta):
    """Σ g·x̂ and Σ g over the batch, then γ/s·(g − Σg/B − x̂·Σgx̂/B)."""
    rows, columns = x.shape
    whole = rows - rows % 4
    weighted, plain = np.zeros(columns), np.zeros(columns)
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        g_a, g_b, g_c, g_d = g[i], g[i + 1], g[i + 2], g[i + 3]
        for j in range(columns):
            m = mean[j]
            weighted[j] += (g_a[j] * (a[j] - m) + g_b[j] * (b[j] - m)) + (g_c[j] * (c[j] - m) + g_d[j] * (d[j] - m))
            plain[j] += (g_a[j] + g_b[j]) + (g_c[j] + g_d[j])
    for i in range(whole, rows):
        for j in range(columns):
            weighted[j] += g[i, j] * (x[i, j] - mean[j])
            plain[j] += g[i, j]
    slope, shift, tilt = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    for j in range(columns):
        by_gamma[j] = weighted[j] * scale[j]
        by_beta[j] = plain[j]
        slope[j] = gamma[j] * scale[j]
        shift[j] = plain[j] / rows
        tilt[j] = by_gamma[j] * scale[j] / rows
    for i in range(rows):
        for j in range(columns):
            by_x[i, j] = slope[j] * (g[i, j] - (shift[j] + (x[i, j] - mean[j]) * tilt[j]))


def running_moments(x, mean, variance, momentum):
    x, mean, variance = map(np.ascontiguousarray, (x, mean, variance))
    moved = np.empty_like(mean), np.empty_like(variance)
    running_pass(x, mean, variance, momentum, *moved)
    return moved


def normalise(x, gamma, beta, eps):
    x, gamma, beta = map(np.ascontiguousarray, (x, gamma, beta))
    y, mean, scale = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    normalise_pass(x, gamma, beta, eps, y, mean, scale)
    return y, mean, scale


def normalise_backward(*arrays):
    g, x, gamma, mean, scale = map(np.ascontiguousarray, arrays)
    by_x, by_gamma, by_beta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    backward_pass(g, x, gamma, mean, scale, by_x, by_gamma, by_beta)
    return by_x, by_gamma, by_beta
