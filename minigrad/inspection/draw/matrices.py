"""Pictures with a colour per cell: layers by time, states by states, units by layers.

- `through_time(trace)`: the gradient at each state of a recurrent net.
- `lag_matrix(trace.lag_matrix("h[*]"))`: how much of a state is left in later ones.
- `unit_map(trace)`: units that pass on no gradient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from minigrad.inspection import text
from minigrad.inspection.draw import paper
from minigrad.inspection.parts import TraceNode
from minigrad.inspection.trace import Trace

MOST = 128  # cells side by side; if there are more units, a cell shows the largest value of a block
MARKS = 400  # in cells without a colour; if there are more such cells, every second or third … has one


def cells(ax: Axes, values: np.ma.MaskedArray, bar: str, columns: Iterable, rows: Iterable, **colours: Any) -> None:
    """A coloured cell for each finite number; "0" for −∞ (the logarithm of 0), "∞", "nan", "—" where there is none."""
    finite, none = np.ma.masked_invalid(values), np.ma.getmaskarray(values)
    mesh = ax.pcolormesh(finite, rasterized=True, **colours)
    others = finite.mask if np.sum(finite.mask) <= MARKS else finite.mask & ~none
    for i, j in np.argwhere(others)[:: np.sum(others) // MARKS + 1]:
        sign = "—" if none[i, j] else {-np.inf: "0", np.inf: "∞"}.get(values[i, j], "nan")
        ax.text(j + 0.5, i + 0.5, sign, ha="center", va="center", fontsize=7, color="0.4")
    paper.label_few(ax.xaxis, columns, shift=0.5)
    paper.label_few(ax.yaxis, rows, shift=0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.invert_yaxis()
    found = ax.figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.05, label=bar)
    found.outline.set_visible(False)
    if bar.startswith("‖"):  # values are logarithms of norms
        found.locator = MaxNLocator(7, steps=[1, 2, 3, 5, 10])  # of several decades, whole powers are marked
        found.ax.yaxis.set_major_formatter(
            lambda x, _: f"$10^{{{x:g}}}$" if x == int(x) and x else text.number(10**x, 2)
        )


def states_of(trace: Trace, names: Sequence[str]) -> dict[str, dict[int, TraceNode]]:
    """Row → step → state, for all nodes called name[t]."""
    rows: dict[str, dict[int, TraceNode]] = {}
    for node in trace.opened().nodes:
        if found := re.fullmatch(rf"({'|'.join(map(re.escape, names))})\[(\d+)\]", node.name):
            rows.setdefault(f"{node.scope} {found[1]}".strip(), {})[int(found[2])] = node
    return dict(sorted(rows.items(), reverse=True))


def through_time(
    trace: Trace, names: Sequence[str] = ("h", "c"), path: paper.Path = None, ax: Axes | None = None
) -> Figure:
    """The norm of the gradient at each state called name[t], for all layers and steps."""
    rows = states_of(trace, names)
    if not rows:
        raise ValueError(f"through_time: nothing in this trace is called {' or '.join(f'{n}[t]' for n in names)}")
    norms = np.ma.masked_all((len(rows), 1 + max(max(steps) for steps in rows.values())))
    for row, steps in zip(norms, rows.values(), strict=True):
        for t, node in steps.items():
            row[t] = np.ma.masked if node.norm is None else node.norm
    ax = paper.axes(ax, 8.5, 1.9 + 0.45 * len(rows))
    with np.errstate(divide="ignore"):
        logs = np.ma.array(np.log10(norms.filled(1)), mask=norms.mask)
        cells(ax, logs, "‖gradient‖", range(norms.shape[1]), rows, cmap="viridis")
    ax.set_title("Gradients through time", loc="left")
    how = "where a row gets darker to the left, the gradient vanishes, and the net learns little from those steps."
    return paper.finished(ax, path, "time step", how)


def lag_matrix(lags: ArrayLike, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """What `trace.lag_matrix` returns, in colours: how long each state acts on later ones."""
    lags = np.asarray(lags, dtype=float)
    if not lags.size or lags.shape != lags.shape[::-1] or lags.ndim != 2:
        raise ValueError(f"lag_matrix: a matrix with a row and a column per step is needed, not shape {lags.shape}")
    steps = range(len(lags))
    with np.errstate(divide="ignore"):
        logs = np.ma.array(np.log10(lags), mask=~np.tri(len(lags), dtype=bool))
    finite = np.ma.masked_invalid(logs)
    furthest = np.max(np.abs(finite.compressed()), initial=0.3)
    ax = paper.axes(ax, 6.4, 5.8)
    cells(ax, logs, "‖∂h[t]/∂h[k]‖ / √n", steps, steps, cmap="cividis", norm=Normalize(-furthest, furthest))
    for t, k in np.argwhere(~np.ma.getmaskarray(finite)) if len(lags) <= 10 else ():  # few enough to read
        ax.text(k + 0.5, t + 0.5, text.number(lags[t, k], 2), ha="center", va="center", fontsize=8, bbox=paper.NOTE)
    ax.set(title="What is left of a state later", ylabel="… in a later state h[t]")
    how = "grey: the earlier state is kept; darker and blue: it is forgotten; brighter and yellow: it explodes."
    return paper.finished(ax, path, "an earlier state h[k] …", how)


def units_of(trace: Trace) -> dict[str, np.ndarray]:
    """Activation → per unit the share of samples, and of steps, in which its slope is below a tenth of the largest."""
    flat: dict[str, list[np.ndarray]] = {}
    timed = {node.scope for node in trace.nodes if node.symbol.endswith("]")}
    for edge in paper.activations(reversed(trace.opened().edges())):
        node = edge.output
        if node.value.ndim:
            if not node.value.size:
                raise ValueError(f"unit_map: there is no sample, {node.symbol} is empty")
            name = re.sub(r"\[\d+\](:\d+)?$", "", node.symbol)
            name = node.op if node.scope in timed and name == node.symbol else name  # one name for all steps
            found = np.where(np.isnan(edge.input.value), np.nan, paper.is_flat(edge.local, edge.local.diagonal))
            flat.setdefault(f"{node.scope} {name}".strip(), []).append(found.reshape(-1, found.shape[-1]))
    return {name: np.concatenate(parts).mean(axis=0) for name, parts in flat.items()}


def unit_map(units: Trace | Mapping[str, ArrayLike], path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """The share of samples in which a unit is dead or saturated; `units`: a trace, or layer → shares."""
    rows = units_of(units) if isinstance(units, Trace) else {name: np.asarray(x) for name, x in units.items()}
    if not any(map(len, rows.values())):
        raise ValueError(f"unit_map: there is no {'unit in any layer' if rows else 'activation in this trace'}")
    block = -(-max(map(len, rows.values())) // MOST)
    worst = [np.maximum.reduceat(shares, range(0, len(shares), block)) for shares in rows.values()]
    table = np.ma.masked_all((len(rows), max(map(len, worst))))
    for row, found in zip(table, worst, strict=True):
        row[: len(found)] = found
    ax = paper.axes(ax, 8.5, float(np.clip(1.8 + 0.25 * len(rows), 2.5, 8)))
    columns = range(0, block * table.shape[1], block)
    cells(ax, table, "share of samples", columns, rows, cmap="cividis", norm=Normalize(0, 1))
    for i, j in np.argwhere(table == 1):
        ax.text(j + 0.5, i + 0.5, "×", ha="center", va="center", fontsize=7)
    ax.set_title("Units that pass on less than a tenth of max φ'", loc="left")
    how = "bright units are saturated or off in most samples, those with × in all samples of this trace."
    return paper.finished(ax, path, "unit" if block == 1 else f"unit (a cell is the worst of {block})", how)
