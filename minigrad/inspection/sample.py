"""The backward pass of one sample: where a loss spreads its gradient over the batch, only one row is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from minigrad.graph import Node
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge
from minigrad.inspection.trace import Trace


class OneSample(LocalJacobian):
    """A local derivative of a number by a batch, of which one row counts; `whole` is that of all rows."""

    def __init__(self, whole: LocalJacobian, sample: int) -> None:
        super().__init__(whole.node, whole.slot)
        self.whole = whole
        self.sample = sample

    def vjp(self, g: ArrayLike) -> np.ndarray:
        return only(self.whole.vjp(g), self.sample)


def only(batch: np.ndarray, sample: int) -> np.ndarray:
    """`batch` with zeros in every row but one."""
    kept = np.zeros_like(batch)
    kept[sample] = batch[sample]
    return kept


def of_row(edge: Edge, sample: int, kind: str) -> LocalJacobian:
    """The derivative that this row alone meets, if rows have different ones: slopes, and xᵀ of a weight.

    It is that of all rows where these are not samples, and where a BatchNorm has spread the gradient over them.
    """
    local, node, y = edge.local, edge.output.vertex, edge.output.value
    differ = y.ndim > 1 and (local.kind == "diagonal" or (kind == "input" and local.slot == 1))
    alone = differ and sample in range(-len(y), len(y)) and not np.any(np.delete(edge.upstream, sample, axis=0))
    if not alone or type(local) is not LocalJacobian:
        return local
    arrays = tuple(x[[sample]] if np.ndim(x) == y.ndim and len(x) == len(y) else x for x in local.arrays)
    if kind == "input":
        arrays = arrays[0], local.arrays[1]
    row = Node(node.op, node.inputs, arrays, node.params, y[[sample]], node.saved, node.versions)
    return LocalJacobian(row, local.slot)


def of_sample(trace: Trace, sample: int) -> Trace:
    """The same trace, walked again for the loss of one sample of the batch.

    Raises
    ------
    ValueError
        If the output does not come from a batch of that many rows.
    """
    spreads = spreads_of(trace)
    sizes = {edge.input.shape[0] for edge in spreads} or {*trace.seed.shape[:1]}
    if not sizes:
        raise ValueError(f"chain: there is no batch of samples: {trace[-1].symbol} is computed from single numbers")
    if len(sizes) > 1:
        rows = " and ".join(map(str, sorted(sizes)))
        raise ValueError(f"chain: sample= is for a loss of one batch, and this one sums over {rows} rows; no penalties")
    if sample not in range(-min(sizes), min(sizes)):
        raise ValueError(f"chain: there is no sample {sample} in a batch of {min(sizes)} rows")
    seed = trace.seed if spreads else only(trace.seed, sample)
    return trace.again({edge: OneSample(edge.local, sample) for edge in spreads}, seed)


def spreads_of(trace: Trace) -> list[Edge]:
    """The edges over which the gradient, from the output on a single number, is spread over an array."""
    numbers, spreads = {trace[-1]}, []
    for edge in trace.edges():
        if edge.output in numbers and not edge.output.shape:
            if edge.input.shape:
                spreads.append(edge)
            else:
                numbers.add(edge.input)
    return spreads
