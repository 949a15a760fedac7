"""Which recurrent networks remember: what is left of a state after many steps, and what training makes of it.

The networks and the task, to add two numbers that lie far apart in a long row, are in `demos/recurrent.py`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, require, table, written
from demos.recurrent import LEARNED, NETWORKS, TRAINED, adding, network, probe, train

QUICK = {"length": 25, "hidden": 16, "steps": 300}
LIMITS = ("clipped", "not clipped")
KEY = """ρ(W)    largest |eigenvalue| of W_hidden; for LSTM and GRU the largest over the gates' parts of it
left    ‖∂s_T/∂s_1‖/√n: what the last state keeps of the first (s is the cell c of an LSTM, h of the others)
direct  what one step leaves of the gradient that bypasses W_hidden: all (1) in a shortcut, else a gate's value (f, z)
around  share of ∂L/∂s_1 that bypasses W_hidden in every step
early   what the earliest step (with h ≠ 0) adds to ∂L/∂W_hidden, relative to the step that adds most
rnn ρ=… starts with another ρ(W), lstm b=… with another forget bias than 1"""


def power(x: float) -> str:
    return written(x, ".1e")


def report(rows: dict[str, dict]) -> str:
    """What new and trained networks do to a gradient, what they learned, and three chains to compare."""
    looks = {name: row["new"] for name, row in rows.items()}
    looks |= {f"{name}, trained": row["trained"] for name, row in rows.items() if "trained" in row}
    first = [
        (name, f"{p['radius']:.2f}", power(p["left"]), power(p["direct"]), power(p["around"]), power(p["early"]))
        for name, p in looks.items()
    ]
    second = [
        (f"{name}, {how}", power(found["norm"]), f"{found['errors'][-1]:.4f}", found["learned"] or "—")
        for name, row in rows.items()
        for how, found in row["runs"].items()
    ]
    chains = [f"{name}\n{row['new']['chain']}" for name, row in rows.items() if name in ("rnn", "shortcut", "lstm")]
    tables = [
        table(("network", "ρ(W)", "left", "direct", "around", "early"), first),
        KEY,
        table(("trained on the adding problem", "largest ‖g‖", "error", "learned at step"), second),
        "Chains of products from the loss to the first state, in new networks:",
    ]
    return "\n\n".join(tables + chains)


def draw(rows: dict[str, dict]) -> Figure:
    """Lag matrices before and after training, contributions of the steps, paths, and errors."""
    how_to_read = (
        "a lag matrix shows what a state (row: its step) keeps of an earlier one (column): grey is all of it, darker "
        "less, brighter more; below, solid lines are new networks, dashed ones trained, errors dotted if not clipped."
    )
    figure = picture(13, 9.5, how_to_read)
    *maps, (by_time, by_path, errors, legend) = figure.subplots(3, 4)
    for j, (name, colour, marker) in enumerate(zip(TRAINED, COLOURS, "osD^", strict=False)):
        style = {"color": colour, "marker": marker, "markersize": 4, "markevery": 0.2}
        for i, (when, line) in enumerate((("new", "-"), ("trained", "--"))):
            if name not in rows:
                maps[i][j].axis("off")
                continue
            look = rows[name][when]
            steps, lags = look["times"] + 1, np.ma.masked_equal(look["lags"], 0)
            shown = maps[i][j].pcolormesh(steps, steps, lags, norm=LogNorm(1e-4, 1e4), cmap="cividis")
            maps[i][j].set(title=f"{name}, {when}", aspect="equal", ylim=maps[i][j].get_ylim()[::-1])
            by_time.plot(np.arange(2, len(look["by time"]) + 1), look["by time"][1:], line, **style)
            if name != "rnn":  # its only path has T − 1 passes
                by_path.plot(look["by path"], line, **style)
        for how, line in zip(LIMITS, ("-", ":"), strict=True) if name in rows else ():
            errors.plot("steps", "errors", line, data=rows[name]["runs"][how], **style, label=f"{name}, {how}")
    figure.colorbar(shown, ax=np.array(maps), label="‖∂s_t/∂s_k‖/√n", extend="both")
    by_time.set(yscale="log", title="parts of ∂L/∂W_hidden", xlabel="step that adds it")
    by_time.set_ylim(bottom=max(1e-14, by_time.get_ylim()[0]))
    by_path.set(title="∂L/∂s_1 by paths", xlabel="passes through W_hidden", ylabel="‖part‖/Σ‖parts‖")
    errors.set(yscale="log", title="error while learning", xlabel="training step")
    legend.axis("off")
    legend.legend(*errors.get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def claims(rows: dict[str, dict]) -> list[Claim]:
    """What is often said of recurrent networks, against this run; of a vanished gradient only if the GRU's did."""
    new = {name: row["new"] for name, row in rows.items()}
    trained = {name: rows[name]["trained"] for name in TRAINED}
    clipped, free = ({name: rows[name]["runs"][how]["errors"][-1] for name in TRAINED} for how in LIMITS)
    left = {name: power(look["left"]) for name, look in new.items()}
    said = [
        Claim(
            "An RNN does not learn to remember for long, an LSTM does (Hochreiter and Schmidhuber, 1997)",
            f"error: RNN {clipped['rnn']:.4f}, LSTM {clipped['lstm']:.4f}, GRU {clipped['gru']:.4f}",
            holds(clipped["rnn"] > LEARNED > clipped["lstm"]),
        ),
        Claim(
            "With ρ(W) < 1 gradients vanish, with ρ(W) > 1 they explode (after Pascanu et al., 2013)",
            f"left: {left['rnn ρ=0.7']} for ρ = 0.7, {left['rnn']} for 1, {left['rnn ρ=1.4']} for 1.4",
            holds(new["rnn ρ=1.4"]["left"] > 10, new["rnn ρ=0.7"]["left"] < 0.1, "ρ(W) < 1"),
        ),
        Claim(
            "With clipped gradients an RNN learns this too (many articles, after Pascanu et al., 2013)",
            f"error: RNN {clipped['rnn']:.3f}, not clipped {free['rnn']:.3f}; "
            f"shortcut {clipped['shortcut']:.3f}, not clipped {free['shortcut']:.3f}",
            holds(min(clipped["rnn"], clipped["shortcut"]) < LEARNED),
        ),
        Claim(
            "A network whose gradient arrives learns what lies far back (common conclusion)",
            f"shortcut: left {left['shortcut']}, error {clipped['shortcut']:.3f}",
            holds(clipped["shortcut"] < LEARNED),
        ),
        Claim(
            "A network whose gradient has vanished does not learn (many articles, after Bengio et al., 1994)",
            f"gru: left {left['gru']}, error {clipped['gru']:.4f}; trained, it keeps {power(trained['gru']['left'])}",
            holds(clipped["gru"] > LEARNED),
        ),
        Claim(
            "Start with open forget gates, b = 1 or more (Gers et al., 2000; Jozefowicz et al., 2015)",
            f"left: {left['lstm b=0']} for b = 0, {left['lstm']} for 1, {left['lstm b=3']} for 3",
            holds(new["lstm b=0"]["left"] < new["lstm"]["left"] < new["lstm b=3"]["left"]),
        ),
        Claim(
            "An LSTM is a special case of the shortcut: diag(f) + J in place of I + J (many articles)",
            f"f = {new['lstm']['direct']:.2f}, which leaves {power(new['lstm']['around'])} of the gradient to the way "
            f"around; trained f = {trained['lstm']['direct']:.2f}, {power(trained['lstm']['around'])}",
            holds(new["lstm"]["around"] > 0.1, trained["lstm"]["around"] > 0.1, "f ≈ 1, as after training"),
        ),
    ]
    return [claim for claim in said if new["gru"]["left"] < 0.1 or "has vanished" not in claim.said]


def run(
    length: Annotated[int, "steps of a row"] = 100,
    hidden: Annotated[int, "units"] = 32,
    steps: Annotated[int, "training steps, at most"] = 2500,
    clip: Annotated[float, "largest norm of a clipped gradient"] = 1.0,
    seed: Annotated[int, "first weights, rows of numbers"] = 0,
) -> Result:
    """Look at new networks, train some with and without clipping, and look at them again."""
    at_least(length=(length, 4), hidden=(hidden, 2), steps=(steps, 25), seed=(seed, 0))
    require(clip > 0, f"--clip: above 0, not {clip}")
    x, y = adding(8, length, np.random.default_rng(seed))

    def measure(name: str) -> dict[str, Any]:
        nets = {how: network(name, hidden, seed) for how in LIMITS}
        row: dict[str, Any] = {"new": probe(nets["clipped"], x, y), "runs": {}}
        if name in TRAINED:
            limits = zip(LIMITS, (clip, math.inf), strict=True)
            row["runs"] = {how: train(nets[how], length, steps, limit, seed) for how, limit in limits}
            row["trained"] = probe(nets["clipped"], x, y)
        return row

    rows = measured(measure, NETWORKS)
    complete = len(rows) == len(NETWORKS)
    note = f"the adding problem: {length} steps, {hidden} units"
    return Result(f"{note}\n\n{report(rows)}", draw(rows), {"rows": rows}, claims(rows) if complete else [], complete)
