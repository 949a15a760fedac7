"""The derivative of one value in a trace by another, as a matrix.

- `trace.jacobian("h[5]", "h[4]", sample=0)`: how the units of one layer or step act on those of a later one.

Its singular values say by how much gradients are stretched and shrunk on the way; those of a product of many
say why they explode or vanish. Each element of `of` gives one row: what a backward walk from a unit gradient there
brings to `wrt`. One walk carries many rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.inspection.local import DENSE_LIMIT
from minigrad.inspection.parts import TraceNode
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import along_each


def jacobian(self: Trace, of: Any, wrt: Any, sample: int | None = None) -> np.ndarray:
    """∂of/∂wrt over all paths between the two.

    Parameters
    ----------
    of, wrt : Tensor, str, int, TraceNode, or a list of them
        The blocks of a list, such as the state [h, c] of an LSTM, are stacked: rows for `of`, columns for `wrt`.
        Everything in `wrt` counts as independent: a path ends at the first of them that it meets.
    sample : int, optional
        Only this row of `of` by this row of `wrt`, both of which have the batch as first axis.

    Returns
    -------
    ndarray, (of.size, wrt.size)
        In float64. For one sample if `sample` is given. Zeros where `of` does not depend on `wrt`.

    Raises
    ------
    ValueError
        If there is no such sample, or the matrix would have more than a million entries.

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
        way = "mg.grad(of, wrt, g) gives g·J alone" + ("" if at else ", and sample= the matrix of one sample")
        raise ValueError(f"jacobian: {rows} × {columns} entries are too many to write out: {way}")
    blocks = [
        [np.reshape([g[at] for g in gradients], (len(gradients), -1)) for gradients in arrived]
        for y in outputs
        for arrived in along_each(y, units(y.value, at), inputs, through=False)
    ]
    return np.block(blocks) if blocks else np.zeros((rows, columns))


def keys(nodes: Any) -> list:
    return list(nodes) if isinstance(nodes, (list, tuple)) else [nodes]


def row(sample: int, nodes: Sequence[TraceNode]) -> int:
    """`sample`, if all of `nodes` have such a row."""
    sizes = {node.shape[0] if node.shape else 0 for node in nodes}
    if len(sizes) > 1 or not -min(sizes) <= sample < min(sizes):
        shapes = ", ".join(f"{node.symbol} {node.shape}" for node in nodes)
        raise ValueError(f"jacobian: there is no sample {sample} along the first axes of {shapes}")
    return sample


def units(x: np.ndarray, at: tuple) -> Iterator[np.ndarray]:
    """The unit gradients of the elements `at` of x."""
    for element in np.arange(x.size).reshape(x.shape)[at].ravel():
        unit = np.zeros(x.shape)
        unit.flat[element] = 1
        yield unit
