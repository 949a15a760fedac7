"""Cross-entropy: softmax and the loss of every row in one go, and its gradient in one pass.

Rows are taken in blocks that fit into the first-level cache: the largest element of each row, then eˣ of the whole
block as if it were one row, then the sums. So ten classes keep the processor as busy as a thousand.

A loop that searches a row for its largest element waits for each comparison before it makes the next. Folding the row
in halves, and keeping the larger of each pair, makes many at once.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiler import REORDERED, compiled, helper, matrix
from minigrad.kernels.exponentials import exp_of

BLOCK = 4096  # elements
SHORT = 32  # up to this length a row is searched element by element


@compiled
def largest_of(row, room):
    """The largest number of a row (any number, if there is NaN); `room` has two places for half a row."""
    rest, turn = row, 0
    while rest.size > SHORT:
        half, out = rest.size - rest.size // 2, room[turn]
        first, second = rest[:half], rest[half:]
        for k in range(second.size):
            out[k] = first[k] if first[k] > second[k] else second[k]
        if second.size < half:
            out[half - 1] = first[half - 1]
        rest, turn = out[:half], 1 - turn
    largest = rest[0]
    for k in range(1, rest.size):
        largest = rest[k] if rest[k] > largest else largest
    return largest


@compiled
def largest_pass(x, largest, room):
    """The largest number of each row, or 0 where that is infinite."""
    rows, columns = x.shape
    if columns > SHORT:
        for i in range(rows):
            largest[i] = largest_of(x[i], room)
    elif columns:
        for i in range(rows):
            largest[i] = x[i, 0]
        for j in range(1, columns):
            for i in range(rows):  # rows do not wait for each other
                largest[i] = x[i, j] if x[i, j] > largest[i] else largest[i]
    for i in range(rows):
        if not math.isfinite(largest[i]):
            largest[i] = 0


@compiled(fastmath=REORDERED)
def total_of(row):
    total = row.dtype.type(0)
    for k in range(row.size):
        total += row[k]
    return total


@compiled
def softmax_pass(x, p, largest, log_total, room):
    """p, the largest number of each row, and ln Σ e^(x − largest)."""
    rows, columns = x.shape
    many = max(1, BLOCK // max(1, columns))
    for start in range(0, rows, many):
        x_block, p_block, m_block = x[start : start + many], p[start : start + many], largest[start : start + many]
        largest_pass(x_block, m_block, room)
        for i in range(len(x_block)):
            for j in range(columns):
                p_block[i, j] = x_block[i, j] - m_block[i]
        flat = p_block.reshape(-1)
        for k in range(flat.size):
            flat[k] = exp_of(flat[k])
        for i in range(len(x_block)):
            total = total_of(p_block[i])
            log_total[start + i] = math.log(total)
            share = x.dtype.type(1) / total
            for j in range(columns):
                p_block[i, j] *= share


@compiled
def class_losses(x, labels, largest, log_total, losses):
    lowest = np.finfo(x.dtype).min
    for i in range(x.shape[0]):
        own = x[i, labels[i]]
        below = own - largest[i]
        if below < lowest and math.isfinite(own):
            below = lowest
        losses[i] = log_total[i] - below


@helper
def log_share(x, largest, log_total):
    """ln p, in this order even in loops that may reorder sums: next to a large number log_total would be lost."""
    return (x - largest) - log_total


@compiled(fastmath=REORDERED)
def distribution_losses(x, t, largest, log_total, losses):
    lowest = np.finfo(x.dtype).min
    for i in range(x.shape[0]):
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            log_p = log_share(x[i, j], largest[i], log_total[i])
            total += t[i, j] * (lowest if log_p < lowest else log_p)
        losses[i] = -total


@compiled
def class_gradients(g, p, labels, out):
    one = p.dtype.type(1)
    for i in range(p.shape[0]):
        g_i, own = g[i if g.size > 1 else 0], labels[i]
        for j in range(p.shape[1]):
            out[i, j] = g_i * p[i, j]
        out[i, own] = g_i * (p[i, own] - one)


@compiled
def distribution_gradients(g, p, t, out):
    for i in range(p.shape[0]):
        g_i, total = g[i if g.size > 1 else 0], total_of(t[i])
        for j in range(p.shape[1]):
            out[i, j] = g_i * (p[i, j] * total - t[i, j])


def row_losses(logits, labels):
    x = matrix(logits)
    p, losses = np.empty(x.shape, x.dtype), np.empty(len(x), x.dtype)
    largest, log_total = np.empty(len(x), x.dtype), np.empty(len(x), x.dtype)
    softmax_pass(x, p, largest, log_total, np.empty((2, x.shape[1] // 2 + 1), x.dtype))
    if labels.dtype.kind == "f":
        distribution_losses(x, matrix(labels), largest, log_total, losses)
    else:
        class_losses(x, labels.ravel().astype(np.int64, copy=False), largest, log_total, losses)
    return losses.reshape(logits.shape[:-1]), p.reshape(logits.shape)


def row_losses_backward(p, g, labels):
    out = np.empty(p.shape, p.dtype)
    if labels.dtype.kind == "f":
        distribution_gradients(g.ravel(), matrix(p), matrix(labels), matrix(out))
    else:
        class_gradients(g.ravel(), matrix(p), labels.ravel().astype(np.int64, copy=False), matrix(out))
    return out
