"""What one layer did in a step of training: the statistics that a `GradientMonitor` takes.

Sums are in float64. A share is a share of the elements, but dead is a unit, not an element: half of what a healthy
ReLU puts out is 0, each time from other units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

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
NEVER = -1  # when a unit was active last that never was


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


def put_out_by(node: Node) -> list[Node]:
    """What modules put out, of a node's inputs: what is used outside its module, or by a loss."""
    sources = [x.node for x in node.inputs if x is not None and x.node is not None]
    return [source for source in sources if source.scope != node.scope or node.op.kind == "loss"]


def of_model(walk: Sequence[tuple[Node, Any]], parameters: Container) -> Iterator[tuple[Node, Any]]:
    """What was computed with these parameters, in forward order.

    A node without parameters belongs to those whose outputs it uses.
    """
    mine: set[Node] = set()
    for node, look in reversed(walk):
        inputs = [x for x in node.inputs if x is not None]
        leaves = [x for x in inputs if x.node is None]
        own = any(x in parameters for x in leaves)
        foreign = any(x.requires_grad for x in leaves)
        if own or (not foreign and any(x.node in mine for x in inputs)):
            mine.add(node)
            yield node, look


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


def norm_and_zeros(x: np.ndarray) -> tuple[float, int]:
    """‖x‖, and how many elements are exactly 0."""
    squares, zeros = squares_and_zeros(x)
    return finite_or_infinite(arrays.length(x, lambda x: squares)), zeros


def by_unit(x: np.ndarray) -> np.ndarray:
    """An array as (samples, units): units are its last axis."""
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


class Look:
    """What is kept of a node's output and of the gradient there: a few numbers, for each unit at most.

    It is taken as the gradient arrives, when both arrays are in the processor's cache: the gradient has just been
    made, and the output is what the node's rule reads next.

    Attributes
    ----------
    outputs : dict
        "activation" and "gradient" → (norm, zeros, elements), if a module puts the output out.
    counts : dict
        The same names → a histogram, if there are to be any.
    active : list
        (which units were active, samples) of each ReLU.
    saturated, bounded : int
        Of so many elements of bounded activations so many are saturated.
    totals : list
        (quantity, sum for each unit, samples), if there are to be maps of units.
    """

    @np.errstate(all="ignore")
    def __init__(self, outputs: Mapping, activations: Sequence, count: Callable | None, maps: bool) -> None:
        self.outputs = {what: (*norm_and_zeros(x), x.size) for what, x in outputs.items()}
        self.counts = {what: count(x) for what, x in outputs.items()} if count else {}
        self.active: list[tuple[np.ndarray, int]] = []
        self.saturated = self.bounded = 0
        self.totals: list[tuple[str, np.ndarray, int]] = []
        for activation, y in activations:
            if activation == "relu":
                samples = by_unit(y)
                self.active.append((active(samples), len(samples)))
            else:
                self.saturated += int(beyond(y, *SATURATED[activation]))
                self.bounded += y.size
        if maps:
            for what, x in outputs.items():
                self.add_up(f"{what}_rms", np.square(x, dtype=np.float64))
            for activation, y in activations:
                if activation == "relu":
                    self.add_up("active", y > 0)
                else:
                    middle, bound = SATURATED[activation]
                    self.add_up("saturated", np.abs(y - middle) > bound)

    def add_up(self, quantity: str, x: np.ndarray) -> None:
        samples = by_unit(x)
        self.totals.append((quantity, samples.sum(axis=0), len(samples)))


class Layer:
    """Sums over one step, and what each unit did since the last reset."""

    def __init__(self, name: str, window: int | None) -> None:
        self.name, self.window = name, window
        self.relus: dict[int, Units] = {}  # by how many units there are
        self.reset()
        self.start()

    def reset(self) -> None:
        """Begin a new window."""
        self.totals: dict[str, tuple[np.ndarray, int]] = {}  # quantity → sum for each unit, samples
        for units in self.relus.values():
            units.reset()

    def start(self) -> None:
        """Begin a step."""
        self.sums: dict[str, tuple[float, int, int]] = {}  # "activation" or "gradient" → norm, zeros, elements
        self.saturated = self.bounded = 0

    def take(self, look: Look) -> None:
        """Take in what one of its nodes computed, and what arrived there."""
        for what, (more, more_zeros, elements) in look.outputs.items():
            norm, zeros, size = self.sums.get(what, (0.0, 0, 0))
            self.sums[what] = math.hypot(norm, more), zeros + more_zeros, size + elements
        self.saturated, self.bounded = self.saturated + look.saturated, self.bounded + look.bounded
        for units, samples in look.active:
            if units.size not in self.relus:
                self.relus[units.size] = Units(units.size, self.window)
            self.relus[units.size].hear(units, samples)
        for quantity, sums, samples in look.totals:
            total, n = self.totals.get(quantity, (0.0, 0))
            if np.shape(total) != sums.shape:  # none yet, or another number of units: start again
                total, n = np.zeros_like(sums), 0
            self.totals[quantity] = total + sums, n + samples

    def unit_map(self) -> dict[str, np.ndarray]:
        """Quantity → average for each unit since the last reset."""
        means = {quantity: total / n for quantity, (total, n) in self.totals.items()}
        return {quantity: np.sqrt(x) if quantity.endswith("rms") else x for quantity, x in means.items()}

    def finish(self) -> Iterator[tuple[str, float]]:
        """(quantity, value) of this step; the next one begins."""
        for what, (norm, zeros, size) in self.sums.items():
            if size:
                yield f"{what}_norm", norm
                yield f"{what}_rms", norm / math.sqrt(size)
                yield f"{what}_zeros", zeros / size
        if self.bounded:
            yield "saturated", self.saturated / self.bounded
        judged = [units for units in self.relus.values() if units.seen >= ENOUGH]
        if judged:
            n, dead = sum(units.last.size for units in judged), sum(units.dead() for units in judged)
            yield "dead", dead / n
            yield "born_dead", (dead and sum(units.born_dead() for units in judged)) / n
        for units in self.relus.values():
            units.next_batch()
        self.start()


class Units:
    """When each ReLU unit was active last, counted in samples."""

    def __init__(self, n: int, window: int | None) -> None:
        self.last = np.full(n, NEVER)
        self.window = window
        self.reset()

    def reset(self) -> None:
        self.seen = 0
        self.last = np.minimum(self.last, 0)
        self.starts = deque([0], self.window)  # how many samples came before each batch of the window

    def hear(self, units: np.ndarray, samples: int) -> None:
        """Take in which units were active in so many samples."""
        self.seen += samples
        self.last[units] = self.seen

    def dead(self) -> int:
        """How many units were silent all through the window."""
        return int(np.count_nonzero(self.last <= min(self.seen - ENOUGH, self.starts[0])))

    def born_dead(self) -> int:
        """How many of them were so from the beginning."""
        return int(np.count_nonzero(self.last == NEVER))

    def next_batch(self) -> None:
        if self.window is not None:
            self.starts.append(self.seen)
