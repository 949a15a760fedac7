"""A state (path → array) in an .npz file, which NumPy can read anywhere.

- `write(path, state)`: all of it or nothing.
- `read(path)`: never runs code from the file.
- `checked(state, expected, strict)`: every difference between two states in one message.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from layers.checks import array_of
from minigrad.files import npz, replacing


def write(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Like np.savez, but also takes a key "file"; an older file at `path` stays until the new one is complete."""
    with replacing(npz(path)) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name.

    Raises
    ------
    ValueError
        If the file is damaged, is not an .npz file, or holds anything but plain arrays.
    """
    path = npz(path)
    try:
        with zipfile.ZipFile(path) as archive:
            state = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    state[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"load: {path} is not a state written by save ({error})") from error
    return state


def checked(state: Mapping[str, ArrayLike], expected: Mapping[str, np.ndarray], strict: bool) -> dict[str, np.ndarray]:
    """The arrays of `state` whose names are in `expected`, cast to its dtypes; ValueError names every key at fault."""
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: a dict of arrays is needed, not {type(state).__name__}; load reads a file")
    arrays = {name: array_of(x) for name, x in state.items()}
    faults = []
    if strict:
        faults += [f"{name} is missing" for name in expected if name not in arrays]
        faults += [f"{name} is unexpected" for name in arrays if name not in expected]
    known = {name: arrays[name] for name in expected if name in arrays}
    for name, array in known.items():
        if array.shape != expected[name].shape:
            faults.append(f"{name} has shape {array.shape}, not {expected[name].shape}")
        elif array.dtype != expected[name].dtype and not {array.dtype.kind, expected[name].dtype.kind} <= {*"biuf"}:
            faults.append(f"{name} holds {array.dtype}, not {expected[name].dtype}")
    if faults:
        raise ValueError("load_state_dict: " + "; ".join(faults))
    return {name: array.astype(expected[name].dtype) for name, array in known.items()}
