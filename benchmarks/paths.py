"""The time to split a gradient, in units of a backward pass over the same opened graph.

`python -m benchmarks.paths` prints all; each `track_` function is a benchmark of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._rounds import duration  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg
from layers import LSTM, RNN, Dense, Residual, Sequential
from minigrad.graph import walk


def quickest(f: Callable, times: int = 9) -> float:
    """Seconds of the quickest of several calls, which other work on the machine disturbed least."""
    return min(duration(f, 1) for _ in range(times))


def residual_net(blocks: int = 50, units: int = 64, batch: int = 32):
    """The trace of a residual net, and its input."""
    rng = np.random.default_rng(0)
    body = [Residual(Dense(units, units, "tanh", rng=rng)) for _ in range(blocks)]
    x = mg.tensor(rng.normal(size=(batch, units)), requires_grad=True, name="x")
    return mg.trace(mg.mean(mg.square(Sequential(*body, Dense(units, 1, rng=rng))(x)))), x


def recurrent_net(layer, steps: int = 40, units: int = 32, batch: int = 16):
    rng = np.random.default_rng(0)
    return mg.trace(mg.mean(mg.square(layer(4, units, rng=rng)(rng.normal(size=(batch, steps, 4))))))


def over_backward(trace, f: Callable) -> float:
    """Time of f over the time of one backward walk through the graph of `trace`."""
    nodes, start = trace._nodes, trace[-1].vertex
    f()  # fills the trace's caches
    return quickest(f, 5) / quickest(lambda: walk(nodes, {start: trace.seed}, replaced=trace._replaced))


def track_by_path_length(count: str | None = "activation") -> float:
    """50 residual blocks of 64 units, 1.1e15 paths: it must stay below 20."""
    trace, x = residual_net()
    return over_backward(trace, lambda: trace.by_path_length(to=x, count=count))


def track_strongest_paths() -> float:
    trace, x = residual_net()
    return over_backward(trace, lambda: trace.paths(to=x, k=10))


def track_count_paths() -> float:
    trace, x = residual_net()
    return over_backward(trace, lambda: trace.count_paths(to=x))


def track_jacobian() -> float:
    """The Jacobian of the last block by the input, for one sample: 64 rows."""
    trace, x = residual_net()
    last = [node for node in trace.nodes if node.kind == "skip"][-1]
    return over_backward(trace, lambda: trace.jacobian(last, x, sample=0))


def track_lag_matrix_of_rnn() -> float:
    trace = recurrent_net(RNN)
    return over_backward(trace, lambda: trace.lag_matrix("h[*]"))


def track_lag_matrix_of_lstm() -> float:
    trace = recurrent_net(LSTM)
    return over_backward(trace, lambda: trace.lag_matrix("h[*]"))


for benchmark in [f for name, f in vars().copy().items() if name.startswith("track_")]:
    benchmark.unit = "backward passes"

if __name__ == "__main__":
    for name, f in list(vars().items()):
        if name.startswith("track_"):
            print(f"{name.removeprefix('track_'):25} {f():8.1f} {f.unit}")
