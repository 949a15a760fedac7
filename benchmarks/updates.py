"""Optimizers with a kernel: a step on given gradients, against the same in NumPy and PyTorch's fused Adam.

`python -m benchmarks.updates` prints ratios; parameters are those of a 784-128-10 net, float32, on one thread.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads
from benchmarks._torch import torch

import numpy as np  # isort: skip

import minigrad as mg
from minigrad.arrays import length
from optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, clip_by_global_norm

NET = [(784, 128), (128,), (128, 10), (10,)]  # 101,770 parameters
DEEP = [(64, 64), (64,)] * 50
OURS: dict[str, Callable[[list], Optimizer]] = {
    "SGD": lambda params: SGD(params, lr=1e-3),
    "SGD, momentum": lambda params: SGD(params, lr=1e-3, momentum=0.9, weight_decay=1e-4),
    "Adagrad": lambda params: Adagrad(params, lr=1e-3),
    "RMSprop": lambda params: RMSprop(params, lr=1e-3),
    "Adam": lambda params: Adam(params, lr=1e-3),
    "AdamW": lambda params: AdamW(params, lr=1e-3),
}


def arrays(shapes: list, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def with_gradients(shapes: list) -> list:
    params = [mg.tensor(x, requires_grad=True, dtype="float32") for x in arrays(shapes, 0)]
    for p, g in zip(params, arrays(shapes, 1), strict=True):
        p.grad = g
    return params


def step(make: Callable, shapes: list, clip: float = math.inf) -> Callable[[], None]:
    """A step of the optimizer, with the gradients clipped in the same pass."""
    optimizer = make(with_gradients(shapes))

    return lambda: optimizer.step(clip)


def clip_and_step(shapes: list, clip: float) -> Callable[[], None]:
    """Clipping and a step as two calls; the limit falls a little each time, so that every call clips."""
    params = with_gradients(shapes)
    optimizer = OURS["Adam"](params)
    limits = (clip * 0.9999**i for i in itertools.count())

    def run() -> None:
        clip_by_global_norm(params, next(limits))
        optimizer.step()

    return run


def fused(shapes: list, clip: float) -> Callable[[], None]:
    """PyTorch's clipping, which writes into the gradients, and then its fused Adam."""
    params = [torch.tensor(x, requires_grad=True) for x in arrays(shapes, 0)]
    for p, g in zip(params, arrays(shapes, 1), strict=True):
        p.grad = torch.tensor(g)
    optimizer = torch.optim.Adam(params, lr=1e-3, fused=True)

    def run() -> None:
        torch.nn.utils.clip_grad_norm_(params, clip)
        optimizer.step()

    return run


def to_numpy(make: Callable, shapes: list) -> Ratio:
    return compared({"numpy": step(make, shapes), "ours": step(make, shapes)})


def to_pytorch(ours: Callable[[], None], shapes: list) -> Ratio:
    return compared({"ours": ours, "fused": fused(shapes, 1.0)}, rounds=31)


def track_adam_to_pytorch() -> float:
    """The time of clipping and Adam over PyTorch's: at most 0.25."""
    return to_pytorch(step(OURS["Adam"], NET, 1.0), NET).median if torch else math.nan


track_adam_to_pytorch.unit = "ratio"


def main() -> None:
    for name, make in OURS.items():
        report(f"{name}, 100 k in 4 tensors", to_numpy(make, NET), "× NumPy")
    report("Adam, 208 k in 100 tensors", to_numpy(OURS["Adam"], DEEP), "× NumPy")
    g = arrays(NET, 1)[0]
    report("norm of 100 k", compared({"numpy": lambda: length(g), "ours": lambda: length(g)}), "× NumPy")
    if torch:
        for shapes, what, bar in ((NET, "100 k in 4 tensors", 0.25), (DEEP, "208 k in 100 tensors", None)):
            found = to_pytorch(step(OURS["Adam"], shapes, 1.0), shapes)
            report(f"Adam, step(clip=1), {what}", found, "of PyTorch", at_most=bar)
            report(f"clipped, then Adam, {what}", to_pytorch(clip_and_step(shapes, 1.0), shapes), "of PyTorch")


if __name__ == "__main__":
    main()
