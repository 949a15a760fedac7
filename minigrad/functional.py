"""Derivatives as functions: `grad` for Tensors, the others for a function at a point, as arrays.

None of them touches `.grad`. A variable is a Tensor, not a name: nested derivatives never confuse two of them.

>>> import minigrad as mg
>>> def f(x):  # x · d/dy (x + y), which is x
...     y = mg.tensor(2.0, requires_grad=True)
...     return x * mg.grad(x + y, y, create_graph=True)[0]
>>> mg.jacobian(f, 3.0)
array(1.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigrad.graph import GraphError, Node, order, pull, walk
from minigrad.op import identity
from minigrad.settings import recording, state
from minigrad.tensor import Tensor, computed, pull_tensors


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, create_graph: bool = False) -> list[Tensor]:
    """Gradients of `outputs` by each of `inputs`: zeros where an input does not reach an output.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Leaves or tensors on the way that require gradients, else GraphError; several outputs count as their sum.
    grad_outputs : array_like, Tensor or a sequence of them
        The upstream gradient of each output; 1 for single numbers.
    create_graph : bool
        Let the gradients carry a graph of their own, so that they can be differentiated again.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor(0.5, requires_grad=True)
    >>> (slope,) = mg.grad(np.tanh(x), x, create_graph=True)
    >>> round(mg.grad(slope, x)[0].item(), 6)
    -0.726862
    """
    if not isinstance(outputs, (list, tuple)):
        listed = isinstance(grad_outputs, (list, tuple)) and [np.shape(g) for g in grad_outputs] == [np.shape(outputs)]
        outputs, grad_outputs = [outputs], grad_outputs if listed else [grad_outputs]  # a list may be g itself
    inputs = list(inputs) if isinstance(inputs, Iterable) and not hasattr(inputs, "shape") else [inputs]
    seeds = [None] * len(outputs) if grad_outputs is None else grad_outputs
    if len(seeds) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs need as many grad_outputs, not {len(seeds)}")
    for x in (*outputs, *inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: outputs and inputs must be Tensors, not {type(x).__name__}")
        if not x.requires_grad:
            raise GraphError("grad: an output or input does not require a gradient; make it with requires_grad=True")
    if create_graph and not state.recording:
        raise GraphError("grad: create_graph=True inside no_grad(), where nothing is recorded")
    start: dict = {}
    for y, seed in zip(outputs, seeds, strict=True):
        g = y.seed_gradient(seed.data if isinstance(seed, Tensor) else seed)
        if create_graph:  # a seed that is a Tensor stays one: it may be differentiated by later
            g = np.broadcast_to(seed, y.shape).astype(y.dtype) if isinstance(seed, Tensor) else computed(g, None)
        key = y.node or y
        start[key] = start[key] + g if key in start else g
    targets = [x.node or x for x in inputs]
    leading, reached = [], set(targets)
    for node in reversed(order(*(key for key in start if isinstance(key, Node)))):
        if any((x.node or x) in reached for x in node.inputs if x is not None):  # all others lead to no target
            leading.append(node)
            reached.add(node)
    found = walk(leading[::-1], start, pull_tensors if create_graph else pull, keep=set(targets))
    return [result(found.get(target), x, create_graph) for target, x in zip(targets, inputs, strict=True)]


def result(g: Any, x: Tensor, create_graph: bool) -> Tensor:
    """A gradient as a Tensor with memory of its own; with `create_graph` even a constant carries a graph."""
    if not create_graph:
        return Tensor(np.zeros_like(x.data) if g is None else g)
    g = g if isinstance(g, Tensor) else computed(np.zeros_like(x.data) if g is None else g, None)
    array = g.data.copy()
    return computed(array, Node(identity, (g,), (g.data,), {}, array, None, g.version))


def vjp(f: Callable[..., Tensor], *xs: ArrayLike | Tensor) -> tuple[np.ndarray, Callable[..., list[np.ndarray]]]:
    """The value of f, and the function that pulls a gradient back through it: g ↦ [g·∂f/∂x for each x].

    >>> import minigrad as mg
    >>> y, pullback = mg.vjp(lambda a, b: a * b, [1.0, 2.0], [3.0, 4.0])
    >>> pullback([1.0, 10.0])
    [array([ 3., 40.]), array([ 1., 20.])]
    """
    y, leaves = recorded("vjp", f, xs)
    return y.data.copy(), lambda g: [product.data for product in pulled(y, leaves, g)]


def jvp(f: Callable[..., Tensor], xs: Any, vs: Any) -> np.ndarray:
    """The derivative of f in the direction `vs`, Σ ∂f/∂x·v; `xs` and `vs` are one array each, or lists of arrays.

    >>> import numpy as np, minigrad as mg
    >>> mg.jvp(np.sin, np.array([0.0, np.pi]), np.ones(2))
    array([ 1., -1.])
    """
    xs, vs = (xs, vs) if isinstance(xs, (list, tuple)) else ([xs], [vs])
    y, leaves = recorded("jvp", f, xs)
    if [np.shape(v) for v in vs] != [x.shape for x in leaves]:
        raise ValueError(
            f"jvp: xs {[x.shape for x in leaves]} and vs {[np.shape(v) for v in vs]} must have the same shapes"
        )
    u = Tensor(np.ones_like(y.data), requires_grad=True)
    with recording(state.scope):
        products = pulled(y, leaves, u, create_graph=True)  # u·∂f/∂x is linear in u, with the derivative ∂f/∂x
    return grad(products, u, vs)[0].data


def jacobian(f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor) -> np.ndarray:
    """∂f/∂x, of shape (*f.shape, *x.shape)."""
    y, leaves = recorded("jacobian", f, [x])
    rows = [pulled(y, leaves, np.eye(1, y.size, i).reshape(y.shape))[0].data for i in range(y.size)]
    return np.array(rows, leaves[0].dtype).reshape(y.shape + leaves[0].shape)


def hessian(f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor) -> np.ndarray:
    """∂²f/∂x² of an f that returns a single number, of shape (*x.shape, *x.shape).

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: x**3, 2.0)
    array(12.)
    """
    return jacobian(lambda x: slope("hessian", f, x), x)


def hvp(f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor, v: ArrayLike) -> np.ndarray:
    """∂²f/∂x²·v without the matrix, as the gradient of ∇f·v (Pearlmutter, 1994)."""
    if np.shape(x) != np.shape(v):
        raise ValueError(f"hvp: x {np.shape(x)} and v {np.shape(v)} must have the same shape")
    return vjp(lambda x: slope("hvp", f, x), x)[1](v)[0]


def recorded(name: str, f: Callable, xs: Sequence) -> tuple[Tensor, list[Tensor]]:
    """The value of f at new leaves that hold copies of `xs`, and these leaves."""
    leaves = [Tensor(x, requires_grad=True) for x in xs]
    with recording(state.scope):  # also inside no_grad()
        return tensor_from(name, f(*leaves)), leaves


def tensor_from(name: str, y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}: f must return a Tensor, not {type(y).__name__}")
    return y


def pulled(y: Tensor, xs: Sequence[Tensor], g: Any, create_graph: bool = False) -> list[Tensor]:
    """`grad` of the value y of a function; zeros if y is a constant."""
    return grad([y], xs, [g], create_graph) if y.requires_grad else [result(None, x, create_graph) for x in xs]


def slope(name: str, f: Callable, x: Tensor) -> Tensor:
    """The gradient of f at x, recorded."""
    y = tensor_from(name, f(x))
    if y.size != 1:
        raise ValueError(f"{name}: f must return a single number, not an array of shape {y.shape}")
    return pulled(y, [x], None, create_graph=True)[0]
