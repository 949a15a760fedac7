"""The backward pass of one sample: where a loss spreads its gradient over the batch, only one row is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from minigrad.graph import Node
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge
from minigrad.inspection.trace import Trace


class OneSample(LocalJacobian):
    """The derivative of a number by a batch, with 0 for all rows but one; `whole` is that of all rows."""

    def __init__(self, whole: LocalJacobian, sample: int) -> None:
        super().__init__(whole.node, whole.slot)
        self.whole = whole
        self.sample = sample

    def vjp(self, g: ArrayLike) -> np.ndarray:
        return only(self.whole.vjp(g), self.sample)

    def jvp(self, v: ArrayLike) -> np.ndarray:
        return self.whole.jvp(only(np.broadcast_to(v, self.node.arrays[self.slot].shape), self.sample))


def only(batch: np.ndarray, sample: int) -> np.ndarray:
    """`batch` with zeros in every row but one."""
    kept = np.zeros_like(batch)
    kept[sample] = batch[sample]
    return kept


def of_row(edge: Edge, sample: int, kind: str) -> LocalJacobian:
    """The derivative for one row alone, if it differs from row to row: the slopes of an activation, xᵀ of a weight.

    It is that of all rows if these are not samples, or if a BatchNorm has spread the gradient over them.
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
        If the output does not come from one batch that has this sample.
    """
    spreads = spreads_of(trace)
    sizes = {edge.input.shape[0] for edge in spreads} or {*trace.seed.shape[:1]}
    if not sizes:
        raise ValueError(f"chain: there is no batch of samples: {trace[-1].symbol} is computed from single numbers")
    if len(sizes) > 1:
        rows = " and ".join(map(str, sorted(sizes)))
        raise ValueError(f"chain: sample= needs a loss of one batch without penalties; this one sums over {rows} rows")
    if sample not in range(-min(sizes), min(sizes)):
        raise ValueError(f"chain: there is no sample {sample} in a batch of {min(sizes)} rows")
    seed = trace.seed if spreads else only(trace.seed, sample)
    return trace.again({edge: OneSample(edge.local, sample) for edge in spreads}, seed)


def spreads_of(trace: Trace) -> list[Edge]:
    """The edges that spread the gradient, up to there a single number, over an array."""
    numbers, spreads = {trace[-1]}, []
    for edge in trace.edges():
        if edge.output in numbers and not edge.output.shape:
            if edge.input.shape:
                spreads.append(edge)
            else:
                numbers.add(edge.input)
    return spreads
