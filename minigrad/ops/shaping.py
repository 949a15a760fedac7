"""Moving elements about: the same numbers in another shape, order or company.

Nothing is multiplied, so a rule takes the gradient back along the way its numbers came.
"""

from __future__ import annotations

import numpy as np

from minigrad.arrays import sum_to
from minigrad.define import numpy_overrides, primitive
from minigrad.op import operand
from minigrad.tensor import Tensor

__all__ = [
    "broadcast_to", "concatenate", "diag", "diagonal", "expand_dims", "flip", "getitem", "moveaxis", "pad",
    "ravel", "repeat", "reshape", "roll", "scatter", "sort", "split", "squeeze", "stack", "swapaxes", "tile",
    "trace", "transpose", "tril", "triu",
]  # fmt: skip

reshape = primitive(
    "reshape",
    lambda x, shape: np.reshape(x, shape),
    [lambda g, y, x, shape: g.reshape(x.shape)],
    ["g, reshaped"],
    kind="view",
    numpy=np.reshape,
)
ravel = primitive(
    "ravel", lambda x: np.ravel(x), [lambda g, y, x: g.reshape(x.shape)], ["g, reshaped"], kind="view", numpy=np.ravel
)
expand_dims = primitive(
    "expand_dims",
    lambda x, axis: np.expand_dims(x, axis),
    [lambda g, y, x, axis: g.reshape(x.shape)],
    ["g, reshaped"],
    kind="view",
    numpy=np.expand_dims,
)
squeeze = primitive(
    "squeeze",
    lambda x, axis=None: np.squeeze(x, axis),
    [lambda g, y, x, axis: g.reshape(x.shape)],
    ["g, reshaped"],
    kind="view",
    numpy=np.squeeze,
)
transpose = primitive(
    "transpose",
    lambda x, axes=None: np.transpose(x, axes),
    [lambda g, y, x, axes: np.transpose(g, None if axes is None else np.argsort(np.mod(axes, x.ndim)))],
    ["gᵀ"],
    kind="view",
    numpy=np.transpose,
)
swapaxes = primitive(
    "swapaxes",
    lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2),
    [lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2)],
    ["gᵀ"],
    kind="view",
    numpy=np.swapaxes,
)
moveaxis = primitive(
    "moveaxis",
    lambda x, source, destination: np.moveaxis(x, source, destination),
    [lambda g, y, x, source, destination: np.moveaxis(g, destination, source)],
    ["gᵀ"],
    kind="view",
    numpy=np.moveaxis,
)
broadcast_to = primitive(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape),
    [lambda g, y, x, shape: sum_to(g, x.shape)],
    ["Σ g over the copies"],
    kind="view",
    numpy=np.broadcast_to,
)
flip = primitive(
    "flip",
    lambda x, axis=None: np.flip(x, axis),
    [lambda g, y, x, axis: np.flip(g, axis)],
    ["g, flipped"],
    kind="view",
    numpy=np.flip,
)
roll = primitive(
    "roll",
    lambda x, shift, axis=None: np.roll(x, shift, axis),
    [lambda g, y, x, shift, axis: np.roll(g, np.negative(shift), axis)],
    ["g, rolled back"],
    kind="view",
    numpy=np.roll,
)
triu = primitive(
    "triu",
    lambda x, k=0: np.triu(x, k),
    [lambda g, y, x, k: np.triu(g, k)],
    ["g above the diagonal"],
    kind="view",
    numpy=np.triu,
)
tril = primitive(
    "tril",
    lambda x, k=0: np.tril(x, k),
    [lambda g, y, x, k: np.tril(g, k)],
    ["g below the diagonal"],
    kind="view",
    numpy=np.tril,
)

# Taking elements out, and putting them where they were


def scattered(g, index, shape):
    """Zeros of `shape` with g added at `index`; where an index repeats, the values add up."""
    x = np.zeros(shape, g.dtype)
    if repeats(index):
        np.add.at(x, index, g)
    else:
        x[index] = g
    return x


def repeats(index):
    """Whether an index can name an element twice: only arrays of integers can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (list, np.ndarray)) and np.asarray(part).dtype != bool for part in parts)


getitem = primitive(
    "getitem",
    lambda x, index: x[index],
    [lambda g, y, x, index: scatter(g, index, x.shape)],
    ["g, put back in place"],
    kind="view",
)
scatter = primitive("scatter", scattered, [lambda g, y, x, index, shape: g[index]], ["g, taken out"], kind="view")


pad_constant = primitive(
    "pad",
    lambda x, widths, value=0: np.pad(x, widths, constant_values=value),
    [lambda g, y, x, widths, value: g[tuple(slice(w[0], w[0] + n) for w, n in zip(widths, x.shape, strict=True))]],
    ["g without the border"],
    kind="view",
)


def along(x, axis, index):
    """x[…, index, …] at `axis`."""
    return getitem(x, (slice(None),) * (axis % x.ndim) + (index,))


def pad(x, pad_width, mode="constant", constant_values=0):
    """x with a border, as np.pad; modes edge, reflect, symmetric and wrap repeat elements of x there."""
    x = operand(x)
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (x.ndim, 2)).tolist()
    if mode == "constant":
        return pad_constant(x, widths, constant_values)
    for axis, width in enumerate(widths):
        x = along(x, axis, np.pad(np.arange(x.shape[axis]), width, mode=mode))
    return x


def repeat(x, repeats, axis=None):
    """Each element `repeats` times, as np.repeat."""
    x, axis = (ravel(x), 0) if axis is None else (operand(x), axis)
    return along(x, axis, np.repeat(np.arange(x.shape[axis]), repeats))


def tile(x, reps):
    """Copies of x side by side, as np.tile."""
    x = operand(x)
    reps = tuple(np.atleast_1d(reps).tolist())
    reps = (1,) * (x.ndim - len(reps)) + reps
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    pairs = list(zip(reps, shape, strict=True))
    spread = reshape(x, tuple(size for _, n in pairs for size in (1, n)))
    copies = broadcast_to(spread, tuple(size for pair in pairs for size in pair))
    return reshape(copies, tuple(r * n for r, n in pairs))


def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements on a diagonal of the matrices that lie along two axes, as np.diagonal."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    return getitem(x, (..., *np.nonzero(np.eye(*x.shape[-2:], offset, dtype=bool))))


def diag(x, k=0):
    """The k-th diagonal of a matrix, or the matrix that has x as its k-th diagonal, as np.diag."""
    x = operand(x)
    if x.ndim == 2:
        return diagonal(x, k)
    n = x.shape[0] + abs(k)
    return scatter(x, np.nonzero(np.eye(n, k=k, dtype=bool)), (n, n))


def trace(x, offset=0, axis1=0, axis2=1):
    """The sum along a diagonal, as np.trace."""
    return np.sum(diagonal(x, offset, axis1, axis2), axis=-1)


def sort(x, axis=-1):
    """x in ascending order along an axis (None: of all elements); the gradient goes where each element came from."""
    x, axis = (ravel(x), 0) if axis is None else (operand(x), axis)
    places = list(np.indices(x.shape, sparse=True))
    places[axis] = np.argsort(values(x), axis=axis, kind="stable")
    return getitem(x, tuple(places))


# Several arrays

concatenated = primitive(
    "concatenate",
    lambda *xs, axis=0: np.concatenate(xs, axis=axis),
    lambda i, g, y, *xs, axis: segment(g, i, [x.shape[axis] for x in xs], axis),
    ["its part of g"],
    kind="view",
)
stacked = primitive(
    "stack",
    lambda *xs, axis=0: np.stack(xs, axis=axis),
    lambda i, g, y, *xs, axis: along(g, axis, i),
    ["its part of g"],
    kind="view",
)


def values(x):
    return x.data if isinstance(x, Tensor) else x


def plain_index(index):
    """An index with arrays in place of Tensors."""
    return tuple(map(values, index)) if isinstance(index, tuple) else values(index)


def segment(g, i, sizes, axis):
    """The i-th of the pieces that a concatenation along `axis` laid end to end."""
    start = sum(sizes[:i])
    return along(g, axis, slice(start, start + sizes[i]))


def concatenate(arrays, axis=0):
    """Arrays end to end along an axis, as np.concatenate."""
    return concatenated(*arrays, axis=axis) if axis is not None else concatenated(*map(ravel, arrays))


def stack(arrays, axis=0):
    """Arrays of one shape along a new axis, as np.stack."""
    return stacked(*arrays, axis=axis)


def split(x, sections, axis=0):
    """A list of the parts of x along an axis: so many equal ones, or cut at the given indices, as np.split."""
    x = operand(x)
    parts = np.split(np.arange(x.shape[axis]), sections)
    return [along(x, axis, slice(part[0], part[-1] + 1) if len(part) else slice(0, 0)) for part in parts]


overrides = {
    np.concatenate: concatenate,
    np.stack: stack,
    np.split: split,
    np.pad: pad,
    np.repeat: repeat,
    np.tile: tile,
    np.diag: diag,
    np.diagonal: diagonal,
    np.trace: trace,
    np.sort: sort,
}
numpy_overrides.update(overrides)
