"""How a kernel is compiled: once, when it is first called, into a cache on disk.

    @compiled
    def add(x, y):
        for i in range(x.size):
            y[i] += x[i]

Kernels are functions of a module, not made by others: only those are found in the cache again. A kernel and what it
calls stand in one file, because Numba notices a changed file but not a changed import.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

# The parts of "fast" mathematics that keep NaN, infinity and the order of a sum.
SAFE = {"contract", "nsz"}


def compiled(function: Callable | None = None, *, fastmath: Any = SAFE, **options: Any) -> Any:
    """`numba.njit` with one set of settings: cached if a folder can be written to, without the GIL, 1/0 = inf."""
    if function is None:
        return lambda function: compiled(function, fastmath=fastmath, **options)
    settings = dict(nogil=True, error_model="numpy", fastmath=fastmath, **options)
    try:
        return numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # no folder for the cache: neither beside the file nor at home
        return numba.njit(**settings)(function)


class Notice(event.Listener):
    """Says on stderr, once, that kernels are being compiled, when that has taken a second; loading them is silent."""

    def __init__(self) -> None:
        self.patience = 1.0  # seconds left
        self.depth = 0  # a kernel that is compiled may need another one

    def on_start(self, event: Any) -> None:  # Numba compiles one function at a time, whichever thread asks
        self.depth += ours(event)
        if ours(event) and self.depth == 1 and self.patience > 0:
            self.began = time.monotonic()
            self.timer = threading.Timer(self.patience, self.say)
            self.timer.daemon = True
            self.timer.start()

    def on_end(self, event: Any) -> None:
        self.depth -= ours(event)
        if ours(event) and self.depth == 0 and self.patience > 0:
            self.timer.cancel()
            self.patience -= time.monotonic() - self.began

    def say(self) -> None:
        self.patience = 0
        print(
            "minigrad: compiling kernels, once on this machine; `python -m minigrad.kernels` does all", file=sys.stderr
        )


def ours(event: Any) -> bool:
    return event.data["dispatcher"].py_func.__module__.startswith("minigrad.")


event.register("numba:compile", Notice())
