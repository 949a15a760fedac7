"""Gradients on their way back through a net, layer by layer.

- `plot_chain(chain)`: the product of local derivatives, factor by factor.
- `flow(trace)`: gradients, values and the ledger of every layer.
- `before_after(trace, trace.what_if(...))`: gradients with and without a change.
- `path_lengths(trace.by_path_length(to=x))`: short paths against long ones.
- `update_ratios(monitor)`, and `dashboard(trace, monitor)` with the four pictures to look at first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter, PercentFormatter

from minigrad.inspection import text
from minigrad.inspection.axis import logarithmic, positive
from minigrad.inspection.chain import Chain
from minigrad.inspection.draw import paper
from minigrad.inspection.draw.distributions import ridge, spectrum
from minigrad.inspection.draw.matrices import states_of, through_time
from minigrad.inspection.factors import share
from minigrad.inspection.ledger import COLUMNS, causes
from minigrad.inspection.lengths import PathLengths
from minigrad.inspection.trace import Trace

FORWARD = "layers, from the input (left) to the loss"


def plot_chain(chain: Chain, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """The running product of a chain: a bar per factor, from the gradient before it to the gradient after it."""
    ax = paper.axes(ax, float(np.clip(0.45 * len(chain), 6.5, 11)), 5)
    running = [1.0, *chain.running.tolist()]
    logarithmic(ax, running)
    ax.axhline(1, color="0.6", linewidth=0.8, zorder=1)
    total = chain.ledger().total
    for k, factor in enumerate(chain.factors):
        cause = next(iter(causes(factor)))
        if 0 < running[k] < np.inf and 0 < running[k + 1] < np.inf:
            colour, hatch = paper.CAUSES[cause]
            bar = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0, "zorder": 2}
            name = f"activations {text.signed(total[cause] + total['operating point'])}"
            bar["label"] = name if cause == "activation type" else f"{cause} {text.signed(total[cause])}"
            ax.bar(k + 1, running[k + 1] - running[k], 0.9, bottom=running[k], **bar)
    ax.plot(paper.shown(ax, running), "k.", markersize=4 if len(chain) < 30 else 1.5)
    labels = [f"→ {factor.name}" if factor.local is None else factor.symbol for factor in chain.factors]
    paper.label_few(ax.xaxis, [chain.trace[-1].symbol, *labels], rotation=90)
    size = "‖gradient‖" if chain.norm == "l2" else "RMS of the gradient"
    ax.set_ylabel(f"what is left of the {size}")
    paper.legend(ax, title="decades by")
    what = f"{len(chain)} factors, {size} × {text.number(running[-1])}"
    ax.set_title(f"{paper.plain(chain.derivative)}: {what}", loc="left")
    how = "each bar is one factor and leads from the gradient before it (dot on its left) to the gradient after it."
    return paper.finished(ax, path, "factors, from the output (left) to the target", how)


def flow(trace: Trace, to: Any = None, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """RMS of gradients and values at every layer on the way to `to`, and the decades that each layer adds or takes.

    A given `ax` must be one of `figure.subplots()`: its area is divided in two.
    """
    layers = paper.Layers(trace, to)
    ax = paper.axes(ax, 8.5, 6.5)
    upper, lower = ax.get_subplotspec().subgridspec(2, 1, height_ratios=[3, 1], hspace=0)
    ax.set_subplotspec(upper)
    below, bars = ax.figure.add_subplot(lower, sharex=ax), ax.twinx()
    below.spines[["top", "right"]].set_visible(False)
    stack(bars, layers)
    ax.set_zorder(bars.get_zorder() + 1)
    ax.patch.set_visible(False)
    sizes, values = layers.rms("grad"), layers.rms("value")
    with np.errstate(invalid="ignore"):  # between two infinities a percentile is NaN
        low, high = np.array([np.percentile(np.abs(g), (5, 95)) for g in layers.arrays("grad")]).T
    logarithmic(ax, [*sizes, *high, *low])
    band = {"color": "black", "alpha": 0.15, "linewidth": 0, "label": "5–95% of |gradient|"}
    ax.fill_between(range(len(low)), np.maximum(low, ax.get_ylim()[0]), positive(high), **band)
    ax.plot(paper.shown(ax, sizes), "o-", color="black", markersize=4, label="gradient, RMS")
    logarithmic(below, values)
    few = below.get_ylim()[1] < 50 * below.get_ylim()[0]  # there is room for 2 and 5, but not for 2, 3, 4 …
    below.yaxis.set_minor_formatter(lambda x, _: text.number(x) if few and f"{x:.0e}"[0] in "25" else "")
    if few:  # 0.2, 0.5, 1: the powers of ten in the same way
        below.yaxis.set_major_formatter(lambda x, _: text.number(x))
    below.invert_yaxis()
    below.plot(paper.shown(below, values), "s-", color="0.35", markersize=3)
    ax.set_ylabel("gradient")
    below.set_ylabel("value, RMS\n(downwards)")
    ax.tick_params(labelbottom=False)
    paper.label_few(below.xaxis, layers.names)
    paper.legend(ax, bars, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    first, last = (paper.plain(node.symbol) for node in (layers.chain.trace[-1], layers.chain.target))
    ax.set_title(f"From {first} back to {last}", loc="left", pad=34)
    how = "follow the black line to the left, as the gradient flows; a bar below 0 shows the decades a layer takes."
    return paper.finished(below, path, FORWARD, how)


def stack(ax: Axes, layers: paper.Layers) -> None:
    """The ledger as bars: upwards the decades that are added, downwards those that are taken."""
    ends = np.zeros((2, len(layers.names)))
    for column in (column for column in COLUMNS if layers.ledger.total[column]):
        taken = np.array([row[column] for _, row in layers.ledger.rows[::-1]])
        taken = np.where(np.isfinite(taken), taken, 0)
        (colour, hatch), side = paper.CAUSES[column], (taken < 0).astype(int)
        label = f"{column} {text.signed(layers.ledger.total[column])}"
        bottom = ends[side, range(len(taken))]
        ax.bar(range(len(taken)), taken, 0.85, bottom, color=colour, hatch=hatch, ec="white", alpha=0.55, label=label)
        ends[side, range(len(taken))] += taken
    furthest = 1.1 * max(0.5, np.max(np.abs(ends)))
    ax.set(ylim=(-furthest, furthest), xlim=(-0.6, len(layers.names) - 0.4), ylabel="decades per layer (bars)")
    ax.spines["top"].set_visible(False)
    ax.axhline(0, color="0.6", linewidth=0.8)


def before_after(
    before: Trace, after: Trace, to: Any = None, path: paper.Path = None, ax: Axes | None = None
) -> Figure:
    """RMS of the gradient at every layer in two traces of one graph, such as a trace and its `what_if`."""
    layers = paper.Layers(before, to)
    ax = paper.axes(ax, 8, 4.5)
    sizes = [layers.rms("grad"), layers.rms("grad", after)]
    logarithmic(ax, sizes)
    first, second = (paper.shown(ax, of) for of in sizes)
    ax.vlines(range(len(first)), first, second, color="0.8", linewidth=1.5, zorder=1)
    ax.plot(first, "o-", color=paper.BLUE, markersize=5, label="before")
    ax.plot(second, "s--", color=paper.ORANGE, markersize=5, label="after")
    paper.label_few(ax.xaxis, layers.names)
    ax.set_ylabel("gradient, RMS")
    paper.legend(ax, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    how = "the longer the grey line from circle to square, the more the gradient there depends on what was changed."
    return paper.finished(ax, path, FORWARD, how)


def path_lengths(parts: PathLengths, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """The signed share of a gradient that came on paths of each length, and how many such paths there are."""
    lengths, whole = np.array(list(parts)), paper.plain(parts.target.derivative)
    shares = np.array([share(part, parts.target.grad) for part in parts.values()])
    ax = paper.axes(ax, 8, 4.5)
    gap = min(np.diff(lengths), default=1)
    width = 0.85 * gap
    signs = ((1, paper.BLUE, "", "share"), (-1, paper.ORANGE, "///", "negative share"))
    for sign, colour, hatch, label in signs:
        chosen = np.sign(shares) == sign
        if np.any(chosen):
            style = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0, "label": label}
            ax.bar(lengths[chosen], shares[chosen], width, **style)
    for length in lengths[np.isnan(shares)]:
        ax.text(length, 0, "—", ha="center", va="bottom", fontsize=8)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xticks(np.arange(lengths[0], lengths[-1] + 1, gap * (1 + np.ptp(lengths) // (20 * gap))))
    ax.set(xlim=(lengths[0] - width, lengths[-1] + width), ylabel=f"share of {whole}")
    counts, many = ax.twinx(), [float(min(parts.counts[length], 10**300)) for length in lengths]
    outlined = [withStroke(linewidth=3, foreground="white")]  # it runs over the bars
    counts.plot(lengths, many, ".--", color="0.45", linewidth=1, label="paths", path_effects=outlined)
    counts.set(yscale="log", ylim=(0.7, max(10, 2 * max(many))), ylabel="number of paths")
    counts.yaxis.set_minor_formatter(NullFormatter())
    counts.spines["top"].set_visible(False)
    paper.legend(ax, counts)
    ax.set_title(f"{whole} by path length", loc="left")
    how = "the bars add up to 100%: if those at the left are tall, the gradient comes on short paths, few as they are."
    return paper.finished(ax, path, f"length of the paths, counting {parts.counted}", how)


def update_ratios(monitor: Any, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """‖Δw‖/‖w‖ of every weight over the steps of training, as a `GradientMonitor` with an optimizer recorded it."""
    from minigrad.inspection.monitor.plot import colours_of, lines, scale  # of a room that may not be there

    ratios = monitor.history.of("update_ratio")
    if not ratios:
        if monitor.optimizer is None:
            raise ValueError("update_ratios: the monitor has no optimizer; make it GradientMonitor(model, optimizer)")
        raise ValueError(
            "update_ratios: no step of a weight longer than 1e-8 is recorded; did all steps fail, or are all weights 0?"
        )
    weights = [name for p, name in monitor.names.items() if p.ndim > 1 and name in ratios] or list(ratios)
    ax = paper.axes(ax, 8, 4.5)
    ax.axhspan(1e-4, 1e-2, color="0.92", zorder=0)
    ax.axhline(1e-3, color="0.6", linewidth=1, zorder=1)
    ax.set(yscale="log", ylabel="update ratio ‖Δw‖/‖w‖")
    lines(ax, monitor.history["step"], ratios, colours := colours_of(weights))
    if len(weights) > 6:
        scale(ax.figure, [ax], colours)
    else:
        paper.legend(ax)
    how = "in the grey band, a weight moves by about a thousandth of its norm; below it hardly learns, above it jumps."
    return paper.finished(ax, path, "step", how)


def dashboard(trace: Trace, monitor: Any = None, to: Any = None, path: paper.Path = None) -> Figure:
    """Four pictures: flow; gradients; time or path lengths; update ratios or, without a monitor, Jacobians."""
    figure = paper.Picture(figsize=(17, 12), dpi=100, layout="constrained")
    (above, beside), (left, right) = figure.subplots(2, 2)
    flow(trace, to, ax=above)
    ridge(trace, to=to, ax=beside)
    if states_of(trace, ("h", "c")):
        through_time(trace, ax=left)
    else:
        target = paper.Layers(trace, to).chain.target
        count = "activation" if any(node.kind == "activation" for node in target.trace.nodes) else None
        path_lengths(trace.by_path_length(target, count), ax=left)
    if monitor is None:
        spectrum(trace, to, ax=right)
    else:
        update_ratios(monitor, ax=right)
    if path is not None:
        figure.savefig(path)
    return figure
