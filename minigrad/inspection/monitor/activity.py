"""What one layer did in a step of training: the statistics that a `GradientMonitor` takes.

Sums are in float64. A share is a share of the elements, but dead is a unit, not an element: half of what a healthy
ReLU puts out is 0, each time from other units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterator, Sequence

import numpy as np

from minigrad import arrays
from minigrad.arrays import sum_of_squares
from minigrad.graph import Node
from minigrad.kernels import twin

# Where φ' < 0.1·max φ': the distance of the output from the middle of its range
SATURATED = {
    "sigmoid": (0.5, 0.5 * math.sqrt(0.9)),
    "tanh": (0.0, math.sqrt(0.9)),
    "softsign": (0.0, 1 - math.sqrt(0.1)),
    "hard_tanh": (0.0, float(np.nextafter(np.float32(1), np.float32(0)))),
}
ENOUGH = 256  # samples before a unit may be called dead


def squares_in_blocks(x: np.ndarray) -> float:
    """Σx² in NumPy: products of 256 float32 are summed in their own precision first, and these sums in float64.

    That is twice as fast, right to 7 digits, and done over where float32 comes near to its limits.
    """
    if x.dtype == np.float32 and x.size > 4096:
        flat = x.ravel(order="K")
        whole = flat.size // 256 * 256
        blocks, rest = flat[:whole].reshape(-1, 256), flat[whole:].astype(np.float64)
        squares = float(np.vecdot(blocks, blocks).sum(dtype=np.float64) + rest @ rest)
        if 1e-20 < squares < 1e30:
            return squares
    return sum_of_squares(x)


def length(x: np.ndarray) -> float:
    """‖x‖, summed in float64; infinity if x is not finite."""
    return finite_or_infinite(arrays.length(x, sum_of_squares if sum_of_squares.serves(x) else squares_in_blocks))


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
    lambda samples: ~(np.max(samples, axis=0, initial=0) <= 0),  # NaN is not silence
    "statistics",
    why="twice as fast",
)


def of_model(walk: Sequence[tuple[Node, np.ndarray]], parameters: Container) -> Iterator[tuple]:
    """(node, gradient, whether a layer puts it out) of what was computed with these parameters, in forward order.

    What is used outside its module, or by a loss, is what the module puts out. A node without parameters belongs
    to those whose outputs it uses.
    """
    put_out = {node for node, _ in walk[:1] if node.output.ndim}
    for node, _ in walk:
        sources = [x.node for x in node.inputs if x is not None and x.node is not None]
        put_out.update(source for source in sources if source.scope != node.scope or node.op.kind == "loss")
    mine: set[Node] = set()
    for node, g in reversed(walk):
        inputs = [x for x in node.inputs if x is not None]
        leaves = [x for x in inputs if x.node is None]
        own = any(x in parameters for x in leaves)
        foreign = any(x.requires_grad for x in leaves)
        if own or (not foreign and any(x.node in mine for x in inputs)):
            mine.add(node)
            yield node, g, node in put_out and node.op.kind != "loss"


def activations_of(node: Node) -> Sequence[tuple[str, np.ndarray]]:
    """(name, output) of every ReLU and every bounded activation that a node computed, within a fused op too."""
    if node.op.name == "lstm":
        gates, _, tanh_c = node.saved
        i, f, g, o = np.split(gates, 4, axis=-1)
        return [("sigmoid", i), ("sigmoid", f), ("tanh", g), ("sigmoid", o), ("tanh", tanh_c)]
    if node.op.name == "gru_gates":
        return list(zip(("sigmoid", "sigmoid", "tanh"), node.saved, strict=True))
    name = node.params.get("activation", node.op.name)
    return [(name, node.output)] if name == "relu" or name in SATURATED else []


def by_unit(x: np.ndarray) -> np.ndarray:
    """An array as (samples, units): units are its last axis."""
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


class Layer:
    """Sums over one step, and what each unit did since the last reset."""

    def __init__(self, name: str, window: int | None, maps: bool) -> None:
        self.name, self.window, self.maps = name, window, maps
        self.relus: dict[int, Units] = {}  # by how many units there are
        self.reset()
        self.start()

    def reset(self) -> None:
        """Begin a new window."""
        self.totals: dict[str, list] = {}  # quantity → [sum for each unit, samples]
        for units in self.relus.values():
            units.reset()

    def start(self) -> None:
        """Begin a step."""
        self.sums: dict[str, list] = {}  # "activation" or "gradient" → [norm, elements, zeros]
        self.saturated = self.bounded = 0

    def put_out(self, what: str, x: np.ndarray) -> None:
        """Take in an output of the layer, or the gradient that arrived there."""
        norm, size, zeros = self.sums.get(what, (0.0, 0, 0))
        squares, more_zeros = squares_and_zeros(x)
        more = finite_or_infinite(arrays.length(x, lambda x: squares))
        self.sums[what] = [math.hypot(norm, more), size + x.size, zeros + more_zeros]
        if self.maps:
            self.add_up(f"{what}_rms", np.square(x, dtype=np.float64))

    def activated(self, activation: str, y: np.ndarray) -> None:
        """Take in what an activation within the layer put out."""
        if activation == "relu":
            samples = by_unit(y)
            units = self.relus.get(samples.shape[1])
            if units is None:
                units = self.relus[samples.shape[1]] = Units(samples.shape[1], self.window)
            units.hear(samples)
            if self.maps:
                self.add_up("active", y > 0)
        else:
            middle, bound = SATURATED[activation]
            self.saturated += int(beyond(y, middle, bound))
            self.bounded += y.size
            if self.maps:
                self.add_up("saturated", np.abs(y - middle) > bound)

    def add_up(self, quantity: str, x: np.ndarray) -> None:
        samples = by_unit(x)
        total, n = self.totals.get(quantity, (0.0, 0))
        if np.shape(total) not in ((), samples.shape[1:]):  # another number of units: start again
            total, n = 0.0, 0
        self.totals[quantity] = [total + samples.sum(axis=0), n + len(samples)]

    def unit_map(self) -> dict[str, np.ndarray]:
        """Quantity → average for each unit since the last reset."""
        means = {quantity: total / n for quantity, (total, n) in self.totals.items()}
        return {quantity: np.sqrt(x) if quantity.endswith("rms") else x for quantity, x in means.items()}

    def finish(self) -> Iterator[tuple[str, float]]:
        """(quantity, value) of this step; the next one begins."""
        for what, (norm, size, zeros) in self.sums.items():
            if size:
                yield f"{what}_norm", norm
                yield f"{what}_rms", norm / math.sqrt(size)
                yield f"{what}_zeros", zeros / size
        if self.bounded:
            yield "saturated", self.saturated / self.bounded
        judged = [units for units in self.relus.values() if units.seen >= ENOUGH]
        if judged:
            n, dead = sum(len(units.ever) for units in judged), [units.dead() for units in judged]
            yield "dead", sum(map(np.count_nonzero, dead)) / n
            born = (np.count_nonzero(silent & ~units.ever) for silent, units in zip(dead, judged, strict=True))
            yield "born_dead", sum(born) / n
        for units in self.relus.values():
            units.next_batch()
        self.start()


class Units:
    """When each ReLU unit was active last, counted in samples."""

    def __init__(self, n: int, window: int | None) -> None:
        self.ever = np.zeros(n, bool)
        self.window = window
        self.reset()

    def reset(self) -> None:
        self.seen = 0
        self.last = np.zeros(len(self.ever), np.int64)
        self.starts = deque([0], self.window)  # how many samples came before each batch of the window

    def hear(self, y: np.ndarray) -> None:
        """Take in outputs (samples, units)."""
        self.seen += len(y)
        units = active(y)
        self.last[units] = self.seen
        self.ever |= units

    def dead(self) -> np.ndarray:
        """Which units were silent all through the window."""
        return self.seen - self.last >= max(ENOUGH, self.seen - self.starts[0])

    def next_batch(self) -> None:
        if self.window is not None:
            self.starts.append(self.seen)
