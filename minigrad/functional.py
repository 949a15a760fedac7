"""Derivatives as functions.

- `grad(outputs, inputs)`: gradients as Tensors, without touching `.grad`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minigrad.graph import GraphError, Node, order, pull, walk
from minigrad.tensor import Tensor, computed, pull_tensors


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike] | None = None,
    create_graph: bool = False,
) -> list[Tensor]:
    """Gradients of `outputs` by each of `inputs`; several outputs count as their sum.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        An input may be a leaf or any tensor on the way.
    grad_outputs : array_like or sequence, optional
        The upstream gradient of each output, 1 for single numbers.
    create_graph : bool
        Let the gradients carry a graph of their own, so that they can be differentiated again.

    Returns
    -------
    list of Tensor
        One per input; zeros where an input does not reach an output.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor(0.5, requires_grad=True)
    >>> (slope,) = mg.grad(np.tanh(x), x, create_graph=True)
    >>> (curvature,) = mg.grad(slope, x)
    >>> round(curvature.item(), 6)
    -0.726862
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = [None] * len(outputs) if grad_outputs is None else grad_outputs
    seeds = [seeds] if len(outputs) == 1 and not isinstance(seeds, (list, tuple)) else seeds
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise GraphError(f"grad: input {i} does not require a gradient; make it with requires_grad=True")
    start: dict = {}
    for y, seed in zip(outputs, seeds, strict=True):
        g = seed if isinstance(seed, Tensor) else computed(y.seed_gradient(seed), None)
        g = g if create_graph else g.data
        key = y.node or y
        start[key] = start[key] + g if key in start else g
    nodes = order(*(key for key in start if isinstance(key, Node)))
    targets = [x.node or x for x in inputs]
    found = walk(nodes, start, pull_tensors if create_graph else pull, keep=set(targets))
    zeros = (np.zeros_like(x.data) for x in inputs)
    gradients = [found.get(target, zero) for target, zero in zip(targets, zeros, strict=True)]
    return [g if isinstance(g, Tensor) else Tensor(g) for g in gradients]
