"""Statistics of an array for the monitor, each in one pass: squares, zeros, active units, octaves.

Squares are summed by 256 in the array's own dtype, and these sums in float64: right to 7 digits, in half the time. The
histogram is kept in four copies, each for every fourth number, so that no count waits for the one before.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiler import REORDERED, compiled
from minigrad.kernels.updates import sum_of_squares


@compiled(fastmath=REORDERED)
def squares_and_zeros_pass(x):
    number, total, zeros = x.dtype.type, 0.0, 0.0
    for start in range(0, x.size, 256):
        some, squares, none = x[start : start + 256], number(0), number(0)
        for i in range(some.size):
            squares += some[i] * some[i]
            none += number(1) if some[i] == 0 else number(0)  # an int64 is as wide as two float32: half the speed
        total, zeros = total + squares, zeros + none
    return total, int(zeros)


@compiled
def beyond_pass(x, middle, bound):
    number = x.dtype.type
    m, b, count = number(middle), number(bound), 0
    for i in range(x.size):
        count += abs(x[i] - m) > b
    return count


@compiled
def active_pass(x, active):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            active[j] |= not x[i, j] <= 0
        if i % 16 == 15 and active.all():  # in a healthy layer after a few samples
            return


@compiled
def octaves_pass(bits, first, every, run, mantissa, low, fields, counts):
    """How many numbers have each sign and exponent, the first bits of a float; then how many are in each bin."""
    for start in range(first, bits.size, every):
        some = bits[start : start + run]
        whole = some.size - some.size % 4
        for i in range(0, whole, 4):
            for k in range(4):
                fields[k, some[i + k] >> mantissa] += 1
        for i in range(whole, some.size):
            fields[0, some[i] >> mantissa] += 1
    signs, middle = fields.shape[1] // 2, counts.size // 2
    for field in range(fields.shape[1]):
        found = fields[0, field] + fields[1, field] + fields[2, field] + fields[3, field]
        if found:  # few of them are used
            octave = min(max(field % signs - low + 1, 0), middle)
            counts[middle + octave if field < signs else middle - octave] += found


def squares_and_zeros(x):
    squares, zeros = squares_and_zeros_pass(x.ravel(order="K"))
    safe = 1e-20 < squares < 1e30  # else, near the limits of float32, once more in float64
    return squares if safe else sum_of_squares(x), zeros


def beyond(x, middle, bound):
    return beyond_pass(x.ravel(order="K"), middle, bound)


def active(x):
    found = np.zeros(x.shape[1], bool)
    active_pass(np.ascontiguousarray(x), found)
    return found


def count_octaves(x, low, high, first, every, run):
    kind, mantissa, bias = (np.uint32, 23, 127) if x.dtype == np.float32 else (np.uint64, 52, 1023)
    counts, fields = np.zeros(2 * (high - low) + 3, np.int64), np.zeros((4, 4 * (bias + 1)), np.int32)
    octaves_pass(x.ravel().view(kind), first, every, run, kind(mantissa), bias + low, fields, counts)
    return counts
