"""Products: linear in each operand, so the gradient of one is a product with the others.

With C = A·B: ∂L/∂A = g·Bᵀ and ∂L/∂B = Aᵀ·g.
"""

from __future__ import annotations

import builtins
import math
import string
from collections import defaultdict

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minigrad.arrays import sum_to
from minigrad.define import composition, primitive
from minigrad.kernels.matrices import matrix_product
from minigrad.op import operand
from minigrad.ops.elementwise import multiply
from minigrad.ops.shaping import moveaxis, reshape, scatter

__all__ = ["dot", "einsum", "matmul", "outer", "tensordot"]


def product(a, b):
    """a @ b by NumPy's rules: matrices in the last two axes, the axes before them broadcast, 1-d operands too."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: a single number has no axis to sum over, multiply with *")
    if a.shape[-1] != (rows := b.shape[-2 if b.ndim > 1 else 0]):
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: inner sizes {a.shape[-1]} and {rows} differ")
    return matrix_product(a, b)


def by_left(g, y, a, b):
    """g·Bᵀ"""
    if a.ndim == b.ndim == 2:
        return matrix_product(g, b.T)
    if b.ndim == 1:
        return sum_to(g[..., None] * b, a.shape)
    if a.ndim == 1:
        return sum_to(np.matmul(b, g[..., None])[..., 0], a.shape)
    return sum_to(np.matmul(g, np.swapaxes(b, -1, -2)), a.shape)


def by_right(g, y, a, b):
    """Aᵀ·g"""
    if a.ndim == b.ndim == 2:
        return matrix_product(a.T, g)
    if a.ndim == 1:
        return sum_to(a[:, None] * g[..., None, :], b.shape) if b.ndim > 1 else g * a
    if b.ndim == 1:
        return sum_to(np.matmul(np.swapaxes(a, -1, -2), g[..., None])[..., 0], b.shape)
    return sum_to(np.matmul(np.swapaxes(a, -1, -2), g), b.shape)


matmul = primitive("matmul", product, [by_left, by_right], ["g·Bᵀ", "Aᵀ·g"], kind="linear", numpy=np.matmul)
matmul.fresh = True  # a product is a new array: a leaf need not copy it


@composition(np.dot)
def dot(a, b):
    """a·b as np.dot: the last axis of a against the second to last of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    a, b = operand(a), operand(b)
    return matmul(a, b) if a.ndim <= 2 and b.ndim <= 2 else tensordot(a, b, (-1, -2 if b.ndim > 1 else 0))


@composition(np.outer)
def outer(a, b):
    """aᵢ·bⱼ for all elements of a and of b, as np.outer."""
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@composition(np.tensordot)
def tensordot(a, b, axes=2):
    """Sum of products over the given axes of a and of b, as np.tensordot: a matrix product of the rearranged arrays."""
    a, b = operand(a), operand(b)
    if np.ndim(axes) == 0:
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    of_a, of_b = [normalize_axis_tuple(tuple(np.atleast_1d(i)), x.ndim) for x, i in zip((a, b), axes, strict=True)]
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape}: sizes along axes {of_a} and {of_b} differ")
    summed = math.prod(a.shape[i] for i in of_a)
    left = moveaxis(a, of_a, range(a.ndim - len(of_a), a.ndim))
    right = moveaxis(b, of_b, range(len(of_b)))
    rows, columns = left.shape[: a.ndim - len(of_a)], right.shape[len(of_b) :]
    y = matmul(reshape(left, (math.prod(rows), summed)), reshape(right, (summed, math.prod(columns))))
    return reshape(y, rows + columns)


# Einstein's notation


def spelled_out(subscripts, ndims):
    """`subscripts` with a letter for every axis that an ellipsis stands for, and with an explicit output."""
    given, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, {len(ndims)} were given")
    free = [letter for letter in string.ascii_letters if letter not in subscripts]
    widths = [n - len(term.replace("...", "")) for term, n in zip(terms, ndims, strict=True)]
    dots = "".join(free[: builtins.max(w if "..." in t else 0 for t, w in zip(terms, widths, strict=True))])
    terms = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    if not arrow:
        letters = "".join(terms)
        output = "..." + "".join(sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1))
    return terms, output.replace("...", dots)


def products_in(subscripts, terms, shapes):
    """How many products an einsum sums up; ValueError if a letter stands for two sizes (1 fits any other)."""
    sizes = defaultdict(set)
    for term, shape in zip(terms, shapes, strict=True):
        for letter, n in zip(term, shape, strict=False):
            sizes[letter] |= {n} - {1}
    for letter, found in sizes.items():
        if len(found) > 1:
            given = ", ".join(map(str, shapes))
            raise ValueError(f"einsum: {subscripts!r} of {given}: {letter} has sizes {sorted(found)}")
    return math.prod(n for found in sizes.values() for n in found)


def by_operand(i, g, y, *xs, subscripts, optimize):
    """The einsum of g with the other operands, laid out as operand i."""
    terms, output = spelled_out(subscripts, [x.ndim for x in xs])
    x, term = xs[i], terms[i]
    others = [output, *terms[:i], *terms[i + 1 :]]  # of g, and of the other operands
    sizes = dict(zip(term, x.shape, strict=True))
    found = "".join(letter for letter in sizes if letter in "".join(others))
    part = np.einsum(f"{','.join(others)}->{found}", g, *xs[:i], *xs[i + 1 :], optimize=optimize)
    there = dict(zip(found, part.shape, strict=True))
    part = part.reshape(tuple(there.get(letter, 1) for letter in sizes))  # a letter of x alone was summed away
    part = sum_to(part, tuple(1 if n == 1 else there.get(letter, 1) for letter, n in sizes.items()))
    part = np.broadcast_to(part, tuple(sizes.values()))
    if len(sizes) == len(term):
        return part
    grid = dict(zip(sizes, np.indices(part.shape, sparse=True), strict=True))
    return scatter(part, tuple(grid[letter] for letter in term), x.shape)  # only the diagonal of x was read


summed_products = primitive(
    "einsum",
    lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs, optimize=optimize),
    by_operand,
    ["einsum of g and the others"],
    kind="linear",
)


@composition(np.einsum)
def einsum(subscripts, *operands, optimize=None):
    """Sum of products in Einstein's notation, as np.einsum: `"ij,j->i"` first, or the axes of each operand after it.

    `optimize`, as in np.einsum, takes matrix products where it can: by default if there are more than 2¹⁶ products.

    >>> import numpy as np
    >>> from minigrad.ops.linear import einsum
    >>> einsum("ij,j->i", np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    """
    if not operands:
        raise ValueError('einsum: there are no operands; call it as einsum("ij,j->i", a, b)')
    if not isinstance(subscripts, str):
        subscripts, operands = from_lists(subscripts, *operands)
    operands = [operand(x) for x in operands]
    terms, _ = spelled_out(subscripts, [x.ndim for x in operands])
    many = products_in(subscripts, terms, [x.shape for x in operands]) > 2**16
    return summed_products(*operands, subscripts=subscripts, optimize=many if optimize is None else optimize)


def from_lists(*operands):
    """`a, [0, 1], b, [1, 2], [0, 2]` as `"AB,BC->AC"`, in the order of the alphabet, and the operands."""
    pairs, letters = len(operands) // 2, string.ascii_uppercase + string.ascii_lowercase
    terms = [
        "".join("..." if i is Ellipsis else letters[range(52).index(i)] for i in axes)
        for axes in [*operands[1 : 2 * pairs : 2], *operands[2 * pairs :]]
    ]
    return "->".join([",".join(terms[:pairs]), *terms[pairs:]]), operands[: 2 * pairs : 2]
