"""Why does a gradient shrink or grow on its way back? Single neurons in a row, term by term.

Neuron n computes h_n = φ(z_n) with z_n = w_n·h_{n−1} + b_n, so ∂h_n/∂h_{n−1} = w_n·φ'(z_n), and the gradient ∂y/∂x
of the last output y is the product of all these terms. Layers of many neurons do the same with matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, holds, picture, require, table, written

ACTIVATIONS = {"linear": lambda z: z, "ReLU": mg.relu, "tanh": mg.tanh, "sigmoid": mg.sigmoid}
RANDOM, LARGE, CENTRED = "σ, w and b from N(0, 1)", "σ, w = 100", "σ, w = 100, b such that z = 0"


def neurons(activation: str, weights: Sequence[float], biases: Sequence[float] | None = None) -> dict[str, Any]:
    """Neurons in a row from x = 1 to y; without `biases` each bias is chosen such that z = 0."""
    h = mg.tensor(1.0, requires_grad=True, name="x")
    states = [h]
    for n, weight in enumerate(weights):
        w = mg.tensor(weight, requires_grad=True, name=f"w{n + 1}")
        b = mg.tensor(-weight * h.item() if biases is None else biases[n], requires_grad=True)
        h = ACTIVATIONS[activation](w * h + b)
        h.name = "y" if n + 1 == len(weights) else f"h{n + 1}"
        states.append(h)
    trace = mg.trace(h)
    outputs, gradients = (np.array([getattr(trace[h], what) for h in states]) for what in ("value", "grad"))
    return {"outputs": outputs, "gradients": gradients, "trace": trace}


def terms(w: np.ndarray, x: np.ndarray, b: Any = 0.0) -> np.ndarray:
    """w·σ'(w·x + b) of many neurons at once."""
    x = mg.tensor(x, requires_grad=True)
    mg.sigmoid(w * x + b).sum().backward()
    return x.grad


def widths(w: np.ndarray) -> np.ndarray:
    """The width of the band of inputs around x = −b/w in which |w·σ'(w·x + b)| ≥ 1, by bisection."""
    inside, outside = np.zeros_like(w), np.ones_like(w)
    for _ in range(50):
        middle = (inside + outside) / 2
        strong = terms(w, middle) >= 1
        inside, outside = np.where(strong, middle, inside), np.where(strong, outside, middle)
    return np.round(2 * inside, 6)


def draw(rows: dict[str, dict], w: np.ndarray, width: np.ndarray) -> Figure:
    how_to_read = (
        "outputs go forward to the right, gradients come back to the left, and on a straight line each neuron "
        "multiplies by the same factor; only in the coloured band does a sigmoid neuron strengthen the gradient."
    )
    figure = picture(13, 8, how_to_read)
    (forward, back), (unlike, band) = figure.subplots(2, 2)
    for k, (name, row) in enumerate(rows.items()):  # in pairs: the smaller weight dashed, the larger solid
        style = {"color": COLOURS[(6, 1, 2, 0, 0, 0)[k // 2]], "marker": "os  ^^xx    "[k], "markevery": 4, "ms": 4}
        style["linestyle"] = "none" if k < 2 else ":" if k == 10 else ("--", "-")[k % 2]  # a line would hide ReLU's
        style["label"] = name if row["gradients"][0] else f"{name}: exactly 0"
        (back if k < 8 else unlike).plot(np.where(row["gradients"], np.abs(row["gradients"]), np.nan), **style)
        if k < 8:
            forward.plot(row["outputs"], **style)
    forward.set(yscale="log", ylabel="h_n", title="outputs go forward …")
    back.set(yscale="log", ylabel="∂y/∂h_n", title="… gradients come back")
    unlike.set(yscale="log", ylabel="|∂y/∂h_n|", xlabel="neuron n", title="sigmoid, with other weights")
    back.legend(fontsize=8, loc="lower right")
    unlike.legend(fontsize=8)
    band.fill_betweenx(w, -width / 2, width / 2, where=width > 0, color=COLOURS[1], alpha=0.35)
    best = np.argmax(width)
    band.text(0, w[best], f"at most {width[best]:.3f}, at |w| = {w[best]:.1f}", ha="center", va="center")
    band.set(xlim=(-0.5, 0.5), ylim=(0, 30), xlabel="distance of the input from −b/w", ylabel="|w|")
    band.set_title("where |w·σ'(w·x + b)| ≥ 1")
    return figure


def term_by_term(row: dict) -> str:
    """Every factor of a short row of neurons, and the gradient after it."""
    factors = row["trace"].chain(to="x").factors[::-1]  # w1, σ'(z1), w2, σ'(z2) …
    w, slope = ([factor.local.diagonal.item() for factor in factors[k::2]] for k in (0, 1))
    z = [row["trace"][f"z{n}"].value.item() for n in range(1, len(w) + 1)]
    columns = range(1, len(w) + 1), z, w, slope, np.multiply(w, slope), row["gradients"]
    return table(("n", "z_n", "w_n", "σ'(z_n)", "w_n·σ'(z_n)", "∂y/∂h_{n−1}"), list(zip(*columns, strict=False))[::-1])


def claims(rows: dict, powers: Sequence[float], w: np.ndarray, width: np.ndarray, usual: float) -> list[Claim]:
    y = {name: row["outputs"][-1] for name, row in rows.items()}
    gradient = {name: row["gradients"][0] for name, row in rows.items()}
    with np.errstate(divide="ignore"):
        decades = {name: np.log10(abs(g)) for name, g in gradient.items()}
    lost = {name: f"{written(d, '+.1f')} decades" for name, d in decades.items()}
    pairs = {a: [name for name in rows if name.startswith(a)] for a in ACTIVATIONS}
    as_said = {a: np.allclose([gradient[name] for name in pairs[a]], powers, atol=0) for a in ACTIVATIONS}
    bounded = {a: all(np.abs(rows[name]["outputs"]).max() <= 1 for name in pairs[a]) for a in ACTIVATIONS}
    large, tanh = [pair[1] for pair in pairs.values()], pairs["tanh"][1]
    able, best = w[terms(w, 0 * w) >= 1].min(), np.argmax(width)
    said = f"Gradients vanish if w < 1, explode if w > 1: wⁿ = {' and '.join(map(written, powers))} (many articles)"
    nielsen = abs(width[best] - 0.45) < 0.005 and abs(w[best] - 6.9) < 0.05
    heavy = f"σ, w = 100: {lost[LARGE] if gradient[LARGE] else 'exactly 0'}; with z = 0: {lost[CENTRED]}"
    return [
        Claim(said, "; ".join(f"{name}: {gradient[name]:.2g}" for name in large),
              holds(all(as_said.values()), as_said["linear"] and as_said["ReLU"], "φ' = 1 (linear; ReLU above 0)")),
        Claim("Only the backward pass is unstable, the forward pass has no such problem (some articles)",
              "; ".join(f"{name}: y = {y[name]:.2g}" for name in large),
              holds(all(bounded.values()), bounded["sigmoid"] and bounded["tanh"], "φ is bounded (σ, tanh)")),
        Claim("If the outputs look healthy, so do the gradients (common hope)",
              f"{tanh}: y = {y[tanh]:.2f}, but ∂y/∂x: {lost[tanh]} (powers of ten)", holds(decades[tanh] > -2)),
        Claim("With σ a gradient can grow only if |w| > 4 (Hochreiter and Schmidhuber, 1997)",
              f"the smallest |w| that reaches |w·σ'| = 1 is {able:.2f}", holds(abs(able - 4) < 0.01)),
        Claim("… and then only for inputs in a band at most 0.45 wide, at |w| = 6.9 (Nielsen, 2015)",
              f"{width[best]:.4f} wide at |w| = {w[best]:.2f}", holds(nielsen)),
        Claim("With weights and biases from N(0, 1) terms are usually below 1/4 (Nielsen, 2015)",
              f"{usual:.1%} of 100,000 neurons; ∂y/∂x of a row of them: {lost[RANDOM]}", holds(usual > 0.5)),
        Claim("Large weights make gradients explode (many articles)", heavy,
              holds(decades[LARGE] > 2, decades[CENTRED] > 2, "the biases keep z near 0")),
    ]  # fmt: skip


def run(
    depth: Annotated[int, "neurons in a row"] = 50,
    small: Annotated[float, "a weight below 1"] = 0.8,
    large: Annotated[float, "a weight above 1"] = 1.2,
    seed: Annotated[int, "random weights and biases"] = 0,
) -> Result:
    """Five neurons term by term, many in a row, and the most that a sigmoid neuron can do."""
    require(1 <= depth <= 100, f"--depth: from 1 to 100, not {depth}")
    require(0 < small < 1, f"--small: above 0 and below 1, not {small:g}")
    require(1 < large <= 10, f"--large: above 1 and at most 10, not {large:g}")
    at_least(seed=(seed, 0))
    rng = np.random.default_rng(seed)
    five = neurons("sigmoid", rng.normal(size=5), rng.normal(size=5))
    alike = [(name, w) for name in ACTIVATIONS for w in (small, large)]
    rows = {f"{name}, w = {w:g}": neurons(name, [w] * depth, [0.0] * depth) for name, w in alike}
    rows[RANDOM] = neurons("sigmoid", rng.normal(size=depth), rng.normal(size=depth))
    rows[LARGE] = neurons("sigmoid", [100.0] * depth, [0.0] * depth)
    rows[CENTRED] = neurons("sigmoid", [100.0] * depth)
    w = np.arange(100, 5001) / 100
    width = widths(w)
    random = terms(rng.normal(size=10**5), rng.uniform(size=10**5), rng.normal(size=10**5))
    ends = [(name, row["outputs"][-1], row["gradients"][0]) for name, row in rows.items()]
    shown = np.isin(w, (2, 4, 5, 6.89, 10, 20, 50))
    report = [
        "1  Five sigmoid neurons with random weights: the terms that a gradient meets, from the output back to x",
        term_by_term(five),
        five["trace"].chain(to="x", element=()).in_numbers(),
        f"2  {depth} neurons in a row: what becomes of x = 1, and of the gradient",
        table(("neurons", "y", "∂y/∂x"), ends),
        f"The chain of products through {depth} sigmoid neurons, each with w = {large:g}:",
        str(rows[f"sigmoid, w = {large:g}"]["trace"].chain(to="x")),
        "3  Where can a sigmoid neuron strengthen a gradient, |w·σ'(w·x + b)| ≥ 1? In a band of inputs around −b/w",
        table(("|w|", "|w·σ'| up to", "band width"), zip(w[shown], terms(w, 0 * w)[shown], width[shown], strict=True)),
    ]
    numbers = {"five": five, "rows": rows, "w": w, "width": width, "terms": random}
    said = claims(rows, (small**depth, large**depth), w, width, np.mean(np.abs(random) < 0.25))
    return Result("\n\n".join(report), draw(rows, w, width), numbers, said)
