"""With weights too large the gradient explodes. What do clipping and decaying rates do about it, and what not?

A network of ReLUs whose weights start ten times too large is trained in all the ways that articles recommend.
Then two healthy networks take one step that is too long, and the units it kills or saturates are counted.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import load, noise
from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, require, table, written
from demos.training import SWEEP, lost, train, ways
from layers import Dense, Sequential, Softmax, init
from minigrad.inspection import Chain

QUICK = {"width": 128, "steps": 100}
CURVES = {"coefficient": "‖g‖ after / before clipping", "rate": "rate", "gradient": "‖g‖", "change": "step ‖Δw‖"}
BOUNDS = dict.fromkeys(("gradient", "change"), (1e-3, 1e8))  # an overflow would stretch the axis over 300 decades
HEALTHY = {"ReLU, dead": ("relu", 1.0), "tanh, saturated": ("tanh", 0.7)}  # activation, factor on He's weights
LINES = {"constant": "-", "exponential": "--", "clip global": "-.", "clip + decay": ":"}
PAIR = ("scale up too", "clip global")  # trained from several starts, which differ more than these two ways do
HEADS = ("", "‖g‖", "largest", "clipped to", "angle", "last rate", "longest step", "dead", "correct")
KEY = """‖g‖: of the first gradient; clipped to: median of ‖g‖ after / before; angle: between the first gradient before
and after; dead: ReLUs of the second layer that are always 0 in the end. clip global clips by the norm of all tensors
together, clip tensor each tensor by its own norm, clip value each number by itself; some texts call clip value "global"
and clip tensor "local". natural exp.: our reading of a decay that one source calls "infrared" (红外)"""


def number(x: float) -> str:
    return written(x, ".3g")


def fate(row: dict) -> str:
    return f"overflow, step {len(row['losses'])}" if row["diverged"] else f"{row['correct']:.0%}"


def report(rows: dict[str, dict], steps: int) -> str:
    """Losses, then what each way does to the gradient, and what becomes of the network."""
    marks = np.unique([*range(0, steps, max(1, steps // 10)), steps - 1])
    losses = [[name, *map(number, row["losses"][marks[marks < len(row["losses"])]])] for name, row in rows.items()]
    facts = []
    for name, row in rows.items():
        gradient = map(number, (row["gradient"][0], row["gradient"].max(), np.median(row["coefficient"])))
        step = map(number, (row["rate"][-1], row["change"].max()))
        name, dead = f"limit {name}" if name in SWEEP else name, written(row["dead"], ".0%")
        facts.append([name, *gradient, f"{row['angle']:.0f}°", *step, dead, fate(row)])
    rest = [line + ["—"] * (len(marks) + 1 - len(line)) for line in losses if line[0] not in SWEEP]
    return f"{table(('loss at step', *map(str, marks)), rest)}\n\n{table(HEADS, facts)}\n\n{KEY}"


def draw(rows: dict[str, dict], units: dict[str, list[float]]) -> Figure:
    """Four curves for some ways to train, the effect of the threshold, and of one long step on the units."""
    how_to_read = (
        "clipping lowers the curve at the top left, a decaying rate the one beside it; both shorten the steps, but not "
        "‖g‖. On the right, too low a threshold learns nothing; one too high kills units, as one long step does."
    )
    figure = picture(13, 7.5, how_to_read)
    axes = figure.subplot_mosaic([["coefficient", "rate", "sweep"], ["gradient", "change", "units"]])
    for color, (name, line) in zip(COLOURS, LINES.items(), strict=False):
        for quantity in CURVES if name in rows else ():
            axes[quantity].plot(rows[name]["step"] + 1, rows[name][quantity], line, color=color, label=name)
    axes["coefficient"].update_datalim([(1, 0.1)])  # rounding must not fill the axis where nothing was clipped
    for quantity, title in CURVES.items():
        axes[quantity].set_ylim(BOUNDS.get(quantity), auto=quantity not in BOUNDS)
        axes[quantity].set(xscale="log", yscale="log", title=title, xlabel="step")
    swept = [name for name in SWEEP if name in rows]
    for color, line, key in zip(COLOURS, ("o-", "s:"), ("correct", "dead"), strict=False):
        axes["sweep"].plot([*map(float, swept)], [rows[name][key] for name in swept], line, color=color, label=key)
    axes["sweep"].set(xscale="log", title="clip global", xlabel="threshold", ylim=(-0.03, 1.03))
    for color, hatch, shift, (name, shares) in zip(COLOURS, ("", "//"), (0, 0.4), units.items(), strict=False):
        bars = axes["units"].bar(np.arange(3) + shift, shares, 0.4, color=color, hatch=hatch, label=name, alpha=0.7)
        axes["units"].bar_label(bars, fmt="{:.0%}")
    axes["units"].set(title="units of healthy networks after one step", ylim=(0, 1.15))
    axes["units"].set_xticks(np.arange(3) + 0.2, ["none", "clipped", "exploded"])
    for name in ("rate", "sweep", "units"):
        axes[name].legend()
    return figure


def claims(rows: dict[str, dict], units: dict[str, list[float]], chain: Chain) -> list[Claim]:
    """What is often said, against what was measured."""
    softmax = [factor.gain for factor in chain.factors if factor.symbol == "softmax"]
    if softmax:
        final = ", ".join(f"{name} {rows[name]['losses'][-1]:.2f}" for name in ("constant", "He's weights"))
        measured = f"gain of its factor diag(p) − p·pᵀ: {softmax[0]:.0e}; final loss: {final}; none can fall below 1.46"
        return [Claim("A softmax layer before softmax cross-entropy (an article)", measured, holds(softmax[0] > 0.1))]
    good = {name: row["correct"] > 0.8 for name, row in rows.items()}
    fates = {name: f"{name}: {fate(row)}" for name, row in rows.items()}
    decays = {name: good[name] for name in ("exponential", "square root", "natural exp.", "inverse time")}
    falls = f"it falls like {' or '.join(name for name in decays if good[name])}"
    kept = [name for name in SWEEP if good[name]]
    learn = f"these learn: {', '.join(kept) or 'none'}"
    angles = {name: rows[name]["angle"] for name in ("clip global", "clip tensor", "adaptive", "clip value")}
    turned = ", ".join(f"{name} {angle:.0f}°" for name, angle in angles.items())
    gains = 100 * np.subtract(*(rows[name]["each"] for name in PAIR))
    gain, error = gains.mean(), gains.std(ddof=1) / math.sqrt(len(gains))
    by = f"accuracy {written(gain, '+.1f')} ± {error:.1f} points, over {len(gains)} starts"
    after = "; ".join(f"{name}: {shares[0]:.0%} → {shares[2]:.0%}" for name, shares in units.items())
    rescued = holds(good["clip global"] and not good["constant"])
    straight = holds(max(angles.values()) < 1, angles["clip global"] < 1, "it clips the norm of all tensors together")
    robust = holds(len(kept) == len(SWEEP), len(kept) > 1, "the threshold is one of these")
    opposite = holds(max(shares[2] - shares[0] for shares in units.values()) < 0.1)
    return [
        Claim("Clip the norm (Pascanu et al., 2013)", f"{fates['constant']}; {fates['clip global']}", rescued),
        Claim("Clipping keeps the direction (common explanation)", f"turned by: {turned}", straight),
        Claim("A wide range of thresholds will do (Pascanu et al., 2013)", learn, robust),
        Claim("AutoClip finds the threshold (Seetharaman et al., 2020)", fates["AutoClip"], holds(good["AutoClip"])),
        Claim("Scale short gradients up, too (some articles)", by, holds(gain > 1 + 2 * error)),
        Claim(
            "A decaying rate cures it (common advice)",
            "; ".join(fates[name] for name in decays),
            holds(all(decays.values()), any(decays.values()), falls),
        ),
        Claim("An L2 penalty helps (Pascanu et al., 2013)", f"λ = 0.001, {fates['L2']}", holds(good["L2"])),
        Claim("Start with smaller weights (He et al., 2015)", fates["He's weights"], holds(good["He's weights"])),
        Claim("Exploding is the opposite of vanishing (textbooks)", f"units lost in one long step: {after}", opposite),
    ]


def run(
    width: Annotated[int, "units in each hidden layer"] = 512,
    steps: Annotated[int, "training steps, each with a batch of 64"] = 1000,
    scale: Annotated[float, "first weights, as a multiple of He's"] = 10.0,
    rate: Annotated[float, "learning rate to start with"] = 0.5,
    limit: Annotated[float, "norm to clip at; single numbers at a hundredth of it"] = 10.0,
    data: Annotated[Literal["digits", "mnist", "seed"], "what to learn; seed: an article's 100 random rows"] = "digits",
    data_dir: Annotated[str | None, "folder with MNIST's files"] = None,
    seed: Annotated[int, "first weights, data, order of training"] = 0,
) -> Result:
    """Train in all ways from the same weights, in two of them from others as well; then take one step too far."""
    at_least(width=(width, 1), steps=(steps, 10), seed=(seed, 0))
    for name, value in (("scale", scale), ("rate", rate), ("limit", limit)):
        require(0 < value <= 1e6, f"--{name}: above 0 and at most a million, not {value}")
    images = noise(seed) if data == "seed" else load(data, data_dir, seed)

    def network(activation: str = "relu", gain: float = 1.0, start: int = seed) -> Sequential:
        rng, inputs = np.random.default_rng(start), images.x.shape[1]
        sizes = [(inputs, width, activation), (width, width, activation), (width, 10, None)]
        layers = [Dense(*size, init=lambda shape, rng: gain * init.he_normal(shape, rng), rng=rng) for size in sizes]
        return Sequential(*layers, *[Softmax()] * (data == "seed"))  # the article's, before a loss that has its own

    def measure(name: str) -> dict[str, Any]:
        gain, starts = 1.0 if name == "He's weights" else scale, range(seed, seed + (4 if name in PAIR else 1))
        runs = [train(network("relu", gain, k), images, jobs[name], steps, np.random.default_rng(k)) for k in starts]
        return runs[0] | {"each": [run["correct"] for run in runs]}

    jobs = ways(rate, limit, steps)
    rows = measured(measure, jobs)
    units = {n: [lost(network(*of), images, k * rate * limit) for k in (0, 1, 100)] for n, of in HEALTHY.items()}
    chain = mg.trace(mg.cross_entropy(network(gain=scale)(images.x[:256]), images.y[:256])).chain(to="W1")
    text = f"{images.note}; {width} + {width} units\n\n{report(rows, steps)}\n\nBefore the first step:\n\n{chain}"
    said = claims(rows, units, chain) if rows.keys() == jobs.keys() else []
    numbers = {"rows": rows, "units": units, "chain": chain}
    return Result(text, draw(rows, units), numbers, said, rows.keys() == jobs.keys())
