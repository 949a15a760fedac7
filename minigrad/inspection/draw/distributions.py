"""How numbers are spread: over the elements of a layer, over directions, over the units of a net.

- `ridge(trace, of="gradient")`: a histogram for every layer.
- `spectrum(trace)`: the singular values of every layer, and of all layers from there to the last.
- `lens(trace)`: can any unit strengthen a gradient? |w·φ'(z)| against 1.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import SymmetricalLogTransform

from minigrad.inspection.axis import logarithmic
from minigrad.inspection.draw import paper
from minigrad.inspection.draw.boxes import into_parameter
from minigrad.inspection.kinds import weight_slot
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import TraceNode
from minigrad.inspection.trace import Trace


def ridge(
    trace: Trace, of: str = "gradient", to: Any = None, path: paper.Path = None, ax: Axes | None = None
) -> Figure:
    """A histogram of the "gradient" that arrives at each layer, or of the "value" there; the lowest is at the input.

    After Glorot and Bengio (2010). Each hill is scaled to the same height.
    """
    if of not in ("gradient", "value"):
        raise ValueError(f"ridge: of is 'gradient' or 'value', not {of!r}")
    layers = paper.Layers(trace, to)
    arrays = layers.arrays("grad" if of == "gradient" else "value")
    threshold, bins = symlog_bins(arrays, apart=of == "gradient")
    ax = paper.axes(ax, 8, float(np.clip(2 + 0.3 * len(arrays), 3.5, 8)))
    for k, x in reversed(list(enumerate(arrays))):
        counts, _ = np.histogram(x, bins)
        ax.stairs(
            k + 1.6 * counts / max(counts.max(), 1), bins, baseline=k, fill=True, color=(paper.BLUE, paper.SKY)[k % 2]
        )
        if outside := x.size - np.sum(np.isfinite(x)):
            ax.text(0.01, k, f"{outside} not finite", transform=ax.get_yaxis_transform(), va="bottom", fontsize=7)
    low, high = np.log10(threshold), np.log10(bins[-1])
    ax.set_xscale("symlog", linthresh=threshold, subs=range(2, 10) if high - low < 4 else None)
    ticks = 10.0 ** np.unique(np.linspace(low if of == "value" else low + (high - low) / 4, high, 4).astype(int))
    ax.set_xticks([*-ticks[::-1], 0, *ticks])
    ax.set_xlim(bins[0], bins[-1])
    paper.label_few(ax.yaxis, layers.names)
    ax.spines["left"].set_visible(False)
    how = "if hills move towards 0 in the lower layers, gradients vanish; if away from 0, gradients explode."
    if of == "value":
        incoming = (edge for place in layers.places for node in place for edge in node.incoming)
        how = "if hills get narrower in the upper layers, the signal fades; if wider, it grows."
        if shade_flat(ax, [edge.local for edge in paper.activations(incoming)]):
            how = "values in the grey zone are saturated: there the slope of the activation is below a tenth of max φ'."
    return paper.finished(ax, path, f"{of} of every element", how)


def symlog_bins(arrays: list[np.ndarray], apart: bool) -> tuple[float, np.ndarray]:
    """Where a symlog axis becomes linear (below all medians if `apart`, else above), and bins of equal width on it."""
    sizes = [np.abs(x[np.isfinite(x) & (x != 0)]) for x in arrays]
    medians = [float(np.median(size)) for size in sizes if size.size] or [1.0]
    least = 0.0 if apart else 6.0  # so that zones of saturation are in sight
    largest = max(np.max(size, initial=least) for size in sizes) or 1.0
    threshold = 10.0 ** np.ceil(np.log10(min(medians) / 100 if apart else max(medians)))
    threshold = float(np.clip(threshold, largest * 1e-80, largest / 2))
    axis = SymmetricalLogTransform(10, threshold, 1)
    count = 2 * int(np.clip(6 * np.log10(largest / threshold), 20, 150)) + 1  # odd: 0 in the middle of a bin
    side = axis.transform(np.array([largest]))[0] * 1.001
    return threshold, axis.inverted().transform(np.linspace(-side, side, count + 1))


def shade_flat(ax: Axes, activations: list[LocalJacobian]) -> bool:
    """Shade where φ' < 0.1·max φ', if all activations are the same; True if there is such a place."""
    left, right = ax.get_xlim()
    same = len({(local.node.op.name, *local.node.params.items()) for local in activations}) == 1
    sides = (np.geomspace(left, left * 1e-4, 2000), np.geomspace(right * 1e-4, right, 2000)) if same else ()
    zones = [x[paper.is_flat(activations[0], paper.slope(activations[0], x))] for x in sides]
    zones = [x for x in zones if x.size]
    for x in zones:
        ax.axvspan(x.min(), x.max(), color="0.88", zorder=0, linewidth=0)
    return bool(zones)


def spectrum(trace: Trace, to: Any = None, sample: int = 0, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """Singular values of ∂(next layer)/∂(layer), and of ∂(last layer)/∂(layer), for one sample."""
    layers = paper.Layers(trace, to)
    target = layers.chain.target
    is_weight = layers.places[0] == [target] and any(map(into_parameter, target.incoming))  # perhaps a shared one
    hidden = slice(int(is_weight), -1 if len(layers.names) > 3 else None)  # without the loss: it has few directions
    places = layers.places[hidden]
    if len(places) < 2:
        raise ValueError(f"spectrum: there is only one layer on the way to {target.symbol}")
    row = sample if all(node.value.ndim > 1 for place in places for node in place) else None
    steps = [layers.chain.trace.jacobian(above, below, row) for below, above in pairwise(places)]
    eps = np.finfo(target.value.dtype).eps
    with np.errstate(over="ignore", invalid="ignore"):
        products = list(accumulate(steps[::-1], np.matmul))[::-1]
    if not all(np.isfinite(matrix).all() for matrix in (*steps, *products)):
        raise ValueError(f"spectrum: a Jacobian on the way to {target.symbol} is not finite")
    ax = paper.axes(ax, 8.5, 5)
    ax.axhline(1, color="black", linewidth=0.8)
    found = [[singular_values(matrix, eps) for matrix in matrices] for matrices in (steps, products)]
    logarithmic(ax, np.concatenate([[1.0], *found[0], *found[1]]))
    kinds = ((-0.12, "o", "--", paper.BLUE, "to the next layer"), (0.12, "s", ":", paper.ORANGE, "to the last layer"))
    for values, (shift, marker, dashes, colour, label) in zip(found, kinds, strict=True):
        at = np.arange(len(values)) + shift
        ax.plot(np.repeat(at, list(map(len, values))), np.concatenate([[], *values]), "_", color=colour, alpha=0.5)
        for of, line, size, name in ((np.nanmax, "-", 4, "largest"), (median, dashes, 1.5, "median")):
            ys = np.array([of(s) for s in values])
            known = ~np.isnan(ys)
            ys[known] = paper.shown(ax, ys[known], at[known])
            style = {"color": colour, "linestyle": line, "markersize": size, "label": f"{label}, {name}"}
            ax.plot(at, ys, marker, **style)
    paper.label_few(ax.xaxis, layers.names[hidden][:-1])
    ax.set_ylabel(f"singular values of Jacobians, sample {sample}")
    paper.legend(ax)
    how = "1 keeps lengths; where the squares fall to the left, the product vanishes; rounding errors are left out."
    return paper.finished(ax, path, "from layer (left: nearest the input)", how)


def singular_values(matrix: np.ndarray, eps: float) -> np.ndarray:
    """All of them, largest first; NaN for those below the rounding errors of numbers with this precision."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return np.where(values >= 10 * max(matrix.shape) * eps * values[0], values, np.nan)


def median(values: np.ndarray) -> float:
    """The median of sorted numbers that may end in NaN; NaN if one in the middle is."""
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def lens_points(trace: Trace) -> list[tuple[str, LocalJacobian, np.ndarray, np.ndarray]]:
    """Per activation behind a weight its name and derivative, and for each unit z where φ' is largest, and max |w|."""
    points = []
    for edge in paper.activations(reversed(trace.opened().edges())):
        product = product_below(edge.input)
        if not edge.input.value.size:
            raise ValueError(f"lens: there is no sample, {edge.input.symbol} is empty")
        if product is not None and product.shape == edge.input.shape:
            slot = weight_slot(product.vertex)
            arrays = product.vertex.arrays[slot], edge.input.value, edge.local.diagonal
            if slot == 0:  # w·x: the units are rows
                arrays = tuple(np.moveaxis(x, -2, -1) if x.ndim > 1 else x for x in arrays)
            units = arrays[0].shape[-1] if arrays[0].ndim > 1 else 1
            weight, z, slopes = (np.reshape(x, (-1, units)) for x in arrays)
            best = z[np.argmax(np.abs(slopes), axis=0), np.arange(units)]
            points.append((edge.input.symbol, edge.local, best, np.abs(weight).max(axis=0)))
    return points


def product_below(node: TraceNode) -> TraceNode | None:
    """The product x·w in z = x·w + b, else None."""
    if node.kind == "bias":
        below = (product_below(node.trace[i]) for i in node.trace._sources[node.index] if i is not None)
        return next((product for product in below if product is not None), None)
    return node if node.kind == "weight" else None


def lens(trace: Trace, path: paper.Path = None, ax: Axes | None = None) -> Figure:
    """The largest |w| of every unit against its best z, and the curves on which |w·φ'(z)| is 1, 1/10 and 1/100.

    Nielsen (2015): with a sigmoid it reaches 1 only if |w| ≥ 4, and for a narrow range of inputs.
    """
    points = lens_points(trace)
    if not points:
        raise ValueError("lens: there is no activation behind a weight in this trace")
    local = points[0][1]
    points = [p for p in points if (p[1].node.op, p[1].node.params) == (local.node.op, local.node.params)]
    ax = paper.axes(ax, 7, 5)
    zs, ws = (np.concatenate([point[i] for point in points]) for i in (2, 3))
    if not (np.isfinite(zs).all() and np.isfinite(ws).all()):
        raise ValueError("lens: a weight or the z of a unit is not finite; trace.find_nan() names the first such value")
    x = np.linspace(-1, 1, 801) * max(6.0, 1.1 * np.max(np.abs(zs)))
    with np.errstate(divide="ignore", over="ignore"):
        curve = 1 / paper.slope(local, x)
    top = max(40 * curve.min(), 2 * ws.max())
    ax.set(yscale="log", xlim=(x[0], x[-1]), ylim=(np.min(ws[ws > 0], initial=1) / 2, top))
    ax.fill_between(x, np.minimum(curve, top), top, color=paper.ORANGE, alpha=0.2, linewidth=0)
    for gain, line in ((1, "-"), (0.1, "--"), (0.01, ":")):
        ax.plot(x, gain * curve, line, color="black", linewidth=1.2, label=f"|w·φ'(z)| = {gain:g}")
    for k, (name, _, z, w) in enumerate(points):
        dot = {"color": colormaps["viridis"](0.9 * k / len(points)), "markeredgecolor": "white", "markersize": 5}
        ax.plot(z, w, "o", **dot, label=name if k in (0, len(points) - 1) else None)
    paper.legend(ax)
    ax.set_ylabel("largest |w| into the unit")
    strong = int(np.sum(ws * paper.slope(local, zs) >= 1))
    ax.set_title(f"{local.node.op.name} units that can strengthen a gradient: {strong} of {len(zs)}", loc="left")
    how = "each dot is a unit: its largest weight and the z of its best sample; |w·φ'| ≥ 1 only in the coloured region."
    return paper.finished(ax, path, "z of the unit, where φ'(z) is largest in this batch", how)
