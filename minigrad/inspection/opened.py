"""A graph as it is on paper: fused ops are replaced by their definitions, packed arrays by their pieces.

An op has one output, so several values travel as one array, a *pack*: states stacked over time, h and c side by
side. That is storage, not mathematics. Through a pack every state would receive zeros from all the others, and
every path would lead through it. So stack(a₀ … a_T)[t] is read as aₜ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.graph import Node, order
from minigrad.ops.shaping import concatenate, concatenated, elements, stack, stacked
from minigrad.settings import recording
from minigrad.tensor import Tensor, recorded_inputs


def opened(nodes: Sequence[Node]) -> tuple[list[Node], dict[Node, Any], dict[Node, Node]]:
    """The graph of `nodes`, the first of which is the output, in primitive ops and without packs.

    Returns
    -------
    list of Node
        In the order of a walk: each after all its users.
    dict
        Removed node → the node or leaf that stands in its place, or itself if nothing needs it any more.
    dict
        Node of a definition → the node of the fused op that it is a part of.
    """
    handled: dict[Node, Any] = {}
    within: dict[Node, Node] = {}
    pending = list(nodes)
    while pending:
        node = pending.pop()  # the oldest: its inputs have been handled
        handled[node] = vertex = stand_in(node, handled)
        if isinstance(vertex, Node) and vertex not in handled:
            parts = order(vertex, until=handled)
            pending += parts
            if node.op.definition:
                within.update(dict.fromkeys(parts, node))
    final = {node: resolved(handled, node) for node in handled}
    needed = {final[node] for node in nodes[:1]}
    primitive = []
    for node in reversed(handled):
        if node in needed:
            primitive.append(node)
            needed.update(final.get(x.node, x) for x in node.inputs if x is not None)
    return primitive, {node: vertex for node, vertex in final.items() if node not in needed}, within


def resolved(handled: Mapping[Node, Any], vertex: Any) -> Any:
    """What finally stands for `vertex`: its stand-in may have a stand-in itself."""
    while handled.get(vertex, vertex) is not vertex:
        vertex = handled[vertex]
    return vertex


def stand_in(node: Node, handled: Mapping[Node, Any]) -> Any:
    """What replaces `node`: the output of its definition, what it takes out of a pack, or else the node itself."""
    pack = pack_under(node, handled)
    if pack is None and (node.op.definition is None or all(x is None for x in node.inputs)):
        return node  # a primitive op, or a constant already
    with recording(node.scope):
        if pack is None:
            y = node.op.definition(*recorded_inputs(node), **node.params)
        else:
            y = taken_out(pack, node.params["index"])
        if y is None:
            return node
        if isinstance(y, Tensor) and y.requires_grad:
            return y.node or y
        # the result is a constant: a gradient that arrives here goes no further
        return Node(node.op, (None,) * len(node.inputs), node.arrays, node.params, node.output, node.saved, 0)


def pack_under(node: Node, handled: Mapping[Node, Any]) -> Node | None:
    """The pack that a node indexes, if it does."""
    if node.op is not elements or node.inputs[0] is None:
        return None
    pack = resolved(handled, node.inputs[0].node)
    return pack if isinstance(pack, Node) and pack.op in (stacked, concatenated) else None


def taken_out(pack: Node, index: Any) -> Any:
    """pack[index], from the pieces that were packed; None if the index takes single elements.

    stack(a₀ … a_T)[t] is aₜ and concatenate(h, c)[:n] is h; an index into several pieces gives a pack of those.
    """
    places = along_axes(index, pack.output.shape)
    if places is None:
        return None
    axis = pack.params["axis"] % pack.output.ndim
    before, here, after = places[:axis], places[axis], places[axis + 1 :]
    axis -= sum(isinstance(i, int) for i in before)  # in the result
    pieces = recorded_inputs(pack)
    if pack.op is stacked:
        if isinstance(here, int):
            return part(pieces[here], before + after)
        return stack([part(pieces[i], before + after) for i in here], axis)
    wanted = range(here, here + 1) if isinstance(here, int) else here
    if wanted.step != 1:
        return None
    parts = []
    for x, (start, end) in zip(pieces, pairwise(pack.params["starts"]), strict=True):
        within = range(max(wanted.start, start) - start, min(wanted.stop, end) - start)
        if within:
            parts.append(part(x, [*before, within[0] if isinstance(here, int) else within, *after]))
    return parts[0] if len(parts) == 1 else concatenate(parts, axis)


def along_axes(index: Any, shape: Sequence[int]) -> list[int | range] | None:
    """What an index selects along each axis; None if that is nothing, or it has an array, a mask or a new axis."""
    index = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(i, bool) or not isinstance(i, (int, np.integer, slice, type(...))) for i in index):
        return None
    at = index.index(...) if ... in index else len(index)
    index[at : at + 1] = [slice(None)] * (len(shape) - len(index) + (... in index))
    places = [range(n)[i] for n, i in zip(shape, index, strict=True)]
    return None if any(isinstance(place, range) and not place for place in places) else places


def part(x: Any, places: Sequence[int | range]) -> Any:
    """x at `places`, one per axis: x itself if that is all of it."""
    if places == [range(n) for n in x.shape]:
        return x
    slices = [i if isinstance(i, int) else slice(i.start, None if i.stop < 0 else i.stop, i.step) for i in places]
    return x[tuple(slices)]
