"""What one layer did in a step of training, from the looks that a `GradientMonitor` took at its nodes.

Shares count elements, but `dead` counts units: half of the outputs of a healthy ReLU are 0, each time those of other
units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import numpy as np

from minigrad.inspection.monitor.looks import Look

ENOUGH = 256  # samples before a unit may be called dead
NEVER = -1  # "last active" of a unit that never was


class Layer:
    """Sums over one step, and what each unit did since the last reset."""

    def __init__(self, name: str, window: int | None) -> None:
        self.name, self.window = name, window
        self.relus: dict[int, Units] = {}  # by the number of units
        self.reset()
        self.start()

    def reset(self) -> None:
        """Begin a new window."""
        self.totals: dict[tuple[str, int], tuple[np.ndarray, int]] = {}  # (quantity, units) → sum for each, samples
        for units in self.relus.values():
            units.reset()

    def start(self) -> None:
        """Begin a step."""
        self.sums: dict[str, tuple[float, int, int]] = {}  # "activation" or "gradient" → norm, zeros, elements
        self.saturated = self.bounded = 0
        self.counts: dict[str, np.ndarray] = {}  # "activation" or "gradient" → histogram

    def take(self, look: Look) -> None:
        """Add the look at one of its nodes: what the node computed, and the gradient that arrived there."""
        for what, (more, more_zeros, elements) in look.outputs.items():
            norm, zeros, size = self.sums.get(what, (0.0, 0, 0))
            self.sums[what] = math.hypot(norm, more), zeros + more_zeros, size + elements
        for what, counts in look.counts.items():
            self.counts[what] = self.counts.get(what, 0) + counts
        self.saturated, self.bounded = self.saturated + look.saturated, self.bounded + look.bounded
        for units, samples in look.active:
            if units.size not in self.relus:
                self.relus[units.size] = Units(units.size, self.window)
            self.relus[units.size].hear(units, samples)
        for quantity, sums, samples in look.totals:
            total, n = self.totals.pop((quantity, sums.size), (0.0, 0))  # what came last is the last again
            self.totals[quantity, sums.size] = total + sums, n + samples

    def unit_map(self) -> dict[str, np.ndarray]:
        """Quantity → average for each unit since the last reset; of arrays with different units, for the last one."""
        means = {quantity: total / n for (quantity, _), (total, n) in self.totals.items()}
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
        """Note which units were active in the next `samples` samples."""
        self.seen += samples
        self.last[units] = self.seen

    def dead(self) -> int:
        """How many units were silent all through the window."""
        return int(np.count_nonzero(self.last <= min(self.seen - ENOUGH, self.starts[0])))

    def born_dead(self) -> int:
        """How many units have never been active, not even before the window."""
        return int(np.count_nonzero(self.last == NEVER))

    def next_batch(self) -> None:
        if self.window is not None:
            self.starts.append(self.seen)
