"""Call a monitor from `backward()` and from the optimizer, which hold only weak references to it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minigrad.settings import state


def listen(monitor: Any, hear: Callable, moved: Callable, optimizer: Any = None) -> Callable[[], None]:
    """Have `backward()` in this thread call `hear`, and the optimizer `moved`, both methods of a monitor.

    This ends when the returned function is called, or when the monitor is freed.
    """
    listener, meter = weak(hear), weak(moved)
    state.listeners = (*state.listeners, listener)
    if optimizer is not None:
        optimizer.meters.append(meter)

    def leave() -> None:
        state.listeners = tuple(other for other in state.listeners if other is not listener)
        if optimizer is not None:
            optimizer.meters[:] = [other for other in optimizer.meters if other is not meter]

    weakref.finalize(monitor, leave)
    return leave


def weak(method: Callable) -> Callable[..., None]:
    """The method through a weak reference: once its object is freed, a call does nothing."""
    found = weakref.WeakMethod(method)

    def call(*xs: Any) -> None:
        if (alive := found()) is not None:
            alive(*xs)

    return call
