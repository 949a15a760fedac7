"""Making the chain of gradient products visible. Nothing here writes to the graph."""

from __future__ import annotations

from typing import Any

from minigrad.inspection.anomaly import Finding, detect_anomaly, find_nan
from minigrad.inspection.chain import Chain
from minigrad.inspection.ledger import Ledger
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace, trace
from minigrad.inspection.what_if import what_if

__all__ = [
    "Chain", "Edge", "Finding", "Ledger", "LocalJacobian", "Trace", "TraceNode", "detect_anomaly", "trace",
]  # fmt: skip


def chain(self: Trace, to: Any, **options: Any) -> Chain:
    """The product of local derivatives from the output down to `to`: see `Chain`."""
    return Chain(self, self.vertex(to), **options)


def ledger(self: Trace, to: Any = None) -> Ledger:
    """Where the decades went on the way to `to`, layer by layer; without it, to the first parameter."""
    first = next((node for node in self.nodes if node.kind == "parameter"), 0)
    return Chain(self, self.vertex(first if to is None else to)).ledger()


Trace.chain = chain
Trace.ledger = ledger
Trace.what_if = what_if
Trace.find_nan = find_nan
