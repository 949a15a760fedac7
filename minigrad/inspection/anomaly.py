"""Where a NaN or an infinity comes from.

- `trace.find_nan()`: the first value that is not finite, else the first product of the backward pass.
- `with mg.detect_anomaly():` raises as soon as there is one, and names the line that called the op.
"""

from __future__ import annotations

import linecache
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import numpy as np

from minigrad.graph import GraphError, Node
from minigrad.inspection import text
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import TraceNode
from minigrad.inspection.trace import Trace
from minigrad.settings import state, watches
from minigrad.tensor import Tensor

NOT_THE_USER = ("minigrad", "layers", "optim", "numpy", "contextlib")


class Finding:
    """What `find_nan` found. Its truth value is False if everything is finite, apart from the −∞ of a mask.

    Attributes
    ----------
    node : TraceNode or None
        The node whose value, or whose product, is the first that is not finite.
    op, scope, formula : str
    statistics : dict of str to str
        Shape and range of the arrays that took part.
    """

    def __init__(self, node: TraceNode | None, what: str, arrays: Mapping[str, Any]) -> None:
        self.node = node
        self.op, self.scope, self.formula = (node.op, node.scope, node.formula) if node else ("", "", "")
        self.what = what
        self.statistics = {name: statistics(x) for name, x in arrays.items()}

    def __bool__(self) -> bool:
        return self.node is not None

    def __str__(self) -> str:
        name = self.node.name if self.node and self.op == "leaf" else self.op
        return sentence(name, self.scope, self.formula, self.what, self.statistics) if self.node else self.what

    def __repr__(self) -> str:
        return f"<{self}>"


def find_nan(self: Trace) -> Finding:
    """The first value in forward order that is not finite, else the first product in backward order.

    The −∞ of a mask is skipped: an output may hold −∞ if an input of the op does.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor([4.0, 0.0], requires_grad=True, name="x")
    >>> with np.errstate(divide="ignore"):
    ...     trace = mg.trace(mg.sum(mg.sqrt(x)))
    >>> print(trace.find_nan())
    sqrt (1/(2√x)): all values are finite, but not the contribution that it sends to x; contribution: 2, from 0.25
    to 0.25, 1 infinite; upstream: 2, from 1 to 1; x: 2, from 0 to 4
    """
    for node in self.nodes:
        if not finite(node.value) and not masked(operands(node.vertex).values(), node.value):
            what = "the first value that is not finite"
            return Finding(node, what, {"y": node.value, **operands(node.vertex)})
    for edge in self.edges():
        if not finite(edge.upstream):
            what = "all values are finite, but not the gradient that arrives at it"
            return Finding(edge.output, what, {"gradient": edge.upstream})
        if not finite(edge.contribution):
            what = f"all values are finite, but not the contribution that it sends to {edge.input.name}"
            arrays = {"contribution": edge.contribution, "upstream": edge.upstream, **operands(edge.output.vertex)}
            return Finding(edge.output, what, arrays)
    for node in self.nodes:
        if node.grad is not None and not finite(node.grad):
            return Finding(node, "finite contributions add up to a gradient that is not", {"gradient": node.grad})
    what = f"all {len(self.nodes)} values and {len(self.edges())} products are finite"
    return Finding(None, what if all(finite(node.value) for node in self.nodes) else f"{what}, but for a mask", {})


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """In this block, the first op that computes or sends back a number that is not finite raises GraphError.

    The message has the op, its module, its formula, the range of the arrays that took part, and the line that
    called the op. Checking every array takes time: this is for finding a fault, not for training. Only the thread
    that enters the block is watched. A mask is no fault: an output may hold −∞ if an input of the op does.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor([4.0, 0.0], requires_grad=True)
    >>> with mg.detect_anomaly(), np.errstate(divide="ignore"):
    ...     mg.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minigrad.graph.GraphError: log (1/x): its value is not finite; y: 2, from 1.39 to 1.39, 1 infinite; x: 2, from ...
    """
    with watching(Watch()):
        yield


@contextmanager
def watching(watch: Watch | None) -> Iterator[None]:
    """Check the ops of this thread with `watch`, or not at all, while the block runs."""
    thread = get_ident()
    before = watches.pop(thread, None)
    if watch:
        watches[thread] = watch
    try:
        yield
    finally:
        watches.pop(thread, None)
        if before:
            watches[thread] = before


class Watch:
    """Checks what ops compute, and what they send back."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}  # id of a value, as long as it lives → the line that computed it

    def computed(self, op: Any, xs: Sequence, y: np.ndarray) -> None:
        """Every op calls this with its inputs and its output."""
        line = line_of_user()
        if not finite(y) and not masked(xs, y):
            formula, arrays = "; ".join(filter(None, op.formulas)), {"y": y, **named(op, xs)}
            raise complaint(op, state.scope, formula, "its value is not finite", arrays, line)
        self.lines[id(y)] = line
        weakref.finalize(y, self.lines.pop, id(y), None)

    def around(self, pull: Callable) -> Callable:
        """`pull`, followed by a check of the contributions."""

        def watched(node: Node, g: Any) -> list:
            with watching(None):  # of a rule, only the result is checked
                contributions = pull(node, g)
            for i, contribution in enumerate(contributions):
                if contribution is not None and not finite(values(contribution)):
                    arrays = {"contribution": contribution, "upstream": g, **operands(node)}
                    line = self.lines.get(id(node.output), "outside detect_anomaly()")
                    what = f"the contribution that it sends to {name_of(node.op, i)} is not finite"
                    raise complaint(node.op, node.scope, LocalJacobian(node, i).formula, what, arrays, line)
            return contributions

        return watched


def complaint(op: Any, scope: str, formula: str, what: str, arrays: Mapping[str, Any], line: str) -> GraphError:
    described = {name: statistics(x) for name, x in arrays.items()}
    error = GraphError(f"{sentence(op.name, scope, formula, what, described)}; called {line}")
    vars(error)["scope"] = scope  # the message has it: modules do not put it in front again
    return error  # not raised here: error and frame would hold each other, and the arrays stay in memory


def sentence(name: str, scope: str, formula: str, what: str, described: Mapping[str, str]) -> str:
    head = f"{name}{f' in {scope}' if scope else ''}{f' ({formula})' if formula else ''}: {what}"
    return "; ".join([head, *(f"{name}: {numbers}" for name, numbers in described.items())])


def statistics(x: Any) -> str:
    """Shape and range of an array, and how many elements are NaN or infinite."""
    x = values(x)
    good = x[np.isfinite(x)].astype(np.float64)
    found = [text.shape(x.shape)]
    if good.size:
        found.append(f"from {text.number(float(np.min(good)))} to {text.number(float(np.max(good)))}")
    for count, what in ((np.sum(np.isnan(x)), "NaN"), (np.sum(np.isinf(x)), "infinite")):
        found += [f"{count} {what}"] if count else []
    return ", ".join(found)


def values(x: Any) -> np.ndarray:
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def finite(x: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(x)))


def masked(xs: Iterable, y: np.ndarray) -> bool:
    """Whether y is finite but for −∞ that an x holds too, as when attention masks the input of a softmax."""
    return finite(y[~np.isneginf(y)]) and any(np.any(np.isneginf(values(x))) for x in xs if x is not None)


def operands(vertex: Any) -> dict[str, Any]:
    """What an op computed with, by the names of its arguments; nothing for a leaf."""
    return named(vertex.op, vertex.arrays) if isinstance(vertex, Node) else {}


def named(op: Any, xs: Sequence) -> dict[str, Any]:
    return {name_of(op, i): x for i, x in enumerate(xs) if x is not None}


def name_of(op: Any, i: int) -> str:
    return op.names[i] if op.arity is not None else f"input {i}"


def line_of_user() -> str:
    """The innermost line of the call stack that is not part of this library."""
    roots = tuple(
        os.path.dirname(sys.modules[name].__file__ or "") + os.sep for name in NOT_THE_USER if name in sys.modules
    )
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(roots):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"at {name}:{number}: {linecache.getline(name, number).strip()}"
