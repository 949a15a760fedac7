"""Kernels of activations against NumPy's lines: values, contributions g·φ', and both with the bias of a dense layer.

`python -m benchmarks.activations` prints ratios: float32, one thread, arrays of 128 × 512 (and of 16 × 64, where the
cost per call matters). Results are compared before they are timed.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads
from benchmarks._torch import torch

import numpy as np  # isort: skip

import minigrad as mg
from minigrad.kernels import twins, use

PARAMETERS: dict[str, dict[str, float]] = {"leaky_relu": {"slope": 0.01}, "elu": {"alpha": 1.0}}
NAMES = ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu"]
BARS = {"sigmoid": 2.5, "tanh": 1.0}  # for values; the bar for contributions is 1.5, for bias and activation 2.5
# What one would write without minigrad
PLAIN = {"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}
PLAIN_SLOPES = {"sigmoid": lambda y: y * (1 - y), "tanh": lambda y: 1 - y * y, "relu": lambda y: y > 0}


def arrays(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    x, g = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    return x, g


def faster(line: Callable, kernel: Callable, rounds: int = 31) -> Ratio:
    """How many times as fast as the line the kernel is, after checking that both give the same."""
    with use("numpy"):
        for expected, actual in zip(line(), kernel(), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
        return compared({"line": line, "kernel": kernel}, rounds, seconds=0.001)


def values(name: str, *shape: int) -> Ratio:
    (x, _), twin, params = arrays(*shape), twins[name], PARAMETERS.get(name, {})
    return faster(lambda: [twin.line(x, **params)], lambda: [twin.kernel(x, **params)])


def contributions(name: str, *shape: int) -> Ratio:
    (x, g), twin, params = arrays(*shape), twins[f"{name}_backward"], PARAMETERS.get(name, {})
    y = twins[name].kernel(x, **params)
    return faster(lambda: [twin.line(g, y, x, **params)], lambda: [twin.kernel(g, y, x, **params)])


def with_bias(name: str, *shape: int) -> Ratio:
    """φ(z + b): the kernel writes into z, the NumPy line makes new arrays."""
    (z, _), b, kernel = arrays(*shape), np.zeros(shape[-1], np.float32), twins["bias_activation"].kernel
    own = z.copy()
    return faster(lambda: [PLAIN[name](z + b)], lambda: [kernel(own, b, name)[0]])


def with_bias_back(name: str, *shape: int) -> Ratio:
    """The contributions to z and b: g·φ', and its sum over the batch."""
    (z, g), b, kernel = arrays(*shape), np.zeros(shape[-1], np.float32), twins["bias_activation_backward"].kernel
    y = PLAIN[name](z)

    def line() -> tuple[np.ndarray, np.ndarray]:
        by_z = g * PLAIN_SLOPES[name](y)
        return by_z, by_z.sum(axis=0)

    return faster(line, lambda: kernel(g, y, None, b, name))


def beside_pytorch(name: str, *shape: int) -> Ratio:
    """The time of an op, forward and backward, over PyTorch's."""
    x, g = arrays(*shape)
    ours, theirs = mg.tensor(x, requires_grad=True, dtype="float32"), torch.tensor(x, requires_grad=True)
    upstream, op = torch.tensor(g), getattr(torch, name, None) or getattr(torch.nn.functional, name)
    return compared(
        {"ours": lambda: getattr(mg, name)(ours).backward(g), "theirs": lambda: op(theirs).backward(upstream)},
        rounds=31,
        seconds=0.001,
    )


def track_values(name: str) -> float:
    return values(name, 128, 512).median


def track_contributions(name: str) -> float:
    return contributions(name, 128, 512).median


def track_with_bias(name: str) -> float:
    return with_bias(name, 128, 512).median


track_values.params = track_contributions.params = NAMES
track_with_bias.params = list(PLAIN)
track_values.unit = track_contributions.unit = track_with_bias.unit = "times as fast"


def main() -> None:
    for name in NAMES:
        report(f"{name}, values, 128 × 512", values(name, 128, 512), "× NumPy", at_least=BARS.get(name))
    for name in NAMES:
        report(f"{name}, contributions, 128 × 512", contributions(name, 128, 512), "× NumPy", at_least=1.5)
    for shape in ((16, 64), (128, 512)):
        size = " × ".join(map(str, shape))
        for name in PLAIN:
            report(f"bias and {name}, {size}", with_bias(name, *shape), "× NumPy", at_least=2.5)
            report(f"{name}' and bias, back, {size}", with_bias_back(name, *shape), "× NumPy", at_least=1.5)
    if torch is not None:
        for name in NAMES:
            report(f"{name}, op, both ways, 128 × 512", beside_pytorch(name, 128, 512), "of PyTorch")


if __name__ == "__main__":
    main()
