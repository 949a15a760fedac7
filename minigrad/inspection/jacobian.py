"""The derivative of one value in a trace by another, as a matrix.

- `trace.jacobian("h[5]", "h[4]", sample=0)`: how the units of one layer or step act on those of a later one.

Its singular values say by how much gradients are stretched and shrunk on the way; those of a product of many
say why they explode or vanish. A matrix has as many rows as `of` has elements, and each is one backward walk from
a unit gradient there; they are taken together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.inspection.local import DENSE_LIMIT
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.paths import along
from minigrad.inspection.trace import Trace


def jacobian(self: Trace, of: Any, wrt: Any, sample: int | None = None) -> np.ndarray:
    """∂of/∂wrt over all paths between the two.

    Parameters
    ----------
    of, wrt : Tensor, str, int, TraceNode, or a list of them
        Of a list, rows or columns stand one below or beside the other, such as those of the state [h, c] of an
        LSTM. Everything in `wrt` counts as independent: a path ends at the first of them that it meets.
    sample : int, optional
        Only this row of `of` by this row of `wrt`, both of which have the batch as first axis.

    Returns
    -------
    ndarray, (of.size, wrt.size)
        Per sample if that is given. Zeros where `of` does not depend on `wrt`.

    Raises
    ------
    ValueError
        If there is no such sample, or the matrix had more than a million entries.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor([[0.0, 0.0]], requires_grad=True, name="x")
    >>> w = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> trace = mg.trace(mg.sum(mg.tanh(x @ w)))
    >>> trace.jacobian("h1", "x", sample=0)
    array([[1., 3.],
           [2., 4.]])
    """
    outputs, inputs = ([self.target(key) for key in keys(nodes)] for nodes in (of, wrt))
    at = () if sample is None else (row(sample, [*outputs, *inputs]),)
    rows, columns = (sum(node.value[at].size for node in nodes) for nodes in (outputs, inputs))
    if rows * columns > DENSE_LIMIT:
        way = "mg.grad(of, wrt, g) gives g·J without it" + ("" if at else ", and sample= the matrix of one sample")
        raise ValueError(f"jacobian: {rows} × {columns} entries are too many to write out: {way}")
    matrix = np.zeros((0, columns), np.result_type(*(node.value for node in outputs)))
    for y in outputs:
        for units in identity(y.value[at].shape, y.value.size):
            gs = np.zeros((len(units), *y.shape), y.value.dtype)
            gs[(slice(None), *at)] = units
            found = along(y, gs, inputs, products, through=False)
            blocks = [
                np.zeros((len(units), x.value[at].size)) if g is None else g[(slice(None), *at)].reshape(len(units), -1)
                for x, g in zip(inputs, found, strict=True)
            ]
            matrix = np.concatenate([matrix, np.concatenate(blocks, axis=1)])
    return matrix


def keys(nodes: Any) -> list:
    return list(nodes) if isinstance(nodes, (list, tuple)) else [nodes]


def row(sample: int, nodes: Sequence[TraceNode]) -> int:
    """`sample`, if all of `nodes` have such a row."""
    sizes = {node.shape[0] if node.shape else 0 for node in nodes}
    if len(sizes) > 1 or not -min(sizes) <= sample < min(sizes):
        shapes = ", ".join(f"{node.symbol} {node.shape}" for node in nodes)
        raise ValueError(f"jacobian: there is no sample {sample} along the first axes of {shapes}")
    return sample


def identity(shape: Sequence[int], size: int) -> Iterator[np.ndarray]:
    """The unit gradients of an array of `shape`, so many at once that arrays of `size` elements stay small together."""
    n = math.prod(shape)
    together = max(1, DENSE_LIMIT // size)
    for first in range(0, n, together):
        yield np.eye(min(together, n - first), n, first).reshape(-1, *shape)


def products(edge: Edge, gs: np.ndarray) -> np.ndarray:
    """What an edge makes of each of the gradients that are stacked in `gs`."""
    return np.array(edge.local.vjps(gs))
