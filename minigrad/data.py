"""What every training loop needs of its data, and nothing more.

- `split(x, y, held_out=0.2)`: some examples to train on, some to test with.
- `for x, y in batches(x, y, size=32)`: one shuffled pass in small portions.
- `one_hot(labels, classes)`, `accuracy(logits, labels)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from minigrad.settings import default_dtype, generator
from minigrad.tensor import Tensor

Seed = np.random.Generator | int | None


def array(x: ArrayLike | Tensor) -> np.ndarray:
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def pair(caller: str, x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> tuple[np.ndarray, np.ndarray]:
    """`x` and `y` as arrays with one row per example."""
    x, y = array(x), array(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"{caller}: x of shape {x.shape} and y of shape {y.shape} do not have one row per example")
    return x, y


class Batches:
    """Portions of `x` and `y`, in a new order each time it is iterated; `len` of it is their number."""

    def __init__(self, x: ArrayLike | Tensor, y: ArrayLike | Tensor, size: int, rng: Seed) -> None:
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(f"batches: size is a whole number of examples from 1 on, not {size!r}")
        self.x, self.y = pair("batches", x, y)
        self.size, self.rng = size, generator(rng)

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.rng.permutation(len(self.x))
        for start in range(0, len(order), self.size):
            chosen = order[start : start + self.size]
            yield self.x[chosen], self.y[chosen]


def batches(x: ArrayLike | Tensor, y: ArrayLike | Tensor, size: int, rng: Seed = None) -> Batches:
    """All examples, shuffled, `size` at a time; the last portion is smaller if they do not come out even.

    >>> import numpy as np
    >>> parts = batches(np.arange(10), np.arange(10), size=4, rng=0)
    >>> len(parts), [len(x) for x, y in parts]
    (3, [4, 4, 2])
    """
    return Batches(x, y, size, rng)


def split(x: ArrayLike | Tensor, y: ArrayLike | Tensor, held_out: float, rng: Seed = None) -> tuple[np.ndarray, ...]:
    """Shuffle, and hold out a share (0 < held_out < 1) or a number (an int) of examples for testing.

    Returns `x_train, y_train, x_test, y_test`.

    >>> import numpy as np
    >>> [len(part) for part in split(np.arange(10), np.arange(10), held_out=0.2, rng=0)]
    [8, 8, 2, 2]
    """
    x, y = pair("split", x, y)
    count = held_out if isinstance(held_out, Integral) else round(len(x) * held_out)
    if not 0 < count < len(x):
        raise ValueError(f"split: held_out = {held_out} of {len(x)} examples leaves one side empty")
    order = generator(rng).permutation(len(x))
    train, test = order[count:], order[:count]
    return x[train], y[train], x[test], y[test]


def one_hot(labels: ArrayLike | Tensor, classes: int) -> np.ndarray:
    """For each label a row of zeros with a 1 at its place: shape `(*labels.shape, classes)`, of the default dtype.

    >>> one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    labels = array(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: labels are integers, not {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"one_hot: labels from {labels.min()} to {labels.max()} are not within 0 … {classes - 1}")
    return np.eye(classes, dtype=default_dtype())[labels]


def accuracy(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> float:
    """The share of examples whose largest logit, along the last axis, is at the label.

    >>> accuracy([[2.0, 1.0], [0.1, 0.3]], [0, 0])
    0.5
    """
    logits, labels = array(logits), array(labels)
    if logits.ndim == 0 or logits.shape[:-1] != labels.shape or labels.size == 0:
        raise ValueError(f"accuracy: logits of shape {logits.shape} and labels of shape {labels.shape} do not match")
    return float(np.mean(logits.argmax(axis=-1) == labels))
