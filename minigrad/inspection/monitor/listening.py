"""Call a monitor from `backward()` and from the optimizer, which hold only weak references to it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minigrad.settings import state


def listen(monitor: Any, hear: Callable, moved: Callable, optimizer: Any = None) -> tuple[Callable, Callable]:
    """Have `backward()` in this thread call `hear`, and the optimizer `moved`, both methods of a monitor.

    Returns `measure`, of which `measure(False)` stops the calls of `moved` until `measure(True)`, as they cost the
    optimizer time; and `leave`, which ends all, as when the monitor is freed.
    """
    listener, meter = weak(hear), weak(moved)

    def measure(on: bool) -> None:
        if optimizer is not None and (meter in optimizer.meters) != on:
            others = [other for other in optimizer.meters if other is not meter]
            optimizer.meters = [*others, meter] if on else others  # anew: the optimizer may be reading them

    def leave() -> None:
        state.listeners = tuple(other for other in state.listeners if other is not listener)
        measure(False)

    state.listeners = (*state.listeners, listener)
    measure(True)
    weakref.finalize(monitor, leave)
    return measure, leave


def weak(method: Callable) -> Callable[..., None]:
    """The method through a weak reference: once its object is freed, a call does nothing."""
    found = weakref.WeakMethod(method)

    def call(*xs: Any) -> None:
        if (alive := found()) is not None:
            alive(*xs)

    return call
