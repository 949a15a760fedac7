"""Systems of linear equations on Tensors: np.linalg.solve, inv, det, slogdet and cholesky, of one matrix or of many.

A matrix without an inverse is a ValueError. Its det is 0, but backward through it fails: the rule needs the inverse.

>>> import numpy as np, minigrad as mg
>>> a = mg.tensor([[2.0, 1.0], [0.0, 4.0]], requires_grad=True)
>>> np.linalg.det(a).backward()
>>> a.grad.round(12)
array([[ 4.,  0.],
       [-1.,  2.]])
"""

from __future__ import annotations

import numpy as np

from minigrad.arrays import sum_to
from minigrad.define import composition, primitive
from minigrad.ops.shaping import values


def transposed(a):
    return np.swapaxes(a, -1, -2)


def solve_transposed(a, g):
    return np.linalg.solve(transposed(a), g)


inv = primitive(
    "inv",
    np.linalg.inv,
    [lambda g, y, a: -transposed(y) @ g @ transposed(y)],
    ["−yᵀ·g·yᵀ"],
    numpy=np.linalg.inv,
)
det = primitive(
    "det",
    np.linalg.det,
    [lambda g, y, a: np.expand_dims(g * y, (-2, -1)) * transposed(np.linalg.inv(a))],
    ["g·|a|·a⁻ᵀ"],
    numpy=np.linalg.det,
)
log_abs_det = primitive(
    "slogdet",
    lambda a: np.linalg.slogdet(a).logabsdet,
    [lambda g, y, a: np.expand_dims(g, (-2, -1)) * transposed(np.linalg.inv(a))],
    ["g·a⁻ᵀ"],
)
solved = primitive(
    "solve",
    np.linalg.solve,
    [
        lambda g, y, a, b: sum_to(-solve_transposed(a, g) @ transposed(y), a.shape),
        lambda g, y, a, b: sum_to(solve_transposed(a, g), b.shape),
    ],
    ["−a⁻ᵀ·g·yᵀ", "a⁻ᵀ·g"],
)


def lower(a):
    """The lower triangle, with half of the diagonal."""
    return (np.tril(a) + np.tril(a, -1)) / 2


def mirrored(a):
    """The lower triangle, and its mirror image above the diagonal."""
    return np.tril(a) + transposed(np.tril(a, -1))


cholesky = primitive(  # NumPy reads the lower triangle of a alone
    "cholesky",
    lambda a: np.linalg.cholesky(a),
    [lambda g, y, a: lower(transposed(np.linalg.inv(y)) @ mirrored(transposed(y) @ g) @ np.linalg.inv(y))],
    ["low(y⁻ᵀ·sym(yᵀ·g)·y⁻¹)"],
    numpy=np.linalg.cholesky,
)


@composition(np.linalg.solve)
def solve(a, b):
    """The y with a·y = b, for a vector or a matrix b, as np.linalg.solve."""
    return solved(a, b) if np.ndim(b) > 1 else solved(a, np.expand_dims(b, -1))[..., 0]


@composition(np.linalg.slogdet)
def slogdet(a):
    """The sign of the determinant, as an array, and ln |det a|, as np.linalg.slogdet."""
    return np.linalg.slogdet(values(a))._replace(logabsdet=log_abs_det(a))
