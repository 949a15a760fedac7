"""Recurrent layers with kernels against the same layers without.

`python -m benchmarks.recurrent` prints all; each `track_` function is a benchmark of its own. `benchmarks.steps` times
training steps with them against PyTorch's.
"""

from __future__ import annotations

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg

# Name → the op, its gates, then batch, time, inputs, hidden
LAYERS = {
    "rnn 32 to 128": (mg.rnn, 1, 32, 64, 32, 128),
    "lstm 64 to 128": (mg.lstm, 4, 32, 64, 64, 128),
    "lstm 64 to 64": (mg.lstm, 4, 32, 64, 64, 64),
    "lstm 32 to 32": (mg.lstm, 4, 16, 32, 32, 32),
}


def forward_and_backward(layer: str, dtype: str = "float32") -> Ratio:
    """Time with kernels over time without, forward and backward; x needs no gradient."""
    op, gates, batch, time, inputs, n = LAYERS[layer]
    rng = np.random.default_rng(0)
    shapes = (inputs, gates * n), (n, gates * n), (gates * n,)
    weights = [mg.tensor(rng.normal(size=s).astype(dtype) / 8, requires_grad=True) for s in shapes]
    x = rng.normal(size=(batch, time, inputs)).astype(dtype)
    states = [None] * (2 if op is mg.lstm else 1)
    g = np.ones_like(op(x, *states, *weights).data)

    def run() -> None:
        op(x, *states, *weights).backward(g)

    return compared({"ours": run, "numpy": run}, seconds=0.03)


def gru_gates(batch: int = 32, n: int = 128, dtype: str = "float32") -> Ratio:
    rng = np.random.default_rng(0)
    a, b, h = (mg.tensor(rng.normal(size=(batch, k * n)).astype(dtype), requires_grad=True) for k in (3, 3, 1))
    g = np.ones_like(h.data)

    def run() -> None:
        mg.gru_gates(a, b, h).backward(g)

    return compared({"ours": run, "numpy": run})


def track_share_of_numpy(layer: str) -> float:
    return forward_and_backward(layer).median


track_share_of_numpy.params = list(LAYERS)


def main() -> None:
    for layer in LAYERS:
        for dtype in ("float32", "float64"):
            report(f"{layer} {dtype}", forward_and_backward(layer, dtype), "of NumPy")
    for dtype in ("float32", "float64"):
        report(f"gru_gates {dtype}", gru_gates(dtype=dtype), "of NumPy")


if __name__ == "__main__":
    main()
