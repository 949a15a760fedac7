"""Kernels: functions of arrays, compiled by Numba, that stand beside the NumPy lines they must equal.

>>> import minigrad as mg, numpy as np
>>> mg.kernels.sigmoid(np.array([0.0]))
array([0.5])

Each is available by name: `mg.kernels.tanh`, `mg.kernels.gelu_backward` …; `twins` lists them.
"""

from typing import Any

from minigrad.kernels.dispatch import Twin, choice, twin, twins, use
from minigrad.kernels.listing import table
from minigrad.kernels.pool import threads

__all__ = ["Twin", "choice", "table", "threads", "twin", "twins", "use"]


def __dir__() -> list[str]:
    return sorted([*__all__, *twins])


def __getattr__(name: str) -> Any:
    if name in twins:
        return twins[name]
    raise AttributeError(f"minigrad.kernels has no {name!r}; there are {', '.join(__all__ + sorted(twins))}")
