"""Atomic writing: a new file replaces the old one in a single step, or not at all."""

from __future__ import annotations

import os
import secrets  # as NumPy does: pathlib and uuid would be a tenth of the time that `import minigrad` takes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


def npz(path: str | os.PathLike) -> str:
    """`path` with the suffix .npz, added if it is missing."""
    path = os.fspath(path)
    return path if path.endswith(".npz") else f"{path}.npz"


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A new file in the same folder that is moved to `path` when the block ends: no reader ever sees half of it."""
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.{secrets.token_hex(16)}")
    try:
        with open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename == unfinished:  # the caller knows only `path`
            error.filename = os.fspath(path)
        raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
