"""What a GradientMonitor adds to a training step of the 784-512-512-10 net, batch 128, float32.

`python -m benchmarks.monitoring` prints all levels beside their bars. Steps with and without a monitor take turns, and
the result is the median of their ratios, so a machine that becomes faster or slower does not change it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks._rounds import duration  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg
from layers import CrossEntropy, Dense, Sequential
from minigrad.settings import state
from optim import SGD

BARS = {"norms": (0.05, 0.15), "hist": (0.15, 0.30), "full": (None, None)}  # with fast kernels, without them


def training(level: str | None) -> tuple[Callable[[], None], mg.GradientMonitor | None]:
    """A function that makes one training step, and the monitor that watches it if `level` is given."""
    mg.seed(0)
    hidden = [Dense(a, 512, "relu", init="he_uniform") for a in (784, 512)]
    model = Sequential(*hidden, Dense(512, 10)).astype("float32")
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(128, 784)).astype(np.float32), rng.integers(0, 10, 128)
    monitor = mg.GradientMonitor(model, optimizer, level=level) if level else None

    def step() -> None:
        optimizer.zero_grad()
        CrossEntropy()(model(x), labels).backward()
        if monitor:
            monitor.step()
        optimizer.step()

    return step, monitor


def measured(level: str, rounds: int = 200) -> tuple[float, float]:
    """The share that the monitor adds to a step's time, as measured here and by the monitor's own clock."""
    bare, _ = training(None)
    watched, monitor = training(level)
    listeners, ratios, inside, total = state.listeners, [], 0.0, 0.0
    with monitor:
        for i in range(rounds + 10):
            state.listeners = ()  # the monitor does not hear the bare step
            before = duration(bare, 1)
            state.listeners, begun = listeners, monitor.inside
            after = duration(watched, 1)
            if i >= 10:  # after warming up
                ratios.append(after / before)
                inside, total = inside + monitor.inside - begun, total + after
    return statistics.median(ratios) - 1, inside / (total - inside)


def track_added_by_norms() -> float:
    return measured("norms")[0]


def track_added_by_hist() -> float:
    return measured("hist")[0]


def track_added_by_full() -> float:
    return measured("full")[0]


track_added_by_norms.unit = track_added_by_hist.unit = track_added_by_full.unit = "share of a step"

if __name__ == "__main__":
    for level, (fast, slow) in BARS.items():
        added, own_clock = measured(level)
        bars = f"at most {fast:.0%} with fast kernels, {slow:.0%} without" if fast else "no bar"
        print(f"{level:6} adds {added:6.1%} to a step, {own_clock:6.1%} by its own clock; {bars}")
