"""The rest of NumPy on Tensors, written in NumPy: there is no derivative in this file.

Importing it lets NumPy's functions below record: `np.cbrt(t)`, `np.vstack([a, b])`, `np.linalg.norm(t, axis=0)`.
Arguments are those of NumPy; one that is not supported raises TypeError with its name.

>>> import numpy as np, minigrad as mg
>>> x = mg.tensor([1.0, 8.0, 27.0], requires_grad=True)
>>> np.diff(np.cbrt(x)).sum().backward()
>>> x.grad.round(6)
array([-0.333333,  0.      ,  0.037037])
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from minigrad.define import composition
from minigrad.ops.elementwise import astype
from minigrad.ops.reductions import products_before
from minigrad.ops.shaping import along, fixed, scatter, values
from minigrad.tensor import Tensor


def like(*names):
    """`composition` for NumPy's functions of these names, as far as this NumPy has them."""
    found = (functools.reduce(lambda place, part: getattr(place, part, None), name.split("."), np) for name in names)
    return composition(*(function for function in found if function is not None))


# Functions of each element


def signed(a, b):
    """a, or −a where b is negative."""
    return np.where(np.signbit(values(b)), -a, a)


def choice_between(better):
    """fmax or fmin: NaN counts only where both are NaN."""
    return lambda a, b: np.where(np.isnan(values(a)), b, np.where(np.isnan(values(b)), a, better(a, b)))


ELEMENTWISE = {
    "exp2": lambda x: 2.0**x,
    "cbrt": lambda x: signed(signed(x, x) ** (1 / 3), x),
    "logaddexp2": lambda a, b: np.logaddexp(a * math.log(2), b * math.log(2)) / math.log(2),
    "float_power": lambda a, b: np.power(a, b, dtype=np.float64),
    "fmax": choice_between(np.maximum),
    "fmin": choice_between(np.minimum),
    "fmod": lambda a, b: signed(np.remainder(signed(a, a) if isinstance(a, Tensor) else abs(a), abs(b)), a),
    "divmod": lambda a, b: (np.floor_divide(values(a), values(b)), np.remainder(a, b)),
    "modf": lambda x: (still(x) + np.modf(1.0 * x.data)[0], np.trunc(x.data)),
    "frexp": lambda x: (np.ldexp(x, -np.frexp(x.data)[1]), np.frexp(x.data)[1]),
    "ldexp": lambda x, exponent: x * np.ldexp(x.dtype.type(1), values(exponent)),
    "copysign": lambda a, b: abs(a) * np.copysign(values(a) ** 0, values(b)),
    "fabs": lambda x: np.abs(x),
    "deg2rad radians": lambda x: x * (math.pi / 180),
    "rad2deg degrees": lambda x: x * (180 / math.pi),
    "sinc": lambda x: np.where(  # near 0 its series: there the derivatives of the quotient cancel
        near := np.abs(values(x)) < 1e-4, 1 - (math.pi * x * near) ** 2 / 6, np.sin(u := math.pi * (x + near)) / u
    ),
    "copy positive conjugate real real_if_close": lambda x: astype(x, x.dtype),
    "nan_to_num": lambda x, **limits: np.where(np.isfinite(x.data), x, np.nan_to_num(x.data.copy(), **limits)),
}


def still(a):
    """0, but with derivative 1 by a Tensor where that is finite."""
    finite = np.isfinite(values(a))
    return np.where(finite, a, 0) - np.where(finite, a.data, 0) if isinstance(a, Tensor) else 0


@like("remainder")
def remainder(x1, x2):
    quotient, found = np.divmod(values(x1), values(x2))
    return found + still(x1) - np.nan_to_num(quotient) * still(x2)  # the quotient may overflow


# Shapes, and taking elements


def placed(x, axis, ndim):
    """A vector along `axis` of an array with `ndim` axes."""
    return np.moveaxis(np.reshape(x, (1,) * (ndim - 1) + (-1,)), -1, axis)


def shaped_by(numpy):
    """A function such as atleast_1d: one array, or each of several, in the shape that `numpy` gives it."""

    def shaped(*arrays):
        parts = tuple(np.reshape(x, numpy(values(x)).shape) for x in arrays)
        return parts[0] if len(parts) == 1 else parts

    return shaped


@like("array_split")
def array_split(ary, indices_or_sections, axis=0):
    places = np.arange(ary.shape[normalize_axis_index(axis, ary.ndim)])
    return [along(ary, axis, piece) for piece in np.array_split(places, values(indices_or_sections))]


@like("rollaxis")
def rollaxis(a, axis, start=0):
    axis, start = normalize_axis_index(axis, a.ndim), start + a.ndim * (start < 0)
    return np.moveaxis(a, axis, start - (axis < start))


@like("rot90")
def rot90(m, k=1, axes=(0, 1)):
    m = np.flip(m, axes) if k % 4 > 1 else m
    return np.flip(np.moveaxis(m, axes, (axes[1], axes[0])), axes[0]) if k % 2 else m


SHAPES = {
    **{name: shaped_by(getattr(np, name)) for name in ("atleast_1d", "atleast_2d", "atleast_3d")},
    "hstack": lambda tup: np.concatenate([np.atleast_1d(x) for x in tup], axis=int(np.ndim(tup[0]) > 1)),
    "vstack": lambda tup: np.concatenate([np.atleast_2d(x) for x in tup]),
    "dstack": lambda tup: np.concatenate([np.atleast_3d(x) for x in tup], axis=2),
    "column_stack": lambda tup: np.concatenate([x if np.ndim(x) > 1 else placed(x, 0, 2) for x in tup], axis=1),
    "append": lambda arr, values, axis=None: np.concatenate([arr, values], axis),
    "hsplit": lambda ary, indices: np.split(ary, indices, axis=int(ary.ndim > 1)),
    "vsplit": lambda ary, indices: np.split(ary, indices, axis=0),
    "dsplit": lambda ary, indices: np.split(ary, indices, axis=2),
    "take": lambda a, indices, axis=None: along(np.ravel(a), 0, indices) if axis is None else along(a, axis, indices),
    "partition": lambda a, kth, axis=-1: np.take_along_axis(a, np.argpartition(a, kth, axis), axis),
    "select": lambda condlist, choicelist, default=0: functools.reduce(
        lambda rest, case: np.where(case[0], case[1], rest), [*zip(condlist, choicelist, strict=True)][::-1], default
    ),
    "lib.stride_tricks.sliding_window_view": lambda x, window_shape, axis=None: np.ravel(x)[
        np.lib.stride_tricks.sliding_window_view(np.arange(x.size).reshape(x.shape), window_shape, axis)
    ],
    "linspace": lambda start, stop, num=50: (
        start + np.tensordot(np.linspace(0, 1, num, dtype=np.result_type(start, stop)), stop - start, 0)
    ),
    "matrix_transpose": lambda x: np.swapaxes(x, -1, -2),
    "fliplr": lambda m: np.flip(m, 1),
    "flipud": lambda m: np.flip(m, 0),
}

# Sums, means, differences


@like("bincount")
def bincount(x, weights=None, minlength=0):
    sums = np.bincount(values(x), values(weights), minlength)
    return scatter(weights.astype(float), fixed(values(x)), sums.shape) if isinstance(weights, Tensor) else sums


@like("cumprod", "cumulative_prod")
def cumprod(a, axis=None):
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    rows = np.moveaxis(a, axis, -1)
    return np.moveaxis(products_before(rows) * rows, -1, axis)


@like("diff")
def diff(a, n=1, axis=-1):
    for _ in range(n):
        a = along(a, axis, slice(1, None)) - along(a, axis, slice(None, -1))
    return a


@like("gradient")
def gradient(f, *varargs, axis=None, edge_order=1):
    if edge_order != 1 or any(map(np.ndim, varargs)):
        raise TypeError("on Tensors a spacing is a number, not coordinates, and edge_order is 1")
    axes = normalize_axis_tuple(range(f.ndim) if axis is None else axis, f.ndim)
    slopes = []
    for i, step in zip(axes, np.broadcast_to(varargs or 1.0, len(axes)).tolist(), strict=True):
        sides = np.pad(np.diff(f, axis=i) / step, {i: 1}, "edge")  # the ends have one side only
        slopes.append((along(sides, i, slice(1, None)) + along(sides, i, slice(None, -1))) / 2)
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


@like("average")
def average(a, axis=None, weights=None, *, keepdims=False):
    if weights is None:
        return np.mean(a, axis, keepdims=keepdims)
    weights = weights if np.shape(weights) == np.shape(a) else placed(weights, axis, np.ndim(a))
    weights = np.broadcast_to(weights, np.shape(a)).astype(np.result_type(a, weights))
    return np.sum(a * weights, axis, keepdims=keepdims) / np.sum(weights, axis, keepdims=keepdims)


@like("trapezoid")
def trapezoid(y, x=None, dx=1.0, axis=-1):
    if x is not None:
        dx = placed(np.diff(x), axis, np.ndim(y)) if np.ndim(x) == 1 else np.diff(x, axis=axis)
    return np.sum((along(y, axis, slice(1, None)) + along(y, axis, slice(None, -1))) * dx / 2, axis)


def extreme_number(extreme, instead):
    """nanmax or nanmin: NaN counts only where there is nothing else."""

    def reduce(a, axis=None, keepdims=False):
        skipped = np.isnan(a) & ~np.all(np.isnan(a), axis, keepdims=True)
        return extreme(np.where(skipped, instead, a), axis, keepdims=keepdims)

    return reduce


SUMS = {
    "cumulative_sum": lambda x, axis=None: np.cumsum(x, axis),
    "ediff1d": lambda ary: np.diff(np.ravel(ary)),
    "ptp": lambda a, axis=None, keepdims=False: np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims),
    "nanmean": lambda a, axis=None: np.nansum(a, axis) / np.sum(~np.isnan(a), axis, np.result_type(a, np.float32)),
    "nansum": lambda a, axis=None, keepdims=False: np.sum(np.where(np.isnan(a), 0, a), axis, keepdims=keepdims),
    "nanmax": extreme_number(np.max, -np.inf),
    "nanmin": extreme_number(np.min, np.inf),
}

# Products and norms


@like("kron")
def kron(a, b):
    ndim = max(np.ndim(a), np.ndim(b))
    a, b = (np.reshape(x, (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (a, b))
    order = [i + j for i in range(ndim) for j in (0, ndim)]  # a block of b for each element of a
    return np.reshape(np.transpose(np.tensordot(a, b, 0), order), np.multiply(a.shape, b.shape))


@like("cross", "linalg.cross")
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: shapes {a.shape} and {b.shape}: vectors of three numbers are needed")
    ahead, behind = [1, 2, 0], [2, 0, 1]
    product = a[..., ahead] * b[..., behind] - a[..., behind] * b[..., ahead]
    return np.moveaxis(product, -1, axisc)


@like("linalg.norm")
def norm(x, ord=None, axis=None, keepdims=False):
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    if ord is None or (ord, len(axes)) in ((2, 1), ("fro", 2)):
        return x.norm(axis, keepdims)
    if isinstance(ord, str) or ord == 0 or len(axes) > 2 or (len(axes) == 2 and abs(ord) not in (1, np.inf)):
        raise ValueError(f"norm: ord={ord!r} over {len(axes)} axes is not supported")
    outer = np.max if ord > 0 else np.min
    if len(axes) == 2:
        return outer(np.sum(np.abs(x), axes[0 if abs(ord) == 1 else 1], keepdims=True), axes, keepdims=keepdims)
    if abs(ord) == np.inf:
        return outer(np.abs(x), axes, keepdims=keepdims)
    total = np.sum(np.where(x == 0, 0, np.abs(x)) ** ord, axes, keepdims=keepdims)  # derivative 0 at 0, as x.norm()
    return np.where(total == 0, 0 if ord > 0 else np.inf, np.where(total == 0, 1, total) ** (1 / ord))


PRODUCTS = {
    "inner": lambda a, b: np.dot(a, np.moveaxis(b, -1, -2) if np.ndim(a) and np.ndim(b) > 1 else b),
    "vdot": lambda a, b: np.dot(np.ravel(a), np.ravel(b)),
    "vecdot": lambda a, b: np.sum(a * b, axis=-1),
    "matvec": lambda a, x: np.matmul(a, np.expand_dims(x, -1))[..., 0],
    "vecmat": lambda x, a: np.matmul(np.expand_dims(x, -2), a)[..., 0, :],
    "linalg.multi_dot": lambda arrays: functools.reduce(np.dot, arrays),
}

for names, function in {**ELEMENTWISE, **SHAPES, **SUMS, **PRODUCTS}.items():
    function.__name__ = function.__qualname__ = names.split()[0].split(".")[-1]  # as errors call it
    like(*names.split())(function)

Tensor.__mod__ = lambda self, other: np.remainder(self, other)
Tensor.__rmod__ = lambda self, other: np.remainder(other, self)
