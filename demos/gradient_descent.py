"""How large a step downhill is too large? b = a − λ∇F(a), on three landscapes.

Where F has the curvature h, a step multiplies the distance to the minimum by 1 − λh: a product again, of equal factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Annotated, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, table
from optim import SGD, Adam

QUICK = {"steps": 200}
PARTS = (0.5, 0.95, 1.05, 10)  # λ as a multiple of 2/h, where h is the largest curvature at the minimum
RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
TUNED = ((SGD, 2 / 26), (partial(SGD, momentum=(4 / 6) ** 2), (2 / 6) ** 2))  # the best for κ = 25 (Polyak, 1964)
OPTIMIZERS = {"SGD": SGD, "momentum": partial(SGD, momentum=0.9), "Adam": Adam}
LINES = ("-", "--", "-.", ":")
NEAR, FAR = 1e-6, 1e4  # a descent ends when F, which is 0 at its minimum, leaves this range
LANDSCAPES = {  # F, where to start, where its minimum is, how much of it to show
    "quadratic": (lambda a: (a[0] ** 2 + 25 * a[1] ** 2) / 2, (-4, 1.5), (0, 0), (5, 3)),
    "Rosenbrock": (lambda a: (1 - a[0]) ** 2 + 100 * (a[1] - a[0] ** 2) ** 2, (-1.2, 1), (1, 1), (2, 2.5)),
    "saddle": (lambda a: (a[0] ** 2 - a[1] ** 2) / 2 + a[1] ** 4 / 4 + 0.25, (2, 0), (0, 1), (2.5, 1.8)),
}


class Descent(NamedTuple):
    """The points that a descent visits, and F there."""

    rate: float
    path: np.ndarray
    heights: list[float]
    arrived: float  # number of steps to F ≤ NEAR; infinity if never
    rose: int  # number of steps in which F rose
    fate: str


def descend(F: Callable, start: Sequence[float], optimizer: Callable, rate: float, steps: int) -> Descent:
    a = mg.tensor(start, requires_grad=True, dtype=np.float64)
    walker, path, heights = optimizer([a], rate), [a.data.copy()], [F(a.data)]
    while len(path) <= steps and NEAR < heights[-1] < FAR:
        walker.zero_grad()
        F(a).backward()
        walker.step()
        path.append(a.data.copy())
        heights.append(F(a.data))
    moves, rose = np.diff(path, axis=0), int(np.sum(np.diff(heights) > 0))
    turned = np.sum(np.sum(moves[1:] * moves[:-1], axis=1) < 0)
    fate = "oscillates" if rose or turned > len(moves) / 2 else "decreases"
    arrived = len(moves) if heights[-1] <= NEAR else math.inf
    return Descent(rate, np.array(path), heights, arrived, rose, fate if heights[-1] < heights[0] else "diverges")


def best(race: Sequence[Descent]) -> Descent:
    """The first to arrive; if none does, the lowest."""
    return min(race, key=lambda way: (way.arrived, way.heights[-1]))


def trails(ax: Axes, name: str, ways: dict[str, Descent]) -> None:
    F, _, minimum, (x, y) = LANDSCAPES[name]
    places = np.meshgrid(np.linspace(-x, x, 201), np.linspace(-y, y, 201))
    ax.contour(*places, F(places), levels=np.geomspace(0.003, 3000, 16), colors="0.75", linewidths=0.6)
    for line, colour, (label, way) in zip(LINES, COLOURS, ways.items(), strict=False):
        ax.plot(*way.path.T, line, color=colour, marker=".", markersize=3, linewidth=1, label=label)
    ax.plot(*minimum, "k*", markersize=9, label="minimum")
    ax.set(xlim=(-x, x), ylim=(-y, y))
    ax.legend(fontsize=7, loc="lower right")


def draw(descents: dict[str, list[Descent]], races: dict[tuple[str, str], list[Descent]]) -> Figure:
    figure = picture(14, 12, "dots: steps, stars: minima; on a straight line all steps multiply F by the same factor.")
    for (name, ways), (above, middle, below) in zip(descents.items(), figure.subplots(3, 3).T, strict=True):
        trails(above, name, {f"{part:g}·2/h {way.fate}": way for part, way in zip(PARTS, ways, strict=True)})
        for line, colour, way in zip(LINES, COLOURS, ways, strict=False):
            middle.plot(way.heights, line, color=colour)
        found = {optimizer: best(race) for (land, optimizer), race in races.items() if land == name}
        trails(below, name, {f"{optimizer}, λ = {way.rate:g}": way for optimizer, way in found.items()})
        above.set(title=name, ylabel="SGD with four rates")
        middle.set(yscale="log", ylim=(NEAR / 10, FAR), xlim=(-4, 204), xlabel="step", ylabel="F along the path above")
        below.set_ylabel("each optimizer with its best rate")
    return figure


def claims(descents: dict, races: dict, ridge: Descent, tuned: Sequence[float]) -> list[Claim]:
    """What is often said, against what was measured; claims on a race that did not run or arrive are left out."""
    rose = [sum(ways[k].rose for ways in descents.values()) for k in range(len(PARTS))]
    fate = {name: ways[2].fate for name, ways in descents.items()}
    beside, root = descents["saddle"][0].arrived, 5
    left = f"{beside} steps" if beside < math.inf else "never"
    steps = dict.fromkeys(product(descents, OPTIMIZERS), math.nan) | {k: best(r).arrived for k, r in races.items()}
    won = [name for name in descents if steps[name, "Adam"] < min(steps[name, "SGD"], steps[name, "momentum"])]
    after = "; ".join(f"{name}: {', '.join(f'{o} {steps[name, o]}' for o in OPTIMIZERS)}" for name in descents)
    usual = steps["quadratic", "momentum"]
    gain, usual = tuned[0] / tuned[1], tuned[0] / usual if usual < math.inf else math.nan
    said = [
        Claim("After a step b = a − λ∇F(a), F(b) ≤ F(a) (Cauchy, 1847)",
              "; ".join(f"λ = {part:g}·2/h: F rose {n} times" for part, n in zip(PARTS, rose, strict=True)),
              holds(not any(rose), not rose[0], "λ is small")),
        Claim("Beyond λ = 2/h descent diverges (textbooks)",
              f"at {PARTS[2]}·2/h: " + ", ".join(f"{name} {what}" for name, what in fate.items()),
              holds({*fate.values()} == {"diverges"}, fate["quadratic"] == "diverges", "F is quadratic")),
        Claim("Descent ends in a minimum (common picture)",
              f"from the ridge of the saddle: stays at F = {ridge.heights[-1]:.2f}; from beside it: {left}",
              holds(ridge.arrived < math.inf, beside < math.inf, "it starts beside the ridge (Lee et al., 2016)")),
        Claim("Momentum needs √κ times fewer steps (Polyak, 1964)",
              f"√κ = {root:g}; tuned: {tuned[0]}/{tuned[1]} steps = {gain:.1f}; with momentum 0.9 only {usual:.1f}",
              holds(usual > root / 2, gain > root / 2, "rate and momentum are tuned to κ")),
        Claim("Adam needs the fewest steps (common practice)",
              after.replace("inf", "never"),
              holds(len(won) == len(descents), len(won) > 0, f"F is the {' or '.join(won)}")),
    ]  # fmt: skip
    return [claim for claim in said if "nan" not in claim.measured]


def run(
    steps: Annotated[int, "steps of a descent, at most"] = 1000,
    seed: Annotated[int, "shifts each starting point by about 0.001"] = 0,
) -> Result:
    """Descend with rates around 2/h, then let three optimizers race."""
    at_least(steps=(steps, 10), seed=(seed, 0))
    shift = np.abs(np.random.default_rng(seed).normal(scale=1e-3, size=2))
    way = {name: partial(descend, F, shift + start, steps=steps) for name, (F, start, *_) in LANDSCAPES.items()}
    descents, lines = {}, []
    for name, (F, _, minimum, _) in LANDSCAPES.items():
        h = np.linalg.eigvalsh(mg.hessian(F, np.array(minimum, float)))
        descents[name] = [way[name](SGD, part * 2 / h[-1]) for part in PARTS]
        for w in descents[name]:
            lines.append((name, w.rate, *(1 - w.rate * h), len(w.path) - 1, w.rose, w.heights[-1], w.fate))
    tuned = [way["quadratic"](optimizer, rate).arrived for optimizer, rate in TUNED]
    ridge = descend(*LANDSCAPES["saddle"][:2], SGD, 0.1, steps)

    keys = list(product(LANDSCAPES, OPTIMIZERS))
    races = measured(lambda key: [way[key[0]](OPTIMIZERS[key[1]], rate) for rate in RATES], keys)
    ends = [
        (
            *key,
            sum(w.arrived < math.inf for w in race),
            first.rate,
            str(first.arrived).replace("inf", "never"),
            first.heights[-1],
        )
        for (key, race), first in zip(races.items(), map(best, races.values()), strict=True)
    ]
    report = [
        "1  SGD with rates around 2/h: near the minimum each step multiplies the remaining distance by 1 − λh",
        table(("F", "λ", "1 − λh, flat", "1 − λh, steep", "steps", "F rose", "F at the end", "descent"), lines),
        f"2  Each optimizer with {len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}",
        table(("F", "optimizer", "rates that arrive", "best λ", "its steps", "F at the end"), ends),
    ]
    numbers = {"descents": descents, "races": races, "ridge": ridge, "tuned": tuned}
    return Result("\n\n".join(report), draw(descents, races), numbers, claims(**numbers), len(races) == len(keys))
