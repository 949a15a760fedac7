"""Recurrent networks, and a task in which something must be remembered for long.

- `NETWORKS`: name → how the recurrent layer is made; `TRAINED` names those that are trained on the task.
- `adding(count, length, rng)`: the adding problem.
- `network(name, hidden, seed)`, `train(model, length, steps, limit, seed)`.
- `probe(model, x, y)`: what becomes of a gradient on its way through time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from layers import GRU, LSTM, RNN, Dense, Module, RNNCell, Sequential
from optim import Adam, clip_by_global_norm

RATE = 0.01  # the RNN does not learn to remember for 100 steps with 0.003 or 0.001 either
LEARNED, ENOUGH = 0.01, 0.002  # errors: below the first both numbers are remembered, below the second training ends


class Shortcut(Module):
    """hₜ = hₜ₋₁ + tanh(xₜ·W_input + hₜ₋₁·W_hidden + b): an RNN with a shortcut around every step."""

    def __init__(self, hidden: int, rng: np.random.Generator) -> None:
        self.cell = RNNCell(2, hidden, rng=rng)

    def forward(self, x):
        h = np.zeros((len(x), self.cell.hidden), x.dtype)
        for t in range(x.shape[1]):
            h = h + self.cell(x[:, t], h)
            h.name = f"h[{t}]"
        return h


def rnn(radius: float) -> Callable:
    """An RNN whose W_hidden starts with eigenvalues of this size: an orthogonal matrix, times `radius`."""

    def layer(hidden: int, rng: np.random.Generator) -> RNN:
        made = RNN(2, hidden, rng=rng)
        made.layers[0].w_hidden.data *= radius
        return made

    return layer


def lstm(forget_bias: float) -> Callable:
    return lambda hidden, rng: LSTM(2, hidden, forget_bias=forget_bias, rng=rng)


NETWORKS: dict[str, Callable[[int, np.random.Generator], Module]] = {
    "rnn": rnn(1),
    "rnn ρ=0.7": rnn(0.7),
    "rnn ρ=1.4": rnn(1.4),
    "shortcut": Shortcut,
    "lstm": lstm(1),
    "lstm b=0": lstm(0),
    "lstm b=3": lstm(3),
    "gru": lambda hidden, rng: GRU(2, hidden, rng=rng),
}
TRAINED = ("rnn", "shortcut", "lstm", "gru")


def network(name: str, hidden: int, seed: int) -> Sequential:
    """The recurrent layer `name`, and a linear layer that reads its last state."""
    rng = np.random.default_rng(seed)
    return Sequential(NETWORKS[name](hidden, rng), Dense(hidden, 1, rng=rng))


def adding(count: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers from U(0, 1), each beside its mark, and the sum of the two marked ones: one in each half.

    Always saying 1 has a mean squared error of 1/6; knowing only one of the two, 1/12
    (Hochreiter and Schmidhuber, 1997).
    """
    numbers, marks, rows = rng.uniform(size=(count, length)), np.zeros((count, length)), np.arange(count)
    marks[rows, rng.integers(0, length // 2, count)] = 1
    marks[rows, rng.integers(length // 2, length, count)] = 1
    return np.stack([numbers, marks], axis=2), (numbers * marks).sum(axis=1, keepdims=True)


@np.errstate(all="ignore")  # a gradient may be too large, or 0
def train(model: Module, length: int, steps: int, limit: float, seed: int) -> dict[str, Any]:
    """Learn from 32 new rows a step, the gradient clipped to `limit`, and measure 25 times on 500 others.

    Returns "steps" and "errors" of the measurements, the step at which it had "learned" (0: never), and the largest
    gradient "norm" before clipping.
    """
    optimizer, rng = Adam(model.parameters(), lr=RATE), np.random.default_rng(seed)
    x_held_out, y_held_out = adding(500, length, rng)
    found: dict[str, Any] = {"steps": [], "errors": [], "learned": 0, "norm": 0.0}
    for step in range(1, steps + 1):
        x, y = adding(32, length, rng)
        optimizer.zero_grad()
        mg.mse(model(x), y).backward()
        found["norm"] = max(found["norm"], clip_by_global_norm(model.parameters(), limit))
        try:
            optimizer.step()
        except FloatingPointError:  # a gradient that is not finite
            found["steps"].append(step)
            found["errors"].append(math.inf)
            break
        if 25 * step // steps > 25 * (step - 1) // steps:
            with mg.no_grad():
                found["errors"].append(mg.mse(model(x_held_out), y_held_out).item())
            found["steps"].append(step)
            if found["errors"][-1] < LEARNED and not found["learned"]:
                found["learned"] = step
            if found["errors"][-1] < ENOUGH:
                break
    return found


def norms(arrays: Any) -> np.ndarray:
    return np.array([np.linalg.norm(array) for array in arrays])


@np.errstate(all="ignore")
def probe(model: Sequential, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """How the first state acts on the last, by which paths, and what each step adds to the gradient of W_hidden.

    s is the state that is handed on: the cell c of an LSTM, h of the others. "direct" is the mean gain of a step that
    bypasses W_hidden, "around" the share of ∂L/∂s_1 that bypasses it in every step, "by path" the parts of ∂L/∂s_1 by
    the number of passes through W_hidden.
    """
    trace, last = mg.trace(mg.mse(model(x), y)), x.shape[1] - 1
    s, w = "c" if isinstance(model[0], LSTM) else "h", trace["*w_hidden"][0]
    gates = np.split(w.value, w.shape[1] // w.shape[0], axis=1)
    times = np.unique(np.linspace(0, last, 11).round().astype(int))
    into = [edge for t in range(last) for edge in trace.edges(into=f"{s}[{t}]")]
    direct = [edge.gain for edge in into if edge.output.kind in ("gate", "skip")]
    passes = trace.by_path_length(f"{s}[0]", lambda edge: edge.symbol == f"{w.symbol}ᵀ")
    by_path = np.array([np.linalg.norm(passes.get(k, 0)) for k in range(last + 1)])
    lags, by_time = trace.lag_matrix([f"{s}[{t}]" for t in times]), norms(trace.by_time(w))
    return {
        "radius": max(np.abs(np.linalg.eigvals(gate)).max() for gate in gates),
        "times": times,
        "lags": lags,
        "left": lags[-1, 0],
        "direct": math.exp(np.mean(np.log(direct))) if direct else math.nan,
        "around": by_path[0] / trace[f"{s}[0]"].norm,
        "by path": by_path / by_path.sum(),
        "by time": by_time,
        "early": by_time[1] / by_time.max(),  # the very first h is 0, and brings W_hidden nothing
        "chain": str(trace.chain(to=f"{s}[0]")),
    }
