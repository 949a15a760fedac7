"""Where do gradients explode, and where do they vanish? One function, applied again and again to its own value.

A recurrent network is such an iteration. Here the function is a parabola, 3.5·x·(1−x), a tanh cell of one unit, or of
20. No training succeeds where the result is flat in x, nor where it is a cliff.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, holds, picture, require, table, written
from layers import RNNCell

TIMES, LAST = (1, 2, 3, 4, 5, 6), 50
HEADS = ("times", "largest |slope|", "at x", "median |slope|", "above 1", "below 0.01", "slope is 0 at")


class Map(NamedTuple):
    """A function to iterate: `start` makes the first state from x, `read` takes a number from a state."""

    step: Callable
    x: np.ndarray
    start: Callable = lambda x: x
    read: Callable = lambda h: h

    def iterated(self) -> dict[int, dict[str, np.ndarray]]:
        """Curve, slope ∂h_n/∂x and where that is 0, after 1, 2 … 6 and after 50 steps."""
        x = mg.tensor(self.x, requires_grad=True)
        h, found = self.start(x), {}
        for n in range(1, LAST + 1):
            h = self.step(h)
            if n in (*TIMES, LAST):
                y = self.read(h)
                slope = mg.grad(y.sum(), x)[0].data
                found[n] = {"curve": y.data, "slope": slope, "zeros": turns(self.x, slope)}
        return found


def parabola(rate: float) -> Map:
    return Map(lambda h: rate * h * (1 - h), np.linspace(0, 1, 4001))


def tanh_cell(weight: float, units: int, seed: int) -> Map:
    """h ← tanh(h·W), W orthogonal times `weight`; the first unit starts at x and is read, the others start at 0."""
    cell = RNNCell(1, units, rng=seed)
    cell.w_hidden.data *= weight * np.sign(cell.w_hidden.data[0, 0])  # of one unit: the weight itself
    x, one = np.linspace(-1, 1, 4001), np.eye(1, units)
    return Map(lambda h: cell(np.zeros((len(h), 1)), h), x, lambda x: x.reshape(-1, 1) * one, lambda h: h[:, 0])


def turns(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The x at which the slope changes sign."""
    x, at = x[slope != 0], np.flatnonzero(np.diff(np.sign(slope[slope != 0])))
    return (x[at] + x[at + 1]) / 2


def summary(times: int, x: np.ndarray, found: dict[str, np.ndarray]) -> tuple:
    """One line of a table: how steep and how flat the curve is."""
    size, zeros = np.abs(found["slope"]), found["zeros"]
    places = ", ".join(written(x, ".3f") for x in zeros[:4])
    places = places or "nowhere" if len(zeros) < 4 else f"{len(zeros)} places" if len(zeros) < 100 else "100 or more"
    shares = f"{np.mean(size > 1):.1%}", f"{np.mean(size < 0.01):.1%}"
    return times, size.max(), x[size.argmax()], np.median(size), *shares, places


def term_by_term(rate: float, start: float) -> str:
    """The slope of the last iterate of one x, as the product of the slopes of all steps."""
    h = mg.tensor(start, requires_grad=True)
    states = [h, *(h := rate * h * (1 - h) for _ in TIMES)]
    trace = mg.trace(h)
    after = np.array([trace[h].grad for h in states])  # ∂h6/∂h0, ∂h6/∂h1 … 1
    rows = zip(TIMES, (h.item() for h in states), after[:-1] / after[1:], after[0] / after[1:], strict=False)
    return table(("step n", "h_{n−1}", "f'(h_{n−1})", "∂h_n/∂x"), rows)


def chain_of_cell(weight: float, start: float) -> mg.inspection.Chain:
    """∂h[5]/∂h of a tanh cell of one unit, as a product."""
    cell, h = RNNCell(1, 1), mg.tensor([[start]], requires_grad=True, name="h")
    cell.w_hidden.data[:] = weight
    return mg.trace(mg.rnn(np.zeros((1, len(TIMES), 1)), h, *cell.weights())[:, -1]).chain(to=h, element=(0, 0))


def draw(maps: dict[str, Map], found: dict[str, dict]) -> Figure:
    """For each map a row of curves, and below each curve its slope."""
    how = "below each curve its slope: orange where gradients grow, blue where they shrink, a needle where it is 0."
    figure = picture(14, 12, how)
    axes = figure.subplots(2 * len(maps), len(TIMES), sharex="row", sharey="row")
    for (name, of), curves, slopes in zip(maps.items(), axes[::2], axes[1::2], strict=True):
        for n, above, below in zip(TIMES, curves, slopes, strict=True):
            size = np.abs(found[name][n]["slope"])
            above.plot(of.x, found[name][n]["curve"], color="black", linewidth=1)
            below.plot(of.x, size, color="black", linewidth=0.8)
            for side, colour in ((np.maximum, COLOURS[1]), (np.minimum, COLOURS[5])):
                below.fill_between(of.x, 1, side(size, 1), color=colour, alpha=0.6, linewidth=0)
            above.set_title(f"{n} times" if n > 1 else f"{name}: once", fontsize=9, loc="center" if n > 1 else "left")
            below.set(yscale="log", ylim=(1e-4, 1e4), xlabel="x" if below in axes[-1] else None)
        curves[0].set(ylabel="h_n", xticks=np.linspace(of.x[0], of.x[-1], 3))  # more would run into each other
        slopes[0].set(ylabel="|∂h_n/∂x|", xticks=np.linspace(of.x[0], of.x[-1], 3))
    return figure


def claims(found: dict[str, dict]) -> list[Claim]:
    """What is often said, against what was measured."""
    curve, cell, many, chaotic, weak = found
    long, six = {name: np.abs(of[LAST]["slope"]) for name, of in found.items()}, np.abs(found[cell][6]["slope"]).max()
    steep = {name: long[name].max() for name in (curve, cell, many)}
    median = {name: float(np.median(size)) for name, size in long.items()}
    folds = {name: [len(found[name][n]["zeros"]) for n in TIMES] for name in (curve, chaotic)}
    doubled = {name: folds[name] == [2**n - 1 for n in TIMES] for name in folds}
    ends, flat = np.abs(found[cell][LAST]["curve"]), np.mean(long[cell] < 0.01)
    kept = ends > ends.max() - 1e-3
    return [
        Claim("A smooth function, applied again and again, gets cliffs where gradients explode (Pascanu et al., 2013)",
              f"largest slope after {LAST} steps: " + "; ".join(f"{name}: {x:.1e}" for name, x in steep.items()),
              holds(min(steep.values()) > 10)),
        Claim("… so gradients of long sequences explode (common conclusion)",
              f"median after {LAST} steps: " + "; ".join(f"{name}: {x:.1e}" for name, x in median.items()),
              holds(min(median.values()) > 1, median[chaotic] > 1, "the iteration is chaotic")),
        Claim("tanh' ≤ 1: no tanh cell explodes (some articles)", f"{cell}: ∂h_6/∂x up to {six:.4g}", holds(six <= 1)),
        Claim("|w| < 1 is enough for vanishing, |w| > 1 not for exploding (Pascanu et al., 2013)",
              f"w = 0.9: at most {long[weak].max():.2g} after {LAST} steps; {cell}: {flat:.1%} of slopes below 0.01",
              holds(long[weak].max() <= 0.9**LAST * (1 + 1e-9) and flat > 0.5)),
        Claim("What a unit stores safely, no gradient can reach (Bengio et al., 1994)",
              f"{cell}: {np.mean(kept):.2%} of x end in one of two states; slopes there ≤ {long[cell][kept].max():.0e}",
              holds(long[cell][kept].max() < 0.01)),
        Claim("Each step folds the curve twice as often, 2ⁿ − 1 times (books on chaos)",
              "; ".join(f"{name}: {', '.join(map(str, of))}" for name, of in folds.items()),
              holds(all(doubled.values()), doubled[chaotic], "each fold reaches from 0 to 1 (rate 4)")),
    ]  # fmt: skip


def run(
    rate: Annotated[float, "rate of the parabola rate·x·(1 − x)"] = 3.5,
    weight: Annotated[float, "recurrent weight of the tanh cells"] = 2.5,
    seed: Annotated[int, "weights of the larger cell"] = 0,
) -> Result:
    """Iterate a parabola and two tanh cells, and look at slopes."""
    require(1 < rate <= 4, f"--rate: above 1 and at most 4, not {rate:g}")
    require(1.5 <= weight <= 10, f"--weight: from 1.5 to 10, not {weight:g}")
    at_least(seed=(seed, 0))
    shown = {
        f"{rate:g}·x·(1−x)": parabola(rate),
        f"tanh cell, w = {weight:g}": tanh_cell(weight, 1, seed),
        "tanh cell of 20 units": tanh_cell(weight, 20, seed),
    }
    maps = shown | {"chaos, 4·x·(1−x)": parabola(4.0), "tanh cell, w = 0.9": tanh_cell(0.9, 1, seed)}
    found = {name: of.iterated() for name, of in maps.items()}
    lines = {name: [summary(n, of.x, one) for n, one in found[name].items()] for name, of in shown.items()}
    report = [
        f"1  {rate:g}·x·(1−x) started at x = 0.3: ∂h_n/∂x is the product of all slopes\n\n{term_by_term(rate, 0.3)}",
        "2  Started at every x: where the slope explodes, and where it is 0",
        *(f"{name}\n\n{table(HEADS, of)}" for name, of in lines.items()),
        f"3  The tanh cell started at h = 0.1: the chain of products\n\n{chain_of_cell(weight, 0.1)}",
    ]
    return Result("\n\n".join(report), draw(shown, found), {"maps": maps, "found": found}, claims(found))
