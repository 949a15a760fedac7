"""The way to the pictures. They are a room of their own, entered when the first one is drawn."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module


def picture(name: str) -> Callable:
    """The function of `minigrad.inspection.draw` of that name.

    Raises
    ------
    ModuleNotFoundError
        Without that room, or without matplotlib.
    """
    try:
        return getattr(import_module("minigrad.inspection.draw"), name)
    except ModuleNotFoundError as error:
        message = f"{name}: pictures are drawn by minigrad/inspection/draw with matplotlib, and there is {error}"
        raise ModuleNotFoundError(message.replace("is No", "is no"), name=error.name) from error
