"""What a `GradientMonitor` keeps of each node that it hears of: a few numbers, not the arrays.

- `Look`: norms, zeros, saturated elements and active units of one node, and a histogram if wanted.
- `Walk`: the looks at the nodes of one `backward()`, and which of them belong to a model.

Sums are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from operator import attrgetter

import numpy as np

from minigrad import arrays
from minigrad.arrays import squares_in_blocks
from minigrad.graph import Node
from minigrad.kernels import twin
from minigrad.tensor import Tensor

# The middle of the output's range, and the distance from it beyond which φ' < 0.1·max φ'
SATURATED = {
    "sigmoid": (0.5, 0.5 * math.sqrt(0.9)),
    "tanh": (0.0, math.sqrt(0.9)),
    "softsign": (0.0, 1 - math.sqrt(0.1)),
    "hard_tanh": (0.0, float(np.nextafter(np.float32(1), np.float32(0)))),
}


quiet = np.errstate(all="ignore")  # infinite and NaN values are reported, not warned of


def length(x: np.ndarray) -> float:
    """‖x‖, summed in float64; infinity if x is not finite."""
    return finite_or_infinite(arrays.length(x, squares_in_blocks))


def finite_or_infinite(norm: float) -> float:
    return norm if math.isfinite(norm) else math.inf


squares_and_zeros = twin(
    "squares_and_zeros",
    lambda x: (squares_in_blocks(x), np.count_nonzero(x == 0)),
    "statistics",
    why="one pass: twice as fast",
)
beyond = twin(
    "beyond",
    lambda x, middle, bound: np.count_nonzero(np.abs(x - middle) > bound),
    "statistics",
    why="one pass: 4 times as fast",
)
active = twin(
    "active",
    lambda samples: ~(np.max(samples, axis=0, initial=0) <= 0),  # NaN counts as active
    "statistics",
    why="5 times as fast",
)


def activations_of(node: Node) -> Sequence[tuple[str, np.ndarray]]:
    """(name, output) of every ReLU and every bounded activation that a node computed, also inside a fused op."""
    if node.op.name == "lstm":
        gates, _, tanh_c = node.saved
        i, f, g, o = np.split(gates, 4, axis=-1)
        return [("sigmoid", i), ("sigmoid", f), ("tanh", g), ("sigmoid", o), ("tanh", tanh_c)]
    if node.op.name == "gru_gates":
        return list(zip(("sigmoid", "sigmoid", "tanh"), node.saved, strict=True))
    name = node.params.get("activation", node.op.name)
    return [(name, node.output)] if name == "relu" or name in SATURATED else []


def receivers(node: Node) -> list[Node]:
    """The nodes that a node sends a gradient to."""
    op = node.op
    rules = node.inputs if op.definition or op.arity is None else op.rules
    pairs = zip(node.inputs, rules, strict=True)
    return [x.node for x, rule in pairs if x is not None and x.node is not None and rule is not None]


def norm_and_zeros(x: np.ndarray) -> tuple[float, int]:
    """‖x‖, and how many elements are exactly 0."""
    total, zeros = squares_and_zeros(x)
    return finite_or_infinite(arrays.length(x, lambda x: total)), zeros


def by_unit(x: np.ndarray) -> np.ndarray:
    """An array as (samples, units): units are its last axis."""
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


class Look:
    """What is kept of a node's output and of the gradient there: a few numbers, or a few per unit.

    It is taken while both arrays are in the processor's cache: the node's rule has just read them.

    Attributes
    ----------
    outputs : dict
        "activation" and "gradient" → (norm, zeros, elements), if the node computed the output of a module.
    counts : dict
        The same names → a histogram, if histograms are wanted.
    active : list
        (which units were active, samples) of each ReLU.
    saturated, bounded : int
        How many elements of bounded activations are saturated, and how many there are.
    totals : list
        (quantity, sum for each unit, samples), if numbers per unit are wanted.
    """

    def __init__(self, outputs: Mapping, activations: Sequence, count: Callable | None, maps: bool) -> None:
        self.outputs = {what: (*norm_and_zeros(x), x.size) for what, x in outputs.items()}
        self.counts = {what: count(x) for what, x in outputs.items()} if count else {}
        self.active: list[tuple[np.ndarray, int]] = []
        self.saturated = self.bounded = 0
        self.totals: list[tuple[str, np.ndarray, int]] = []
        for what, x in outputs.items() if maps else ():
            self.add_up(f"{what}_rms", np.square(x, dtype=np.float64))
        for activation, y in activations:
            if activation == "relu":
                samples = by_unit(y)
                self.active.append((active(samples), len(samples)))
                if maps:
                    self.add_up("active", y > 0)
            else:
                middle, bound = SATURATED[activation]
                self.saturated += int(beyond(y, middle, bound))
                self.bounded += y.size
                if maps:
                    self.add_up("saturated", np.abs(y - middle) > bound)

    @quiet
    def add_up(self, quantity: str, x: np.ndarray) -> None:
        samples = by_unit(x)
        self.totals.append((quantity, samples.sum(axis=0), len(samples)))


class Walk:
    """The looks at what one `backward()` sends gradients to, younger nodes first."""

    def __init__(self) -> None:
        self.looks: list[tuple[Node, Look | None]] = []
        self.module_outputs: set[Node] = set()  # among the nodes heard so far and those they sent a gradient to
        self.awaited: set[Node] = set()  # nodes that were sent a gradient and are not yet heard

    def is_before(self, node: Node) -> bool:
        """Whether this walk is over and the node belongs to the next `backward()`."""
        return bool(self.looks) and node.seq >= self.looks[-1][0].seq

    def is_cut_off(self) -> bool:
        """Whether a node did not get its gradient, because a rule failed or somebody pressed Ctrl-C."""
        return bool(self.awaited)

    def hear(self, node: Node, g: np.ndarray, count: Callable | None, maps: bool) -> None:
        """Look at a node to which gradient g was sent.

        A value is the output of a module if it gets a gradient from outside the module or from a loss, or if the walk
        begins there.
        """
        if node in self.awaited:
            self.awaited.remove(node)
        elif node.output.ndim:  # where the walk begins: no op uses it
            self.module_outputs.add(node)
        sources = receivers(node)
        self.awaited.update(sources)
        is_loss = node.op.kind == "loss"
        self.module_outputs.update(x for x in sources if is_loss or x.scope != node.scope)
        outputs = {"activation": node.output, "gradient": g} if node in self.module_outputs and not is_loss else {}
        activations = activations_of(node)
        self.looks.append((node, Look(outputs, activations, count, maps) if outputs or activations else None))

    def of_model(self, parameters: Set) -> Iterator[tuple[str, Look | None]]:
        """(scope, look) of every node computed with these parameters, in forward order.

        A node without any parameters belongs to the model that computed its youngest input: in a Residual that is the
        body, also where the shortcut begins in another model.
        """
        mine: set[Node] = set()
        for node, look in reversed(self.looks):
            inputs = [x for x in node.inputs if x is not None]
            if parameters.isdisjoint(inputs):
                sources = [x.node for x in inputs if x.node]
                foreign = {*map(type, inputs)} != {Tensor}  # Parameters, frozen or not, of another model
                if foreign or not sources or max(sources, key=attrgetter("seq")) not in mine:
                    continue
            mine.add(node)
            yield node.scope, look
