"""Networks of blocks, with shortcuts and without, and what becomes of a gradient on its way through them.

- `network(name, depth, width, rng)`: `depth` blocks of one kind in `BLOCKS`.
- `deleted(block)`: what stands in the place of a block that is deleted.
- `probe(model, images)`: paths and singular values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from demos.datasets import Dataset
from layers import Dense, DenseBlock, Module, ReLU, Residual, Sequential, init

BLOCKS = ("plain", "residual", "residual-relu", "dense")
GROWTH = 8  # features that each stage of a DenseBlock adds


def network(name: str, depth: int, width: int, rng: np.random.Generator) -> Sequential:
    """A linear layer, `depth` blocks and a linear layer on top.

    - plain: h ← relu(h·W + b)
    - residual: h ← h + relu(h)·W + b, nothing stands on the shortcut (He et al., 2016, "Identity mappings")
    - residual-relu: h ← relu(h + h·W + b), the shortcut passes every ReLU (as He et al. had it at first)
    - dense: h ← [h, relu(h·W + b)], a stage of a DenseBlock (Huang et al., 2017)
    """

    def small(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """He's weights divided by √depth: the sum over all blocks keeps its size."""
        return 1 / math.sqrt(depth) * init.he_normal(shape, rng)

    block: dict[str, Callable[[int], Module]] = {
        "plain": lambda size: Sequential(Dense(size, size, init="he_normal", rng=rng), ReLU()),
        "residual": lambda size: Residual(ReLU(), Dense(size, size, init=small, rng=rng)),
        "residual-relu": lambda size: Residual(Dense(size, size, init=small, rng=rng), after="relu"),
        "dense": lambda size: DenseBlock(Sequential(Dense(size, GROWTH, init="he_normal", rng=rng), ReLU())),
    }
    sizes = [width + k * GROWTH if name == "dense" else width for k in range(depth + 1)]
    blocks = map(block[name], sizes[:-1])
    return Sequential(Dense(64, width, bias=False, rng=rng), *blocks, Dense(sizes[-1], 10, rng=rng))


def deleted(block: Module) -> Module:
    """Zeros in place of what a stage of a DenseBlock adds, or nothing for other blocks: h stays as it is."""
    if not isinstance(block, DenseBlock):
        return Sequential()
    layer = block.stages[0][0]
    return DenseBlock(Dense(layer.inputs, layer.outputs, init="zeros"))


@np.errstate(all="ignore")  # in a narrow network all units may be dead, and the gradient 0
def probe(model: Sequential, images: Dataset) -> dict[str, Any]:
    """The gradient at h₀ split by paths, and the singular values of all blocks together and of the middle one.

    h₀ is the input of the first block. "parts" are the norms by the number of blocks whose weights a path passes, as
    shares of their sum; paths through "within" blocks at most bring 90%; "around" is the share that passes none.
    """
    trace, depth = mg.trace(mg.cross_entropy(model(images.x[:64]), images.y[:64])), len(model) - 2
    states = [trace[module][-1] for module in model]
    paths = trace.by_path_length(states[0], lambda edge: edge.output.kind == "weight" and edge.input != states[depth])
    parts = np.array([np.linalg.norm(paths.get(k, 0)) for k in range(depth + 1)])

    def spectrum(of: Any, wrt: Any) -> np.ndarray:
        found = [np.linalg.svd(trace.jacobian(of, wrt, sample=i), compute_uv=False) for i in range(4)]
        middle = np.median(found, axis=0)
        return np.where(middle > 1e-14 * middle[0], middle, 0)  # what is smaller is rounding

    every = spectrum(states[depth], states[0])
    return {
        "decades": float(np.log10(states[0].norm / states[-1].norm)),
        "count": sum(paths.counts.values()),
        "parts": parts / parts.sum(),
        "within": int(np.argmax(np.cumsum(parts) >= 0.9 * parts.sum())),
        "around": parts[0] / states[0].norm,
        "all blocks": every,
        "extent": every[[-1, len(every) // 2, 0]],  # smallest, median, largest
        "one block": spectrum(states[depth // 2 + 1], states[depth // 2]),
        "chain": str(trace.chain(to=states[0])),
    }
