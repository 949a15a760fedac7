"""How many decades a gradient gains and loses, layer by layer and split by cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.inspection import text
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.what_if import Instead
from minigrad.printed import Printed

INSIDE = ["activation type", "operating point", "weights", "norm", "skip"]  # what repeats from layer to layer
COLUMNS = [*INSIDE, "loss", "input", "other"]
ENDS = ("weight", "input", "bias")  # the last factors of a layer


class Ledger(Printed):
    """The gains of a chain's factors in decades (log10), per layer and in total, split by cause; rows add up exactly.

    For an activation, "activation type" is its gain around 0 (σ' = 1/4, tanh' = 1, √½ for ReLU), and "operating
    point" the rest, which depends on its inputs. A derivative replaced by `what_if` counts as type alone. "skip" is
    every sum of branches: shortcuts, the steps of a recurrence, a tensor that is used several times.

    Attributes
    ----------
    rows : list of (str, dict)
        Per layer its name, and column → decades.
    total : dict
        Column → decades of the whole chain; "total" is their sum.
    places : list of list of TraceNode
        Per row the value that it is named after; h and c for a step of an LSTM.
    """

    def __init__(self, factors: Sequence) -> None:
        self.rows: list[tuple[str, dict[str, float]]] = []
        self.places: list[list] = []
        has_weight = False  # of the last row
        for above, factor in zip([None, *factors], factors, strict=False):
            if not self.rows or begins_layer(factor, has_weight):
                first = above if has_weight and factor.kind in ENDS else factor  # W3ᵀ acts on the gradient of z3
                self.rows.append((first.name, dict.fromkeys(COLUMNS, 0.0)))
                self.places.append(first.lower)
                has_weight = False
            has_weight = has_weight or factor.kind == "weight"
            row = self.rows[-1][1]
            for column, decades in causes(factor).items():
                row[column] += decades
        self.layers = sum("activation type" in causes(factor) for factor in factors)  # a softmax is under "other"
        self.total = {column: float(sum(row[column] for _, row in self.rows)) for column in COLUMNS}
        self.total["total"] = float(sum(self.total.values()))

    def table(self) -> str:
        """One line per layer, from the output down."""
        used = [column for column in COLUMNS if any(row[column] for _, row in self.rows)]
        lines = [["layer", *used, "total"]]
        for name, row in [*self.rows, ("all", self.total)]:
            total = sum(row[column] for column in COLUMNS)
            lines.append([name, *(text.signed(row[column]) for column in used), text.signed(total)])
        return text.table(lines, "<" + ">" * (len(used) + 1))

    def __str__(self) -> str:
        parts = [f"{column} {text.signed(self.total[column])}" for column in COLUMNS if self.total[column]]
        inside = sum(self.total[column] for column in INSIDE)
        rate = ""
        # The layers in a sum of branches are not counted
        if self.layers and not self.total["skip"] and not np.isnan(inside):
            with np.errstate(over="ignore"):
                rate = f"   (×{text.fixed(np.power(10.0, inside / self.layers))} per layer)"
        parts.append(f"total {text.signed(self.total['total'])} decades{rate}")
        return f"ledger  {' │ '.join(parts)}"

    def __repr__(self) -> str:
        return f"<{self}>"


def begins_layer(factor: Any, has_weight: bool) -> bool:
    """Whether a new row begins with it: an activation, a block or step with weights, or what follows a row's weight."""
    block = factor.kind == "skip" and any(edge.output.kind == "weight" for edge in factor.edges)
    return block or factor.kind == "activation" or (has_weight and factor.kind in ENDS)


def causes(factor: Any) -> dict[str, float]:
    """Column → decades for one factor."""
    with np.errstate(divide="ignore"):
        decades = float(np.log10(factor.gain))
    if factor.kind == "activation" and factor.local.kind == "diagonal":
        best = decades if isinstance(factor.local, Instead) else float(np.log10(reference_gain(factor.local)))
        return {"activation type": best, "operating point": decades - best}
    column = "weights" if factor.kind == "weight" else factor.kind
    return {column if column in COLUMNS else "other": decades}


def reference_gain(local: LocalJacobian) -> float:
    """The gain of an activation around 0, with which its actual gain is compared: √((φ'(0⁻)² + φ'(0⁺)²)/2).

    1/4 for the sigmoid, 1 for tanh, √½ for ReLU, √((1+α²)/2) for LeakyReLU; 1 if it is flat there, as x³ is.
    """
    op, params = local.node.op, local.node.params
    x = np.array([-1e-12, 1e-12])
    slopes = np.asarray(op.local(local.slot, op.forward(x, **params), (x,), params), dtype=np.float64)
    gain = float(np.sqrt(np.mean(np.square(slopes))))
    return gain if gain > 1e-6 else 1.0
