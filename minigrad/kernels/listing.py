"""The table of kernels: from how many elements on each is used, and why; if measured, how fast it is here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigrad.kernels.dispatch import WORTHWHILE, Twin, available, choice, twins

SIZES = (1_000, 100_000)  # elements of the first array at which `python -m minigrad.kernels` measures


def served(twin: Twin, dtype: np.dtype) -> str:
    """From how many elements on the kernel is used, in words."""
    if choice() == "numpy" or not available():
        return "NumPy"
    if choice() == "numba":
        return "Numba"
    least = twin.least["auto"].get(dtype)
    return "NumPy" if least is None else f"from {least:,} on"


def table(ratios: Mapping[tuple[str, np.dtype], tuple[float, ...]] | None = None) -> None:
    """Print, for every kernel, from how many elements on it is used in each dtype, and why; below that NumPy is.

    Those of optimizers are listed once `optim` is imported.

    Parameters
    ----------
    ratios : mapping, optional
        (name, dtype) → how many times as fast as NumPy's line the kernel was, at each of `SIZES`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.kernels.table()  # doctest: +ELLIPSIS
    kernel ...
    """
    rows = [["kernel", *(column for dtype in WORTHWHILE for column in heads(dtype, bool(ratios))), "why"]]
    for name in sorted(twins):
        row = [name]
        for dtype in WORTHWHILE:
            row.append(served(twins[name], dtype))
            if ratios:
                row += [f"{ratio:.2f}" for ratio in ratios.get((name, dtype), ())] or ["–"] * len(SIZES)
        rows.append([*row, twins[name].why])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def heads(dtype: np.dtype, measured: bool) -> list[str]:
    return [dtype.name, *(f"×NumPy at {size:,}" for size in SIZES if measured)]
