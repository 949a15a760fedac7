"""What all pictures share: axes, colours, the layers, and the sentence below that says how to read the picture."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigrad.arrays import length
from minigrad.inspection.axis import positive
from minigrad.inspection.chain import Chain
from minigrad.inspection.draw.words import shortened
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge
from minigrad.inspection.trace import Trace

Path = str | os.PathLike | None
BLUE, ORANGE, SKY = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito's, for the colour-blind too
NOTE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # under a number on a colour
CAUSES = {  # column of the ledger → colour, and a hatch that tells it apart in greyscale
    "activation type": ("#E69F00", ""),
    "operating point": (ORANGE, "///"),
    "weights": (BLUE, ""),
    "norm": ("#009E73", "..."),
    "skip": (SKY, "\\\\\\"),
    "loss": ("#999999", "||"),
    "input": ("#CC79A7", "xxx"),
    "other": ("#DDDDDD", "---"),
}


class Picture(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new figure of this size in inches."""
    if ax is None:
        ax = Picture(figsize=(width, height), dpi=120, layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finished(ax: Axes, path: Path, label: str, how_to_read: str) -> Figure:
    """Label the x axis, add the sentence on how to read the picture, save it to `path`, and return the figure."""
    ax.set_xlabel(label)
    width = ax.get_position().width * ax.figure.get_figwidth()
    caption = textwrap.fill("How to read: " + how_to_read, int(18 * width))
    place = {"xycoords": ("axes fraction", ax.xaxis.label), "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(caption, (0, 0), (0, -4), **place, va="top", fontsize=9, color="0.25", gid="how to read")
    if path is not None:
        ax.figure.savefig(path)
    return ax.figure


def plain(name: str) -> str:
    """A name as matplotlib can show it: shortened, and without formulas between dollar signs."""
    return shortened(name, 40).replace("$", r"\$")


def label_few(axis: Any, labels: Iterable[object], shift: float = 0.0, rotation: float = 0) -> None:
    """Ticks with labels; if there are too many to read, with every third, fifth … only."""
    texts, side_by_side = [plain(str(label)) for label in labels], axis.axis_name == "x" and not rotation
    letters = 14 * axis.axes.get_position().width * axis.figure.get_figwidth()  # 14 in an inch
    most = max(1, int(letters / (1 + max(map(len, texts))))) if side_by_side else 30
    ticks = range(0, len(texts), -(-len(texts) // most) | 1)  # odd: if kinds alternate, each is named
    axis.set_ticks([i + shift for i in ticks], [texts[i] for i in ticks], fontsize=8, rotation=rotation)


def legend(*several: Axes, **style: Any) -> None:
    """One legend for several axes that lie on each other, drawn in the first."""
    found = {name: handle for ax in several for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    several[0].legend(found.values(), found, fontsize=8, title_fontsize=8, frameon=False, **style)


def shown(ax: Axes, values: Sequence[float], at: Sequence[float] | None = None) -> np.ndarray:
    """Values with NaN for those that a logarithmic axis cannot show; "0", "∞" and "nan" are written at its ends."""
    fit, at = positive(values), np.arange(len(values)) if at is None else at
    for k in np.flatnonzero(np.isnan(fit)):
        sign = "0" if values[k] == 0 else "nan" if np.isnan(values[k]) else "∞"
        y, side = (0.99, "top") if (sign == "0") == ax.yaxis_inverted() else (0.01, "bottom")
        style = {"ha": "center", "va": side, "fontsize": 8, "rotation": 90 if sign == "nan" else 0}  # upright, many fit
        ax.text(at[k], y, sign, transform=ax.get_xaxis_transform(), **style)
    ax.update_datalim(np.column_stack([at, np.ones(len(values))]), updatey=False)  # text alone does not widen an axis
    return fit


def slope(local: LocalJacobian, x: np.ndarray) -> np.ndarray:
    """|φ'(x)| of an activation."""
    op, params = local.node.op, local.node.params
    return np.abs(op.local(local.slot, op.forward(x, **params), (x,), params)) * np.ones_like(x)


def activations(edges: Iterable[Edge]) -> list[Edge]:
    """Those that pass an activation which acts on each element alone."""
    return [edge for edge in edges if edge.output.kind == "activation" and edge.local.kind == "diagonal"]


def is_flat(local: LocalJacobian, slopes: np.ndarray) -> np.ndarray:
    """Where |φ'| is below a tenth of the largest: an activation is saturated there, and a ReLU off."""
    return np.abs(slopes) < 0.1 * np.max(slope(local, np.linspace(-10, 10, 2001)))


class Layers:
    """The layers on the way to `to`, the one at the input first: the rows of the ledger of its chain.

    Without `to`: the first state of the last recurrent layer, or the first parameter.
    """

    def __init__(self, trace: Trace, to: Any = None) -> None:
        trace = trace.opened()
        if to is None:
            found = [node for node in trace.nodes if node.grad is not None]
            states = [node for node in found if node.name == "h[0]"]
            to = states[-1] if states else next((node for node in found if node.kind == "parameter"), found[0])
        self.chain = Chain(trace, trace.target(to))
        if not len(self.chain):
            raise ValueError(f"there is nothing to draw: {self.chain.derivative} has no factor that changes it")
        self.ledger = self.chain.ledger()
        self.names = [name for name, _ in self.ledger.rows][::-1]
        self.places = self.ledger.places[::-1]
        if not all(x.size for x in self.arrays("value")):
            raise ValueError(f"there is nothing to draw: on the way to {self.chain.target.symbol} a batch is empty")

    def arrays(self, what: str, trace: Trace | None = None) -> list[np.ndarray]:
        """Per layer its "grad" or "value" in float64, perhaps from another trace; for an LSTM state, h and c joined."""
        trace = trace or self.chain.trace
        found = [[getattr(trace.node(node), what) for node in place] for place in self.places]
        return [np.concatenate([np.ravel(x).astype(np.float64) for x in xs]) for xs in found]

    def rms(self, what: str, trace: Trace | None = None) -> list[float]:
        return [length(x) / max(x.size, 1) ** 0.5 for x in self.arrays(what, trace)]
