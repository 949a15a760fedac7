"""Tensor: an array that remembers where it came from.

- `tensor([[1.0, 2.0]], requires_grad=True)` makes one; ops on it make more.
- `loss.backward()` takes gradients back to the leaves, into their `.grad`.

Operators and methods such as `x + y` and `x.sum()` are attached by `minigrad.ops`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minigrad.arrays import accepted
from minigrad.graph import GraphError, Node, order, pull, pull_and_notify, walk
from minigrad.operators import Operators
from minigrad.settings import accumulating, default_dtype, state


class Tensor(Operators):
    """An array with a gradient, and the node that computed it.

    Parameters
    ----------
    data : array_like
        Numbers, nested lists, ndarrays or a Tensor; copied.
    requires_grad : bool
        Whether `backward()` should bring a gradient here. Set it before use: ops on constants alone are not recorded,
        so a gradient asked for later would lack their share.
    dtype : dtype, optional
        Arrays keep theirs; numbers and lists of numbers get the default dtype.
    name : str, optional
        Shown by repr and by traces.

    Notes
    -----
    `w -= …` makes a new tensor; `w.data -= …` moves w, and `backward()` through a value computed before such a write
    raises GraphError. A write to the array itself, such as `t.data[0] = …` or refilling a batch, is not noticed.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True, name="x")
    >>> y = x * x
    >>> y.backward()
    >>> x.grad
    array(6.)
    """

    __slots__ = ("_array", "_grad", "_requires_grad", "name", "node", "_writes", "__weakref__")

    def __init__(self, data, *, requires_grad=False, dtype=None, name=None):
        source = data._array if isinstance(data, Tensor) else data
        array = np.array(source, dtype=dtype)
        if dtype is None and not isinstance(source, (np.ndarray, np.generic)) and array.dtype.kind in "iuf":
            array = array.astype(default_dtype())
        accepted(array.dtype)
        self._fill(array, None, False, name)
        self._writes = [0]  # a shallow copy shares the array, and so this list
        self._require(requires_grad)

    def _fill(self, array: np.ndarray, node: Node | None, requires_grad: bool, name: str | None = None) -> None:
        self._array = array  # NumPy's masked arrays would take an attribute `_data` for their own
        self._grad: np.ndarray | None = None
        self._requires_grad = requires_grad
        self.name = name
        self.node = node
        self._writes = None  # [number of writes]; a detached view shares the list

    data: Any = property(lambda self: self._array, lambda self, value: self._assign(value))
    shape: Any = property(lambda self: self._array.shape)
    ndim: Any = property(lambda self: self._array.ndim)
    size: Any = property(lambda self: self._array.size)
    dtype: Any = property(lambda self: self._array.dtype)
    is_leaf: Any = property(lambda self: self.node is None)
    requires_grad: Any = property(lambda self: self._requires_grad, lambda self, value: self._require(value))

    def _require(self, gradient: bool) -> None:
        if gradient and self._array.dtype.kind != "f":
            raise TypeError(f"only floating tensors can require gradients, not {self.dtype}; pass dtype=float")
        if self.node is not None and not gradient:
            raise GraphError("requires_grad: a computed tensor keeps its history; .detach() gives a tensor without it")
        self._requires_grad = bool(gradient)

    def _assign(self, value: ArrayLike) -> None:
        if value is self._array:  # `t.data -= …` ends here, after it wrote to the array
            self.written()
        else:
            self._array = self._like_data(value, "data")

    def _like_data(self, value: ArrayLike, what: str) -> np.ndarray:
        """A copy of `value` with the shape and dtype of this tensor."""
        value = np.asarray(value)
        accepted(value.dtype)
        try:
            full = value if value.shape == self.shape else np.broadcast_to(value, self.shape)
        except ValueError:
            raise ValueError(f"{what} of shape {value.shape} does not fit a tensor of shape {self.shape}") from None
        return np.array(full, dtype=self.dtype)

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient, an array of this tensor's shape and dtype; None where none was computed."""
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        self._grad = None if value is None else self._like_data(value, "grad")

    @property
    def version(self) -> int:
        """How many writes the array has seen; one through a view also counts for the tensor it is a view of."""
        return self._writes[0] if self._writes else 0

    def written(self) -> None:
        """Record that the array was written to in place: `backward()` through its old values then raises GraphError."""
        tensors = [self]
        for x in tensors:  # the list grows by the tensors that `x` is a view of
            x._writes = x._writes or [0]
            x._writes[0] += 1
            if x.node is not None:
                x.node.writes = x._writes  # its rule may read this output
                tensors += viewed(x)

    def item(self) -> float:
        """The only element, as a Python number."""
        return self._array.item()

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy."""
        return self._array

    def detach(self) -> Tensor:
        """The same array, without its history."""
        return view(self._array, self)

    def zero_grad(self) -> None:
        """Forget the gradient (None, not 0: nothing has been computed)."""
        self._grad = None

    def backward(self, gradient: ArrayLike | None = None, *, retain_grad: bool = False) -> None:
        """Add the gradient of this tensor to the `.grad` of every leaf it was computed from.

        The graph is kept as long as this tensor is, to be walked or traced again. In a loop, the graph of one loss is
        in memory until that of the next is complete, unless `del loss` comes before.

        Parameters
        ----------
        gradient : array_like, optional
            The upstream gradient, of this tensor's shape; 1 for a single number.
        retain_grad : bool
            Also set `.grad` of every tensor in between; each call replaces it instead of adding to it.

        Raises
        ------
        GraphError
            Without a history, for more than one number without `gradient`, or after an in-place write.
        """
        g = self.seed_gradient(gradient)
        nodes = order(self.node) if self.node else []
        send = pull_and_notify if state.listeners else pull
        gradients = walk(nodes, {self.node or self: g}, send, keep=set(nodes) if retain_grad else ())
        if retain_grad:
            for x in {self, *(x for node in nodes for x in node.inputs if x is not None)}:
                if x.node in gradients:
                    x.grad = gradients[x.node]
        shared = {x for node in nodes if not node.op.fresh for x in node.inputs}  # a + b passes one array on to both
        for leaf in list(gradients):  # each leaves the dict in turn: with all their copies they take twice the memory
            if isinstance(leaf, Tensor):
                leaf.accumulate(gradients.pop(leaf), leaf in shared)

    def accumulate(self, g: np.ndarray, shared: bool) -> None:
        """Add `g` to the gradient; not in place: others may hold the old gradient, or `g` itself if it is shared."""
        with accumulating:
            self._grad = np.array(g, copy=shared or None) if self._grad is None else np.asarray(self._grad + g)

    def seed_gradient(self, gradient: ArrayLike | None) -> np.ndarray:
        """The upstream gradient that a walk from this tensor starts with."""
        if not self.requires_grad:
            raise GraphError("nothing to differentiate: no input of this tensor has requires_grad=True")
        if gradient is None and self.size != 1:
            raise GraphError(f"an output of shape {self.shape} needs gradient= (grad_outputs= in grad), or .sum()")
        return self._like_data(1 if gradient is None else gradient, "gradient")

    def __repr__(self) -> str:
        notes = [f"shape={self.shape}"]
        if self.dtype != default_dtype():
            notes.append(f"dtype={self.dtype}")
        if self.name is not None:
            notes.append(f"name={self.name!r}")
        if self.node is not None:
            notes.append(f"op={self.node.op.name}")
            if self._grad is None:
                notes.append(f"grad: not kept (backward(retain_grad=True), or trace(loss)[{self.name or 'h'}].grad)")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        values = np.array2string(self._array, threshold=20, edgeitems=3, precision=4, separator=", ", prefix="tensor(")
        return f"tensor({values}, {', '.join(notes)})"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError("an array or parameter would lose a tensor's gradients: use .numpy(), or mg.stack(list)")
        return np.array(self._array, dtype=dtype, copy=copy)

    __hash__ = object.__hash__  # by identity: == compares elements

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))


def tensor(
    data: ArrayLike | Tensor, *, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
) -> Tensor:
    """A new Tensor that holds a copy of `data`: see `Tensor`."""
    return Tensor(data, requires_grad=requires_grad, dtype=dtype, name=name)


def computed(array: np.ndarray, node: Node | None) -> Tensor:
    """The tensor that `node` computed (None: it was not recorded)."""
    x = Tensor.__new__(Tensor)
    x._fill(array, node, node is not None)
    return x


def viewed(x: Tensor) -> list[Tensor]:
    """The tensors that `x` is a view of, among the inputs of its op."""
    return [t for t in (x.node.inputs if x.node else ()) if t is not None and np.may_share_memory(t._array, x._array)]


def view(array: np.ndarray, base: Tensor) -> Tensor:
    """An unrecorded tensor on the array of `base`, without its history: a write to either is noticed through both."""
    while owners := viewed(base):  # if `base` is itself a view, the owner of the memory counts the writes
        base = owners[0]
    x = computed(array, None)
    x._writes = base._writes = base._writes or [0]
    if base.node is not None:
        base.node.writes = base._writes
    return x


def recorded_inputs(node: Node) -> list:
    """The inputs of a node as Tensors (labels and masks as arrays): what is computed from them joins the same graph."""
    for x, array in zip(node.inputs, node.arrays, strict=True):
        if x is not None and x._array is not array:
            raise GraphError(f"{node.op.name}: .data of an input was replaced since; compute the loss again")
    return [
        array if x is None or array.dtype.kind != "f" else x for x, array in zip(node.inputs, node.arrays, strict=True)
    ]


def pull_tensors(node: Node, g: Tensor) -> list:
    """`pull` on Tensors instead of arrays: what comes out can be differentiated again."""
    return node.op.pull(node, g, computed(node.output, node), recorded_inputs(node))
