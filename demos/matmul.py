"""Why three loops are a hundred times slower than NumPy's product of matrices, and what makes them fast.

C = A·B takes n³ multiplications and as many additions, however it is computed. The rungs of this ladder are the loops
in `minigrad/kernels/products.py`, where drawings show what each of them moves. The lesson measures them in GFLOP/s,
billions of multiplications and additions a second, against what this core reaches on numbers that are at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, at_least, each, holds, picture, require, table, written
from minigrad.kernels import matrices, products

QUICK = {"sizes": (64, 256, 512), "rounds": 2}
PACKED = {"packed": (lambda a, b, c: matrices.packed.matmul(a, b, c), "the sums in registers, too, in named variables")}

RUNGS: dict[str, tuple[Callable, str]] = {  # all write A·B to a C that holds zeros
    "Python": (products.by_definition.py_func, "for i, j, k: cᵢⱼ += aᵢₖ·bₖⱼ"),
    "definition": (products.by_definition, "the same loops, compiled"),
    "rows": (products.by_rows, "for i, k, j: neighbours in memory, several per instruction"),
    "panels": (products.by_panels, "the same on pieces of B that stay in the cache"),
    "fours": (products.by_fours, "16 numbers of A in registers: ¾ of an access per multiplication, not 3"),
    **(PACKED if matrices.has_packed() else {}),
    "NumPy": (lambda a, b, c: np.dot(a, b, out=c), "BLAS, written for this processor by hand"),
}
MARKS = {  # colour, line and marker
    "Python": (6, ":", "v"), "definition": (1, "--", "s"), "rows": (4, "-.", "D"), "panels": (3, ":", "o"),
    "fours": (2, "-", "^"), "packed": (5, "--", "P"), "NumPy": (0, "-.", "*"),
}  # fmt: skip


def seconds(run: Callable, rounds: int) -> float:
    """Processor time of the quickest round: what else runs on the machine can only add to it."""
    found = []
    for _ in range(rounds + 1):  # the first one fills the caches
        start, calls = time.process_time(), 0
        while not calls or time.process_time() - start < 0.005:
            run()
            calls += 1
        found.append((time.process_time() - start) / calls)
    return min(found)


def climb(n: int, dtype: str, rounds: int, rng: np.random.Generator) -> dict[str, Any]:
    """GFLOP/s of every rung for two n × n matrices, and by how much their results differ."""
    a, b = rng.normal(size=(2, n, n)).astype(dtype)
    speeds, results = {}, {}
    for name, (rung, _) in RUNGS.items():
        if name != "Python" or n <= 64:  # it would take minutes
            c, results[name] = np.zeros((2, n, n), dtype)
            rung(a, b, results[name])
            speeds[name] = 2e-9 * n**3 / seconds(lambda rung=rung, c=c: rung(a, b, c), rounds)
    scale = np.abs(a) @ np.abs(b)  # for each entry, the sum of |terms|
    return {"speeds": speeds, "off": max(np.max(np.abs(c - results["NumPy"]) / scale) for c in results.values())}


def training(n: int, dtype: str, rounds: int, rng: np.random.Generator) -> tuple[float, str]:
    """The time of a product's backward pass over that of the product, and the steps of the pass."""
    a, b = (mg.tensor(rng.normal(size=(n, n)).astype(dtype), requires_grad=True, name=name) for name in "AB")
    c, g = a @ b, np.ones((n, n), dtype)

    def backward() -> None:
        a.grad = b.grad = None
        c.backward(g)

    edges = mg.trace(c, gradient=g).edges()
    return seconds(backward, rounds) / seconds(lambda: a @ b, rounds), "\n".join(map(str, edges))


def draw(sizes: list[int], speeds: dict[str, np.ndarray], peak: float) -> Figure:
    how_to_read = "on the left, one mark up is ten times as fast; on the right, × compares with the rung above."
    left, right = picture(13, 5.5, how_to_read).subplots(1, 2)
    for name, speed in speeds.items():
        colour, line, mark = MARKS[name]
        left.plot(sizes, speed, color=COLOURS[colour], linestyle=line, marker=mark, label=name)
    left.axhline(peak, color="#888888", linewidth=1, label="numbers at hand")
    left.set(xscale="log", yscale="log", xlabel="n", ylabel="GFLOP/s", title="product of two n × n matrices")
    left.set_xticks(sizes, [str(n) for n in sizes])
    left.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    left.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    names = [name for name in speeds if name != "Python"]
    shares = np.array([100 * speeds[name][-1] / peak for name in names])
    right.barh(names, shares, color=[COLOURS[MARKS[name][0]] for name in names])
    for i, (share, before) in enumerate(zip(shares, [np.nan, *shares], strict=False)):
        right.text(share + 1, i, f"{share:.1f} %" + (f"   ×{share / before:.1f}" if i else ""), va="center")
    right.set(xlim=(0, 125), xlabel="% of the speed with numbers at hand", title=f"n = {sizes[-1]}")
    right.invert_yaxis()
    return left.figure


def claims(sizes: list[int], speeds: dict[str, np.ndarray], beside: dict[str, float], back: float) -> list[Claim]:
    last = {name: speed[-1] for name, speed in speeds.items() if name != "Python"}
    gain = {name: np.exp(np.mean(np.log(speeds[name] / speeds[before]))) for before, name in pairwise(last)}
    ends = [(last[name] / last["NumPy"], last[name] / beside[name]) for name in ("definition", "fours")]
    share, power = np.array(ends).T
    least, most, n = min(last.values()), max(last.values()), sizes[-1]
    ranged = f"for n = {n} the same operations ran at {least:.2g} to {most:.3g} GFLOP/s"
    compiled = f"compiled: {share[0]:.1%} of NumPy's speed; arranged by fours: {share[1]:.0%}"
    order = f"order i, k, j: on average ×{gain['rows']:.1f} the speed of i, j, k"
    blocks = f"on average, blocks alone ×{gain['panels']:.2f}; 16 numbers in registers, ×{gain['fours']:.2f} more"
    fast = holds(gain["panels"] > 1.5, gain["fours"] > 1.5, "each fetched number is used often")
    best = f"plain loops, by fours, reach {share[1]:.0%} of NumPy's BLAS, which uses assembly"
    twice = f"two more products: ×{back:.2f} the time"
    near = f"speed at n = {n} / {n + 8}: ×{power[0]:.2f} by definition, ×{power[1]:.2f} by fours"
    half, even = share > 0.5, power > 0.8
    said = {
        "The number of operations, 2n³, determines the time (courses on algorithms)": (ranged, holds(most < 2 * least)),
        "Compile a loop and it is fast (common advice)": (compiled, holds(*half, "arranged for the processor")),
        "Go along rows, not columns (Golub and Van Loan, 2013)": (order, holds(gain["rows"] > 1.2)),
        "Blocks that fit into the cache make it fast, by half at least (after Lam et al., 1991)": (blocks, fast),
        "The inner loop must be written in assembly (Goto and van de Geijn, 2008)": (best, holds(not half[1])),
        "Powers of two are good sizes (common belief)": (near, holds(*even, "copied before it is used")),
        "A backward pass takes twice the forward pass's time (Kaplan et al., 2020)": (twice, holds(1.5 < back < 2.5)),
    }
    return [Claim(text, *found) for text, found in said.items() if "Powers" not in text or n & (n - 1) == 0]


def run(
    sizes: Annotated[tuple[int, ...], "n of the n × n matrices"] = (32, 64, 128, 256, 512, 1024),
    rounds: Annotated[int, "measurements of each; the quickest counts"] = 5,
    dtype: Annotated[Literal["float32", "float64"], "of the matrices"] = "float32",
    seed: Annotated[int, "numbers in the matrices"] = 0,
) -> Result:
    """Climb the ladder for every size, then compare the largest with its neighbour and with its backward pass."""
    fits = bool(sizes) and all(1 <= n <= 4096 for n in sizes)
    require(fits, f"--sizes: one or more, each from 1 to 4096, not {' '.join(map(str, sizes)) or 'none'}")
    at_least(rounds=(rounds, 1))
    rng, sizes = np.random.default_rng(seed), sorted(set(sizes))
    peak = max(2e-9 * work / seconds(call, 3 * rounds) for call, work in products.at_hand(dtype))
    found = each(lambda n: climb(n, dtype, rounds, rng), sizes, "sizes")
    complete, sizes = len(found) == len(sizes), sizes[: len(found)]
    off = max(row["off"] for row in found)
    speeds = {name: np.array([row["speeds"].get(name, np.nan) for row in found]) for name in RUNGS}
    beside = climb(sizes[-1] + 8, dtype, rounds, rng)["speeds"]
    back, edges = training(sizes[-1], dtype, rounds, rng)
    rows = [[n, *(float(f"{x:.3g}") for x in speed)] for n, *speed in zip(sizes, *speeds.values(), strict=True)]
    shares = [written(speed[-1] / peak, ".1%") for speed in speeds.values()]
    steps = [[name, change, share] for (name, (_, change)), share in zip(RUNGS.items(), shares, strict=True)]
    text = f"""Products of two n × n matrices in {dtype}, GFLOP/s of one core; on numbers at hand it reaches {peak:.3g}

{table(("n", *RUNGS), rows)}

{table(("rung", "what it does", f"share at n = {sizes[-1]}"), steps, widths=(10, 76, 18))}

All rungs give the same result up to rounding: at most {off:.0e} of the sum of an entry's |terms|.

In training each product needs two more, one for each gradient:

{edges}"""
    numbers = {"sizes": sizes, "speeds": speeds, "at hand": peak, "beside": beside, "backward": back, "off": off}
    return Result(text, draw(sizes, speeds, peak), numbers, claims(sizes, speeds, beside, back), complete)
