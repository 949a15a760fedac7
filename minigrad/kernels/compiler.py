"""How a kernel is compiled: once, when it is first called, into a cache on disk.

    @compiled
    def add(x, y):
        for i in range(x.size):
            y[i] += x[i]

Kernels are defined at the top level of a module, not inside a function: only those are found in the cache again. What
they call is marked `@helper`, and may stand in another file of their folder, of this one or of one below it.

A kernel writes into arrays that it is handed, and returns numbers at most: where Numba makes arrays of its own into
Python's, a Ctrl-C that has just arrived becomes a SystemError.

Two things keep a loop from running on many numbers at once. A Python number beside a float32 makes a float64 of it, so
write `one = x.dtype.type(1)`. And a kernel that gets the same array as input and as output is right, but ten times as
slow, so pass one array or two different ones.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import overload, register_jitable

# The parts of "fast" mathematics that keep NaN, infinity and the order of a sum.
SAFE = {"contract", "nsz"}

# The same for loops in which a sum may be added up in any order, many terms at once.
REORDERED = {*SAFE, "reassoc"}

# Helpers are compiled into their callers: a loop with a call in it would work on one number at a time.
INSIDE: Any = {"error_model": "numpy", "fastmath": SAFE, "forceinline": True}

# What reading a cache file may raise if it was cut short, or written by another program.
DAMAGED = (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, IndexError, KeyError, ValueError)


def compiled(function: Callable | None = None, *, fastmath: Any = SAFE) -> Any:
    """`numba.njit` with one set of settings: cached if a folder can be written to, without the GIL, 1/0 = inf."""
    if function is None:
        return lambda function: compiled(function, fastmath=fastmath)
    kernel: Any = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    with suppress(RuntimeError):  # no folder for the cache: neither beside the file nor at home
        kernel._cache = Cache(function)
    return kernel


class Cache(FunctionCache):
    """Numba's cache, but an edit of any file that a kernel may take helpers from makes it stale.

    Numba itself checks only the kernel's own file. A cache that cannot be read or written is ignored, without an error.
    """

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = sources(Path(function.__code__.co_filename).parent)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except DAMAGED:
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(signature, data)


@functools.cache
def sources(folder: Path) -> str:
    """A fingerprint of the files in a kernel's folder, and in this one with those below it."""
    files = {*folder.glob("*.py"), *Path(__file__).parent.rglob("*.py")}
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(files))).hexdigest()


def helper(function: Callable) -> Callable:
    """A function of numbers that becomes part of the kernels that call it; Python can call it too."""
    return register_jitable(**INSIDE)(function)


def by_dtype(single: Callable, double: Callable) -> Callable:
    """The decorated function is `single` for float32, and `double` for all other numbers."""

    def define(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(x: Any) -> Any:
            return (single if type(x) is np.float32 else double)(x)

        overload(call, jit_options=INSIDE, strict=False)(lambda x: single if x is numba.types.float32 else double)
        return call

    return define


def matrix(x: np.ndarray) -> np.ndarray:
    """(..., n) as a contiguous matrix: for another layout a kernel would be compiled again."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that a compiling thread holds
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


class Notice(event.Listener):
    """Says once on stderr that kernels are being compiled, after that has taken a second; loading them is silent."""

    def __init__(self) -> None:
        self.patience = 1.0  # seconds of compiling left before it speaks
        self.depth = 0  # compiling one kernel may start compiling another

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
            "minigrad: compiling kernels, each once on this machine; `python -m minigrad.kernels` compiles all",
            file=sys.stderr,
        )


def ours(event: Any) -> bool:
    return event.data["dispatcher"].py_func.__module__.startswith("minigrad.")


event.register("numba:compile", Notice())
