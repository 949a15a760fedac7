"""How numbers, arrays and tables are formatted, wherever the inspection prints them."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from minigrad.arrays import length

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
SIGNS = {
    " · ": r" \, ", "·": r"\cdot ", "ᵀ": r"^{\top}", "…": r"\cdots", "−": "-", "∂": r"\partial ",
    "#": r"\#", "$": r"\$", "%": r"\%", "&": r"\&",
    **{letter: rf"\{name} " for letter, name in zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", GREEK.split(), strict=True)},
}  # fmt: skip
TERM = r"(?:\[[^\]]*\]|[^\s()/\[\]])+"  # W1, h[3], [h, c][2]
PIECE = re.compile(
    rf"∂(?P<above>{TERM})/∂(?P<below>{TERM})"
    r"|(?<!\w)(?P<number>[\d.]+)e(?P<power>[+−]\d+)"  # 1.5e−20
    r"|(?P<word>[A-Za-z_]{2,}(?:\d+[A-Za-z_]+)*)"  # diag, log1p
    r"|\[(?P<step>−?\d+)\](?P<again>:\d+)?"  # the index of h[3], of h[3]:2 and of h[−1]
    r"|(?<=[^\W\d])(?P<digits>\d+(?::\d+)?|:\d+)"  # of W1, of W1:2 and of γ:2
    r"|(?P<lower>[₀-₉]+)"
    rf"|(?P<sign>{'|'.join(map(re.escape, SIGNS))})"
)


def latex(symbols: str) -> str:
    """A product as it is printed, in LaTeX.

    >>> print(latex("∂L/∂W1 = xᵀ · diag(σ'(z1)) · W2ᵀ"))
    \\frac{\\partial L}{\\partial W_{1}} = x^{\\top} \\, \\operatorname{diag}(\\sigma '(z_{1})) \\, W_{2}^{\\top}
    """
    return PIECE.sub(latex_piece, symbols)


def latex_piece(found: re.Match) -> str:
    if found["above"]:
        return rf"\frac{{\partial {latex(found['above'])}}}{{\partial {latex(found['below'])}}}"
    if found["number"]:
        return rf"{found['number']} \cdot 10^{{{int(found['power'].replace('−', '-'))}}}"
    if found["word"]:
        return r"\operatorname{" + found["word"].replace("_", r"\_") + "}"
    if found["sign"]:
        return SIGNS[found["sign"]]
    if found["step"]:
        return f"_{{{latex(found['step'])}{found['again'] or ''}}}"
    return f"_{{{unicodedata.normalize('NFKC', found['digits'] or found['lower'])}}}"


def number(x: float | None, digits: int = 3) -> str:
    """A number in few digits; "—" where nothing was computed, so that a printed 0 means zero."""
    if x is None:
        return "—"
    return f"{x + 0.0:.{digits}g}".replace("-", "−") if x == 0 or 1e-3 <= abs(x) < 1e5 else scientific(x, digits - 1)


def scientific(x: float, digits: int = 2) -> str:
    """`4.05e-01`: columns of these line up. A negative number gets the same minus sign as everywhere else."""
    return f"{'−' if x < 0 else ''}{abs(x):.{digits}e}"


def fixed(x: float | None) -> str:
    """A gain: three decimals, or a power of ten if it is very small or large."""
    if x is None or np.isnan(x):
        return "—"
    return f"{x:.3f}" if x == 0 or 1e-2 <= abs(x) < 1e3 else f"{x:.1e}"


def signed(x: float) -> str:
    """Decades and shares: two decimals, a minus sign of full width, no sign on a rounded 0; "—" for NaN."""
    return "—" if np.isnan(x) else f"{x + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−").replace("inf", "∞")


def percent(share: float) -> str:
    return "—" if np.isnan(share) else f"{round(100 * share, 1) + 0.0:.1f}%".replace("-", "−")


def bars(shares: Sequence[float]) -> list[str]:
    """A bar per share, the longest for the largest; "(cancels)" for a negative share."""
    largest = max((share for share in shares if share > 0), default=1.0)  # NaN is not > 0
    return ["(cancels)" if share < -5e-4 else "█" * round(20 * np.nan_to_num(share) / largest) for share in shares]


def integer(n: int) -> str:
    """2 118 760, and in powers of ten from ten million on."""
    return f"{n:,}".replace(",", " ") if n < 10**7 else f"{Decimal(n):.1e}"


def paths(n: int) -> str:
    return f"{integer(n)} path{'s' * (n != 1)}"


def shape(lengths: Sequence[int]) -> str:
    """`32×64`, or `1` for a single number."""
    return "×".join(map(str, lengths)) or "1"


def value(x: Any) -> str:
    """A single number as it is, an array by its shape and its norm."""
    x = np.asarray(x)
    return number(x.item(), 4) if x.size == 1 else f"[{shape(x.shape)}, ‖·‖ {number(length(x))}]"


def near(wrong: str, known: Iterable[str]) -> str:
    """A hint for a name that is unknown: the known ones most like it, or the first few."""
    known = list(known)
    close = difflib.get_close_matches(wrong, known, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known[:5])}"


def agreement(error: float, dtype: np.dtype) -> str:
    """How far two gradients are apart, as in "to 2e-16 ✓"; ✗ if more than half of the digits differ."""
    mark = "✓" if error <= np.sqrt(np.finfo(dtype).eps) else "✗"
    return f"to {error:.0e} {mark}" if error else f"to the last bit {mark}"


def folded(lines: Sequence[str], what: str, most: int = 60) -> str:
    """Lines one below the other; if there are more than `most`, only the first and the last."""
    if len(lines) <= most:
        return "\n".join(lines)
    half = most // 2
    return "\n".join([*lines[:half], f"…  {len(lines) - 2 * half} {what} folded", *lines[-half:]])


def table(rows: Sequence[Sequence[str]], align: str) -> str:
    """Columns under their heads (the first row); `align` has one of < and > per column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ((f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)) for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in cells)
