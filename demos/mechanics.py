"""How a gradient is computed: a complete engine in 60 lines, then the same numbers from minigrad.

Read the engine, run `python -m demos mechanics`, then read the same loop in `minigrad/graph.py`.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.lesson import COLOURS, Claim, Result, holds, picture, table

# One table says what each op does: its value, and its local derivative by each of its inputs.

OPS = {
    "+": (lambda a, b: a + b, lambda y, a, b: (1.0, 1.0)),
    "×": (lambda a, b: a * b, lambda y, a, b: (b, a)),
    "tanh": (lambda a: math.tanh(a), lambda y, a: (1 - y * y,)),
}
ticket = itertools.count()


class Value:
    """A number that knows what it was computed from. The graph is these objects and nothing else."""

    def __init__(self, data, op=None, inputs=()):
        self.data, self.op, self.inputs = data, op, inputs
        self.number = next(ticket)  # higher than the numbers of its inputs, which are older

    def __add__(self, other):
        return apply("+", self, other)

    def __mul__(self, other):
        return apply("×", self, other)

    def local_derivatives(self):
        return OPS[self.op][1](self.data, *(x.data for x in self.inputs)) if self.op else ()


def apply(op, *inputs):
    """Compute a value, and record how."""
    return Value(OPS[op][0](*(x.data for x in inputs)), op, inputs)


def discovered(y):
    """Everything y was computed from, in the order in which a search from y finds it."""
    found = [y]
    for value in found:  # the list grows while we read it
        found += [x for x in dict.fromkeys(value.inputs) if x not in found]
    return found


def order(y):
    """The same values, each after all that use it: its users were made later and have higher numbers."""
    return sorted(discovered(y), key=lambda value: value.number, reverse=True)


def backward(y, values, combine=lambda before, contribution: before + contribution):
    """∂y/∂value for all `values`: each sends its gradient × local derivative on to each of its inputs."""
    gradient = {y: 1.0}
    for value in values:
        for x, local in zip(value.inputs, value.local_derivatives(), strict=True):
            gradient[x] = combine(gradient.get(x, 0.0), gradient.get(value, 0.0) * local)
    return gradient


# End of the engine. Two functions to differentiate, of our Values or of minigrad's Tensors: a and c are used twice.


def expression(a, b):
    c = a * b
    d = c + a
    return {"a": a, "b": b, "c": c, "d": d, "e": c * d}


def neuron(w, x1, x2, tanh):
    """Two tanh units and a third one on top of them."""
    h1, h2 = tanh(w[0] * x1 + w[1] * x2 + w[2]), tanh(w[3] * x1 + w[4] * x2 + w[5])
    return tanh(w[6] * h1 + w[7] * h2 + w[8])


def small_steps(f, x, h=1e-5):
    """∂f/∂x without any engine, by a step to either side of each number: two runs of f for each."""
    return [float(f(x + step) - f(x - step)) / (2 * h) for step in h * np.eye(len(x))]


def draw(trace: mg.inspection.Trace) -> Figure:
    """The expression as a graph: values and gradients in boxes, products on arrows."""
    axes = picture(9, 4, "a box is name │ value │ gradient; arrows carry gradient × local derivative back.").subplots()
    axes.set(title="e = c·d,   c = a·b,   d = c + a", xlim=(-0.4, 3.5), ylim=(-0.2, 1.2))
    axes.axis("off")
    boxes, centred, white = {}, {"ha": "center", "va": "center"}, {"fc": "white", "ec": "none", "pad": 1}
    for name, place in {"a": (0, 1), "b": (0, 0), "c": (1.3, 0.3), "d": (2.2, 0.85), "e": (3.2, 0.3)}.items():
        parts = [f"{edge.contribution:g}" for edge in trace[name].incoming]
        total = " + ".join(parts) + " = " if len(parts) > 1 else ""
        text = f"{name} │ {trace[name].value:g} │ {total}{trace[name].grad:g}"
        boxes[name] = axes.text(*place, text, **centred, size=12, bbox={"fc": "white", "pad": 8})
    for edge in trace.edges():
        head, tail = boxes[edge.input.name], boxes[edge.output.name]
        ends, patches = (head.get_position(), tail.get_position()), (tail.get_bbox_patch(), head.get_bbox_patch())
        arrow = {"arrowstyle": "-|>", "color": COLOURS[1], "patchA": patches[0], "patchB": patches[1]}
        axes.annotate("", *ends, arrowprops=arrow)
        text = f"{edge.upstream:g} × {edge.local.todense().item():g} = {edge.contribution:g}"
        axes.text(*np.mean(ends, axis=0), text, **centred, color=COLOURS[1], bbox=white)
    return axes.figure


def run(seed: Annotated[int, "random weights of the neurons"] = 0) -> Result:
    """One expression by our engine, by two engines with a mistake and by minigrad; then neurons; then an array."""
    v = expression(Value(3.0), Value(2.0))
    tensors = expression(mg.tensor(3.0, requires_grad=True), mg.tensor(2.0, requires_grad=True))
    for name, tensor in tensors.items():
        tensor.name = name
    trace = mg.trace(tensors["e"])
    engines = {
        "this engine": backward(v["e"], order(v["e"])),
        "wrong order": backward(v["e"], discovered(v["e"])),
        "overwriting": backward(v["e"], order(v["e"]), combine=lambda before, contribution: contribution),
    }
    five = {engine: [gradient[x] for x in v.values()] for engine, gradient in engines.items()}
    five["minigrad"] = [trace[name].grad.item() for name in v]
    five["small steps"] = small_steps(lambda x: expression(*x)["e"], [3.0, 2.0]) + 3 * [math.nan]
    weights = np.random.default_rng(seed).normal(size=9)
    ours, theirs = [Value(w) for w in weights], [mg.tensor(w, requires_grad=True) for w in weights]
    y = neuron(ours, Value(1.0), Value(-2.0), lambda x: apply("tanh", x))
    gradient = backward(y, order(y))
    neuron(theirs, 1.0, -2.0, mg.tanh).backward()
    nine = {"this engine": [gradient[w] for w in ours], "minigrad": [w.grad.item() for w in theirs]}
    nine["small steps"] = small_steps(lambda w: neuron(w, 1.0, -2.0, math.tanh), weights)
    error, near = (np.abs(np.subtract(nine[other], nine["this engine"])).max() for other in ("minigrad", "small steps"))
    loss = (mg.tensor(0.5, requires_grad=True, name="w") * np.array([1.0, 3.0, 5.0])).sum()
    report = [
        "1  e = c·d with c = a·b and d = c + a, at a = 3 and b = 2",
        table(("∂e/∂", *five), zip(v, *five.values(), strict=True)),
        "wrong order: in the order in which a search finds the values, c sends its gradient on before d adds to it\n"
        "overwriting: with gradient[x] = contribution, only the last of several uses of a value counts",
        "2  minigrad's backward pass on the same expression, product by product; a and c each receive two",
        "\n".join(map(str, trace.edges())),
        f"3  Three neurons in two layers: ∂y/∂w of all nine weights; the two engines differ by {error:.0e} at most",
        table(("∂y/∂", *nine), zip((f"w{i}" for i in range(9)), *nine.values(), strict=True)),
        "4  Broadcasting is reuse: one w times three numbers, so three products arrive at w and are added",
        "\n".join(map(str, mg.trace(loss).edges())),
        "5  Now read the same loop in minigrad/graph.py: `order` and `walk`.",
    ]
    right, wrong, overwritten, _, step = (column[0] for column in five.values())
    summed = f"∂e/∂a: {right:g} summed, {overwritten:g} overwritten, {step:.6f} by small steps"
    ordered = f"∂e/∂a: {right:g}, but {wrong:g} in the order in which a search finds the values"
    once = f"9 from one walk, right to {error:.0e}; small steps take {2 * len(ours)} runs and are right to {near:.0e}"
    patience = holds(wrong == right, True, "each value waits for all its users")
    claims = [
        Claim("A value's gradient is the sum over its uses (the chain rule)", summed, holds(abs(right - step) < 1e-6)),
        Claim("Walk the graph back from the output (many tutorials)", ordered, patience),
        Claim("One backward pass gives all derivatives (Rumelhart et al., 1986)", once, holds(error < 1e-14 < near)),
    ]
    return Result("\n\n".join(report), draw(trace), {"expression": five, "neuron": nine}, claims)
