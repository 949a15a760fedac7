"""How benchmarks measure: all candidates take turns in every round, so that a noisy machine disturbs them alike.

A result is the ratio of two candidates' times: its median over the rounds, with quartiles, printed beside the bar that
it should reach. `results` collects them for `python -m benchmarks --json FILE`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

for library in ("OPENBLAS", "MKL", "OMP"):  # one thread each, unless the user chose; set before NumPy is imported
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

results: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Ratio:
    """The ratio of two candidates' times: the median over all rounds, and the quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def times(candidates: Mapping[str, Callable], rounds: int = 15, seconds: float = 0.01) -> dict[str, list[float]]:
    """Seconds per call of each candidate in each round; in a round, each runs for about `seconds`.

    Before that it runs untimed for a third as long: threads of the previous candidate spin for some milliseconds more.
    The candidate called "numpy" runs without kernels.
    """
    calls = {}
    for name, run in candidates.items():
        with setting_for(name):
            run()  # compiles and fills caches
            calls[name] = max(1, int(seconds / min(duration(run, 1) for _ in range(3))))
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            with setting_for(name):
                duration(run, -(-calls[name] // 3))
                found[name].append(duration(run, calls[name]) / calls[name])
    return found


def setting_for(candidate: str) -> AbstractContextManager:
    """A block without kernels for the candidate called "numpy"."""
    from minigrad.kernels import use  # here, as it imports NumPy

    return use("numpy") if candidate == "numpy" else nullcontext()


def duration(run: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def compared(candidates: Mapping[str, Callable], rounds: int = 15, seconds: float = 0.01) -> Ratio:
    """The time of the first of two candidates over that of the second; see `times`."""
    over, under = times(candidates, rounds, seconds).values()
    return ratio(over, under)


def ratio(over: list[float], under: list[float]) -> Ratio:
    """over/under, round by round."""
    low, median, high = statistics.quantiles([a / b for a, b in zip(over, under, strict=True)], n=4)
    return Ratio(median, low, high)


def report(what: str, measured: Ratio, unit: str, at_least: float | None = None, at_most: float | None = None) -> bool:
    """Print a ratio beside its bar, keep it for the JSON file, and return whether it reaches the bar."""
    reached = (at_least is None or measured.median >= at_least) and (at_most is None or measured.median <= at_most)
    bars = [f"{word} {bar:g}" for word, bar in (("at least", at_least), ("at most", at_most)) if bar is not None]
    verdict = f"{' and '.join(bars)}: {'reached' if reached else 'MISSED'}" if bars else ""
    print(f"{what:44} {measured!s:22} {unit:12} {verdict}".rstrip(), flush=True)
    results.append({"what": what, **asdict(measured), "unit": unit, "at_least": at_least, "at_most": at_most})
    return reached
