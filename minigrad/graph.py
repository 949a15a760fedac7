"""The record of a computation, and the one walk that takes gradients back through it.

- `Node`: one op that ran, with its inputs and its output.
- `order(node)`: everything a node was computed from, each node after all its users.
- `walk(nodes, gradients, send)`: send every node's gradient to its inputs and add up what arrives there.

`backward()`, `grad()`, `trace()` and the split by path length are this one walk, with different functions as `send`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from minigrad.settings import state, watch, watches

ticket = itertools.count().__next__  # every node draws a number, higher than those of its inputs


class GraphError(RuntimeError):
    """The graph was used in a way that would give a wrong gradient, or none."""


class Node:
    """One op that ran. It holds its inputs and never its users, so a graph has no reference cycles.

    Attributes
    ----------
    op : Op
        The op, which holds the derivative rules.
    inputs : tuple
        Per input its Tensor, or None for a plain array or number.
    arrays : tuple
        The values the op computed with; assigning `t.data` later cannot change them.
    params : dict
        Keyword arguments such as `axis`.
    output : ndarray
        The result: one array per node.
    saved : object
        What a fused op keeps for its backward kernel, else None.
    versions : int
        How many in-place writes the leaf inputs had seen, in total, when the op ran: a larger total later means a new
        write. Computed inputs and the output count 0, as they must never be written to.
    writes : list or None
        The count of writes to the output, shared with every tensor on that array; None as long as there are none.
    scope : str
        Path of the module that made it.
    seq : int
        Serial number, higher than that of every node it was computed from.
    """

    __slots__ = ("op", "inputs", "arrays", "params", "output", "saved", "versions", "writes", "scope", "seq")

    def __init__(self, op, inputs, arrays, params, output, saved, versions):
        self.op = op
        self.inputs = inputs
        self.arrays = arrays
        self.params = params
        self.output = output
        self.saved = saved
        self.versions = versions
        self.writes = None
        self.scope = state.scope
        self.seq = ticket()

    def __repr__(self):
        return f"Node({self.op.name}, shape {self.output.shape}, scope {self.scope!r}, seq {self.seq})"


def order(*roots: Node, until: Collection = ()) -> list[Node]:
    """`roots` and all nodes that they were computed from, each after all its users, checked for in-place writes.

    The search does not enter the nodes in `until`.

    Raises
    ------
    GraphError
        If an array was written to in place after an op had used it: derivatives taken from it would be wrong.
    """
    found, stack = set(roots), list(roots)
    while stack:  # a list, not recursion: graphs are deeper than Python's stack
        node = stack.pop()
        versions = node.writes[0] if node.writes else 0
        for x in node.inputs:
            if x is not None:
                versions += x._writes[0] if x._writes else 0
                if (source := x.node) is not None and source not in found and source not in until:
                    found.add(source)
                    stack.append(source)
        if versions != node.versions:
            raise GraphError(
                f"{node.op.name}: an input or the result was changed in place after this op ran (optimizer.step() does "
                f"that), so its gradient would be wrong; compute the loss again, .detach() a state kept from an "
                f"earlier step, or change the data after backward()"
            )
    return sorted(found, key=attrgetter("seq"), reverse=True)


def pull(node: Node, g: Any) -> Iterable:
    """What `node` sends to each of its inputs when gradient `g` arrives at its output."""
    return node.op.pull(node, g, node.output, node.arrays)


def pull_and_notify(node: Node, g: Any) -> Iterable:
    """`pull`, and then tell the listeners of this thread; they do not hear of a node whose rule failed."""
    contributions = pull(node, g)
    for listener in state.listeners:
        listener(node, g)
    return contributions


def walk(
    nodes: Iterable[Node],
    gradients: dict,
    send: Callable = pull,
    keep: Collection = (),
    replaced: Mapping = MappingProxyType({}),
) -> dict:
    """Send gradients back through `nodes`, each of which comes after all its users.

    Parameters
    ----------
    nodes : iterable of Node
        In the order that `order` gives.
    gradients : dict
        Where to start: node → gradient. The walk fills it.
    send : callable
        `send(node, g)` → one contribution per input, None where an input gets none.
    keep : collection
        Nodes whose gradients stay in the result; all others are dropped once passed on.
    replaced : mapping
        Node → the node or leaf that stands in its place, for a graph in which fused ops were opened.

    Returns
    -------
    dict
        Tensor → gradient for leaves, node → gradient for the nodes in `keep`.
    """
    if watches and watch():  # inside detect_anomaly()
        send = watch().around(send)
    owned = set()  # targets whose sum is an array made here, so that it may be added to in place
    for node in nodes:
        g = gradients.get(node) if node in keep else gradients.pop(node, None)
        if g is None:  # no path from the start leads here
            continue
        for x, contribution in zip(node.inputs, send(node, g), strict=True):
            if contribution is None:
                continue
            target = x if x.node is None else replaced.get(x.node, x.node)
            if target not in gradients:
                gradients[target] = contribution  # may be a view, or g itself: not ours to write to
            elif target not in owned:
                gradients[target] = gradients[target] + contribution
                owned.add(target)
            else:
                gradients[target] += contribution
    return gradients
