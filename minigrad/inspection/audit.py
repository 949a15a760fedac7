"""Check what a trace shows: its local products against finite differences, its sums against their parts.

- `print(trace.audit())`: what was compared, how often, and the worst error.
- `trace.audit().failures`: which op is wrong, and where.

Differences are taken in float64, whatever the dtype of the trace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minigrad.graph import Node
from minigrad.inspection import factors, text
from minigrad.inspection.anomaly import watching
from minigrad.inspection.measured import LIMIT, error_of_kernel, in_float64, is_float64, measured
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace, recorded
from minigrad.inspection.ways import along
from minigrad.inspection.what_if import Instead
from minigrad.printed import Printed

TOO_LONG = 100_000  # products × longest path: above this, gradients are not split by length


def audit(self: Trace) -> Audit:
    """Compare every local product with finite differences, and every sum of products with its parts.

    The kernels of fused ops that the trace has opened are compared, too.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([0.5, -1.0], requires_grad=True, name="x")
    >>> audit = mg.trace(mg.sum(mg.tanh(x) * x)).audit()
    >>> audit.ok, audit.failures
    (True, [])
    """
    return Audit(self)


class Audit(Printed):
    """What `trace.audit()` found.

    Attributes
    ----------
    ok : bool
    worst : float
        The largest relative error.
    failures : list of Failure
        Those of the first check that fails, since kernels and sums depend on the rules of the ops.
    checks : list of Check
        The lines of the table.
    seconds : float
    """

    def __init__(self, trace: Trace) -> None:
        start = time.perf_counter()
        self._finite = not trace.find_nan()
        with np.errstate(all="ignore"), watching(None):
            exact = in_float64(trace)
            self.checks = [*products(trace, exact), sums(trace), multiplied_out(trace), lengths(exact)]
        self.seconds = time.perf_counter() - start
        self.worst = max(check.worst for check in self.checks if check.limit is not None)
        self.failures: list[Failure] = next((check.failures for check in self.checks if check.failures), [])

    @property
    def ok(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        rows = [("check", "count", "worst rel. error", "result", ""), *(check.row() for check in self.checks)]
        found = [str(failure) for failure in self.failures[:10]] or ["everything holds"]
        found += [] if self._finite else ["not everything is finite: trace.find_nan() names the first that is not"]
        return "\n".join([text.table(rows, "<><<<"), *found, f"{1e3 * self.seconds:.0f} ms"])

    def __repr__(self) -> str:
        return f"<Audit: {f'{len(self.failures)} failures' if self.failures else 'ok'}, worst {self.worst:.1e}>"


class Failure(NamedTuple):
    """What does not hold: which op is wrong, where, in which check, by how much."""

    op: str
    where: str
    check: str
    error: float

    def __str__(self) -> str:
        return f"✗ {self.op}: {self.where}: {self.check}: relative error {self.error:.1e}"


class Check:
    """One line of an audit: how often something was compared, and the worst error. Without a limit it cannot fail."""

    def __init__(self, name: str, limit: float | None = None, note: str = "") -> None:
        self.name, self.limit, self.note = name, limit, note
        self.count, self.worst, self.where = 0, 0.0, ""
        self.failures: list[Failure] = []

    def add(self, error: float, op: str, where: str, count: int = 1) -> None:
        self.count += count
        if not (error <= self.worst or np.isnan(self.worst)):
            self.worst, self.where = error, where
        if self.limit is not None and not error <= self.limit:
            self.failures.append(Failure(op, where, self.name, error))

    def row(self) -> tuple[str, ...]:
        worst = f"{self.worst:.1e} {self.where}" if self.count else ""
        verdict = f"{'✗' if self.failures else '✓'} ≤ {self.limit:.0e}" if self.limit and self.count else "–"
        return self.name, str(self.count), worst, verdict, self.note


def products(trace: Trace, exact: Trace) -> list[Check]:
    """The checks of every local product and kernel, and of what was left out; `exact` is the trace in float64."""
    local = Check("local product vs central differences", LIMIT)
    kernel = Check("kernel vs central differences of its definition", LIMIT)
    kinks = Check("  … kink crossed, excluded", note="(would have failed)")
    given = Check("  … given by what_if, not compared")
    given.count = sum(isinstance(edge.local, Instead) for edge in trace.edges())
    rng = np.random.default_rng(0)
    valued: set[Node] = set()  # fused ops whose output was compared
    for node, slot, where in derivatives(trace, exact):
        op = node.op
        if op.definition and node not in valued:
            valued.add(node)
            kernel.add(error_of_kernel(node), op.name, f"value of {op.name}")
        found = measured(node, slot, rng)
        (kernel if op.definition else local).add(found.error, op.name, where)
        if found.kinks:
            kinks.add(found.error_with_kinks, op.name, where, found.kinks)
    return [check for check in (local, kernel, kinks, given) if check.count]


def derivatives(trace: Trace, exact: Trace) -> Iterator[tuple[Node, int, str]]:
    """(node, slot, where) of every product that no what_if gave, and of every fused op that was opened, in float64."""
    for edge, given in zip(exact.edges(), trace.edges(), strict=False):  # of one graph: they correspond
        if not isinstance(given.local, Instead):
            yield edge.output.vertex, edge.slot, f"∂{edge.output.symbol}/∂{edge.input.symbol}"
    shown = set(exact._nodes)
    for node in recorded(exact.output):
        if node.op.definition and node not in shown:
            for slot, x in enumerate(node.inputs):
                if x is not None and x.requires_grad:
                    yield node, slot, f"∂{node.op.name}/∂{node.op.names[slot]} {node.scope}".strip()


def sums(trace: Trace) -> Check:
    check = Check("Σ contributions = grad, every node", limit(trace))
    for node in trace.nodes:
        if node.incoming:
            check.add(node.check(), node.op, node.symbol)
    return check


def multiplied_out(trace: Trace) -> Check:
    """All local derivatives applied again, one after the other, from the seed down to every parameter."""
    check = Check("products multiplied out = grad, every parameter", limit(trace))
    parts = factors.multiplied_out(trace.edges(), trace.seed)
    for node in reached(trace):
        check.add(node.check([parts[edge] for edge in node.incoming]), "product", node.symbol)
    zeros = sum(node.norm == 0 for node in reached(trace))
    check.note = f"({zeros} exactly 0)" if zeros else ""
    return check


def lengths(trace: Trace) -> Check:
    """The gradients of the first two parameters, usually the input and W1, split by path length."""
    trace = trace.opened()
    check = Check("Σ path lengths = grad", limit(trace))
    longest = {trace[-1].index: 0}
    for edge in trace.edges():
        longest[edge.input.index] = max(longest.get(edge.input.index, 0), longest[edge.output.index] + 1)
    if len(trace.edges()) * max(longest.values()) > TOO_LONG:
        check.note = f"skipped: {len(trace.edges())} products on paths of up to {max(longest.values())}"
        return check
    explained = 0.0
    for node in reached(trace)[:2]:
        error = node.check(list(trace.by_path_length(to=node.vertex).values()))
        if error > limit(trace) and error <= 100 * rounding(node):
            explained, error = max(error, explained), 0.0
        check.add(error, "path length", node.symbol)
    check.note = f"(not counted: rounding of {explained:.0e})" if explained else ""
    return check


def rounding(node: TraceNode) -> float:
    """By how much the gradient changes with the last digit of every product: a lot where products nearly cancel."""
    trace, rng = node.trace, np.random.default_rng(0)

    def changed(edge: Edge, g: np.ndarray) -> np.ndarray:
        product = edge.local.vjp(g)
        return product * (1 + np.finfo(product.dtype).eps * rng.choice([-1.0, 1.0], product.shape))

    return node.check(along(trace[-1], trace.seed, [node], changed))


def reached(trace: Trace) -> list[TraceNode]:
    """The parameters that have a gradient."""
    return [node for node in trace.nodes if node.kind == "parameter" and node.grad is not None]


def limit(trace: Trace) -> float:
    return 1e-12 if is_float64(trace) else 1e-5
