"""Recurrent nets, where one weight is used at every step and each state reaches all later ones.

- `trace.by_time(w)`: what each step adds to the gradient of a weight.
- `trace.lag_matrix("h[*]")`: how much of a state is left in the states after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays import length
from minigrad.inspection import text
from minigrad.inspection.factors import share
from minigrad.inspection.parts import TraceNode
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import along_each
from minigrad.printed import Printed


class Steps(Printed, list):
    """What each step adds to the gradient of a weight, in order of time; `print` shows the share of each."""

    def __init__(self, parts: Iterable[np.ndarray], target: TraceNode) -> None:
        super().__init__(parts)
        self.target = target

    def __str__(self) -> str:
        shares = [share(part, self.target.grad) for part in self]
        rows = [("step", "‖part‖", f"share of {self.target.derivative}", "")]
        for t, (part, fraction, bar) in enumerate(zip(self, shares, text.bars(shares), strict=True)):
            rows.append((str(t), text.scientific(length(part)), text.percent(fraction), bar))
        head, *lines = text.table(rows, ">>><").split("\n")
        return f"{head}\n{text.folded(lines, 'steps')}"


def by_time(self: Trace, w: Any) -> Steps:
    """What each use of `w` adds to its gradient, in order of time; the sum is the gradient.

    In backpropagation through time a weight that is used at every step gets a contribution from each (Werbos,
    1990). Where gradients vanish, those of the early steps are small: the net does not learn from them.

    Examples
    --------
    >>> import minigrad as mg
    >>> w, h = mg.tensor([0.1], requires_grad=True), 0.0
    >>> for x in (1.0, 1.0, 1.0):
    ...     h = h * w + x  # 1, 1.1, 1.11
    >>> parts = mg.trace(h).by_time(w)
    >>> [part.item() for part in parts]
    [0.0, 0.1, 1.1]
    >>> print(parts)
    step    ‖part‖  share of ∂L/∂W1
       0  0.00e+00             0.0%
       1  1.00e-01             8.3%  ██
       2  1.10e+00            91.7%  ████████████████████
    """
    trace = self.opened()
    target = trace.target(w)
    return Steps((edge.contribution for edge in reversed(trace.edges(into=target))), target)


def lag_matrix(self: Trace, states: str | Sequence) -> np.ndarray:
    """How strongly each state depends on those before it: mean over the batch of ‖∂h_t/∂h_k‖_F/√n.

    It is 1 where k = t. If every step keeps lengths it stays 1; if gradients vanish it goes to 0 as t − k grows
    (Pascanu et al., 2013). The cost is one backward walk per state and unit: pass a list of some states to save time.

    Parameters
    ----------
    states : str or sequence
        A pattern such as "lstm/h[*]", or a list of tensors or names: the states in order of time, each (batch, n).

    Returns
    -------
    ndarray, (steps, steps)
        Row t, column k; 0 above the diagonal.

    Raises
    ------
    KeyError
        If no state has such a name.
    ValueError
        If the states are not all (batch, n), have an empty batch, or belong to several layers or sequences.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> w, h = mg.tensor(np.eye(2) / 2, requires_grad=True), mg.tensor([[1.0, 0.0]])
    >>> for t in range(3):
    ...     h = mg.matmul(h, w)
    ...     h.name = f"h[{t}]"
    >>> mg.trace(mg.sum(h)).lag_matrix("h[*]")
    array([[1.  , 0.  , 0.  ],
           [0.5 , 1.  , 0.  ],
           [0.25, 0.5 , 1.  ]])
    """
    trace = self.opened()
    named = trace[states] if isinstance(states, str) else states
    if isinstance(named, TraceNode):
        raise ValueError(f"lag_matrix: {states!r} is one value; give a pattern such as 'h[*]', or a list of states")
    found = [trace.target(h) for h in named]
    layers, shapes = sorted({h.scope for h in found}), {h.shape for h in found}
    if isinstance(states, str) and len(layers) > 1:
        which = " or ".join(f"{layer}/{states.rpartition('/')[2]}" for layer in layers)
        raise ValueError(f"lag_matrix: {states} are the states of {len(layers)} layers; say {which}")
    if isinstance(states, str) and len({h.name for h in found}) < len(found):
        raise ValueError(f"lag_matrix: {states} are the states of several sequences; give a list of those of one")
    if len(shapes) != 1 or len(found[0].shape) != 2:
        raise ValueError(f"lag_matrix: states must all be (batch, n), not {' and '.join(map(str, sorted(shapes)))}")
    batch, n = found[0].shape
    if not batch * n:
        raise ValueError(f"lag_matrix: there is no {'unit' if batch else 'sample'}, {found[0].symbol} is empty")
    lags = np.zeros((len(found), len(found)))
    units = [np.broadcast_to(unit, (batch, n)) for unit in np.eye(n)]  # of all samples
    for t, h in enumerate(found):
        norms = np.zeros((t + 1, batch))
        for arrived in along_each(h, units, found[: t + 1]):
            for k, rows in enumerate(arrived):
                norms[k] = np.hypot(norms[k], np.hypot.reduce(rows, axis=(0, 2)))  # squares would underflow
        lags[t, : t + 1] = np.mean(norms / n**0.5, axis=1)
    return lags
