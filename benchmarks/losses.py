"""Cross-entropy, forward and backward, float32: kernels against their NumPy lines, the op against PyTorch's.

`python -m benchmarks.losses` prints ratios beside their bars, on one thread. Both ops are timed with their autograd,
as a user calls them.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads
from benchmarks._torch import torch

import numpy as np  # isort: skip

import minigrad as mg

SHAPES = [(32, 10), (128, 10), (128, 100), (128, 1000), (4096, 10)]
one = np.ones((), np.float32)


def logits_and_labels(shape: tuple[int, int], distributions: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=shape).astype(np.float32)
    if distributions:
        return logits, rng.dirichlet(np.ones(shape[1]), shape[0]).astype(np.float32)
    return logits, rng.integers(0, shape[1], shape[0])


def ours(shape: tuple[int, int], distributions: bool = False) -> Callable[[], None]:
    """Forward and backward on arrays, with the check of the labels."""
    logits, labels = logits_and_labels(shape, distributions)
    op, params = mg.cross_entropy, {"reduction": "mean"}

    def run() -> None:
        y, saved = op.forward(logits, labels, **params)
        op.backward(one, y, saved, logits, labels, **params)

    return run


def to_numpy(shape: tuple[int, int], distributions: bool = False) -> Ratio:
    run = ours(shape, distributions)
    return compared({"numpy": run, "ours": run})


def to_pytorch(shape: tuple[int, int]) -> Ratio:
    """Our op and PyTorch's with their graphs; both return the gradient and do not add it to `.grad`."""
    logits, labels = logits_and_labels(shape)
    x = mg.tensor(logits, dtype=np.float32, requires_grad=True)
    x_t, labels_t = torch.tensor(logits, requires_grad=True), torch.tensor(labels)
    return compared(
        {
            "theirs": lambda: torch.autograd.grad(torch.nn.functional.cross_entropy(x_t, labels_t), x_t),
            "ours": lambda: mg.grad(mg.cross_entropy(x, labels), x),
        }
    )


def track_to_numpy(shape: tuple[int, int]) -> float:
    """At least 2."""
    return to_numpy(shape).median


track_to_numpy.params, track_to_numpy.unit = SHAPES, "ratio"


def main() -> None:
    for shape in SHAPES:
        what = "cross-entropy {} × {}".format(*shape)
        report(f"{what}, classes", to_numpy(shape), "× NumPy", at_least=2)
        report(f"{what}, distributions", to_numpy(shape, distributions=True), "× NumPy", at_least=2)
        if torch:
            report(f"{what}, classes", to_pytorch(shape), "× PyTorch")


if __name__ == "__main__":
    main()
