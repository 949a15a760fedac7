"""What is wrong with a net that does not learn? Watch it, find the cause in numbers, and rescue it step by step.

A `GradientMonitor` listens while a deep sigmoid net is stuck, a chain of products shows where its gradient is lost, and
a backward pass with other derivatives proves it. Then the lesson mends one thing after another and watches again.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import digits
from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, table, written
from layers import BatchNorm, Dense, Dropout, ReLU, Sequential
from minigrad.data import accuracy, batches
from minigrad.inspection.draw import update_ratios
from minigrad.inspection.monitor.histogram import OCTAVES
from optim import SGD

QUICK = {"epochs": 2}
STEPS: dict[str, tuple] = {  # name → activation, how weights start, with BatchNorm, learning rate
    "sigmoid": ("sigmoid", "xavier_uniform", False, 0.003),
    "ReLU": ("relu", "xavier_uniform", False, 0.003),
    "+ He": ("relu", "he_normal", False, 0.003),
    "+ BatchNorm": ("relu", "he_normal", True, 0.003),
    "+ rate × 10": ("relu", "he_normal", True, 0.03),
}


def network(activation: str, start: str, normalised: bool, depth: int, rng: np.random.Generator) -> Sequential:
    """64 pixels → `depth` hidden layers of 64 → 10 scores."""
    layers = []
    for _ in range(depth):
        layers += [Dense(64, 64, None if normalised else activation, init=start, rng=rng)]
        layers += [BatchNorm(64), ReLU()] if normalised else []
    return Sequential(*layers, Dense(64, 10, rng=rng))


def watch(name: str, depth: int, epochs: int, seed: int) -> dict:
    """Train the net of one of STEPS under a monitor, and sum up what the monitor recorded."""
    (*kind, rate), losses, rng = STEPS[name], [], np.random.default_rng(seed)
    images, model = digits(rng), network(*kind, depth, rng)
    optimizer = SGD(model.parameters(), lr=rate, momentum=0.9)
    with mg.GradientMonitor(model, optimizer, level="hist") as monitor:
        for _ in range(epochs):
            for x, y in batches(images.x, images.y, 64, rng):
                optimizer.zero_grad()
                loss = mg.cross_entropy(model(x), y)
                loss.backward()
                monitor.step()
                optimizer.step()
                losses.append(loss.item())
    with mg.no_grad():
        row = {"losses": losses, "correct": accuracy(model.eval()(images.x_held_out), images.y_held_out)}
    history, weights = monitor.history, [name for p, name in monitor.names.items() if p.ndim > 1]
    row["norms"] = np.array([history[f"gradient_norm/{name}"][-1] for name in weights])
    row["ratios"] = np.array([np.median(history[f"update_ratio/{name}"]) for name in weights])
    row |= {"decades": float(np.log10(row["norms"][0] / row["norms"][-2])), "monitor": monitor}
    return row | {q: max((x[-1] for x in history.of(q).values()), default=np.nan) for q in ("saturated", "dead")}


def diagnose(depth: int, seed: int) -> dict:
    """The stuck net before training: every gradient, the chain to the first weight, and its norm with other σ'."""
    rng = np.random.default_rng(seed)
    images, model = digits(rng), network(*STEPS["sigmoid"][:3], depth, rng)
    loss = mg.cross_entropy(model(images.x[:256]), images.y[:256])
    loss.backward()
    printed = [(name, f"{np.abs(param.grad).max():.1e}") for name, param in model.named_parameters()]
    trace, first = mg.trace(loss), model[0].weight
    changed = {f"σ' = {slope}": trace.what_if({"kind:activation": slope})[first].norm for slope in (0.25, 1)}
    return {"printed": printed, "chain": str(trace.chain(to=first)), "norms": {"σ'": trace[first].norm, **changed}}


def draw(rows: dict) -> Figure:
    """Losses and gradients of all nets; update ratios and histograms of the first and the last."""
    how_to_read = "healthy weights stay in the grey band; gradients vanish where lines fall and histograms lie low."
    figure = picture(15, 9, how_to_read)
    axes = figure.subplots(2, 3)
    for (name, row), colour, line in zip(rows.items(), COLOURS, (":", "-.", "--", (0, (6, 1)), "-"), strict=False):
        axes[0, 0].plot(row["losses"], color=colour, ls=line, lw=1, label=name)
        axes[1, 0].plot(range(1, len(row["norms"]) + 1), row["norms"], color=colour, ls=line, label=name)
    axes[0, 0].set(title="loss", xlabel="step")
    axes[1, 0].set(title="‖∂L/∂W‖ at the end", xlabel="weight", yscale="log")
    axes[1, 0].legend(frameon=False)
    for k, (name, row) in enumerate([*rows.items()][:: max(len(rows) - 1, 1)], 1):
        histograms = row["monitor"].histograms
        counts = histograms["gradient/layers.0.weight"]  # a row per step; octaves below 0, next to 0, above 0
        sizes = counts[:, len(OCTAVES) + 1 : -1] + counts[:, len(OCTAVES) - 1 : 0 : -1]
        axes[1, k].pcolormesh(histograms.steps[: len(sizes)], OCTAVES[:-1], sizes.T, cmap="Blues")
        axes[1, k].set(title=f"|∂L/∂W1|: {name}", xlabel="step", yscale="log", ylim=(1e-12, 10))
        update_ratios(row["monitor"], ax=axes[0, k])
        axes[0, k].set(title=f"update ratios: {name}", ylim=(1e-10, 1))
    return figure


def claims(rows: dict, norms: dict, message: str) -> list[Claim]:
    """What is often said, against what was watched; nothing is said of slow weights if there were none."""
    stuck, (before, *_, after) = rows["sigmoid"], (row["ratios"][0] for row in rows.values())
    actual, quarter, one = norms.values()
    right = {name: row["correct"] for name, row in rows.items()}
    order = sorted(right, key=right.get, reverse=True)[::-1]  # of two alike, the later one comes first
    slow = [row["correct"] for row in rows.values() if min(row["ratios"]) < 1e-4]
    best = max(slow, default=np.nan)
    said = [
        Claim(
            "Sigmoid nets are stuck because their units saturate (common explanation)",
            f"at most {stuck['saturated']:.1%} of a layer is saturated, and {-stuck['decades']:.1f} decades are lost",
            holds(stuck["saturated"] > 0.3),
        ),
        Claim(
            "They are stuck because σ' ≤ 1/4 (Nielsen, 2015)",
            f"‖∂L/∂W1‖ {actual:.0e}; if every σ' were 1/4: {quarter:.0e}, if 1: {one:.0e}",
            holds(quarter < 10 * actual and one > 1000 * actual),
        ),
        Claim(
            "A weight should move by 10⁻³ of its length per step, 10⁻⁴ at least (after CS231n, 2015)",
            f"slower in {len(slow)} nets, at most {best:.0%} correct; W1 moves by {before:.0e}, rescued: {after:.0e}",
            holds(best < 0.5),
        ),
        Claim(
            "Each remedy helps (lists of remedies)",
            ", ".join(f"{name} {share:.0%}" for name, share in right.items()),
            holds(order == list(rows), order[-1] == "+ rate × 10", "the rate is raised, too"),
        ),
        Claim("A net of Dropout and ReLU learns (an article)", message, holds(not message)),
    ]
    return [claim for claim in said if "nan" not in claim.measured]


def run(
    depth: Annotated[int, "hidden layers"] = 10,
    epochs: Annotated[int, "passes through the images in each training"] = 5,
    seed: Annotated[int, "first weights, held-out images, order of training"] = 0,
) -> Result:
    """Print gradients, diagnose, then mend one thing after another."""
    at_least(depth=(depth, 2), epochs=(epochs, 1), seed=(seed, 0))
    stuck, message = diagnose(depth, seed), ""
    try:
        SGD(Sequential(Dropout(0.5), ReLU()).parameters(), lr=0.1)
    except ValueError as error:
        message = str(error)
    rows = measured(lambda name: watch(name, depth, epochs, seed), STEPS, "nets")
    lines = []
    for name, row in rows.items():
        shares = (written(row[q], ".0%") for q in ("saturated", "dead", "correct"))
        ends = (f"{x:.0e}" for x in row["ratios"][[0, -1]])
        lines.append((name, written(row["decades"], ".1f"), *ends, *shares, f"{np.mean(row['losses'][-10:]):.2f}"))
    text = [
        table(("gradient of", "largest element"), stuck["printed"]),
        f"Where the gradient goes, before training:\n\n{stuck['chain']}",
        f"What a monitor says after training, {rows['sigmoid']['monitor'].table()}",
        table(("net", "decades", "‖ΔW1‖/‖W1‖", "last W", "saturated", "dead", "correct", "loss"), lines),
        f"A net of Dropout and ReLU alone: {message}",
    ]
    said = claims(rows, stuck["norms"], message) if len(rows) == len(STEPS) else []
    numbers = {"rows": rows, "norms": stuck["norms"], "message": message}
    return Result("\n\n".join(text), draw(rows), numbers, said, bool(said))
