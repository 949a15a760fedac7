"""A trace as a picture of its graph, in files and in notebooks. The pictures themselves are in the room `draw`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from minigrad.inspection.trace import Trace

LARGEST = 5_000  # values in a trace that a notebook draws without being asked


def drawing(module: str) -> Any:
    """A module of the room, which is loaded only now."""
    if importlib.util.find_spec("minigrad.inspection.draw") is None:
        raise ModuleNotFoundError("a trace is drawn by the folder minigrad/inspection/draw, which was left out here")
    return importlib.import_module(f"minigrad.inspection.draw.{module}")


def drawn(self: Trace, path: Any = None, ax: Any = None, zoom: str = "layer") -> Any:
    """The graph with its values, gradients and gains, as a matplotlib figure.

    Parameters
    ----------
    path : str or path, optional
        Where to save it.
    ax : matplotlib Axes, optional
        Where to draw it; without it in a figure that is large enough.
    zoom : str
        "layer": a box per module, blocks alike and the steps of a recurrence as one. "op": a box per value.
    """
    return drawing("graph").figure(self, path, ax, zoom)


def to_svg(self: Trace, zoom: str = "layer") -> str:
    """The same picture as SVG, in which boxes show their formulas when pointed at."""
    return drawing("svg").svg(self, zoom)


def to_dot(self: Trace, zoom: str = "layer") -> str:
    """The same graph in the language of Graphviz."""
    return drawing("graph").dot(self, zoom)


def in_notebook(self: Trace, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """What a notebook shows of a trace: text always, and the picture."""
    bundle = {"text/plain": str(self)}
    if importlib.util.find_spec("minigrad.inspection.draw") and len(self.nodes) <= LARGEST:
        bundle["image/svg+xml"] = self.to_svg()
    return bundle
