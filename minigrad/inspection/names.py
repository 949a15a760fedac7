"""How the vertices and edges of a trace are named.

A tensor keeps the name it was given, unless that is a path, such as layers.0.weight, which is too long for
a formula, or what modules called several parameters, such as the weights of two layers. The others get the
symbols they have on paper, numbered in forward order: weights W1 W2 …, biases b1 …, pre-activations z1 …,
activations h1 …, the input x, the output y, the target t and the loss L. What follows a weight has its number. In
an expression of single numbers, such as a·b + c, leaves are v1 v2 …, and sums and products are named after their
op unless they are the input of an activation. Everything else is named after its op, too: add, add:2 ….
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from minigrad.graph import Node
from minigrad.inspection.kinds import is_parameter, weight_slot
from minigrad.op import Elementwise

OUTPUTS = {"weight": "z", "bias": "z", "activation": "h", "norm": "n", "scale": "n", "skip": "s"}
LEAVES = {"weight": "W", "bias": "b", "scale": "γ", "w": "W", "gamma": "γ", "beta": "β"}
PRIMES = {"sigmoid": "σ'", "relu": "ReLU'", "leaky_relu": "LeakyReLU'", "elu": "ELU'"}


def given_names(trace: Any) -> dict[int, list[str]]:
    """Vertex → the names that its tensors were given, the last first; a state taken out of a pack may have several.

    If the result of a fused op is h[7], its part r is called r[7].
    """
    given: dict[int, list[str]] = defaultdict(list)
    nodes = [*trace._replaced, *reversed(trace._nodes)]
    for x in [*(x for node in nodes for x in node.inputs if x is not None), trace.output]:
        if x.name is not None and (i := trace._position(x)) is not None:
            given[i].append(x.name if isinstance(x.name, str) else str(x.name))
    for part, fused in trace._within.items():
        i, whole = trace._positions.get(part), trace._positions.get(trace._replaced[fused])
        step = given[whole][-1] if whole in given else ""
        if "[" in step and i in given:
            t = step[step.index("[") :]
            given[i] = [name if "[" in name else name + t for name in given[i]]
    return {i: names[::-1] for i, names in given.items()}


class Symbols:
    """A unique symbol for each vertex: first those that were given a name, then op by op its leaves and its output."""

    def __init__(self, trace: Any) -> None:
        self.vertices, self.sources, self.kinds = trace._vertices, trace._sources, trace._kinds
        given = {i: names[0] for i, names in trace._given.items() if "." not in names[0]}
        count = Counter(given.values())  # a module's own class of names says that nobody chose them
        self.given = {i: name for i, name in given.items() if type(name) is str or count[name] == 1}
        self.names: list[str | None] = [None] * len(self.vertices)
        self.taken: Counter[str] = Counter()
        self.numbers = 0
        self.weights: dict[int | None, int] = {}  # weight → number
        self.layers = [0] * len(self.vertices)  # per vertex, the number of the last weight on the way to it
        self.expression = is_expression(self.vertices)
        self.activated = {j for i, kind in enumerate(self.kinds) if kind == "activation" for j in self.sources[i]}
        sums = [i for i, kind in enumerate(self.kinds[:-1]) if kind == "bias" and i not in self.given]
        self.biased = {j for i in sums for j in self.sources[i]} if not self.expression else set()
        for i, name in sorted(self.given.items()):
            self.assign(i, name)
        for i, vertex in enumerate(self.vertices):
            if isinstance(vertex, Node):
                self.layers[i] = self.layer_of(i)
                self.name_leaves(i)
                self.name_output(i)
        if self.names == [None]:  # a leaf alone
            self.assign(0, "x")

    def assign(self, i: int, name: str) -> None:
        self.taken[name] += 1
        if self.taken[name] > 1:
            self.assign(i, f"{name}:{self.taken[name]}")  # this name may be taken, too
        else:
            self.names[i] = name

    def layer_of(self, i: int) -> int:
        """The number of the last weight on the way to a vertex; in an expression, of the last pre-activation."""
        if self.expression and i in self.activated:
            return self.weights.setdefault(i, len(self.weights) + 1)
        if self.kinds[i] == "weight" and not self.expression:
            weight = self.sources[i][weight_slot(self.vertices[i])]  # used again, at every time step, it is the same
            return self.weights.setdefault(weight, len(self.weights) + 1)
        inputs = [j for j in self.sources[i] if j is not None and self.layers[j]]
        return self.layers[max(inputs)] if inputs else 0  # that of the youngest

    def name_leaves(self, i: int) -> None:
        """Leaves are named by their first user."""
        node, kind = self.vertices[i], self.kinds[i]
        for slot, j in enumerate(self.sources[i]):
            if j is None or self.names[j] is not None:
                continue
            if self.expression and self.kinds[j] == "parameter":
                self.numbers += 1
                self.assign(j, f"v{self.numbers}")
            elif not is_parameter(self.vertices[j]) or (kind == "weight" and slot != weight_slot(node)):  # data
                self.assign(j, "t" if kind == "loss" else "x")
            else:
                self.assign(j, leaf_name(node.op, slot, kind, self.layers[i]))

    def name_output(self, i: int) -> None:
        node, kind, layer = self.vertices[i], self.kinds[i], self.layers[i]
        inputs = [j for j in self.sources[i] if j is not None]
        if kind == "loss" and self.sources[i][0] is not None and inputs[0] not in self.given and not self.taken["y"]:
            self.assign(inputs[0], "y")
        if self.names[i] is not None:
            return
        stands_alone = self.expression and OUTPUTS.get(kind) == "z" and i not in self.activated
        if i == len(self.vertices) - 1:
            self.assign(i, "L" if node.output.size == 1 else "y")
        elif kind in OUTPUTS and layer and not stands_alone:
            is_product = OUTPUTS[kind] == "z" and i in self.biased  # z is the sum, the input of the activation
            self.assign(i, f"{'hW' if is_product else OUTPUTS[kind]}{layer}")
        else:
            self.assign(i, node.op.name)


def is_expression(vertices: Sequence) -> bool:
    """Whether this is arithmetic with single numbers, such as (a·b + c)·d, where neither a nor b is the weight."""
    nodes = [vertex for vertex in vertices if isinstance(vertex, Node)]
    products = (node for node in nodes if node.op.name == "multiply")
    return any(all(map(is_parameter, node.inputs)) for node in products) and not any(x.output.ndim for x in nodes)


def leaf_name(op: Any, slot: int, kind: str, layer: int) -> str:
    """The symbol of a parameter that is input `slot` of an op of this kind."""
    if op.definition:
        return f"{LEAVES.get(op.names[slot], op.names[slot])}{layer or ''}"
    return f"{LEAVES.get(kind, 'w')}{layer or ''}"


def symbol(edge: Any) -> str:
    """A local derivative as it is written in a chain of products."""
    node, slot, x = edge.output.vertex, edge.slot, edge.input.symbol
    if edge.local.passes_on:
        return identity(edge)
    if node.op.name == "matmul":
        return f"{operand_name(edge, 1 - slot)}ᵀ"
    if node.op.name == "multiply":
        return operand_name(edge, 1 - slot)
    if node.op.kind == "loss":
        return f"∂{edge.output.symbol}/∂{x}"
    if edge.local.declared == -1:
        return f"−{identity(edge)}"
    if isinstance(node.op, Elementwise):
        prime = PRIMES.get(node.op.name, f"{node.op.name}'")
        is_last = node is edge.trace._vertices[-1]  # ∂L/∂x is the name of the whole gradient
        return f"{prime}({x})" if len(node.inputs) == 1 else f"∂{node.op.name if is_last else edge.output.symbol}/∂{x}"
    if node.op.kind == "view" and not edge.output.symbol.startswith(node.op.name):  # a part that has a name
        return f"∂{edge.output.symbol}/∂{x}"
    return node.op.name


def identity(edge: Any) -> str:
    """How a derivative of 1 is written: 1 for a number, I for an array, Σ for a sum over broadcast axes."""
    if edge.contribution.shape != edge.upstream.shape:
        return "Σ"
    return "I" if edge.upstream.size > 1 else "1"


def operand_name(edge: Any, slot: int) -> str:
    """How operand `slot` of a product is written: the symbol of a tensor, a number, or the name of a plain array."""
    node = edge.output.vertex
    source = edge.trace._sources[edge.output.index][slot]
    if source is not None:
        return edge.trace._symbols[source]
    array = node.arrays[slot]
    return array_name(edge.trace, node, slot) if getattr(array, "ndim", 0) else f"{float(array):.4g}".replace("-", "−")


def array_name(trace: Any, node: Node, slot: int) -> str:
    """The symbol of a plain array: x if it meets a weight (or its transpose), t if it is the target of a loss.

    If the weight also meets the state h[0], it is the state before that, h[−1]. Any other, such as the mask of a
    dropout or the edges of a graph, is called array.
    """
    data = any(map(is_parameter, node.inputs))
    if node.op.name == "matmul" and slot == 0 and data and (name := state_before(trace, node.inputs[1])):
        return name
    if node.op.name == "matmul" and slot == 0 and not data:
        data = trace._kinds[trace._position(node.inputs[1])] not in ("weight", "bias", "activation", "skip")
    name = "t" if node.op.kind == "loss" else "x" if data else "array"
    return "array" if name in trace._symbols else name


def state_before(trace: Any, w: Any) -> str | None:
    """h[−1], if h[0] is multiplied by the weight w, or None: what else w is multiplied with is the first state."""
    users = [trace._edges[k].output for k in trace._into[trace._position(w)]]
    states = (trace._symbols[i] for i in (trace._sources[user][0] for user in users) if i is not None)
    return next((name.replace("[0]", "[−1]") for name in states if "[0]" in name), None)
