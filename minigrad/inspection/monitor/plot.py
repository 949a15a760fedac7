"""What `monitor.plot()` draws: how far the weights move, and how long their gradients are, over time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from minigrad.inspection.axis import logarithmic, positive

FEW = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, for the colour-blind too
STYLES = ("-", "--", "-.", ":", (0, (6, 1)), (0, (1, 3)))  # tell a few lines apart in greyscale
RATIOS = "a healthy weight moves by about a thousandth of its length per step, so its line stays in the grey band; "
NORMS = (
    "gradients vanish where the lines of the first layers sink far below the others, and explode where they rise "
    "(faint lines: unsmoothed; gaps: 0 or not finite)."
)


def plot(monitor: Any, path: str | os.PathLike | None = None) -> Figure:
    """The gradient norms of the weights (not biases), and above them the update ratios if there is an optimizer."""
    history, steps = monitor.history, monitor.history["step"]
    if "global_norm" not in history:
        raise ValueError("GradientMonitor.plot: no gradient is recorded yet: call step() after backward()")
    weights = [name for p, name in monitor.names.items() if p.ndim > 1] or list(monitor.names.values())
    colours = colours_of(weights)
    quantities = history.of("update_ratio"), history.of("gradient_norm")
    ratios, norms = ({name: values[name] for name in weights if name in values} for values in quantities)
    figure = Figure(figsize=(9, 7.5 if ratios else 4.5), dpi=120, layout="constrained")
    axes = list(figure.subplots(1 + bool(ratios), 1, sharex=True, squeeze=False)[:, 0])
    for ax in axes:
        ax.margins(x=0.01)
        ax.grid(axis="y", color="0.9", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    if ratios:
        axes[0].axhspan(1e-4, 1e-2, color="0.92", zorder=0)
        axes[0].axhline(1e-3, color="0.6", linewidth=1, zorder=1)
        axes[0].set_ylabel("update ratio ‖Δw‖/‖w‖")
        logarithmic(axes[0], np.concatenate([[1e-4, 1e-2], *ratios.values()]))
        lines(axes[0], steps, ratios, colours)
    axes[-1].set_ylabel("gradient norm ‖∂L/∂w‖")
    axes[-1].set_xlabel("step")
    whole = {"all parameters together": history["global_norm"]}
    if "global_clipped_norm" in history and np.any(history["global_clipped_norm"] < 0.999 * history["global_norm"]):
        whole["after clipping"] = history["global_clipped_norm"]
    logarithmic(axes[-1], np.concatenate([*norms.values(), *whole.values()]))
    lines(axes[-1], steps, norms, colours)
    lines(axes[-1], steps, whole, {"all parameters together": "black", "after clipping": "0.6"})
    if len(weights) > len(FEW):
        scale(figure, axes, colours)
    handles = {label: h for h, label in zip(*axes[-1].get_legend_handles_labels(), strict=True)}
    shown = {label: h for label, h in handles.items() if label in whole or len(weights) <= len(FEW)}
    figure.legend(shown.values(), shown, loc="outside upper left", ncols=5, fontsize=9, frameon=False)
    figure.supxlabel(f"How to read: {RATIOS if ratios else ''}{NORMS}", fontsize=9, x=0.01, ha="left", wrap=True)
    if path is not None:
        figure.savefig(path)
    return figure


def colours_of(names: list[str]) -> dict[str, Any]:
    """Name → colour: clearly different ones for a few, from dark to light for many."""
    if len(names) <= len(FEW):
        return dict(zip(names, FEW, strict=False))
    return dict(zip(names, matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(names))), strict=True))


def lines(ax: Axes, steps: np.ndarray, values: Mapping[str, np.ndarray], colours: Mapping[str, Any]) -> None:
    """A smooth line for each name, and for a few also the values themselves."""
    few = len(colours) <= len(FEW)
    marker = "." if len(steps) < 10 else ""  # a single step makes no line
    for (name, colour), style in zip(colours.items(), STYLES if few else repeat("-"), strict=False):
        if name in values:
            if few:
                ax.plot(steps, positive(values[name]), color=colour, linewidth=0.6, alpha=0.3)
            label = " " * name.startswith("_") + name  # matplotlib leaves out labels that begin with _
            look = {"color": colour, "linestyle": style, "linewidth": 1.8 if few else 0.9, "marker": marker}
            ax.plot(steps, smooth(values[name]), **look, label=label)


def smooth(values: np.ndarray) -> np.ndarray:
    """The geometric mean over a fiftieth of the run; a gap where there is nothing to show."""
    logs = np.log(positive(values))
    known = np.isfinite(logs)
    window = np.ones(max(1, len(values) // 50))
    total, count = np.convolve(np.where(known, logs, 0), window, "same"), np.convolve(known, window, "same")
    return np.where(known, np.exp(total / np.maximum(count, 1)), np.nan)


def scale(figure: Figure, axes: list[Axes], colours: Mapping[str, Any]) -> None:
    """For many layers, a colour bar that says which colour is which layer."""
    n, names = len(colours), list(colours)
    mapped = ScalarMappable(BoundaryNorm(np.arange(n + 1) - 0.5, n), ListedColormap(list(colours.values())))
    ticks = np.unique(np.linspace(0, n - 1, 6).round().astype(int))
    bar = figure.colorbar(mapped, ax=axes, ticks=ticks, pad=0.02, aspect=40)
    bar.ax.set_yticklabels([names[i] for i in ticks], fontsize=8)
    bar.ax.tick_params(which="both", length=0)
    bar.ax.invert_yaxis()  # the first layer on top
    bar.outline.set_visible(False)
