"""Histograms with fixed bins, so that counts can be added over steps and compared between layers.

A bin is one octave, 2ᵏ ≤ |x| < 2ᵏ⁺¹, for each sign, from 2⁻⁴⁰ ≈ 1e−12 to 2¹⁴ ≈ 1e4: the exponent of a floating
point number gives its bin, without a logarithm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minigrad.inspection.monitor.history import Rows
from minigrad.kernels import twin

LOW, HIGH = -40, 14
OCTAVES = 2.0 ** np.arange(LOW, HIGH + 1)
EDGES = np.concatenate([[-np.inf], -OCTAVES[::-1], OCTAVES, [np.inf]])  # the middle bin holds what is nearly 0
RUN = 256  # a large array is sampled in runs of this many neighbours in memory
SAMPLE = 2**12  # how many elements of a large array are counted in one step, at most


def octaves_line(x: np.ndarray, low: int, high: int, first: int, every: int, run: int) -> np.ndarray:
    kind, mantissa, bias = (np.uint32, 23, 127) if x.dtype == np.float32 else (np.uint64, 52, 1023)
    x = np.ravel(x)
    runs = [x[first:]] if every == run else [x[:0], *(x[i : i + run] for i in range(first, x.size, every))]
    bits: Any = np.concatenate(runs).view(kind)
    fields = (bits >> mantissa).astype(np.intp)  # sign and exponent
    positive, negative = np.bincount(fields, minlength=4 * (bias + 1)).reshape(2, -1)
    bottom, top = bias + low, bias + high
    return np.concatenate(
        [
            [negative[top:].sum()],
            negative[bottom:top][::-1],
            [negative[:bottom].sum() + positive[:bottom].sum()],
            positive[bottom:top],
            [positive[top:].sum()],
        ]
    )


count_octaves = twin("count_octaves", octaves_line, "statistics", why="float32 4 times as fast")


def octaves(x: np.ndarray, first: int = 0, every: int = RUN, size: int | None = None) -> np.ndarray:
    """How many elements of x lie in each bin; those that are not finite are in the outermost ones.

    Only runs of 256 elements count: one that starts at element `first`, then one every `every` elements. A kernel
    counts if x, or else `size`, is large.

    >>> counts = octaves(np.array([0.0, 3.0, 2.0, -0.75]))
    >>> [(float(EDGES[i]), float(EDGES[i + 1]), int(counts[i])) for i in np.flatnonzero(counts)]
    [(-1.0, -0.5, 1), (-9.094947017729282e-13, 9.094947017729282e-13, 1), (2.0, 4.0, 2)]
    """
    served = count_octaves.serves(x, size=size)
    return (count_octaves.kernel if served else count_octaves.line)(x, LOW, HIGH, first, every, RUN)


class Histograms(Rows, Mapping):
    """Name → counts (rows, bins), summed over the steps of each row; see `minigrad.inspection.monitor.history`.

    If an array has more than 4,096 elements, each step counts every k-th run of 256 and the next step starts one
    run later, so that k steps count all of them. `size` is that of the model: in a large one, kernels count everything.
    """

    def __init__(self, capacity: int = 64, size: int = 0) -> None:
        super().__init__(capacity)
        self.size = size
        self.counts: dict[str, np.ndarray] = {}

    def count(self, x: np.ndarray) -> np.ndarray:
        """How many elements of x lie in each bin, among those that this step samples."""
        k = -(-x.size // SAMPLE) | 1  # odd, so that in a matrix of 2ⁿ columns runs come from all of them
        return octaves(x, self.recorded % k * RUN, k * RUN, max(x.size, self.size))

    def add(self, name: str, counts: np.ndarray) -> None:
        """Add these counts to the row of this step."""
        if name not in self.counts:
            self.counts[name] = np.zeros((len(self.steps), len(EDGES) - 1), np.int64)
        self.counts[name][self.length - 1] += counts

    def tables(self) -> Iterable[np.ndarray]:
        return self.counts.values()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.counts[name][: self.length].copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def arrays(self) -> dict[str, np.ndarray]:
        """All histograms by name, for a file; empty if nothing was counted."""
        counts = {f"histogram/{name}": self[name] for name in self.counts}
        return counts and {"histogram/edges": EDGES, "histogram/step": self.steps[: self.length].copy(), **counts}

    def write_to(self, writer: Any) -> None:
        """Add all histograms to a writer of TensorBoard; each element counts as the middle of its bin."""
        limits = np.clip(EDGES, -2 * OCTAVES[-1], 2 * OCTAVES[-1])
        middles = (limits[:-1] + limits[1:]) / 2
        for name in self.counts:
            for step, counts in zip(self.steps, self[name], strict=False):
                filled = np.flatnonzero(counts)
                if len(filled):
                    writer.add_histogram_raw(
                        f"histogram/{name}",
                        min=limits[filled[0]],
                        max=limits[filled[-1] + 1],
                        num=int(counts.sum()),
                        sum=float(counts @ middles),
                        sum_squares=float(counts @ middles**2),
                        bucket_limits=limits[1:].tolist(),
                        bucket_counts=counts.tolist(),
                        global_step=int(step),
                    )
