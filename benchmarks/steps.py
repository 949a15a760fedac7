"""Whole training steps, as a share of PyTorch's time: eight workloads, float32.

`python -m benchmarks.steps` trains minigrad, minigrad without kernels and PyTorch for five steps from the same weights,
stops unless their losses agree to 1e-5, and then times them in turns.
One thread each; `OPENBLAS_NUM_THREADS=2 MKL_NUM_THREADS=2 OMP_NUM_THREADS=2` in the environment gives two.

- W1: 784-512-512-10, ReLU, batch 128, momentum, clipping, L2
- W2: 50 sigmoid layers of 64 units, batch 16, SGD
- W3: 25 residual blocks of 64 units with BatchNorm, batch 64, Adam
- W4: tanh RNN 32 → 128 over 64 steps, batch 32, SGD
- W5: LSTM 64 → 128 over 64 steps, batch 32, Adam; and with 64 units, and 32 → 32 over 32 steps, batch 16
- W6: 2-16-16-1, 100 points, SGD
- W7: W2 with the gradient of every z, h, W and b kept, and the norm of each
- W8: matmul of two 256 × 256 (1024 × 1024) matrices, and both gradients
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks._rounds import Ratio, ratio, report, setting_for, times  # before NumPy: it sets the number of threads
from benchmarks._torch import torch

import numpy as np  # isort: skip

import minigrad as mg
from layers import LSTM, RNN, BatchNorm, CrossEntropy, Dense, Residual, Sequential
from minigrad.kernels.matrices import blas_threads, has_packed
from optim import SGD, Adam

Step = Callable[[], Any]
BARS = {  # at most this share: with BLAS for products, with our packed products, and with two threads each
    "W1": (None, 0.75, 1.1), "W2": (0.35, 0.3, 0.3), "W3": (0.5, 0.5, 0.5), "W4": (0.6, 0.45, 0.7),
    "W5": (1.4, 1.0, 1.5), "W5 hidden 64": (None, 0.85, None), "W5 hidden 32": (None, 0.4, None),
    "W6": (0.4, 0.4, 0.4), "W7": (0.35, 0.25, 0.25), "W8 256": (None, None, None), "W8 1024": (None, None, None),
}  # fmt: skip


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def classes(batch: int, count: int = 10) -> np.ndarray:
    return np.random.default_rng(1).integers(0, count, batch)


# minigrad's side: training steps of a model


def training(model: Any, optimizer: Any, x: np.ndarray, t: np.ndarray, clip: float = math.inf) -> Step:
    loss_of = CrossEntropy() if t.dtype.kind == "i" else mg.mse

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), t)
        loss.backward()
        optimizer.step(clip)
        return loss.item()

    return step


def every_norm(model: Any, optimizer: Any, x: np.ndarray, t: np.ndarray) -> Step:
    """A step that keeps the gradient of every node and returns their norms."""

    def step() -> list[float]:
        optimizer.zero_grad()
        trace = mg.trace(CrossEntropy()(model(x), t), expand=False, backward=True)
        norms = [norm for node in trace.nodes if (norm := node.norm) is not None]
        optimizer.step()
        return norms

    return step


# PyTorch's side: the same model with the same weights


def linear(layer: Dense) -> Any:
    """torch.nn.Linear with the layer's weights."""
    twin = torch.nn.Linear(layer.inputs, layer.outputs)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(layer.weight.data.T.copy()))
        twin.bias.copy_(torch.tensor(layer.bias.data))
    return twin


class Recurrence:
    """torch.nn.RNN or LSTM with a layer's weights and its one bias, and a linear layer on the last state."""

    def __init__(self, kind: Any, layer: Any, head: Dense) -> None:
        cell = layer.layers[0]
        self.twin, self.head = kind(cell.inputs, cell.hidden, batch_first=True), linear(head)
        with torch.no_grad():
            self.twin.weight_ih_l0.copy_(torch.tensor(cell.w_input.data.T.copy()))
            self.twin.weight_hh_l0.copy_(torch.tensor(cell.w_hidden.data.T.copy()))
            self.twin.bias_ih_l0.copy_(torch.tensor(cell.bias.data))
            self.twin.bias_hh_l0.zero_().requires_grad_(False)

    def parameters(self) -> list:
        return [p for part in (self.twin, self.head) for p in part.parameters() if p.requires_grad]

    def __call__(self, x: Any) -> Any:
        return self.head(self.twin(x)[0][:, -1])


class Blocks(torch.nn.Module if torch else object):
    """x ← x + relu(norm(x·W + b)), block after block, and a linear layer."""

    def __init__(self, blocks: list, head: Dense) -> None:
        super().__init__()
        nn = torch.nn
        self.bodies = nn.ModuleList(
            nn.Sequential(linear(block.body[0]), nn.BatchNorm1d(block.body[1].features), nn.ReLU()) for block in blocks
        )
        self.head = linear(head)

    def forward(self, x: Any) -> Any:
        for body in self.bodies:
            x = x + body(x)
        return self.head(x)


def torch_training(model: Any, optimizer: Any, x: np.ndarray, t: np.ndarray, clip: float = math.inf) -> Step:
    x, t = torch.tensor(x), torch.tensor(t)
    loss_of = torch.nn.functional.mse_loss if t.dtype.is_floating_point else torch.nn.functional.cross_entropy

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), t)
        loss.backward()
        if clip < math.inf:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss.item()

    return step


def torch_every_norm(layers: list, optimizer: Any, x: np.ndarray, t: np.ndarray) -> Step:
    x, t = torch.tensor(x), torch.tensor(t)
    parameters = [p for layer in layers for p in layer.parameters()]

    def step() -> list[float]:
        optimizer.zero_grad()
        h, between = x, []
        for i, layer in enumerate(layers):
            h = layer(h)
            h.retain_grad()
            between.append(h)
            if i + 1 < len(layers):
                h = torch.sigmoid(h)
                h.retain_grad()
                between.append(h)
        torch.nn.functional.cross_entropy(h, t).backward()
        norms = torch.stack([p.grad.norm() for p in [*between, *parameters]]).tolist()
        optimizer.step()
        return norms

    return step


# The pairs


def dense_net(sizes: list[int], activation: str, fused: bool = True) -> tuple[Sequential, list[Dense]]:
    """A net of dense layers, and the layers; the activation is fused into them, or an op of its own."""
    rng = np.random.default_rng(0)
    last = len(sizes) - 2
    layers = [
        Dense(a, b, activation if fused and i < last else None, rng=rng) for i, (a, b) in enumerate(pairwise(sizes))
    ]
    between = [] if fused else [getattr(mg, activation)]
    parts = [part for layer in layers[:-1] for part in (layer, *between)]
    return Sequential(*parts, layers[-1]).astype("float32"), layers


def torch_net(layers: list[Dense], activation: str) -> Any:
    functions = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}
    parts = [part for layer in layers[:-1] for part in (linear(layer), functions[activation]())]
    return torch.nn.Sequential(*parts, linear(layers[-1]))


def mlp(sizes: list[int], activation: str, batch: int, target: np.ndarray, **how: Any) -> tuple[Step, Step | None]:
    """Dense layers trained by SGD; `how` has its settings, which PyTorch calls by the same names."""
    model, layers = dense_net(sizes, activation)
    x, clip, lr = numbers(batch, sizes[0]), how.pop("clip", math.inf), how.pop("lr", 0.1)
    step = training(model, SGD(model.parameters(), lr, **how), x, target, clip)
    if torch is None:
        return step, None
    twin = torch_net(layers, activation)
    return step, torch_training(twin, torch.optim.SGD(twin.parameters(), lr, **how), x, target, clip)


def residual() -> tuple[Step, Step | None]:
    rng = np.random.default_rng(0)
    blocks = [Residual(Dense(64, 64, rng=rng), BatchNorm(64), mg.relu) for _ in range(25)]
    head = Dense(64, 10, rng=rng)
    model = Sequential(*blocks, head).astype("float32")
    x, t = numbers(64, 64), classes(64)
    step = training(model, Adam(model.parameters(), 1e-3), x, t)
    if torch is None:
        return step, None
    twin = Blocks(blocks, head)
    return step, torch_training(twin, torch.optim.Adam(twin.parameters(), 1e-3), x, t)


def recurrent(kind: Any, inputs: int, hidden: int, time: int, batch: int) -> tuple[Step, Step | None]:
    layer, head = kind(inputs, hidden, rng=0), Dense(hidden, 10, rng=1)
    model = Sequential(layer, head).astype("float32")
    x, t = numbers(batch, time, inputs), classes(batch)
    optimizer = SGD(model.parameters(), 0.1) if kind is RNN else Adam(model.parameters(), 1e-3)
    step = training(model, optimizer, x, t)
    if torch is None:
        return step, None
    twin = Recurrence(getattr(torch.nn, kind.__name__), layer, head)
    descent = torch.optim.SGD(twin.parameters(), 0.1) if kind is RNN else torch.optim.Adam(twin.parameters(), 1e-3)
    return step, torch_training(twin, descent, x, t)


def inspected() -> tuple[Step, Step | None]:
    """W2 with 203 gradients kept."""
    model, layers = dense_net([64] * 51 + [10], "sigmoid", fused=False)
    x, t = numbers(16, 64), classes(16)
    step = every_norm(model, SGD(model.parameters(), 0.1), x, t)
    if torch is None:
        return step, None
    twins = [linear(layer) for layer in layers]
    parameters = [p for twin in twins for p in twin.parameters()]
    return step, torch_every_norm(twins, torch.optim.SGD(parameters, 0.1), x, t)


def product(size: int) -> tuple[Step, Step | None]:
    a, b, g = (numbers(size, size) / size for _ in range(3))
    x, y = (mg.tensor(array, requires_grad=True) for array in (a, b))

    def step() -> float:
        z = x @ y
        x.zero_grad()
        y.zero_grad()
        z.backward(g)
        return float(z.data[0, 0])

    if torch is None:
        return step, None
    u, v, h = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True), torch.tensor(g)

    def torch_step() -> float:
        z = u @ v
        u.grad = v.grad = None
        z.backward(h)
        return z[0, 0].item()

    return step, torch_step


WORKLOADS: dict[str, Callable[[], tuple[Step, Step | None]]] = {
    "W1": lambda: mlp([784, 512, 512, 10], "relu", 128, classes(128), momentum=0.9, weight_decay=1e-4, clip=1.0),
    "W2": lambda: mlp([64] * 51 + [10], "sigmoid", 16, classes(16)),
    "W3": residual,
    "W4": lambda: recurrent(RNN, 32, 128, 64, 32),
    "W5": lambda: recurrent(LSTM, 64, 128, 64, 32),
    "W5 hidden 64": lambda: recurrent(LSTM, 64, 64, 64, 32),
    "W5 hidden 32": lambda: recurrent(LSTM, 32, 32, 32, 16),
    "W6": lambda: mlp([2, 16, 16, 1], "tanh", 100, numbers(100, 1)),
    "W7": inspected,
    "W8 256": lambda: product(256),
    "W8 1024": lambda: product(1024),
}


def share(name: str, rounds: int = 15) -> dict[str, Ratio]:
    """The time of a step over PyTorch's ("pytorch"), and over the time without kernels ("numpy")."""
    ours, theirs = WORKLOADS[name]()
    without, _ = WORKLOADS[name]()
    candidates = {"ours": ours, "numpy": without} | ({"pytorch": theirs} if theirs else {})
    losses = {}
    for side, run in candidates.items():
        with setting_for(side):
            found = losses[side] = np.array([run() for _ in range(5)], dtype=float)
        if name == "W7":  # norms, which PyTorch takes in float32, where small ones underflow to 0
            assert found.all() or side == "pytorch", f"{name}: {side} has a gradient whose norm is 0"
        else:
            np.testing.assert_allclose(found, losses["ours"], rtol=1e-5, err_msg=f"{name}: {side} has another loss")
    found = times(candidates, rounds, seconds=0.03)
    return {side: ratio(found["ours"], seconds) for side, seconds in found.items() if side != "ours"}


def track_share_of_pytorch(name: str) -> float:
    return share(name)["pytorch"].median


track_share_of_pytorch.params = list(WORKLOADS)

if __name__ == "__main__":
    for name in WORKLOADS:
        found = share(name)
        if "pytorch" in found:
            case = has_packed() if blas_threads() == 1 else 2
            report(name, found["pytorch"], "of PyTorch", at_most=BARS[name][case])
        report(name, found["numpy"], "of NumPy")
