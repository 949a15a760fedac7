"""The product of two matrices, in loops: four ways to do the same multiplications, each faster than the one before.

C = A·B, cᵢⱼ = Σₖ aᵢₖ·bₖⱼ, takes one multiplication for every (i, j, k). What differs is what has to be fetched for it.

`by_definition`: for every i, for every j, for every k. A row of A meets a column of B. Memory comes in lines of 64
bytes, 16 neighbours of a row. Of each line that a column touches, one number is used; the rest is fetched again later:

        A            B            C
    ┌─────────┐  ┌────│────┐  ┌─────────┐        ─ │  what the innermost loop reads
    │─────────│  │    │    │  │    •    │        •    what it adds to
    │         │  │    │    │  │         │
    └─────────┘  └────│────┘  └─────────┘

`by_rows`: for every i, for every k, for every j. A row of B, times one number of A, is added to a row of C. All that
is fetched is used, and one instruction computes 8 or 16 neighbours. But for each multiplication one number of B and
one of C are read and one is written, and all of B is read again for every row of A:

        A            B            C
    ┌─────────┐  ┌─────────┐  ┌─────────┐
    │  •      │  │         │  │═════════│        ═    what is read and written
    │         │  │─────────│  │         │
    └─────────┘  └─────────┘  └─────────┘

`by_panels`: the same in pieces of B that stay in the second-level cache (128 × 512 numbers: 256 KiB in float32) while
all rows of A are used. A piece is copied first: in the copy its rows lie next to each other and do not compete for the
same places of the cache, as rows a power of two apart do. B is read from memory once, C once per 128 rows of B:

        A            B            C                memory    B, once           ▒ the panel
    ┌──┬───┬──┐  ┌──┬───┬──┐  ┌──┬───┬──┐            │
    │  │───│  │  ├──┼───┼──┤  │  │═══│  │          L2        the panel: 256 KiB
    │  │   │  │  │  │▒▒▒│  │  │  │   │  │            │
    │  │   │  │  ├──┼───┼──┤  │  │   │  │          L1        a row of A and of C in it
    └──┴───┴──┘  └──┴───┴──┘  └──┴───┴──┘

`by_fours`: four rows of A meet four rows of the panel. Sixteen numbers of A stay in registers while the loop over j
reads four numbers of B and four of C, writes four, and does sixteen multiplications with them: three accesses to
memory for four multiplications instead of three for one. Four rows of C gather in `sums`, which stays in L1:

      left         panel                  sums
    ┌────────┐  ┌────────────────────┐  ┌────────────────────┐
    │ ▪▪▪▪   │  │                    │  │══════════▶         │      ▪ in registers: 4 × 4
    │ ▪▪▪▪   │  │──────────▶         │  │══════════▶         │
    │ ▪▪▪▪   │  │──────────▶         │  │══════════▶         │
    │ ▪▪▪▪   │  │──────────▶         │  │══════════▶         │
    └────────┘  │──────────▶         │  └────────────────────┘
                └────────────────────┘

Each adds A·B to C, in place; `at_hand` is arithmetic that waits for no memory, about the most that can be reached.
`python -m demos matmul` measures them all. `matmul` is what the op of that name calls.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels import matrices
from minigrad.kernels.compiler import compiled, helper

DEPTH, WIDTH = 128, 512  # rows and columns of a panel


@compiled
def by_definition(a, b, c):
    """C += A·B, one number of C after the other."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = c[i, j]
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@helper
def add_multiples(numbers, rows, total):
    """total += Σₖ numbers[k]·rows[k], one row after the other."""
    for k in range(numbers.size):
        number, row = numbers[k], rows[k]
        for j in range(total.size):
            total[j] += number * row[j]


@compiled
def by_rows(a, b, c):
    """C += A·B, one row of C after the other, as a sum of multiples of B's rows."""
    for i in range(a.shape[0]):
        add_multiples(a[i], b, c[i])


@helper
def copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@compiled
def by_panels(a, b, c):
    """C += A·B, one panel of B after the other; a slice ends where the matrix does."""
    panel = np.empty((DEPTH, WIDTH), b.dtype)
    for j in range(0, b.shape[1], WIDTH):
        for k in range(0, b.shape[0], DEPTH):
            piece = b[k : k + DEPTH, j : j + WIDTH]
            for row in range(piece.shape[0]):
                copy(piece[row], panel[row])
            for i in range(a.shape[0]):
                add_multiples(a[i, k : k + DEPTH], panel, c[i, j : j + WIDTH])


@helper
def add_fours(left, panel, sums, fours, width):
    """sums += left·panel, for four rows of each at a time."""
    for k in range(fours):
        a, b = left[k], panel[k]
        a00, a01, a02, a03 = a[0, 0], a[0, 1], a[0, 2], a[0, 3]
        a10, a11, a12, a13 = a[1, 0], a[1, 1], a[1, 2], a[1, 3]
        a20, a21, a22, a23 = a[2, 0], a[2, 1], a[2, 2], a[2, 3]
        a30, a31, a32, a33 = a[3, 0], a[3, 1], a[3, 2], a[3, 3]
        for j in range(width):
            b0, b1, b2, b3 = b[0, j], b[1, j], b[2, j], b[3, j]
            sums[0, j] = sums[0, j] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
            sums[1, j] = sums[1, j] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
            sums[2, j] = sums[2, j] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
            sums[3, j] = sums[3, j] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@compiled
def by_fours(a, b, c):
    """C += A·B, one panel of B after the other; zeros fill up what is not four rows high or deep."""
    panel = np.empty((DEPTH // 4, 4, WIDTH), b.dtype)
    left = np.zeros((DEPTH // 4, 4, 4), a.dtype)  # left[k, i] are the numbers of row i that meet panel[k]
    sums = np.empty((4, WIDTH), c.dtype)
    for j in range(0, b.shape[1], WIDTH):
        for k in range(0, b.shape[0], DEPTH):
            piece = b[k : k + DEPTH, j : j + WIDTH]
            depth, width = piece.shape
            fours = (depth + 3) // 4
            for row in range(depth):
                copy(piece[row], panel[row // 4, row % 4])
            for row in range(depth, 4 * fours):
                panel[row // 4, row % 4] = 0
            for i in range(0, a.shape[0], 4):
                height = min(4, a.shape[0] - i)
                for row in range(height):
                    numbers = a[i + row, k : k + DEPTH]
                    for n in range(depth):
                        left[n // 4, row, n % 4] = numbers[n]
                    for n in range(depth, 4 * fours):
                        left[n // 4, row, n % 4] = 0
                    copy(c[i + row, j : j + WIDTH], sums[row])
                add_fours(left, panel, sums, fours, width)
                for row in range(height):
                    copy(sums[row, :width], c[i + row, j : j + WIDTH])


@compiled
def in_registers(x, a, b):
    """Sixteen times y = a·y + b for each number of x, a thousand times: nearly nothing is fetched."""
    for _ in range(1000):
        for j in range(x.size):
            y = x[j]
            y = (((y * a + b) * a + b) * a + b) * a + b
            y = (((y * a + b) * a + b) * a + b) * a + b
            y = (((y * a + b) * a + b) * a + b) * a + b
            y = (((y * a + b) * a + b) * a + b) * a + b
            x[j] = y


def at_hand(dtype):
    """(What to run, how many multiplications it takes), on numbers that are always at hand: in a plain loop, and in
    tiles of the packed product that get the same row of B and the same column of A again and again; take the faster.
    """
    x, one, c = np.ones(512, dtype), np.ones((12, 64), dtype), np.empty((12, 64), dtype)
    found = [(lambda: in_registers(x, x[0] / 2, x[0] / 2), 16_000 * x.size)]
    if matrices.has_packed():  # a compiler may choose shorter vectors than the processor has
        a, b = np.broadcast_to(one[:, :1], (12, 4096)), np.broadcast_to(one[0], (4096, 64))
        found.append((lambda: matrices.packed.matmul(a, b, c), 4096 * c.size))
    return found


def matmul(a, b):
    """A·B, for two matrices of one dtype by the packed product, or by fours where there is none; else by NumPy."""
    if not (a.ndim == b.ndim == 2 and a.dtype == b.dtype):
        return np.matmul(a, b)
    if matrices.has_packed():
        return matrices.packed.matmul(a, b)
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    by_fours(plain(a), plain(b), c)
    return c


def plain(x):
    """x, copied unless it is C-contiguous and writeable: for another layout a kernel would be compiled again."""
    return x if x.flags.c_contiguous and x.flags.writeable else x.copy()
