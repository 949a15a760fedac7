"""Make the chain of gradient products visible. Nothing here writes to the graph.

Where to start reading: `opened` replaces fused ops by their definitions, and `trace` walks back through the result.
A trace consists of nodes and edges (`parts`), whose derivatives are in `local`; `kinds`, `names` and `lookup` classify,
name and find them. A `chain` is a product of `factors` along the `ways` between two nodes, summed up in a `ledger`.
Each other file answers one question about a trace; `text` formats all output. `monitor` and `draw` can be removed.
"""

from __future__ import annotations

from minigrad.inspection import display
from minigrad.inspection.anomaly import Finding, detect_anomaly, find_nan
from minigrad.inspection.audit import Audit, audit
from minigrad.inspection.chain import Chain, chain, ledger
from minigrad.inspection.jacobian import jacobian
from minigrad.inspection.ledger import Ledger
from minigrad.inspection.lengths import PathLengths, by_path_length
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.paths import Path, Paths, count_paths, paths
from minigrad.inspection.through_time import by_time, lag_matrix
from minigrad.inspection.trace import Trace, trace
from minigrad.inspection.what_if import what_if

__all__ = [
    "Audit", "Chain", "Edge", "Finding", "Ledger", "LocalJacobian", "Path", "PathLengths", "Paths", "Trace",
    "TraceNode", "detect_anomaly", "trace",
]  # fmt: skip


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
    display.plot,
    display.draw,
    display.to_svg,
    display.to_dot,
    display._repr_mimebundle_,
):
    setattr(Trace, method.__name__, method)
