"""What the vertices of a trace are called, and what part they play.

A tensor keeps the name it was given, unless that is a path, such as layers.0.weight, which is too long for
a formula. All others get the symbol they have on paper, counted in forward order: weights W1 W2 …, biases
b1 …, pre-activations z1 …, activations h1 …, the input x, the output y, the target t and the loss L. Leaves of
an expression of single numbers, such as a·b + c, are v1 v2 …, and its sums and products are called by their op
unless an activation meets them. So is whatever is left: add, add:2 ….
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from minigrad.graph import Node
from minigrad.op import Elementwise
from minigrad.tensor import Tensor

OUTPUTS = {"weight": "z", "bias": "z", "activation": "h", "norm": "n", "scale": "n", "skip": "s"}
LEAVES = {"weight": "W", "bias": "b", "scale": "γ", "w": "W", "gamma": "γ", "beta": "β"}
PRIMES = {"sigmoid": "σ'", "tanh": "tanh'", "relu": "ReLU'", "leaky_relu": "LeakyReLU'", "elu": "ELU'", "exp": "exp'"}


def is_parameter(vertex: Any) -> bool:
    """Whether this is a leaf that is trained, or a Parameter that was frozen; no node, data or plain array (None)."""
    return isinstance(vertex, Tensor) and vertex.is_leaf and (vertex.requires_grad or type(vertex) is not Tensor)


def refined_kinds(vertices: Sequence, sources: Sequence[Sequence[int | None]]) -> list[str]:
    """What each vertex does in its net: an `add` may be a bias or a shortcut, a `multiply` a gate.

    `sources` holds per vertex the positions of its inputs, None for plain arrays and numbers.
    """
    kinds: list[str] = []
    for vertex, inputs in zip(vertices, sources, strict=True):
        if not isinstance(vertex, Node):
            kinds.append("parameter" if vertex.requires_grad else "constant")
            continue
        kind, name = vertex.op.kind, vertex.op.name
        known = [i for i in inputs if i is not None]
        if any(is_parameter(vertices[i]) for i in known):
            factor = "weight" if vertex.output.size == 1 else "scale"  # a neuron's one weight, or a gain per unit
            kind = {"matmul": "weight", "add": "bias", "multiply": factor}.get(name, kind)
        elif name == "add" and len(known) == 2 and share_ancestor(known, vertices, sources):
            kind = "skip"
        elif name == "multiply" and any(bounded(vertices[i]) for i in known):
            kind = "gate"
        kinds.append(kind)
    return kinds


def weight_slot(node: Node) -> int:
    """Which operand of a product is the weight: the parameter; of two, the one that is written as it: x @ W, w * x."""
    if node.op.definition:  # a fused layer says it by the names of its arguments
        return node.op.names.index("w") if "w" in node.op.names else 1
    slots = [slot for slot, x in enumerate(node.inputs) if is_parameter(x)]
    return slots[0] if len(slots) == 1 else int(node.op.name == "matmul")


def bounded(vertex: Any) -> bool:
    return isinstance(vertex, Node) and vertex.op.name in ("sigmoid", "tanh")


def share_ancestor(pair: Sequence[int], vertices: Sequence, sources: Sequence) -> bool:
    """Whether two vertices were computed from a common one (or one from the other), leaves not counted."""
    seen: dict[int, int] = {}  # vertex → 1, 2 or both bits: from which of the two it was reached
    heap: list[tuple[int, int]] = []
    waiting = [0, 0, 0]

    def visit(i: int | None, side: int) -> None:
        if i is not None and isinstance(vertices[i], Node) and not seen.get(i, 0) & side:
            seen[i] = seen.get(i, 0) | side
            heapq.heappush(heap, (-i, side))
            waiting[side] += 1

    visit(pair[0], 1)
    visit(pair[1], 2)
    while waiting[1] and waiting[2]:  # youngest first: the two sides of a shortcut meet soon
        i, side = heapq.heappop(heap)
        waiting[side] -= 1
        if seen[-i] == 3:
            return True
        for source in sources[-i]:
            visit(source, side)
    return any(sides == 3 for sides in seen.values())


def given_names(named: Iterable[tuple], parts: Iterable[tuple]) -> dict[int, list[str]]:
    """Vertex → the names it was given; where the result of a fused op is called h[7], its part r is called r[7].

    `named` holds pairs (vertex, name), `parts` pairs of vertices (part, result), None for what is not in the trace.
    """
    given: dict[int, list[str]] = defaultdict(list)
    for i, name in named:
        if i is not None:
            given[i].append(name)
    for i, whole in parts:
        step = given[whole][-1] if whole in given else ""
        if "[" in step and i in given:
            t = step[step.index("[") :]
            given[i] = [name if "[" in name else name + t for name in given[i]]
    return given


def symbols_of(
    vertices: Sequence, sources: Sequence[Sequence[int | None]], kinds: Sequence[str], given: Sequence
) -> list:
    """A unique symbol for each vertex; `given` holds the names that tensors were given, else None."""
    given = [None if name and "." in name else name for name in given]
    names: list[str | None] = [None] * len(vertices)
    taken: Counter[str] = Counter()
    layers: dict[int | None, int] = {}  # weight → number
    layer = 0

    def call(i: int, name: str) -> None:
        taken[name] += 1
        names[i] = name if taken[name] == 1 else f"{name}:{taken[name]}"

    for i, name in enumerate(given):
        if name is not None:
            call(i, name)
    last = len(vertices) - 1
    expression, numbers = is_expression(vertices), 0
    activated = {j for inputs, kind in zip(sources, kinds, strict=True) if kind == "activation" for j in inputs}
    for i, (vertex, inputs, kind) in enumerate(zip(vertices, sources, kinds, strict=True)):
        if not isinstance(vertex, Node):
            continue  # a leaf is named by its first user
        leaves = [(slot, j) for slot, j in enumerate(inputs) if j is not None and names[j] is None]
        if expression:
            layer += i in activated
        elif kind == "weight":  # one that is used again, as over time, is the same layer
            layer = layers.setdefault(inputs[weight_slot(vertex)], len(layers) + 1)
        for slot, j in leaves:
            if names[j] is None:  # an op may use a leaf twice
                data = not is_parameter(vertices[j]) or (kind == "weight" and slot != weight_slot(vertex))
                if expression and kinds[j] == "parameter":
                    call(j, f"v{(numbers := numbers + 1)}")
                else:
                    call(j, ("t" if kind == "loss" else "x") if data else leaf_name(vertex.op, slot, kind, layer))
        if kind == "loss" and inputs[0] is not None and given[inputs[0]] is None and not taken["y"]:
            call(inputs[0], "y")
        if names[i] is None:
            if i == last:
                call(i, "L" if vertex.output.size == 1 else "y")
            elif kind in OUTPUTS and layer and not (expression and OUTPUTS[kind] == "z" and i not in activated):
                last_z = f"z{layer}" if taken[f"z{layer}"] == 1 else f"z{layer}:{taken[f'z{layer}']}"
                for j in (j for j in inputs if kind == "bias" and j is not None and names[j] == last_z):
                    if given[j] is None:
                        taken[f"z{layer}"] -= 1  # z is what the activation meets
                        call(j, f"hW{layer}")
                call(i, f"{OUTPUTS[kind]}{layer}")
            else:
                call(i, vertex.op.name)
    for i, name in enumerate(names):
        if name is None:
            call(i, "x")
    return names


def is_expression(vertices: Sequence) -> bool:
    """Whether this is arithmetic with single numbers, such as (a·b + c)·d: of a and b neither is the weight."""
    nodes = [vertex for vertex in vertices if isinstance(vertex, Node)]
    products = (node for node in nodes if node.op.name == "multiply")
    return any(all(map(is_parameter, node.inputs)) for node in products) and not any(x.output.ndim for x in nodes)


def leaf_name(op: Any, slot: int, kind: str, layer: int) -> str:
    """What a parameter is called that is input `slot` of an op which plays the part `kind`."""
    if op.definition:
        return f"{LEAVES.get(op.names[slot], op.names[slot])}{layer or ''}"
    return f"{LEAVES.get(kind, 'w')}{layer or ''}"


def symbol(edge: Any) -> str:
    """A local derivative as it is written in a chain of products."""
    node, slot, x = edge.output.vertex, edge.slot, edge.input.symbol
    if edge.local.passes_on:
        return one(edge)
    if node.op.name == "matmul":
        return f"{operand_name(edge, 1 - slot)}ᵀ"
    if node.op.name == "multiply":
        return operand_name(edge, 1 - slot)
    if node.op.kind == "loss":
        return f"∂{edge.output.symbol}/∂{x}"
    if edge.local.declared == -1:
        return f"−{one(edge)}"
    if isinstance(node.op, Elementwise):
        prime = PRIMES.get(node.op.name, f"{node.op.name}'")
        is_last = node is edge.trace._vertices[-1]  # ∂L/∂x is the name of the whole gradient
        return f"{prime}({x})" if len(node.inputs) == 1 else f"∂{node.op.name if is_last else edge.output.symbol}/∂{x}"
    if node.op.kind == "view" and not edge.output.symbol.startswith(node.op.name):  # a part that has a name
        return f"∂{edge.output.symbol}/∂{x}"
    return node.op.name


def one(edge: Any) -> str:
    """The derivative 1: of a number, of each element, or Σ over the axes that were broadcast."""
    if edge.contribution.shape != edge.upstream.shape:
        return "Σ"
    return "I" if edge.upstream.size > 1 else "1"


def operand_name(edge: Any, slot: int) -> str:
    """The other factor of a product: the name of a tensor, a number, or what an array without a name is called."""
    node = edge.output.vertex
    source = edge.trace._sources[edge.output.index][slot]
    if source is not None:
        return edge.trace._symbols[source]
    array = node.arrays[slot]
    return array_name(edge.trace, node, slot) if getattr(array, "ndim", 0) else f"{float(array):.4g}".replace("-", "−")


def array_name(trace: Any, node: Node, slot: int) -> str:
    """x for a plain array that meets a weight, t for a target; any other, such as the mask of a dropout, is array."""
    data = any(map(is_parameter, node.inputs)) or (node.op.name == "matmul" and slot == 0)
    name = "t" if node.op.kind == "loss" else "x" if data else "array"
    return "array" if name in trace._symbols else name
