"""The time to trace a backward pass, in units of a plain backward pass.

`python -m benchmarks.tracing` prints all; each `track_` function is a benchmark of its own. The two sides of a ratio
take turns, and the quickest run of each counts, since other work on the machine only adds time.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._rounds import duration  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg
from layers import Dense, Sequential


def deep_net(layers: int = 50, width: int = 64, batch: int = 16, activation: str = "sigmoid") -> mg.Tensor:
    """The loss of a deep net."""
    rng = np.random.default_rng(0)
    body = [Dense(width, width, activation, rng=rng) for _ in range(layers)]
    y = Sequential(*body, Dense(width, 1, rng=rng))(rng.normal(size=(batch, width)))
    return mg.mse(y, np.zeros((batch, 1)))


def norms(trace) -> list[float | None]:
    """The norm of every gradient."""
    return [node.norm for node in trace.nodes]


def over(other: Callable, f: Callable, rounds: int = 101) -> float:
    """How many times as long f takes as the other."""
    pairs = [(duration(f, 1), duration(other, 1)) for _ in range(rounds)]
    return min(a for a, _ in pairs) / min(b for _, b in pairs)


def track_trace() -> float:
    """50 layers, fused ops left as they are, with every norm: it must stay below 1.3."""
    loss = deep_net()
    return over(loss.backward, lambda: norms(mg.trace(loss, expand=False)))


def track_trace_without_norms() -> float:
    loss = deep_net()
    return over(loss.backward, lambda: mg.trace(loss, expand=False))


def track_opened_trace() -> float:
    """The same with fused ops opened, so that their definitions run once more."""
    loss = deep_net()
    return over(loss.backward, lambda: norms(mg.trace(loss)))


def track_what_if() -> float:
    loss = deep_net()
    trace = mg.trace(loss)
    return over(loss.backward, lambda: trace.what_if({"kind:activation": 1.0}))


def track_audit() -> float:
    """Runs every rule and every kernel at least twice more, in two directions."""
    loss = deep_net()
    trace = mg.trace(loss)
    return over(loss.backward, trace.audit, rounds=5)


def track_detect_anomaly() -> float:
    """Forward and backward inside `detect_anomaly()` over forward and backward outside."""

    def step() -> None:
        deep_net(layers=10).backward()

    def watched() -> None:
        with mg.detect_anomaly():
            step()

    return over(step, watched, rounds=21)


for benchmark in [f for name, f in vars().copy().items() if name.startswith("track_")]:
    benchmark.unit = "backward passes" if benchmark is not track_detect_anomaly else "steps"

if __name__ == "__main__":
    for name, f in list(vars().items()):
        if name.startswith("track_"):
            print(f"{name.removeprefix('track_'):25} {f():8.2f} {f.unit}")
