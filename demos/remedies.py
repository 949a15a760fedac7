"""Which remedy against vanishing gradients helps, and does it still help with other random numbers?

A network of ReLUs with weights too small by a factor √6 is trained without a remedy, with each of those that articles
list, and with all of them, by SGD and by Adam, several times over: mean ± standard deviation. Then, with He's weights,
a penalty λ/2·‖W‖² grows from nothing until the network no longer learns.
"""

from __future__ import annotations

from itertools import product, takewhile
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, holds, picture, require, table
from demos.runs import OPTIMIZERS, REMEDIES, Run, executor, load, measure, network, spread
from minigrad.inspection import Trace

QUICK = {"depth": 6, "width": 32, "epochs": 3, "repeats": 2}
STRENGTHS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
MEASURED = {"correct": "correct on held-out images", "gradient": "median ‖g‖", "weights": "‖W‖", "decades": "decades"}
KEY = """clipping: ‖g‖ ≤ 1; L2: 0.0001/2·Σw²; L1: 0.00001·Σ|w|; dropout: 0.1; plateau: rate ×0.3 after 2 epochs without
progress; He: the same weights times √6; decades: log₁₀ ‖∂L/∂z1‖/‖∂L/∂y‖ after training; σ_max: of W1, W2 …"""
SAID = {
    "clipping": "Clip the gradient (lists of remedies)",
    "L2": "Penalise large weights: L2 (lists of remedies)",
    "L1": "Penalise large weights: L1 (lists of remedies)",
    "dropout": "Dropout makes networks better (Srivastava et al., 2014)",
    "plateau": "Lower the rate when training stalls (common advice)",
    "BatchNorm": "BatchNorm forgives careless first weights (Ioffe and Szegedy, 2015)",
    "He": "ReLUs need larger first weights (He et al., 2015)",
}


def summary(results: list[dict]) -> dict[str, Any]:
    """Quantity → mean and standard deviation over the repeats."""
    columns = {key: np.array([result[key] for result in results]) for key in (*MEASURED, "sigma")}
    with np.errstate(invalid="ignore"):  # the deviation of infinite numbers
        return {key: (column.mean(axis=0), column.std(axis=0)) for key, column in columns.items()}


def shown(*numbers: float, digits: int = 1) -> str:
    text = " ± ".join(f"{number:.{digits}f}" for number in numbers)
    return text.replace("-", "−").replace("inf", "∞").replace("nan", "—")


def line(row: dict) -> list[str]:
    """A row of a table."""
    cells = [shown(*row[key], digits=digits) for key, digits in zip(MEASURED, (3, 2, 1, 2), strict=True)]
    return [*cells, " ".join(f"{x:.1f}" for x in row["sigma"][0])]


def report(rows: dict[tuple, dict], swept: dict[tuple, dict]) -> str:
    heads = ("correct", "‖g‖", "‖W‖", "decades", "σ_max")
    first = table(("remedy", "optimizer", *heads), [[*key, *line(row)] for key, row in rows.items()])
    second = table(("optimizer", "λ", *heads), [[name, f"{x:g}", *line(row)] for (name, x), row in swept.items()])
    return f"{first}\n\n{KEY}\n\nHe's weights and a penalty λ/2·‖W‖²:\n\n{second}"


def draw(rows: dict[tuple, dict], swept: dict[tuple, dict], trace: Trace) -> Figure:
    """The network, what each remedy achieves, and what grows and shrinks with λ."""
    how_to_read = (
        "bars and points are means over the repeats, whiskers one standard deviation. In the small pictures the "
        "penalty grows to the right: ‖W‖ and every σ_max shrink, until no gradient arrives at the first layer any more."
    )
    figure = picture(15, 11, how_to_read)
    small = [["correct", "gradient"], ["weights", "decades"], [f"σ_max, {name}" for name in OPTIMIZERS]]
    axes = figure.subplot_mosaic([["model", *pair] for pair in [2 * ["remedies"], *small]])
    trace.draw(ax=axes["model"])
    names = [*dict.fromkeys(remedy for remedy, _ in rows)]
    for number, (color, name) in enumerate(zip(COLOURS, OPTIMIZERS, strict=False)):
        bars = {remedy: row["correct"] for (remedy, optimizer), row in rows.items() if optimizer == name}
        places = [names.index(remedy) + 0.4 * number for remedy in bars]
        means, deviations = np.reshape([*bars.values()], (-1, 2)).T
        style = {"color": color, "capsize": 3, "label": name}
        axes["remedies"].bar(places, means, 0.4, yerr=deviations, alpha=0.7, hatch=["", "//"][number], **style)
        points = [row for (optimizer, _), row in swept.items() if optimizer == name]
        for key in MEASURED:
            means, deviations = np.reshape([row[key] for row in points], (-1, 2)).T
            axes[key].errorbar(range(len(points)), means, deviations, fmt=["o-", "s--"][number], **style)
        sizes = np.array([row["sigma"][0] for row in points])
        for layer in range(sizes.shape[-1]):
            grey = str(0.8 * layer / sizes.shape[-1])
            axes[f"σ_max, {name}"].plot(sizes[:, layer], color=grey, label=f"W{layer + 1}")
    for key in (*small[0], *small[1], *small[2]):
        axes[key].set(title=MEASURED.get(key, key), xlabel="λ")
        axes[key].set_xticks(range(len(STRENGTHS)), [f"{x:g}" for x in STRENGTHS])
        if axes[key].get_legend_handles_labels()[0]:
            axes[key].legend(fontsize=7)
    axes["remedies"].set_xticks(np.arange(len(names)) + 0.2, names)
    axes["remedies"].set(title="correct on held-out images", ylim=(0, 1.25))
    axes["remedies"].legend(loc="upper left", ncols=2)
    return figure


def claims(rows: dict[tuple, dict], swept: dict[tuple, dict]) -> list[Claim]:
    """What is often said, against what was measured; a claim about a remedy that was not run is left out."""
    mean = {key: row["correct"][0] for key, row in rows.items()}

    def better(remedy: str, other: str) -> tuple[str, str]:
        """Share correct with `other` and with `remedy`, and for which optimizers the gain exceeds the deviations."""
        pairs = {name: (rows[other, name]["correct"], rows[remedy, name]["correct"]) for name in OPTIMIZERS}
        wins = [name for name, (a, b) in pairs.items() if b[0] - a[0] > max(a[1], b[1], 0.002)]
        text = ", ".join(f"{name} {a[0]:.1%} → {b[0]:.1%}" for name, (a, b) in pairs.items())
        return text, holds(len(wins) == len(OPTIMIZERS), bool(wins), f"the optimizer is {' or '.join(wins)}")

    present = {remedy for remedy, _ in rows}
    said = [Claim(text, *better(remedy, "none")) for remedy, text in SAID.items() if {remedy, "none"} <= present]
    if "none" in present:
        sgd, adam = (mean["none", name] for name in OPTIMIZERS)
        text = f"without a remedy: SGD {sgd:.1%}, Adam {adam:.1%}"
        said.append(Claim("Adam makes up for small gradients (Kingma and Ba, 2015)", text, holds(adam > 0.5 > sgd)))
    if present == set(REMEDIES):
        best = max(SAID, key=lambda remedy: sum(mean[remedy, name] for name in OPTIMIZERS))
        text, verdict = better("all", best)
        said.append(Claim("The more remedies, the better", f"{best} → all: {text}", verdict))
    lost = {x: min(swept[name, x]["decades"][0] for name in OPTIMIZERS) for x in STRENGTHS}
    kept = [*takewhile(lambda x: lost[x] > -2, STRENGTHS)]  # a net that is dead without a penalty proves nothing
    text = "decades: " + ", ".join(f"{shown(decades)} at λ = {x:g}" for x, decades in lost.items())
    safe = holds(kept == [*STRENGTHS], bool(kept), f"λ ≤ {max(kept, default=0):g}")
    return [*said, Claim("Small weights are safe (older textbooks)", text, safe)]


def run(
    rows: Annotated[tuple[str, ...], f"which to train, instead of all: {', '.join(REMEDIES)}"] = (),
    depth: Annotated[int, "hidden layers"] = 8,
    width: Annotated[int, "units in each"] = 128,
    epochs: Annotated[int, "passes through the data"] = 15,
    repeats: Annotated[int, "runs of each kind, each with its own random numbers"] = 3,
    data: Annotated[Literal["digits", "mnist", "cifar10"], "what to learn"] = "digits",
    data_dir: Annotated[str | None, "folder with the files of MNIST or CIFAR-10"] = None,
    workers: Annotated[int, "processes"] = 1,
    dask: Annotated[str | None, "address of a Dask scheduler whose workers to use instead"] = None,
    seed: Annotated[int, "held-out images, and the first of the repeats"] = 0,
) -> Result:
    """Train every kind of network several times, in this process or in others."""
    at_least(depth=(depth, 1), width=(width, 1), epochs=(epochs, 1), repeats=(repeats, 1), seed=(seed, 0))
    require(set(rows) <= set(REMEDIES), f"--rows: choose from {', '.join(REMEDIES)}")
    place = data, data_dir, seed, str(mg.default_dtype())
    images = load(*place)
    kinds = dict.fromkeys([*product(rows or REMEDIES, OPTIMIZERS, [0.0]), *product(["He"], OPTIMIZERS, STRENGTHS)])
    common = depth, width, epochs, place, mg.kernels.choice()
    runs = [Run(*kind, seed + i, *common) for kind in kinds for i in range(repeats)]
    with executor(workers, dask) as pool:
        results = spread(measure, runs, pool)
    done = [(run[:3], result) for run, result in zip(runs, results, strict=False)]
    found = {kind: summary([result for key, result in done if key == kind]) for kind in dict(done)}
    achieved = {kind[:2]: row for kind, row in found.items() if not kind[2] and kind[0] in (rows or REMEDIES)}
    swept = {key: found[("He", *key)] for key in product(OPTIMIZERS, STRENGTHS) if ("He", *key) in found}
    model = network(runs[0], images.x.shape[1])
    trace = mg.trace(mg.cross_entropy(model(images.x[:64]), images.y[:64]))
    text = f"{images.note}; {depth} hidden layers of {width} units, {epochs} epochs, mean ± deviation of {repeats} runs"
    text += f"\n\n{report(achieved, swept)}\n\nBefore training:\n\n{trace.chain(to=model[0].weight)}"
    said = claims(achieved, swept) if len(done) == len(runs) else []
    return Result(text, draw(achieved, swept, trace), {"rows": achieved, "swept": swept}, said, len(done) == len(runs))
