"""What a network learns from a text letter by letter, how far back its gradient reaches, and how to go on later.

An LSTM guesses the next character of the documentation that comes with Python, or of a text of yours (`--text`). The
loss is the mean of −ln p, in nats per character; the last tenth of the text is held out to measure it.
The network, its training and the file to go on from (`--keep`) are in `demos/letters.py`.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, require, table, written
from demos.letters import Text, guesses, held_out, learn, read, resume, sample, save, three_ways, windows, writer
from layers import Sequential

QUICK = {"hidden": 64, "length": 50, "steps": 250}
STAGES, AFTER = 10, 20  # how many looks at the network; how many steps it then takes, in three ways
HEADS = ("step", "learning", "held out", "words", "10 back", "all back", "it writes")
WORD = "[A-Za-z]{3,}"
KEY = """learning, held out: loss in nats per character │ words: share of the words it writes that occur in the text
10 back, all back: ‖∂L/∂c‖ 10 or all characters before the last, relative to the last; L is the last one's loss alone
it writes: with the same random numbers each time, so that every change was learned"""


def backwards(model: Sequential, text: Text, length: int) -> tuple[np.ndarray, str]:
    """‖∂L/∂c‖ at each step relative to the last, L being the loss of the last character; and a chain of its factors."""
    x, y = windows(text.held_out, np.linspace(0, len(text.held_out) - length - 1, 16).astype(int), length)
    embedding, lstm, head = model
    start = tuple(np.zeros((2, 1, len(x), head.inputs), np.float32))
    _, (h, _) = lstm(embedding(x), start)
    trace = mg.trace(mg.cross_entropy(head(h[0]), y[:, -1]))
    norms = np.array([trace[f"c[{t}]"].norm for t in reversed(range(length))])
    return norms / norms[0], str(trace.chain(to=f"c[{length - 5}]"))


def report(rows: dict[int, dict]) -> str:
    """A line per look, what the network writes at the end, and the first factors of its gradient."""
    lines = [
        (
            *(step, f"{row['learning']:.3f}", f"{row['held out']:.3f}", f"{row['words']:.0%}"),
            *(written(row["back"][k], ".1e") for k in (10, -1)),
            row["sample"][:40].replace("\n", "⏎"),
        )
        for step, row in rows.items()
    ]
    last = list(rows.values())[-1]
    return "\n\n".join((table(HEADS, lines), KEY, f"At the end it writes:\n\n{last['sample']}", last["chain"]))


def draw(rows: dict[int, dict], guesses: dict[str, float], ways: dict[str, list[float]]) -> Figure:
    """The loss, how far gradients reach, and how training goes on after a stop."""
    how_to_read = (
        "on the left, below a grey line the network knows more than that guess; in the middle, a line that stays high "
        "is a gradient that reaches far back; on the right, 0 means that going on from a file made no difference."
    )
    figure, steps, shades = picture(13, 5, how_to_read), list(rows), np.linspace(0.15, 1, len(rows))
    loss, back, after = figure.subplots(1, 3)
    for key, line in (("learning", "--"), ("held out", "-")):
        loss.plot(steps, [row[key] for row in rows.values()], line, color=COLOURS[0], label=key, marker=".")
    for name, value in guesses.items():
        loss.axhline(value, color="0.6", linewidth=0.8)
        loss.annotate(name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.4")
    for (step, row), shade in zip(rows.items(), shades, strict=True):
        hidden = "" if step in (steps[0], steps[-1]) else "_"  # from the legend
        back.plot(row["back"], color=COLOURS[0], alpha=shade, label=f"{hidden}step {step}")
    for (name, losses), colour, line in zip(ways.items(), COLOURS, ("-", "--", ":"), strict=False):
        difference = np.subtract(losses, ways["straight on"])
        after.plot(steps[-1] + np.arange(1, AFTER + 1), difference, line, color=colour, label=name, linewidth=2)
    loss.set(title="nats per character", xlabel="step")
    back.set(title="‖∂L/∂c‖ on its way back", xlabel="characters before the last", yscale="log")
    after.set(title="going on after a stop", xlabel="step", ylabel="loss − loss of straight on")
    for axes in (loss, back, after):
        axes.legend(*axes.get_legend_handles_labels())
        axes.locator_params("x", nbins=5)
    return figure


def claims(rows: dict[int, dict], guesses: dict[str, float], new: float, ways: dict) -> list[Claim]:
    """What is often said, against this run."""
    last, (straight, resumed, alone) = list(rows.values())[-1], ways.values()
    far, reach = len(last["back"]) - 1, last["back"][-1]
    return [
        Claim(
            "A network that has learned nothing is as unsure as a guess: ln K nats (Karpathy, 2019)",
            f"{new:.2f} with random weights; ln K = {guesses['any character']:.2f}",
            holds(abs(new - guesses["any character"]) < 0.1),
        ),
        Claim(
            "It learns more than which letter follows which (Karpathy, 2015)",
            f"{last['held out']:.2f} nats; pairs of letters {guesses['pairs']:.2f}; {last['words']:.0%} real words",
            holds(last["held out"] < guesses["pairs"]),
        ),
        Claim(
            "In an LSTM gradients do not vanish (many articles, after Hochreiter and Schmidhuber, 1997)",
            f"{written(reach, '.0e')} of the gradient is left {far} characters back",
            holds(reach > 0.1),
        ),
        Claim(
            "Save the weights, and training can go on as if it had never stopped (many tutorials)",
            f"loss of {AFTER} more steps: {np.mean(straight):.4f}, from weights alone {np.mean(alone):.4f}, "
            f"with the optimizer's state {np.mean(resumed):.4f}",
            holds(alone == straight, resumed == straight, "the optimizer is saved too"),
        ),
    ]


def run(
    text: Annotated[str | None, "file to read, in UTF-8; without it Python's documentation"] = None,
    hidden: Annotated[int, "units of the LSTM"] = 128,
    length: Annotated[int, "characters that the gradient goes back"] = 100,
    steps: Annotated[int, "training steps in all"] = 2000,
    keep: Annotated[str | None, "file to go on from if it exists, and to save to ten times"] = None,
    seed: Annotated[int, "first weights, where to read, what to write"] = 0,
) -> Result:
    """Train, look at what it writes and how far its gradient reaches, then stop and go on in three ways."""
    at_least(hidden=(hidden, 1), length=(length, 12), steps=(steps, STAGES), seed=(seed, 0))
    source = read(text)
    most = len(source.held_out) // 2
    require(length <= most, f"--length: at most {most} for this text, not {length}")
    again = partial(writer, source, hidden, steps, seed)
    model, optimizer = again()
    new, simple, words = held_out(model, source, length), guesses(source), set(re.findall(WORD, source.content))
    if keep:
        resume(Path(keep), source, model, optimizer)
        save(Path(keep), source, model, optimizer)  # a file that cannot be written fails at once
    begin = optimizer.steps
    require(begin < steps, f"--keep {keep}: {begin} steps were taken; ask for more with --steps")
    looks = [n for n in np.linspace(0, steps, STAGES + 1).astype(int)[1:].tolist() if n > begin]

    def look(step: int) -> dict[str, Any]:
        row: dict[str, Any] = {"learning": float(np.mean(learn(model, optimizer, source, length, step, seed)))}
        row |= {"held out": held_out(model, source, length), "sample": sample(model, source, 240, seed)}
        row["back"], row["chain"] = backwards(model, source, length)
        found = re.findall(WORD, row["sample"])
        row["words"] = sum(word in words for word in found) / max(1, len(found))
        tqdm.write(f"step {step}: {row['held out']:.3f} nats per character\n{row['sample']}\n", file=sys.stderr)
        if keep:
            save(Path(keep), source, model, optimizer)
        return row

    rows = measured(look, looks)
    complete = len(rows) == len(looks)
    ways = three_ways(source, model, optimizer, again, length, AFTER, seed) if complete else {}
    note = f"{source.name}: {len(source.train):,} characters of {len(source.characters)} kinds to learn from"
    note += f", {len(source.held_out):,} held out; {hidden} units" + (f"; went on from step {begin}" if begin else "")
    numbers = {"rows": rows, "guesses": simple, "new": new, "ways": ways}
    said = claims(**numbers) if complete else []
    return Result(f"{note}\n\n{report(rows)}", draw(rows, simple, ways), numbers, said, complete)
