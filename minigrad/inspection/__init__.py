"""Making the chain of gradient products visible. Nothing here writes to the graph."""

from __future__ import annotations

from typing import Any

from minigrad.inspection import display
from minigrad.inspection.anomaly import Finding, detect_anomaly, find_nan
from minigrad.inspection.audit import Audit, audit
from minigrad.inspection.chain import Chain
from minigrad.inspection.jacobian import jacobian
from minigrad.inspection.ledger import Ledger
from minigrad.inspection.lengths import PathLengths, by_path_length
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.paths import Path, Paths, count_paths, paths
from minigrad.inspection.pictures import picture
from minigrad.inspection.through_time import by_time, lag_matrix
from minigrad.inspection.trace import Trace, trace
from minigrad.inspection.what_if import what_if

__all__ = [
    "Audit", "Chain", "Edge", "Finding", "Ledger", "LocalJacobian", "Path", "PathLengths", "Paths", "Trace",
    "TraceNode", "detect_anomaly", "trace",
]  # fmt: skip


def chain(self: Trace, to: Any, **options: Any) -> Chain:
    """The product of local derivatives from the output down to `to`: see `Chain`."""
    return Chain(self, self.target(to), **options)


def ledger(self: Trace, to: Any = None) -> Ledger:
    """Where the decades went on the way to `to`, layer by layer; without it, to the first parameter."""
    first = next((node for node in self.nodes if node.kind == "parameter"), 0)
    return Chain(self, self.target(first if to is None else to)).ledger()


def plot(self: Trace, path: Any = None, ax: Any = None, to: Any = None) -> Any:
    """Draw gradients and values layer by layer: see `minigrad.inspection.draw`, which has more pictures."""
    return picture("flow")(self, to, path, ax)


for method in (
    chain,
    ledger,
    count_paths,
    paths,
    by_path_length,
    by_time,
    lag_matrix,
    jacobian,
    what_if,
    find_nan,
    audit,
    plot,
    display.draw,
    display.to_svg,
    display.to_dot,
    display._repr_mimebundle_,
):
    setattr(Trace, method.__name__, method)
