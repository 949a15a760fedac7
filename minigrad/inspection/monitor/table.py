"""What `monitor.table()` prints: the last step, with marks where a value was out of bounds three times in a row."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any

import numpy as np

from minigrad.inspection import text

# Quantity → the range without a warning, the range without an alarm
LIMITS = {
    "saturated": ((-1, 0.3), (-1, 0.5)),
    "dead": ((-1, 0.2), (-1, 0.5)),
    "decades": ((-2, 1.5), (-4, 3)),
    "update_ratio": ((1e-4, 1e-2), (1e-6, 1e-1)),
}
FINITE = ((-math.inf, math.inf),) * 2  # for all other quantities
LEGEND = """\
! warning, !! alarm, once they hold for three recorded steps
inf           not finite: infinite, or NaN
= 0           share of the elements that are exactly 0
decades       log10 of ‖gradient‖ against the last hidden layer's: below −2 / −4 it vanishes, above 1.5 / 3 it explodes
saturated     share of φ'(z) < 0.1·max φ': from 30% / 50% on
dead          share of ReLU units that no sample makes active, born: that never were; from 20% / 50% on
update ratio  ‖Δw‖/‖w‖, of weights near 1e-3 (CS231n): outside 1e-4 … 1e-2 / 1e-6 … 1e-1; biases are not judged"""

# Head of a column → the quantity in it, and how to write it
LAYER = {
    "RMS h": ("activation_rms", text.number),
    "h = 0": ("activation_zeros", text.percent),
    "saturated": ("saturated", text.percent),
    "dead": ("dead", text.percent),
    "born": ("born_dead", text.percent),
    "RMS ∂L/∂h": ("gradient_rms", text.scientific),
    "∂L/∂h = 0": ("gradient_zeros", text.percent),
    "decades": ("decades", text.signed),
}
PARAMETER = {
    "‖w‖": ("weight_norm", text.number),
    "‖∂L/∂w‖": ("gradient_norm", text.scientific),
    "after clipping": ("clipped_norm", text.scientific),
    "update ratio": ("update_ratio", text.scientific),
}


def table(monitor: Any) -> str:
    """The last recorded step of a monitor, layer by layer and parameter by parameter."""
    history = monitor.history
    if not history.length:
        return "nothing is recorded yet: call step() after backward()"
    layers = [layer.name for layer in monitor.layers.values()]
    biases = [name for p, name in monitor.names.items() if p.ndim <= 1]  # they start at 0 and move far at first
    recent = [{**row, **decades(row, layers)} for row in history.recent]
    lines = [
        f"step {history.step}, level {monitor.level}; watching takes {text.percent(monitor.overhead)} of the time",
        whole_gradient(history),
        "",
        block("layer", layers, LAYER, recent),
        "",
        block("parameter", list(monitor.names.values()), PARAMETER, recent, biases),
        "",
        LEGEND,
    ]
    return "\n".join(lines)


def block(
    head: str, names: list[str], columns: dict, recent: list[dict[str, float]], biases: Container[str] = ()
) -> str:
    """One line per name; "—" where nothing was computed. The update ratio of biases is not judged."""
    aligned = [[head, *names]]
    for title, (quantity, write) in columns.items():
        values = [[row.get(f"{quantity}/{name}") for row in recent] for name in names]
        cells = [title, *("—" if last[-1] is None else write(last[-1]) for last in values)]
        free = biases if quantity == "update_ratio" else ()
        marks = ["", *("" if name in free else mark(quantity, last) for name, last in zip(names, values, strict=True))]
        width = max(map(len, marks))
        aligned.append([f"{cell}{behind:<{width}}" for cell, behind in zip(cells, marks, strict=True)])
    return text.table([*zip(*aligned, strict=True)], "<" + ">" * len(columns))


def mark(quantity: str, values: list[float | None]) -> str:
    """What stands behind the last of three values: nothing, "!" or "!!"."""
    bounds = LIMITS.get(quantity, FINITE)
    grades = [sum(v is not None and not low <= v < high for low, high in bounds) for v in values]
    return ("", " !", " !!")[min(grades) if len(values) == 3 else 0]


def decades(row: dict[str, float], layers: list[str]) -> dict[str, float]:
    """log10 of the gradient norm of each layer over that of the last hidden layer, the last but one; −∞ for a 0."""
    norms = {name: row.get(f"gradient_norm/{name}", math.inf) for name in layers}
    logs = {name: math.log10(norm) if norm else -math.inf for name, norm in norms.items() if norm < math.inf}
    hidden = [log for log in logs.values() if log > -math.inf][-2:][:1]
    return {f"decades/{name}": log - hidden[0] for name, log in logs.items() if hidden}


def whole_gradient(history: Any) -> str:
    """One line on the gradient of all parameters together, or of those that the optimizer trains."""
    last = history.recent[-1]
    if "global_norm" not in last:
        return "no parameter has a gradient"
    before = history["global_norm"]
    norm, median = text.number(last["global_norm"]), text.number(float(np.nanmedian(before)))
    line = f"‖g‖ of all trained parameters {norm}, median {median}"
    if "global_clipped_norm" in last:
        share = text.percent(float(np.mean(history["global_clipped_norm"] < 0.999 * before)))
        line += f"; after clipping {text.number(last['global_clipped_norm'])}, shortened in {share} of the rows"
    return line
