"""The product of arrays: NumPy's arrays are taken apart into addresses, then loops go over blocks, panels and tiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import from_dtype, types

from minigrad.kernels import pool
from minigrad.kernels.compiler import compiled, helper
from minigrad.kernels.packed import SHARED, supported, vector_bytes, why_not
from minigrad.kernels.packed.registers import TILES, call, sizes_of, strip, tile

DEPTH, HEIGHT, WIDTH = 320, 480, 512  # rows of a panel of B; rows of a block of A; columns of B copied at a time
LINE = 64  # bytes of a cache line: panels begin at one
BLOCK_ROW = DEPTH * 8 + LINE  # bytes from row to row of a copied block
MANY_ROWS, MANY_COLUMNS = 96, 256  # rows of A from which copying B pays off; columns of B: turning a transposed A


@compiled
def product(v, a, a_row, a_col, b, b_row, b_col, c, c_row, m, k, n, panel, block, packed):
    """C = A @ B, tile by tile; A and B are copied first where that pays off, or B has no rows of whole vectors."""
    item, lanes, rows, full = sizes_of(v)
    for top in range(0, m, HEIGHT):
        bottom = min(top + HEIGHT, m)
        start = n if packed else 0 if b_col != item or bottom - top >= MANY_ROWS else n - n % full
        for p in range(0, k, DEPTH):
            depth = min(DEPTH, k - p)
            left, left_row, left_col = a + top * a_row + p * a_col, a_row, a_col
            if a_row == item and n >= MANY_COLUMNS and not packed:
                for x in range(0, depth, lanes):
                    strip(v, left + x * a_col, item, a_col, block + x * item, BLOCK_ROW, bottom - top, depth - x)
                left, left_row, left_col = block, BLOCK_ROW, item
            step, wide = (8, n if packed else WIDTH) if b_col == item else (depth, full)  # copied as it lies in memory
            for x in range(0, n, wide):
                for r in range(0, depth, step):
                    for y in range(max(start - x, 0), min(wide, n - x), lanes):
                        place = panel + ((y - y % full) * depth + r * full + y % full) * item
                        corner = b + (p + r) * b_row + (x + y) * b_col
                        strip(v, corner, b_row, b_col, place, full * item, min(step, depth - r), n - x - y)
                for j in range(x, min(x + wide, n), full):
                    used = -(-min(full, n - j) // lanes)  # vectors
                    right, right_row = b + p * b_row + j * item, b_row
                    if packed or j >= start:
                        right, right_row = (b + p * b_row if packed else panel) + (j - x) * depth * item, full * item
                    for i in range(top, bottom, rows):
                        tile(
                            v, min(rows, bottom - i), used, left + (i - top) * left_row, left_row, left_col, right,
                            right_row, c + i * c_row + j * item, c_row, depth, min(full, n - j) - (used - 1) * lanes, p,
                        )  # fmt: skip


class Addresses(dict[np.dtype, int]):
    """dtype → where `product` lies in memory, compiled at first use: one for all layouts. 0 for other numbers."""

    def __missing__(self, dtype: np.dtype) -> int:
        if dtype not in (np.float32, np.float64):
            return 0
        if not supported():
            raise RuntimeError(why_not())
        vector = types.CPointer(types.UniTuple(from_dtype(dtype), vector_bytes() // dtype.itemsize))
        found = product.get_compile_result(types.void(vector, *[types.int64] * 14))
        return self.setdefault(dtype, found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name))


addresses = Addresses()


@helper
def span(x):
    """The first address of an array, and the one after its last."""
    low = high = np.int64(x.ctypes.data)
    for i in range(2):
        reach = (x.shape[i] - 1) * x.strides[i]
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + x.itemsize


@compiled
def apart(x, y):
    return span(x)[1] <= span(y)[0] or span(y)[1] <= span(x)[0]


@compiled
def run(address, a, b, out, packed):
    """out = a @ b, if `product` can take these arrays as they are; whether it can. packed: columns of a prepared b."""
    if a.ndim != 2 or b.ndim != 2 or out.ndim != 2:
        return False
    (m, k), n, item = a.shape, packed or b.shape[1], a.itemsize
    if not (a.dtype == b.dtype and a.dtype == out.dtype and b.shape[0] == k and out.shape == (m, n)):
        return False
    if m * n * k == 0:
        out[:] = 0
        return True
    if out.strides[1] != item or item not in b.strides or not (apart(a, out) and apart(b, out)):
        return False
    panels = 0 if packed else (min(k, DEPTH) + 16) * ((b.strides[1] == item) * min(n, WIDTH) // 64 + 1) * 64 * item
    scratch = np.empty(LINE + panels + ((min(m, HEIGHT) + 16) * BLOCK_ROW if a.strides[0] == item else 0), np.uint8)
    panel = -(-scratch.ctypes.data // LINE) * LINE  # with 16 rows of room, since squares are turned whole
    call(address, (
        0, np.int64(a.ctypes.data), a.strides[0], a.strides[1], np.int64(b.ctypes.data), b.strides[0], b.strides[1],
        np.int64(out.ctypes.data), out.strides[0], m, k, n, np.int64(panel), np.int64(panel + panels), packed,
    ))  # fmt: skip
    return scratch.size > 0  # always; Numba frees an array after its last use, which must not be before the call


def run_on_threads(address, a, b, out, packed):
    fits = a.ndim == b.ndim == 2 and out.shape == (a.shape[0], b.shape[1]) and apart(a, out) and apart(b, out)
    if not fits or a.size * out.shape[1] < SHARED:
        return run(address, a, b, out, packed)
    return all(pool.share(lambda *part: run(address, *part, packed), a, b, out, TILES[64][0], 64))


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a @ b; by NumPy unless both are float32 or both float64 matrices, and b has contiguous rows or columns."""
    c = np.empty((a.shape[0], b.shape[-1]), a.dtype) if out is None else out
    address, multiply = addresses[a.dtype], run if pool.count() == 1 else run_on_threads
    if address and c.flags.writeable and multiply(address, a, b, c, 0):
        return c
    return np.matmul(a, b, out=out)


class Prepared(NamedTuple):
    """The right operand of many products, in panels."""

    address: int  # of `product`
    panels: np.ndarray
    columns: int


def prepare(w: np.ndarray) -> Prepared:
    """Copy a matrix w into panels, once for many calls of `times`, which do not see later changes of w."""
    width, (k, n) = vector_bytes(), w.shape
    address, columns = addresses[w.dtype], width // w.itemsize * TILES[width][1]
    if not address:
        raise TypeError(f"packed: {w.dtype} is neither float32 nor float64")
    padded = -(-n // columns) * columns
    memory = np.zeros(k * padded + LINE, w.dtype)
    panels = memory[-memory.ctypes.data % LINE // w.itemsize :][: k * padded]
    for p in range(0, k, DEPTH):
        for j in range(0, n, columns):
            block = w[p : p + DEPTH, j : j + columns]
            panel = panels[p * padded + j * len(block) :][: len(block) * columns].reshape(-1, columns)
            panel[:, : block.shape[1]] = block
    return Prepared(address, panels.reshape(k, padded), n)


def times(h: np.ndarray, w: Prepared, out: np.ndarray) -> np.ndarray:
    """out = h @ w for a prepared w; out must be writeable, with contiguous rows, and share no memory with h."""
    if not (out.flags.writeable and run(w.address, h, w.panels, out, w.columns)):
        given = f"packed.times: {h.shape} @ {(len(w.panels), w.columns)} into {out.shape} in {w.panels.dtype}"
        raise ValueError(f"{given}: shapes or dtypes differ, or out is read-only, not in rows, or overlaps h")
    return out
