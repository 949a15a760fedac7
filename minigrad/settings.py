"""State beside the graph: the default dtype, the random generator, and what each thread is doing.

>>> import minigrad as mg
>>> mg.seed(0)
>>> round(mg.settings.generator().random(), 3)
0.637
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

_default_dtype: np.dtype = np.dtype(np.float64)
_generator = np.random.default_rng()


def set_default_dtype(dtype: DTypeLike) -> None:
    """Choose the dtype of tensors made from numbers and lists, and of new parameters (float64 at the start)."""
    global _default_dtype
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"set_default_dtype: float32 or float64 is needed, not {dtype}")
    _default_dtype = dtype


def default_dtype() -> np.dtype:
    """The dtype of tensors made from numbers and lists, and of new parameters."""
    return _default_dtype


def seed(n: int) -> None:
    """Start the global random generator again from `n`: the same seed gives the same numbers."""
    global _generator
    _generator = np.random.default_rng(n)


def generator(rng: np.random.Generator | int | None = None) -> np.random.Generator:
    """`rng` itself if it is a generator, a new one for an integer seed, the global one for None."""
    return _generator if rng is None else np.random.default_rng(rng)


class ThreadState(threading.local):
    """What one thread is doing; the others neither see it nor change it."""

    recording: bool = True  # False inside no_grad()
    scope: str = ""  # path of the module that is being called, such as "blocks.3.dense"
    listeners: tuple = ()  # called as `listener(node, gradient)` for every node in backward()


state = ThreadState()
accumulating = threading.Lock()  # held while a gradient is added to that of a leaf, which threads may share
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that it does not have
    let_go = accumulating.release
    os.register_at_fork(before=accumulating.acquire, after_in_parent=let_go, after_in_child=let_go)
watches: dict[int, Any] = {}  # thread → the object that checks its values and contributions: see detect_anomaly


def watch() -> Any:
    """The watch of this thread, or None."""
    return watches.get(threading.get_ident())


class no_grad(ContextDecorator, threading.local):
    """Compute without recording: `with mg.no_grad():`, or `@mg.no_grad` above a function that is no generator."""

    def __new__(cls, function: Callable | None = None) -> Any:  # `@mg.no_grad()` is the same
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self) -> None:  # runs again in every thread that enters it
        self.before: list[bool] = []  # one entry per open `with`

    def __enter__(self) -> None:
        self.before.append(state.recording)
        state.recording = False

    def __exit__(self, *error: object) -> None:
        state.recording = self.before.pop()


@contextmanager
def recording(scope: str) -> Iterator[None]:
    """Record, even inside no_grad(), as part of the module at `scope`."""
    before = state.recording, state.scope
    state.recording, state.scope = True, scope
    try:
        yield
    finally:
        state.recording, state.scope = before
