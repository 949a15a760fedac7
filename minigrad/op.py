"""What an op is: a function on arrays that also records how to take its derivative.

- `Elementwise`: states the local derivative ∂y/∂x of each element; the engine multiplies it by the
  upstream gradient.
- `Primitive`: anything else; a rule turns the upstream gradient `g` at the output into the contribution to
  one input.

`minigrad.define` makes them, the tables in `minigrad.ops` hold them. A rule is written once, in NumPy, so
that it runs on arrays in `backward()` and on Tensors when its result is to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import numpy as np

from minigrad.arrays import COMMON, as_array, sum_to, times
from minigrad.errors import explained, reason
from minigrad.graph import GraphError, Node
from minigrad.kernels import Twin, choice
from minigrad.settings import state, watch, watches
from minigrad.signatures import arguments, signature
from minigrad.tensor import Tensor, computed, view

NO_PARAMS: dict[str, Any] = {}  # shared by all nodes without parameters: one object less each


class Op:
    """A function on arrays; called with a Tensor that requires a gradient, it also records a Node."""

    definition: Callable | None = None
    passed_on: tuple[type, ...] = (type(None),)  # not made arrays of: None is an input left out, never the first
    fresh: bool = False  # whether every contribution is a new array, which nobody else holds

    def __init__(self, name, forward, rules, formulas=None, kind="arithmetic", latex=None, doc=None):
        self.name = self.__name__ = name
        self.forward = forward
        self.rules = rules
        self.arity = None if callable(rules) else len(rules)  # None: any number of inputs
        self.formulas = formulas or [""] * (self.arity or 1)
        self.latex = latex
        self.kind = kind
        self.names, self.defaults = arguments(forward, self.arity)
        optional = self.arity and self.defaults.keys() == set(self.names[self.arity :])
        self.inputs_only = self.arity if optional else -1  # a call with this many inputs and nothing else skips `bind`
        self.__doc__ = doc or f"{name}({', '.join(self.names)}); backward: {', '.join(filter(None, self.formulas))}"

    def __call__(self, *xs: Any, **params: Any) -> Any:
        xs, params = (xs, self.defaults) if len(xs) == self.inputs_only and not params else self.bind(xs, params)
        inputs, arrays, versions, record = [], [], 0, False
        try:
            if self.definition and choice() == "definition":
                return self.definition(*xs, **params)
            for x in xs:
                if isinstance(x, Tensor):
                    inputs.append(x)
                    arrays.append(x._array)
                    versions += x._writes[0] if x._writes and x.node is None else 0
                    record = record or x._requires_grad
                else:
                    inputs.append(None)
                    arrays.append(x if type(x) in self.passed_on and (arrays or x is not None) else as_array(x))
            y = self.forward(*arrays, **params)
            y, saved = y if self.definition and type(y) is tuple else (y, None)
            if type(y) is not np.ndarray or y.dtype not in COMMON:  # a scalar, as NumPy makes of 0-d, or a rare dtype
                y = as_array(y)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise explained(self.name, error, [*arrays, *xs[len(arrays) :]]) from error
        if watches and watch():  # inside detect_anomaly()
            watch().computed(self, arrays, y)
        if record and state.recording and y.dtype.kind == "f":  # integers have no derivative
            return computed(y, Node(self, tuple(inputs), tuple(arrays), params or NO_PARAMS, y, saved, versions))
        return unrecorded(y, inputs)

    __signature__: Any = property(lambda self: signature(self.arity, self.names, self.defaults))
    __deepcopy__: Any = lambda self, memo: self  # like a function: a copied model calls the same ops

    def __get__(self, instance, owner=None):  # an op that is an attribute of Tensor is a method
        return self if instance is None else MethodType(self, instance)

    def __repr__(self):
        return f"<op {self.name}>"

    def bind(self, xs, params):
        """Sort the arguments of a call into inputs and parameters, in the order of the forward's signature."""
        if self.arity is None or (len(xs) == self.inputs_only and params.keys() <= self.defaults.keys()):
            return xs, {**self.defaults, **params}
        if len(xs) == len(self.names) and not params:  # fast path: everything by position
            return xs[: self.arity], dict(zip(self.names[self.arity :], xs[self.arity :], strict=False))
        positional = dict(zip(self.names, xs, strict=False))
        given = {**self.defaults, **positional, **params}
        if len(positional) < len(xs) or positional.keys() & params.keys() or given.keys() != set(self.names):
            usage = ", ".join(f"{name}={self.defaults[name]}" if name in self.defaults else name for name in self.names)
            unknown = "".join(f", not with {name}=" for name in given.keys() - set(self.names))
            raise TypeError(f"{self.name}: it is called as {self.name}({usage}){unknown}")
        return tuple(given.pop(name) for name in self.names[: self.arity]), given

    def pull(self, node: Node, g: Any, y: Any, xs: Sequence) -> list:
        """What each input of `node` receives when gradient `g` arrives at its output; None where nothing does.

        `y` and `xs` are the output and the inputs: arrays, or Tensors when the result is to carry a graph.
        """
        contributions = []
        try:
            for i, x in enumerate(node.inputs):
                wanted = x is not None and x._requires_grad
                contributions.append(self.contribution(node, i, g, y, xs) if wanted else None)
        except (TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError) as error:
            raise GraphError(f"{self.name}: the rule for input {len(contributions)} failed: {reason(error)}") from error
        return contributions

    def contribution(self, node, i, g, y, xs):
        """Upstream gradient `g` times the local derivative by input `i`, in the shape and dtype of that input."""
        raise NotImplementedError

    def fitted(self, contribution, i, x, shape):
        """A contribution in its input's dtype and shape: summed over the axes that the op broadcast."""
        found = getattr(contribution, "shape", None)
        if found != x.shape:
            if found != shape:
                what = type(contribution).__name__ if found is None else f"shape {found}"
                rule = f"{self.name}: the rule for input {i}"
                raise GraphError(f"{rule} returned {what}, where shape {shape} was expected")
            contribution = sum_to(contribution, x.shape)
        return contribution if contribution.dtype == x.dtype else contribution.astype(x.dtype)


class Elementwise(Op):
    """y = f(x₁, x₂, …) element by element; a rule is the local derivative ∂y/∂xᵢ, the diagonal of the Jacobian."""

    passed_on: tuple[type, ...] = (float, int, bool)  # a Python number takes the dtype of the array beside it
    product: Twin | None = None  # g·∂y/∂x in one pass, for one-input ops with a kernel

    def local(self, i, y, xs, params):
        rule = self.rules[i]
        return rule(y, *xs, **params) if callable(rule) else rule

    def contribution(self, node, i, g, y, xs):
        rule = self.rules[i]
        if rule is None:
            return None
        if self.product is not None and type(g) is np.ndarray:
            return self.fitted(self.product(g, y, *xs, **node.params), i, xs[i], y.shape)
        if not callable(rule):  # only a declared 1 passes the upstream on unmultiplied
            return self.fitted(g if rule == 1 else g * rule, i, xs[i], y.shape)
        return self.fitted(times(g, rule(y, *xs, **node.params)), i, xs[i], y.shape)


class Primitive(Op):
    """Any other function; a rule is the vector-Jacobian product g ↦ g · ∂y/∂xᵢ."""

    def contribution(self, node, i, g, y, xs):
        if self.arity is None:
            product = self.rules(i, g, y, *xs, **node.params)
        elif self.rules[i] is None:
            return None
        else:
            product = self.rules[i](g, y, *xs, **node.params)
        return self.fitted(product, i, xs[i], xs[i].shape)


def operand(x: Any) -> Any:
    """A Tensor as it is, anything else as an array."""
    return x if isinstance(x, Tensor) else as_array(x)


def unrecorded(y: np.ndarray, inputs: Sequence[Tensor | None]) -> Any:
    """The result of an op that leaves no node: a Tensor if any input is one, else the array."""
    tensors = [x for x in inputs if x is not None]
    for x in tensors:
        if y is x._array or (y.base is not None and np.may_share_memory(x._array, y)):  # mostly it has no base
            return view(y, x)
    return computed(y, None) if tensors else y


identity = Elementwise("identity", lambda x: x, [1], ["1"])
