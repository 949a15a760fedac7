"""BatchNorm, forward and backward, float32: kernels against their NumPy lines, the op against PyTorch's.

`python -m benchmarks.normalising` prints ratios beside their bars, on one thread. PyTorch's op is timed with its
autograd, ours with recording its node.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads
from benchmarks._torch import torch

import numpy as np  # isort: skip

import minigrad as mg
from minigrad.graph import pull
from minigrad.ops.networks import batch_norm_backward, batch_norm_forward

SHAPES = [(32, 64), (128, 128), (128, 512), (4096, 64)]


def arrays(shape: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    x, g, row = rng.normal(size=shape), rng.normal(size=shape), np.ones(shape[1])
    return [a.astype(np.float32) for a in (x, row, 0.1 * row, g)]


def ours(shape: tuple[int, int]) -> Callable[[], None]:
    """Forward and backward on arrays."""
    x, gamma, beta, g = arrays(shape)

    def run() -> None:
        y, saved = batch_norm_forward(x, gamma, beta, 1e-5)
        batch_norm_backward(g, y, saved, x, gamma, beta, 1e-5)

    return run


def kept(shape: tuple[int, int]) -> Callable[[], None]:
    """The fastest NumPy: the forward pass keeps x̂, which takes as much memory as x."""
    x, gamma, beta, g = arrays(shape)

    def run() -> None:
        centred = x - x.mean(axis=0)
        scale = 1 / np.sqrt(np.mean(np.square(centred), axis=0) + 1e-5)
        normal = centred * scale
        normal * gamma + beta
        by_gamma, by_beta = np.sum(g * normal, axis=0), np.sum(g, axis=0)
        gamma * scale * (g - (by_beta + normal * by_gamma) / len(x))

    return run


def to_numpy(shape: tuple[int, int], line: Callable | None = None) -> Ratio:
    run = ours(shape)
    return compared({"numpy": line or run, "ours": run})


def to_pytorch(shape: tuple[int, int]) -> Ratio:
    """Our op and PyTorch's as inside a network: recorded, and their gradients passed on, not added to `.grad`."""
    *inputs, g = arrays(shape)
    xs = [mg.tensor(a, dtype=np.float32, requires_grad=True) for a in inputs]
    ts = [torch.tensor(a, requires_grad=True) for a in inputs]
    g_t, mean, variance = torch.tensor(g), torch.zeros(shape[1]), torch.ones(shape[1])

    def theirs() -> None:
        x, gamma, beta = ts
        torch.autograd.grad(torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, training=True), ts, g_t)

    return compared({"theirs": theirs, "ours": lambda: pull(mg.batch_norm(*xs).node, g)})


def track_to_numpy(shape: tuple[int, int]) -> float:
    """At least 5."""
    return to_numpy(shape).median


track_to_numpy.params, track_to_numpy.unit = SHAPES, "ratio"


def main() -> None:
    for shape in SHAPES:
        what = "BatchNorm {} × {}".format(*shape)
        report(what, to_numpy(shape), "× NumPy", at_least=5)
        report(f"{what}, x̂ kept", to_numpy(shape, kept(shape)), "× NumPy")
        if torch:
            report(what, to_pytorch(shape), "× PyTorch", at_least=2)


if __name__ == "__main__":
    main()
