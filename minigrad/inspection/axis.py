"""An axis of plots on which gradients of every size can be seen, from 10⁻³⁰⁷ to 10³⁰⁸."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes


def positive(values: Any) -> np.ndarray:
    """What a logarithmic axis can show, NaN for the rest."""
    values = np.array(values, dtype=float)
    return np.where((values > 0) & np.isfinite(values), values, np.nan)


def logarithmic(ax: Axes, values: Any) -> None:
    """A logarithmic y axis around all of `values` that it can show, at least a decade high."""
    logs = np.log10(positive(values))
    logs = logs[~np.isnan(logs)]
    ax.set_yscale("log")
    if logs.size:
        margin = max(0.06 * np.ptp(logs), (1.2 - np.ptp(logs)) / 2)
        low, high = max(logs.min() - margin, -307), min(logs.max() + margin, 308)
        ax.set_ylim(10.0**low, 10.0**high)
        if high > 100:  # the ticks that matplotlib sets beyond the end might be infinite
            ax.set_yticks(10.0 ** np.unique(np.linspace(low, high, 6).round(int(high - low < 5))[1:-1]))
            ax.minorticks_off()
