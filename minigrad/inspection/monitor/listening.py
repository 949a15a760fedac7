"""How a monitor hears of gradients and of moves, without being kept alive by those who tell it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minigrad.settings import state


def listen(monitor: Any, hear: Callable, moved: Callable, optimizer: Any = None) -> Callable[[], None]:
    """Let two methods of a monitor be called, by `backward()` in this thread and by the optimizer.

    It ends with a call of the function that is returned, or when nobody holds the monitor any more.
    """
    listener, meter = faint(hear), faint(moved)
    state.listeners = (*state.listeners, listener)
    if optimizer is not None:
        optimizer.meters.append(meter)

    def leave() -> None:
        state.listeners = tuple(other for other in state.listeners if other is not listener)
        if optimizer is not None:
            optimizer.meters[:] = [other for other in optimizer.meters if other is not meter]

    weakref.finalize(monitor, leave)
    return leave


def faint(method: Callable) -> Callable[..., None]:
    """The method, for as long as somebody else holds its object."""
    found = weakref.WeakMethod(method)

    def call(*xs: Any) -> None:
        if (alive := found()) is not None:
            alive(*xs)

    return call
