"""A local derivative as a linear operator: what one op multiplies the gradient by on its way to one input.

- `edge.local.vjp(g)`, `.jvp(v)`: gradient products in both directions, without a matrix.
- `edge.local.todense()`, `.singular_values()`: the matrix itself, where it is small enough.
- `edge.local.expected_gain`, `.max_gain`: its gain for a random gradient, and the largest gain possible.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigrad.arrays import length, sum_to, times
from minigrad.functional import grad
from minigrad.graph import GraphError, Node
from minigrad.op import Elementwise
from minigrad.settings import recording
from minigrad.tensor import Tensor

DENSE_LIMIT = 1_000_000  # the most entries of a matrix that is written out


class LocalJacobian:
    """∂y/∂x of one op by one of its inputs, at the values it computed with.

    Attributes
    ----------
    kind : str
        "diagonal" (element by element), "matrix" (a product with a constant matrix) or "linear" (any other).
    formula, latex : str
        The derivative as the op declares it; `latex` is None if it declares none.
    shape : tuple of int
        (elements of y, elements of x).

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([0.0, 2.0], requires_grad=True)
    >>> local = mg.trace(mg.sigmoid(x).sum()).edges(into=x)[0].local
    >>> local.kind, local.formula
    ('diagonal', 'σ(1−σ)')
    >>> local.todense().round(3)
    array([[0.25 , 0.   ],
           [0.   , 0.105]])
    >>> round(local.max_gain, 3)
    0.25
    """

    def __init__(self, node: Node, slot: int) -> None:
        self.node = node
        self.slot = slot
        rule = min(slot, len(node.op.formulas) - 1)  # an op of any number of inputs has one for all of them
        self.formula: str = node.op.formulas[rule]
        self.latex: str | None = node.op.latex and node.op.latex[rule]
        self.shape = (node.output.size, node.arrays[slot].size)

    @property
    def arrays(self) -> tuple:
        """The values the op computed with; GraphError if one of them or the result was changed in place since."""
        node = self.node
        writes = sum(x.version for x in node.inputs if x is not None) + (node.writes[0] if node.writes else 0)
        if writes != node.versions:
            raise GraphError(f"{node.op.name}: changed in place since; use a trace before optimizer.step()")
        return node.arrays

    @property
    def declared(self) -> float | None:
        """The derivative if the op declares it as a number, such as the −1 of a − b by b; else None."""
        rule = self.node.op.rules[self.slot] if isinstance(self.node.op, Elementwise) else None
        return None if callable(rule) else rule

    @property
    def passes_on(self) -> bool:
        """Whether the upstream gradient is not multiplied at all: a declared derivative of 1."""
        return self.declared == 1

    @cached_property
    def slopes(self) -> Any:
        """∂y/∂x of each element as the op's rule returns it: an array or a number; None if the op mixes elements."""
        op, node = self.node.op, self.node
        return op.local(self.slot, node.output, self.arrays, node.params) if isinstance(op, Elementwise) else None

    @cached_property
    def diagonal(self) -> np.ndarray | None:
        """∂y/∂x of each element, in the shape and dtype of y; None if the op mixes elements."""
        y = self.node.output
        return None if self.slopes is None else np.broadcast_to(np.asarray(self.slopes, dtype=y.dtype), y.shape)

    @cached_property
    def matrix(self) -> np.ndarray | None:
        """The constant operand of a matrix product: M with y = x·M for each row (or y = M·x); None for other ops."""
        other = self.arrays[1 - self.slot] if self.node.op.name == "matmul" else None
        return other if other is not None and other.ndim == 2 else None

    @property
    def kind(self) -> str:
        if self.diagonal is not None:
            return "diagonal"
        return "matrix" if self.matrix is not None else "linear"

    def vjp(self, g: ArrayLike) -> np.ndarray:
        """g·J: the contribution to x when `g`, in the shape of y, arrives at y."""
        node = self.node
        g = np.broadcast_to(np.asarray(g, dtype=node.output.dtype), node.output.shape)
        return node.op.contribution(node, self.slot, g, node.output, self.arrays)

    def pullback(self) -> Callable[[np.ndarray], np.ndarray]:
        """g ↦ g·J in float64, as a function for many g: what is common to all of them is computed once, here."""
        x, y = self.arrays[self.slot], self.node.output
        if self.passes_on and x.shape == y.shape:
            return lambda g: g
        local = self.in_float64()
        if local.matrix is not None and local.slot == 0:
            transposed = local.matrix.T
            return lambda g: g @ transposed
        if local.diagonal is None or x.shape != y.shape:
            return local.vjp
        return lambda g: times(g, local.slopes)

    def in_float64(self) -> LocalJacobian:
        """The same derivative, with values in float64: a product of hundreds would underflow in float32."""
        node, arrays = self.node, tuple(map(widened, self.arrays))
        if all(array is x for array, x in zip(arrays, node.arrays, strict=True)):
            return self
        wide = copy(self)
        for name in ("slopes", "diagonal", "matrix"):
            vars(wide).pop(name, None)  # what was computed in float32
        wide.node = Node(node.op, node.inputs, arrays, node.params, widened(node.output), node.saved, node.versions)
        return wide

    def jvp(self, v: ArrayLike) -> np.ndarray:
        """J·v: how y changes when x changes by `v`."""
        arrays = list(self.arrays)
        x = Tensor(arrays[self.slot], requires_grad=True)
        arrays[self.slot] = x
        with recording(self.node.scope):
            y = self.node.op(*arrays, **self.node.params)
            g = Tensor(np.zeros_like(y.data), requires_grad=True)
            (transposed,) = grad(y, x, g, create_graph=True)  # g·J is linear in g: its derivative by g is J
        return grad(transposed, g, v)[0].data

    def todense(self) -> np.ndarray:
        """The matrix (elements of y, elements of x).

        Raises
        ------
        ValueError
            If it would have more than a million entries.
        """
        rows, columns = self.shape
        if rows * columns > DENSE_LIMIT:
            raise ValueError(f"a Jacobian of {rows} × {columns} is too large to write out: use .vjp(g) and .jvp(v)")
        units = np.eye(rows, dtype=self.node.output.dtype).reshape(rows, *self.node.output.shape)
        return np.array(list(map(self.pullback(), units))).reshape(rows, columns)

    def singular_values(self) -> np.ndarray:
        """Largest first; for a matrix product those of the matrix, not repeated for each row of the batch.

        NaN if an entry of the matrix is not finite.
        """
        if self.kind == "diagonal":  # where x was broadcast, a column of J has several entries
            x = self.node.arrays[self.slot]
            lengths = self.diagonal if x.shape == self.diagonal.shape else sum_to(self.diagonal**2, x.shape) ** 0.5
            return np.sort(np.abs(lengths), axis=None)[::-1]
        matrix = self.matrix if self.kind == "matrix" else self.todense()
        if not np.isfinite(matrix).all():
            return np.full(min(matrix.shape), np.nan, matrix.dtype)
        return np.linalg.svd(matrix, compute_uv=False)

    @property
    def expected_gain(self) -> float:
        """‖J‖_F/√rows: the gain of a random gradient."""
        if self.kind == "diagonal":
            norm, rows = length(self.diagonal), self.diagonal.size
        elif self.kind == "matrix":
            norm, rows = length(self.matrix), self.matrix.shape[1 - self.slot]
        else:
            norm, rows = length(self.todense()), self.shape[0]
        return norm / max(rows, 1) ** 0.5

    @property
    def max_gain(self) -> float:
        """The largest singular value: no gradient is lengthened by more."""
        return float(np.max(self.singular_values(), initial=0.0))

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<∂{self.node.op.name}/∂x{self.slot + 1} = {self.formula}, {self.kind}, {rows}×{columns}>"


def widened(x: Any) -> Any:
    """A float32 array, of either byte order, in float64; everything else as it is."""
    return x.astype(np.float64) if getattr(x, "dtype", None) in ("<f4", ">f4") else x
