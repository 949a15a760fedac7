"""How to define an op.

- `elementwise(name, forward, derivatives, formulas)`: by the derivative of each element.
- `primitive(name, forward, vjps, formulas)`: by its vector-Jacobian products.
- `fused(name, forward, backward, definition)`: by one kernel each way, and the same in primitive ops.
- `@composition(np.function)`: a function made of other ops; it needs no rule of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

from minigrad.errors import explained
from minigrad.fused import Fused
from minigrad.op import Elementwise, Op, Primitive
from minigrad.signatures import misfit
from minigrad.tensor import Tensor

Kind = TypeVar("Kind", bound=Op)
numpy_overrides: dict[Callable, Callable] = {}  # NumPy's function → ours, read by numpy_protocol


def elementwise(
    name: str,
    forward: Callable,
    derivatives: Sequence[Callable | float | None],
    formulas: Sequence[str],
    *,
    kind: str = "arithmetic",
    latex: Sequence[str] | None = None,
    numpy: Callable | None = None,
    method: bool = False,
    doc: str | None = None,
) -> Elementwise:
    """Define an op that acts on each element.

    Parameters
    ----------
    name : str
        The op's name in traces and errors.
    forward : callable
        `forward(*xs, **params) -> ndarray`; keyword parameters are those of the op.
    derivatives : sequence
        Per input `lambda y, *xs, **params: ∂y/∂x`, or a number, or None where there is no derivative.
    formulas : sequence of str
        The local derivatives as traces print them; `latex` the same for `chain.latex()`, below each factor.
    kind : str
        activation, linear, norm, loss, reduce, view or arithmetic; ledgers sum per kind.
    numpy : callable, optional
        The NumPy function that should call this op when it meets a Tensor.
    method : bool
        Whether Tensors get a method of this name.
    doc : str, optional
        The text of `help`; by default the name and the formulas.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> cube = mg.elementwise("cube", lambda x: x**3, [lambda y, x: 3 * x**2], ["3x²"])
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12.)
    """
    return registered(Elementwise(name, forward, derivatives, formulas, kind, latex, doc), numpy, method)


def primitive(
    name: str,
    forward: Callable,
    vjps: Sequence[Callable | None] | Callable,
    formulas: Sequence[str] | None = None,
    *,
    kind: str = "linear",
    latex: Sequence[str] | None = None,
    numpy: Callable | None = None,
    method: bool = False,
    doc: str | None = None,
) -> Primitive:
    """Define an op by its vector-Jacobian products.

    `vjps` holds, per input, `lambda g, y, *xs, **params: contribution` of the input's shape; or it is one
    `lambda i, g, y, *xs, **params: …` for any number of inputs. The rest is as for `elementwise`.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> double = mg.primitive("double", lambda x: 2 * x, [lambda g, y, x: 2 * g], ["2 g"])
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> double(x).backward([1, 10])
    >>> x.grad
    array([ 2., 20.])
    """
    return registered(Primitive(name, forward, vjps, formulas, kind, latex, doc), numpy, method)


def fused(
    name: str,
    forward: Callable,
    backward: Callable,
    definition: Callable,
    formulas: Sequence[str] | None = None,
    *,
    kind: str = "linear",
    numpy: Callable | None = None,
    method: bool = False,
    doc: str | None = None,
    fresh: bool = False,
) -> Fused:
    """Define an op that runs as one kernel each way and can be opened up into primitive ops.

    Parameters
    ----------
    name, formulas, kind, numpy, method, doc
        As for `elementwise`.
    forward : callable
        `forward(*arrays, **params) -> (output, saved)`, or the output alone.
    backward : callable
        `backward(g, output, saved, *arrays, **params)` → per input a contribution, None, or a function that makes it.
    definition : callable
        The same in primitive ops on Tensors; pure: no random numbers, no state. Parameters have defaults, inputs none.
    fresh : bool
        Promises that every contribution is a new array, which nobody else holds: a leaf need not copy it.
    """
    return registered(Fused(name, forward, backward, definition, formulas, kind, doc, fresh), numpy, method)


def composition(*numpy: Callable) -> Callable[[Callable], Callable]:
    """Define a function made of ops: `numpy` lists NumPy's functions that should call it when they meet a Tensor.

    >>> import numpy as np, minigrad as mg
    >>> from minigrad.define import composition
    >>> @composition(np.ptp)
    ... def ptp(x, axis=None):
    ...     return mg.max(x, axis) - mg.min(x, axis)
    >>> np.ptp(mg.tensor([1.0, 4.0]))
    tensor(3., shape=())
    """

    def define(function):
        @functools.wraps(function)
        def call(*xs, **params):
            try:
                return function(*xs, **params)
            except (ValueError, TypeError, IndexError) as error:
                raise explained(function.__name__, error, xs) from error

        numpy_overrides.update(dict.fromkeys(numpy, call))
        return call

    return define


def registered(op: Kind, numpy: Callable | None, method: bool) -> Kind:
    """The op, after a check of its declaration, entered as a NumPy override and as a method."""
    if op.arity is None and isinstance(op, Elementwise):
        raise TypeError(f"{op.name}: derivatives is a list with one rule per input, such as [lambda y, x: 2 * x]")
    if op.arity is None and misfit(op.forward, ["x"] * 9, op.names):  # a single rule needs a forward(*xs)
        raise TypeError(f"{op.name}: vjps is a list with one rule per input, such as [lambda g, y, x: 2 * g]")
    if op.arity is not None and not 0 < op.arity <= len(op.names):
        raise ValueError(f"{op.name}: {op.arity} rules, but forward takes only {', '.join(op.names)}")
    for what, given in (("formulas", op.formulas), ("latex", op.latex)):
        if isinstance(given, str) or (given is not None and len(given) != (op.arity or 1)):
            raise ValueError(f"{op.name}: {what} is a list of {op.arity or 1}, one per rule, not {given!r}")
    handed = ["y"] if isinstance(op, Elementwise) else ["g", "y"]
    for i, rule in enumerate(op.rules if op.arity else ()):
        if callable(rule) and (why := misfit(rule, handed + op.names[: op.arity], op.names[op.arity :])):
            raise TypeError(f"{op.name}: the rule for input {i} is handed {why}")
    if numpy is not None:
        numpy_overrides[numpy] = op
    if method:
        setattr(Tensor, op.name, op)
    return op
