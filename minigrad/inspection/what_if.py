"""What the gradient would be with other local derivatives: only the backward pass is repeated.

- `trace.what_if({"kind:activation": 1.0})`: as if no activation weakened a gradient.

This separates causes. If the gradient of a deep sigmoid net comes back with σ' := 1 but not with σ' := 1/4, the
type of activation made it vanish, and not saturation. Values, parameters and `.grad` stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigrad.inspection import text
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge
from minigrad.inspection.trace import Trace, recorded


def what_if(self: Trace, changes: Mapping[str, ArrayLike | Callable]) -> Trace:
    """The same graph, walked back with other local derivatives.

    Parameters
    ----------
    changes : mapping
        Which derivatives → what replaces them. Which: all of a kind ("kind:activation"), those of a node by its
        name, or those that a pattern matches ("layers.3/*"). What: a number, or an array that broadcasts to the
        shape of the node (this replaces derivatives that act element by element; others that the key matches, such
        as matrix products, stay), or a function `(local, upstream)` that returns the contribution. If two keys
        match the same derivative, the later one counts.

    Returns
    -------
    Trace
        Of the graph with its fused ops opened; its edges have the new derivatives as `local`.

    Raises
    ------
    KeyError
        If a key matches nothing that passes a gradient on.
    ValueError
        If a key matches nothing that the given number, array or function can replace.
    GraphError
        If a value was changed in place since it was used.

    Examples
    --------
    >>> import minigrad as mg
    >>> z = mg.tensor(4.0, requires_grad=True, name="z")
    >>> saturated = mg.trace(mg.sigmoid(z))
    >>> print(saturated.edges()[0])
    σ'(z) = 0.01766 × upstream 1 = 0.01766, added to z
    >>> print(saturated.what_if({"kind:activation": 0.25}).edges()[0])
    σ'(z) = 0.25 × upstream 1 = 0.25, added to z
    """
    if not isinstance(changes, Mapping):
        raise ValueError(f"what_if: changes are a dict such as {{'kind:activation': 1.0}}, not {changes!r}")
    opened = self.opened()
    instead = {
        edge: Instead(edge.local, change)
        for key, change in changes.items()
        for edge in replaceable(key, change, matched(opened, key))
    }
    recorded(self.output)  # raises if a value was changed in place
    return opened.again(instead)


def matched(trace: Trace, key: str) -> list[Edge]:
    """The edges out of the nodes that `key` selects."""
    edges = trace.edges()
    kinds = sorted({f"kind:{edge.output.kind}" for edge in edges})
    if str(key).startswith("kind:"):
        found, known = [edge for edge in edges if f"kind:{edge.output.kind}" == key], kinds
    elif f"kind:{key}" in kinds and key not in trace:
        raise KeyError(f"what_if: {key!r} is a kind: write 'kind:{key}'")
    else:
        nodes = trace[key]
        wanted = set(nodes) if isinstance(nodes, list) else {nodes}
        found = [edge for edge in edges if edge.output in wanted]
        known = sorted({edge.output.name for edge in edges})
    if not found:
        raise KeyError(f"what_if: {key!r} matches no node that passes a gradient on; {text.near(key, known)}")
    return found


def replaceable(key: str, change: Any, edges: list[Edge]) -> list[Edge]:
    """Those of `edges` whose derivative `change` can replace; ValueError if there are none."""
    if callable(change):
        return edges
    diagonal = [edge for edge in edges if edge.local.kind == "diagonal"]
    if not diagonal:
        name = f"∂{edges[0].output.name}/∂{edges[0].input.name}"
        raise ValueError(
            f"what_if: {key!r}: {name} does not act element by element, so no number can take its place; "
            f"give a function (local, upstream) that returns the contribution"
        )
    try:
        numeric = np.asarray(change).dtype.kind in "biuf"
    except ValueError:  # lists of different lengths
        numeric = False
    if not numeric:
        raise ValueError(f"what_if: {key!r} must go with a number, an array or a function, not {change!r}")
    for edge in diagonal:
        name, shape = edge.output.name, edge.output.shape
        try:
            np.broadcast_to(change, shape)
        except ValueError:
            raise ValueError(f"what_if: {key!r}: shape {np.shape(change)} does not fit {name} of {shape}") from None
    return diagonal


class Instead(LocalJacobian):
    """A derivative that replaces an op's own: a diagonal, or a function of the original and the upstream."""

    declared = matrix = None

    def __init__(self, own: LocalJacobian, change: Any) -> None:
        super().__init__(own.node, own.slot)
        self.own = own
        self.change = change
        value = "a function" if callable(change) else text.number(change) if np.ndim(change) == 0 else "an array"
        self.formula = f"{value} for {own.formula}"
        self.latex = None

    @property
    def slopes(self) -> Any:
        return None if callable(self.change) else np.asarray(self.change, dtype=self.node.output.dtype)

    def vjp(self, g: ArrayLike) -> np.ndarray:
        x, y = self.arrays[self.slot], self.node.output
        g = np.broadcast_to(np.asarray(g, dtype=y.dtype), y.shape)
        if self.diagonal is not None:
            return self.node.op.fitted(g * self.diagonal, self.slot, x, y.shape)
        contribution = np.asarray(self.change(self.own, g))
        if contribution.shape != x.shape:
            raise ValueError(
                f"what_if: {self.node.op.name}: the function must return a contribution of shape {x.shape}, "
                f"not {contribution.shape}"
            )
        return contribution.astype(x.dtype, copy=False)

    def jvp(self, v: ArrayLike) -> np.ndarray:
        v = np.broadcast_to(v, self.arrays[self.slot].shape)
        return (self.todense() @ v.ravel()).reshape(self.node.output.shape)
