"""What every training loop needs for its data. All of it takes arrays, lists or Tensors, and returns arrays.

- `split` divides the examples (along the first axis) into a training set and a test set.
- `for x, y in batches(x, y, size=32):` goes through all examples; `one_hot` and `accuracy` are for labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from minigrad.settings import default_dtype, generator
from minigrad.tensor import Tensor


def array(x: ArrayLike) -> np.ndarray:
    return x.data if isinstance(x, Tensor) else np.asarray(x)


class batches:
    """Shuffled batches of `size` examples, the last one with the remainder; each `for` shuffles anew.

    >>> parts = batches(np.arange(10), np.arange(10), size=4, rng=0)
    >>> len(parts), [len(x) for x, y in parts]
    (3, [4, 4, 2])
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, size: int, rng: Generator | int | None = None) -> None:
        self.x, self.y, self.size, self.rng = array(x), array(y), size, generator(rng)
        if self.x.shape[:1] != self.y.shape[:1] or self.x.ndim == 0:
            raise ValueError(f"batches: x {self.x.shape} and y {self.y.shape} must have first axes of the same length")
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(f"batches: size is a number of examples, 1 or more, not {size!r}")

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.rng.permutation(len(self.x))
        for i in range(0, len(order), self.size):
            yield self.x[order[i : i + self.size]], self.y[order[i : i + self.size]]


def split(x: ArrayLike, y: ArrayLike, held_out: float, rng: Generator | int | None = None) -> list[np.ndarray]:
    """`x_train, y_train, x_test, y_test`, shuffled; `held_out` is the share (0.2) or number (200) of test examples.

    >>> [len(part) for part in split(np.arange(10), np.arange(10), held_out=0.2)]
    [8, 8, 2, 2]
    """
    n = len(batches(x, y, size=1))
    count = held_out if isinstance(held_out, Integral) else round(held_out * n)
    if not 0 < count < n:
        raise ValueError(f"split: held_out = {held_out} of {n} examples leaves none to train on or none to test with")
    (shuffled,) = batches(x, y, n, rng)
    return [part[:-count] for part in shuffled] + [part[-count:] for part in shuffled]


def one_hot(labels: ArrayLike, classes: int) -> np.ndarray:
    """A row of zeros for each label, with a 1 at its index: shape `(*labels.shape, classes)`, in the default dtype.

    >>> one_hot([2], classes=3)
    array([[0., 0., 1.]])
    """
    labels = array(labels)
    if not isinstance(classes, Integral) or classes < 1:
        raise ValueError(f"one_hot: classes is the number of classes, 1 or more, not {classes!r}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: labels are integers, not {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"one_hot: labels from {labels.min()} to {labels.max()} must lie in 0 … {classes - 1}")
    return np.eye(classes, dtype=default_dtype())[labels]


def accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """The share of examples whose largest logit, along the last axis, is the label's.

    >>> accuracy([[2.0, 1.0], [0.1, 0.3]], [0, 0])
    0.5
    """
    logits, labels = array(logits), array(labels)
    if logits.shape[:-1] != labels.shape or logits.size == 0 or logits.ndim == 0:
        misfit = f"accuracy: logits of shape {logits.shape} do not match labels of shape {labels.shape}"
        raise ValueError(f"{misfit}: logits have one axis more, that of the classes")
    return float(np.mean(logits.argmax(axis=-1) == labels))
