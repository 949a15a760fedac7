"""A trace as a picture, in files and in notebooks.

The drawing code is in `draw`, a removable room, which is imported when the first picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from minigrad.inspection.trace import Trace

LARGEST = 5_000  # a notebook draws a trace of up to this many values without being asked


def picture(name: str) -> Callable:
    """The function of `minigrad.inspection.draw` of that name.

    Raises
    ------
    ModuleNotFoundError
        If that room or matplotlib is missing.
    """
    try:
        return getattr(import_module("minigrad.inspection.draw"), name)
    except ModuleNotFoundError as error:
        message = f"{name}: pictures need minigrad/inspection/draw and matplotlib: {error}"
        raise ModuleNotFoundError(message, name=error.name) from error


def draw(self: Trace, path: Any = None, ax: Any = None, zoom: str = "layer") -> Any:
    """The graph with its values, gradients and gains, as a matplotlib figure.

    Parameters
    ----------
    path : str or path, optional
        Where to save it.
    ax : matplotlib Axes, optional
        Where to draw it; by default in a new figure that is large enough.
    zoom : str
        "layer": a box per module; repeated blocks, or the steps of a recurrence, share one. "op": a box per value;
        for hundreds of values `to_svg` is faster.
    """
    return picture("draw_graph")(self, path, ax, zoom)


def to_svg(self: Trace, zoom: str = "layer") -> str:
    """The same picture as SVG; hovering over a box shows its formulas."""
    return picture("to_svg")(self, zoom)


def to_dot(self: Trace, zoom: str = "layer") -> str:
    """The same graph in the language of Graphviz."""
    return picture("to_dot")(self, zoom)


def plot(self: Trace, path: Any = None, ax: Any = None, to: Any = None) -> Any:
    """Gradients and values layer by layer: see `minigrad.inspection.draw`, which has more pictures."""
    return picture("flow")(self, to, path, ax)


def _repr_mimebundle_(self: Trace, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """What a notebook shows of a trace: text always, and the picture."""
    bundle = {"text/plain": str(self)}
    if len(self.nodes) <= LARGEST:
        with suppress(ModuleNotFoundError):  # the room may have been left out
            bundle["image/svg+xml"] = to_svg(self)
    return bundle
