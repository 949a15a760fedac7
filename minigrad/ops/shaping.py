"""Moving elements: the same numbers in another shape or order, or joined with others.

Nothing is multiplied, so a rule only moves each gradient back to where its number came from.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index as checked_axis

from minigrad.arrays import sum_to
from minigrad.define import composition, primitive
from minigrad.op import operand
from minigrad.ops import reductions
from minigrad.tensor import Tensor

__all__ = [
    "broadcast_to", "concatenate", "diag", "diagonal", "expand_dims", "flip", "getitem", "moveaxis", "pad", "ravel",
    "repeat", "reshape", "roll", "sort", "split", "squeeze", "stack", "swapaxes", "tile", "trace", "transpose",
    "tril", "triu",
]  # fmt: skip


def view(name, forward, vjp, formula):
    return primitive(name, forward, [vjp], [formula], kind="view", numpy=getattr(np, name))


def inverse(axes, n):
    """The permutation that undoes a transposition by `axes`."""
    return None if axes is None else tuple(np.argsort(np.mod(axes, n)).tolist())


reshape = view(
    "reshape", lambda x, shape: np.reshape(x, shape), lambda g, y, x, shape: g.reshape(x.shape), "g, reshaped"
)
ravel = view("ravel", lambda x: np.ravel(x), lambda g, y, x: g.reshape(x.shape), "g, reshaped")
expand_dims = view(
    "expand_dims", lambda x, axis: np.expand_dims(x, axis), lambda g, y, x, axis: g.reshape(x.shape), "g, reshaped"
)
squeeze = view(
    "squeeze", lambda x, axis=None: np.squeeze(x, axis), lambda g, y, x, axis: g.reshape(x.shape), "g, reshaped"
)
transpose = view(
    "transpose",
    lambda x, axes=None: np.transpose(x, axes),
    lambda g, y, x, axes: np.transpose(g, inverse(axes, x.ndim)),
    "gᵀ",
)
swapaxes = view(
    "swapaxes",
    lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2),
    lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2),
    "gᵀ",
)
moveaxis = view(
    "moveaxis",
    lambda x, source, destination: np.moveaxis(x, source, destination),
    lambda g, y, x, source, destination: np.moveaxis(g, destination, source),
    "gᵀ",
)
broadcast_to = view(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape),
    lambda g, y, x, shape: sum_to(g, x.shape),
    "Σ g over the copies",
)
flip = view("flip", lambda x, axis=None: np.flip(x, axis), lambda g, y, x, axis: np.flip(g, axis), "g, flipped")
roll = view(
    "roll",
    lambda x, shift, axis=None: np.roll(x, shift, axis),
    lambda g, y, x, shift, axis: np.roll(g, -np.asarray(shift, dtype=int), axis),
    "g, rolled back",
)
triu = view(  # a vector is repeated to a matrix first
    "triu", lambda x, k=0: np.triu(x, k), lambda g, y, x, k: sum_to(np.triu(g, k), x.shape), "g above the diagonal"
)
tril = view(
    "tril", lambda x, k=0: np.tril(x, k), lambda g, y, x, k: sum_to(np.tril(g, k), x.shape), "g below the diagonal"
)

# Taking elements out, and putting them back


def values(x):
    return x.data if isinstance(x, Tensor) else x


def fixed(index):
    """A copy of an index with the arrays and lists in it, so that changing them later does not reach backward()."""
    return tuple(map(fixed_part, index)) if isinstance(index, tuple) else fixed_part(index)


def fixed_part(part):
    if not hasattr(part, "__len__"):  # a number, a slice, None or Ellipsis
        return part
    array = np.array(values(part))
    return array if array.size or hasattr(part, "dtype") else array.astype(int)


def can_repeat(index):
    """Whether an index may name an element twice: only arrays of integers can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, np.ndarray) and part.dtype.kind != "b" for part in parts)


def places(index, shape):
    """Where the elements of x[index] stand in x.ravel()."""
    if isinstance(index, tuple):
        return np.arange(math.prod(shape)).reshape(shape)[index]
    width = math.prod(shape[1:])  # whole rows, as of an embedding: the rest of the table need not be numbered
    return np.add.outer(width * np.arange(shape[0])[index], np.arange(width))


def scattered(g, index, shape):
    """Zeros of `shape` with g added at `index`; where an index names an element twice, the values add up."""
    x = np.zeros(shape, g.dtype)
    if can_repeat(index):
        np.add.at(x.reshape(-1), places(index, shape).ravel(), g.ravel())
    else:
        x[index] = g
    return x


elements = primitive(
    "getitem",
    lambda x, index: x[index],
    [lambda g, y, x, index: scatter(g, index, x.shape)],
    ["g, put back in place"],
    kind="view",
)
elements.fresh = True  # zeros with g among them: a leaf, such as a table of many rows, need not copy them
scatter = primitive("scatter", scattered, [lambda g, y, x, index, shape: g[index]], ["g, taken out"], kind="view")


def getitem(x, index):
    """x[index] with everything that NumPy allows: slices, None, Ellipsis, masks, arrays with repeated integers."""
    return elements(x, fixed(index))


def along(x, axis, index):
    """x[…, index, …] at `axis`."""
    x = operand(x)
    return getitem(x, (slice(None),) * checked_axis(axis, x.ndim) + (index,))


bordered = primitive(
    "pad",
    lambda x, widths, value: np.pad(x, widths or 0, constant_values=value),  # a single number has no axis
    [lambda g, y, x, widths, value: g[tuple(slice(w, w + n) for (w, _), n in zip(widths, x.shape, strict=True))]],
    ["g without the border"],
    kind="view",
)


@composition(np.pad)
def pad(x, pad_width, mode="constant", constant_values=0):
    """x with a border, as np.pad; the modes edge, reflect, symmetric and wrap repeat elements of x there."""
    x = operand(x)
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad: mode {mode!r} is not one of constant, edge, reflect, symmetric, wrap")
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(i, pad_width.get(i - x.ndim, 0)) for i in range(x.ndim)]
        pad_width = [np.broadcast_to(width, 2) for width in pad_width]
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode == "constant":
        return bordered(x, widths, constant_values)
    for axis, width in enumerate(widths):
        x = along(x, axis, np.pad(np.arange(x.shape[axis]), width, mode=mode))
    return x


@composition(np.repeat)
def repeat(x, repeats, axis=None):
    """Each element `repeats` times, as np.repeat."""
    x, axis = (ravel(x), axis or 0) if axis is None or np.ndim(x) == 0 else (operand(x), axis)
    return along(x, axis, np.repeat(np.arange(x.shape[checked_axis(axis, x.ndim)]), repeats))


@composition(np.tile)
def tile(x, reps):
    """Copies of x side by side, as np.tile."""
    x = operand(x)
    reps = tuple(np.atleast_1d(values(reps)).tolist())
    reps = (1,) * (x.ndim - len(reps)) + reps
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    pairs = list(zip(reps, shape, strict=True))
    spread = reshape(x, tuple(size for _, n in pairs for size in (1, n)))
    copies = broadcast_to(spread, tuple(size for pair in pairs for size in pair))
    return reshape(copies, tuple(r * n for r, n in pairs))


def on_diagonal(rows, columns, k):
    """Where the elements of the k-th diagonal of a matrix stand in its rows, one after the other."""
    start, n = (k, np.minimum(rows, columns - k)) if k > 0 else (-k * columns, np.minimum(rows + k, columns))
    return slice(start, start + int(np.maximum(n, 0)) * (columns + 1), columns + 1)


@composition(np.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements on a diagonal of the matrices that lie along two axes, as np.diagonal."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *outer, rows, columns = x.shape
    return getitem(reshape(x, (*outer, rows * columns)), (..., on_diagonal(rows, columns, offset)))


@composition(np.diag)
def diag(x, k=0):
    """The k-th diagonal of a matrix, or the matrix that has x as its k-th diagonal, as np.diag."""
    x = operand(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag: a vector or a matrix is needed, not shape {x.shape}")
    if x.ndim == 2:
        return diagonal(x, k)
    n = x.size + (k if k > 0 else -k)
    return reshape(scatter(x, on_diagonal(n, n, k), (n * n,)), (n, n))


@composition(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum along a diagonal, as np.trace."""
    return reductions.sum(diagonal(x, offset, axis1, axis2), axis=-1)


@composition(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    """The elements of x at these indices along an axis (None: of all elements), as np.take_along_axis."""
    x, axis = (ravel(x), 0) if axis is None else (operand(x), axis)
    if np.ndim(indices) != x.ndim:
        raise ValueError(f"take_along_axis: x {x.shape} and indices {np.shape(indices)} must have as many axes")
    index = list(np.indices(x.shape, sparse=True))
    index[axis] = indices
    return getitem(x, tuple(index))


@composition(np.sort)
def sort(x, axis=-1, kind="stable"):
    """x in ascending order along an axis (None: of all elements); the gradient goes where each element came from."""
    return take_along_axis(x, np.argsort(values(x), axis=axis, kind=kind), axis)


# Several arrays


def check_one_list(axis):
    if isinstance(axis, (Tensor, np.ndarray)):
        raise TypeError("the arrays come as one list, [a, b], and the axis is a number")


concatenated = primitive(
    "concatenate",
    lambda *xs, axis, starts: np.concatenate(xs, axis=axis),
    lambda i, g, y, *xs, axis, starts: along(g, axis, slice(starts[i], starts[i + 1])),
    ["its part of g"],
    kind="view",
)
stacked = primitive(
    "stack",
    lambda *xs, axis: np.stack(xs, axis=axis),
    lambda i, g, y, *xs, axis: along(g, axis, i),
    ["its part of g"],
    kind="view",
)


@composition(np.concatenate)
def concatenate(arrays, axis=0):
    """Arrays end to end along an axis (None: all their elements), as np.concatenate."""
    check_one_list(axis)
    arrays, axis = ([ravel(x) for x in arrays], 0) if axis is None else ([operand(x) for x in arrays], axis)
    starts = np.cumsum([0, *(math.prod(x.shape[axis : axis + 1 or None]) for x in arrays)])
    return concatenated(*arrays, axis=axis, starts=starts)


@composition(np.stack)
def stack(arrays, axis=0):
    """Arrays of one shape along a new axis, as np.stack."""
    check_one_list(axis)
    return stacked(*arrays, axis=axis)


@composition(np.split)
def split(x, indices_or_sections, axis=0):
    """A list of the parts of x along an axis: a number of equal ones, or cut at given indices, as np.split."""
    x = operand(x)
    parts = np.split(np.arange(x.shape[checked_axis(axis, x.ndim)]), values(indices_or_sections))
    return [along(x, axis, slice(part[0], part[-1] + 1) if len(part) else slice(0, 0)) for part in parts]
