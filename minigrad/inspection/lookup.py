"""Look up the nodes of a trace.

- `trace[w]`, `trace[-1]`: by Tensor, or by position.
- `trace["z3"]`, `trace["layers.0/tanh"]`, `trace["layers.0/tanh:2"]`: by name, or by where it was computed.
- `trace["h[*]"]`, `trace[model.layers[0]]`: all that match a pattern, or that a module computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from minigrad.graph import Node
from minigrad.inspection import text
from minigrad.inspection.parts import TraceNode
from minigrad.tensor import Tensor


def look_up(trace: Any, key: Any) -> Any:
    """The node that `key` stands for; for a pattern or a Module the list of them. See `Trace.__getitem__`."""
    if isinstance(key, Tensor):
        position = trace._position(key)
        if position is None:
            what = key.name or f"of shape {key.shape}"
            frozen = "" if key.requires_grad else ", or this was not recorded, since it requires no gradient"
            raise KeyError(f"the tensor {what} is not part of this trace: its output was not computed from it{frozen}")
        return TraceNode(trace, position)
    if isinstance(key, (int, np.integer)):
        count = len(trace._vertices)
        if not -count <= key < count:
            raise IndexError(f"this trace has {count} nodes: there is no node {key}")
        return TraceNode(trace, int(key) % count)
    if hasattr(key, "named_modules"):
        found = [] if key.scope is None else computed_by(trace, key, key.scope)
        if not found and key.scope and is_alone(trace, key):
            found = computed_by(trace, key, "")
        if not found:
            raise KeyError(f"nothing in this trace was computed by this {type(key).__name__}")
        return found
    if not isinstance(key, str):
        instead = "; give the model mg.tensor(x, requires_grad=True)" if isinstance(key, np.ndarray) else ""
        raise TypeError(f"a trace is indexed by Tensor, Module, name or number, not by {type(key).__name__}{instead}")
    return by_name(trace, key)


def by_name(trace: Any, key: str) -> Any:
    if "*" in key or "?" in key:
        pattern = key.replace("[", "[[]")  # h[*] means the states h[0], h[1] …, not a set of letters
        found = {i for label, vertices in trace._labels.items() if fnmatchcase(label, pattern) for i in vertices}
        if found:
            return [TraceNode(trace, i) for i in sorted(found)]
    elif key in trace._labels:
        return TraceNode(trace, trace._labels[key][0])
    hint = "an array is no node, but a Tensor is: x = mg.tensor(x, requires_grad=True)"
    hint = hint if key in ("x", "t", "array") else text.near(key, sorted(trace._labels))  # as formulas call arrays
    raise KeyError(f"nothing in this trace is called {key!r}; {hint}")


def labels_of(trace: Any) -> dict[str, list[int]]:
    """Label → the vertices that have it, first the one for which it is strongest.

    A vertex has as labels, strongest first: name, scope/name, scope/op and scope/op:k.
    """
    count: Counter[str] = Counter()
    ranked: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, (vertex, symbol) in enumerate(zip(trace._vertices, trace._symbols, strict=True)):
        labels = [*trace._given.get(i, []), symbol]
        if isinstance(vertex, Node):
            scope = f"{vertex.scope}/" if vertex.scope else ""
            layer = f"{trace._within[vertex].op.name}/" if vertex in trace._within else scope  # lstm/h[3]
            path = scope + vertex.op.name
            count[path] += 1
            labels += [*(at + name for at in (scope, layer) for name in labels), path, f"{path}:{count[path]}"]
        for rank, label in enumerate(dict.fromkeys(labels)):
            ranked[label].append((rank, i))
    return {label: [i for _, i in sorted(vertices)] for label, vertices in ranked.items()}


def is_alone(trace: Any, module: Any) -> bool:
    """Whether a module that has no node at its path in the model was called alone, not left out as dropout may be."""
    own = module.parameters()
    return any(p in trace._positions for p in own) if own else not any(node.scope for node in trace.nodes)


def computed_by(trace: Any, module: Any, path: str) -> list[TraceNode]:
    """The nodes, in forward order, that a module computed at `path`: they are there, and not another model's.

    If a loss uses two models, both may have a layers.0: a node that needs the parameters of one is not the other's.
    """
    path = f"{path}." if path else ""
    own, found = set(module.parameters()), []
    foreign = {x for x in trace._vertices if isinstance(x, Tensor) and type(x) is not Tensor} - own  # Parameters
    for node in trace.nodes:
        if node.op != "leaf" and f"{node.scope}.".startswith(path):
            inputs = {trace._vertex(x) for x in node.vertex.inputs if x is not None}
            if own and inputs & foreign and not inputs & own:
                foreign.add(node.vertex)
            else:
                found.append(node)
    return found
