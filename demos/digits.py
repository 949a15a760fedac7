"""How is a good classifier trained? The loop to copy, and what is worth watching while it runs.

Two hidden layers learn handwritten digits of 8×8 pixels and are tested on images they have never seen. `network` and
`train` show what makes them good: initial weights that suit ReLU, BatchNorm, a rate that falls to almost 0, weight
decay, and noise on the images, so that the net never sees one twice (Bishop, 1995).
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, at_least, each, holds, picture, require, table
from layers import BatchNorm, Dense, ReLU, Sequential
from minigrad.data import accuracy, batches
from optim import AdamW, CosineDecay

QUICK = {"epochs": 10}


def network(hidden: int, rng: np.random.Generator) -> Sequential:
    """64 pixels → two hidden layers → a score for each of the ten digits."""
    return Sequential(
        *(Dense(64, hidden, bias=False, init="he_normal", rng=rng), BatchNorm(hidden), ReLU()),
        *(Dense(hidden, hidden, bias=False, init="he_normal", rng=rng), BatchNorm(hidden), ReLU()),
        Dense(hidden, 10, rng=rng),
    )


def train(model: Sequential, data: Dataset, epochs: int, rate: float, noise: float, rng: np.random.Generator) -> tuple:
    """The results of each epoch, and the monitor, which records every fifth step."""
    shuffled = batches(data.x, data.y, size=64, rng=rng)
    schedule = CosineDecay(rate, steps=epochs * len(shuffled), final=rate / 100)
    optimizer = AdamW(model.parameters(), lr=schedule, weight_decay=0.05)

    def epoch(number: int) -> dict:
        losses = []
        for x, y in shuffled:
            optimizer.zero_grad()
            loss = mg.cross_entropy(model(x + noise * rng.normal(size=x.shape)), y)
            loss.backward()
            monitor.step()
            optimizer.step()
            losses.append(loss.item())
        return {"epoch": number, "losses": losses, **evaluate(model, data)}

    with mg.GradientMonitor(model, optimizer, every=5) as monitor:
        return each(epoch, range(1, epochs + 1), "epochs"), monitor


def evaluate(model: Sequential, data: Dataset) -> dict:
    """Scores, loss and share correct on held-out images, with BatchNorm in evaluation mode and without a graph."""
    model.eval()
    with mg.no_grad():
        scores = model(data.x_held_out)
    model.train()
    loss, correct = mg.cross_entropy(scores, data.y_held_out), accuracy(scores, data.y_held_out)
    return {"scores": scores.numpy(), "loss": loss.item(), "correct": correct}


def draw(rows: list[dict], monitor: mg.GradientMonitor, mistakes: list[tuple]) -> Figure:
    """Loss, share correct and updates, and images that the net took for another digit."""
    how_to_read = "held-out curves show how good the net is; grey band: healthy updates; 8→1: an 8 taken for a 1."
    figure = picture(13, 6.5, how_to_read)
    axes = figure.subplot_mosaic([["loss", "correct", "updates"], 3 * ["mistakes"]], height_ratios=(1, 0.4))
    losses, epochs = np.concatenate([row["losses"] for row in rows]), [row["epoch"] for row in rows]
    per_epoch = len(losses) / len(rows)
    axes["loss"].plot(np.arange(len(losses)) / per_epoch, losses, color=COLOURS[5], lw=0.7, label="noisy training")
    for what in ("loss", "correct"):
        axes[what].plot(epochs, [row[what] for row in rows], "o-", color=COLOURS[1], ms=3, label="held-out images")
        axes[what].set_xlabel("epoch")
    axes["loss"].set(yscale="log", title="cross-entropy")
    axes["correct"].set_title("share of held-out images classified correctly")
    axes["updates"].axhspan(1e-4, 1e-2, color="0.92")
    ratios = {name: ratio for name, ratio in monitor.history.of("update_ratio").items() if name.endswith("weight")}
    for (name, ratio), colour, line in zip(ratios.items(), COLOURS, ("-", "--", ":"), strict=False):
        axes["updates"].plot(monitor.history["step"] / per_epoch, ratio, line, color=colour, lw=1, label=name)
    axes["updates"].set(yscale="log", title="update ratio ‖Δw‖/‖w‖", xlabel="epoch")
    for what in ("loss", "updates"):
        axes[what].legend(fontsize=8, frameon=False)
    strip = [np.pad(image.reshape(8, 8), 1, constant_values=np.nan) for image, *_ in mistakes]
    axes["mistakes"].imshow(np.hstack(strip or [np.full((10, 10), np.nan)]), cmap="gray_r")
    labels = [f"{label}→{answer}" for _, label, answer, _ in mistakes]
    axes["mistakes"].set(xticks=np.arange(len(labels)) * 10 + 4.5, yticks=[], xticklabels=labels, title="its mistakes")
    axes["mistakes"].spines[:].set_visible(False)
    return figure


def claims(rows: list[dict], monitor: mg.GradientMonitor, error: float, small: float) -> list[Claim]:
    """What is often said about such a run; `small` is the first loss if the last layer starts ten times smaller."""
    first, last, best = rows[0]["losses"][0], rows[-1], min(rows, key=lambda row: row["loss"])
    sure = float(np.mean(mg.softmax(last["scores"]).max(axis=1)))
    zeros, dead = (max(monitor.history[f"{q}/layers.{i}"][-1] for i in (2, 5)) for q in ("activation_zeros", "dead"))
    return [
        Claim(
            f"A new net's loss is ln 10 = {math.log(10):.2f}, or there is a mistake (Karpathy, 2019)",
            f"{first:.2f}, and {small:.2f} if the last layer's weights start ten times smaller",
            holds(*(abs(loss / math.log(10) - 1) < 0.02 for loss in (first, small)), "the last layer starts small"),
        ),
        Claim(
            "Keep the net of the lowest held-out loss (Prechelt, 1998)",
            f"epoch {best['epoch']}: {best['correct']:.1%} correct; at the end {last['correct']:.1%}, ± {error:.1%}",
            holds(best["correct"] - last["correct"] > 2 * error),
        ),
        Claim(
            "Networks are surer than they are right (Guo et al., 2017)",
            f"{sure:.1%} sure on average, right on {last['correct']:.1%} of the images, ± {error:.1%}",
            holds(sure - last["correct"] > 2 * error),
        ),
        Claim(
            "A unit whose output is 0 is dead (how the dying ReLU is often explained)",
            f"up to {zeros:.0%} of a layer's outputs are 0, up to {dead:.0%} of its units dead",
            holds(dead > zeros / 2),
        ),
    ]


def run(
    epochs: Annotated[int, "passes through the images"] = 30,
    hidden: Annotated[int, "units in each of the two hidden layers"] = 128,
    rate: Annotated[float, "learning rate of the first step"] = 0.003,
    noise: Annotated[float, "deviation of the noise on pixels, which have deviation 1"] = 0.5,
    seed: Annotated[int, "held-out images, first weights, order, noise"] = 0,
) -> Result:
    """Train, watch, and look at what is still wrong."""
    at_least(epochs=(epochs, 1), hidden=(hidden, 1), seed=(seed, 0))
    require(0 <= noise <= 10, f"--noise: from 0 to 10, not {noise}")
    require(0 < rate < 1, f"--rate: above 0 and below 1, not {rate}")
    rng = np.random.default_rng(seed)
    images, model = digits(rng), network(hidden, rng)
    small = mg.cross_entropy(network(hidden, np.random.default_rng(seed))(images.x) / 10, images.y).item()
    begun = perf_counter()
    rows, monitor = train(model, images, epochs, rate, noise, rng)
    seconds = perf_counter() - begun
    last, labels = rows[-1], images.y_held_out
    answers, sure = last["scores"].argmax(axis=1), mg.softmax(last["scores"]).max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    mistakes = [(images.x_held_out[i], labels[i], answers[i], sure[i]) for i in wrong[:12]]
    error = math.sqrt(last["correct"] * (1 - last["correct"]) / len(labels))
    few = rows[-1 :: -math.ceil(len(rows) / 10)][::-1]
    lines = [(r["epoch"], f"{np.mean(r['losses']):.4f}", f"{r['loss']:.4f}", f"{r['correct']:.1%}") for r in few]
    chain = mg.trace(mg.cross_entropy(model(images.x), images.y), expand=False).chain(to=model[0].weight)
    text = [
        images.note,
        table(("epoch", "loss in training", "on held-out images", "correct"), lines),
        f"{last['correct']:.1%} correct, standard error {error:.1%}, after {seconds:.1f} s with monitoring",
        "\n".join(f"took {label} for {answer}, {p:.0%} sure" for _, label, answer, p in mistakes),
        f"What the monitor saw last, when the rate was almost 0 (hence the !): {monitor.table()}",
        f"A gradient's way through the trained net:\n\n{chain}",
    ]
    numbers = {"epochs": rows, "wrong": wrong, "seconds": seconds, "history": dict(monitor.history)}
    figure, said = draw(rows, monitor, mistakes), claims(rows, monitor, error, small)
    return Result("\n\n".join(text), figure, numbers, said, len(rows) == epochs)
