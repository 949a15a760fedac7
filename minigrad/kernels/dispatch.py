"""Who computes: the definition in primitive ops, NumPy, or a Numba kernel.

>>> import minigrad as mg
>>> with mg.kernels.use("definition"):  # every fused op runs op by op, as it is written on paper
...     mg.kernels.choice()
'definition'
"""

from __future__ import annotations

import os
from typing import Literal, get_args

Choice = Literal["auto", "numba", "numpy", "definition"]


def checked(choice: str, where: str = "kernels.use") -> str:
    if choice not in get_args(Choice):
        raise ValueError(f"{where}: {choice!r} is not one of {', '.join(get_args(Choice))}")
    return choice


_choice = checked(os.environ.get("MINIGRAD_KERNELS") or "auto", "MINIGRAD_KERNELS")


def choice() -> str:
    """The setting in force, for the whole process."""
    return _choice


class use:
    """Choose who computes from now on; as a context manager, until the end of the block."""

    def __init__(self, choice: Choice) -> None:
        global _choice
        self.before, _choice = _choice, checked(choice)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        global _choice
        _choice = self.before
