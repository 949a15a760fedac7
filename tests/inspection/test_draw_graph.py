"""The drawn graph: every number in it is one of the trace, boxes do not overlap, and any name may be drawn."""

import importlib.util
import json
import random
import re
import sys
import time
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, MSE, RNN, BatchNorm, Dense, Dropout, Module, Residual, RNNCell, Sequential
from minigrad.inspection import display, text

if importlib.util.find_spec("minigrad.inspection.draw") is None:
    pytest.skip("the room draw is not there", allow_module_level=True)

from minigrad.inspection.draw.graph import BLUE, GREY, RED, colour, labels, scene, style
from minigrad.inspection.draw.layout import layout
from minigrad.inspection.draw.view import GraphView

SVG = "{http://www.w3.org/2000/svg}"
ZOOMS = ["layer", "op"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def trace_of(model, rng, shape=(16, 4)):
    return mg.trace(MSE()(model(rng.normal(size=shape)), rng.normal(size=(16, 1))))


@pytest.fixture
def mlp(rng):
    return trace_of(Sequential(Dense(4, 8, "sigmoid", rng=1), Dense(8, 8, "sigmoid", rng=2), Dense(8, 1, rng=3)), rng)


@pytest.fixture
def deep(rng):
    hidden = (Dense(8 if i else 4, 8, "sigmoid", rng=i) for i in range(50))
    return trace_of(Sequential(*hidden, Dense(8, 1, rng=50)), rng)


@pytest.fixture
def residual(rng):
    blocks = (Residual(Dense(8, 8, "tanh", rng=i), Dense(8, 8, rng=9 + i)) for i in range(6))
    return trace_of(Sequential(Dense(4, 8, rng=8), *blocks, Dense(8, 1, rng=7)), rng)


@pytest.fixture
def lstm(rng):
    return mg.trace(mg.square(Sequential(LSTM(2, 4, rng=1))(rng.normal(size=(16, 20, 2)))).mean())


@pytest.fixture(params=["mlp", "deep", "residual", "lstm"])
def trace(request):
    return request.getfixturevalue(request.param)


def boxes(svg):
    """Title → the lines under it, of every box in an SVG; a title that comes again gets a number."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title, *lines = (element.text for element in group.iter(f"{SVG}text"))
        while title in found:
            title += "'"
        found[title] = lines
    return found


def words(svg):
    """Everything that an SVG says, tooltips aside."""
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def rms(x):
    return text.number(np.sqrt(np.mean(np.square(x))) if x.size > 1 else x.item())


# Every number is one of the trace


def test_each_value_has_a_box_with_its_size_and_that_of_its_gradient(trace):
    drawn = {title.split(" = ")[0]: lines for title, lines in boxes(trace.to_svg("op")).items()}
    assert {title.strip("'") for title in drawn} == {node.symbol for node in trace.nodes}
    for node in trace.nodes:
        lines = drawn[node.symbol]
        if node.value.size == 1:
            assert lines[0] == f"data {rms(node.value)} │ grad {rms(node.grad)}"
        elif node.value.size > 16:
            assert lines[0] == f"{text.shape(node.shape)}  rms {rms(node.value)} │ grad {rms(node.grad)}"
        else:
            sides = [" ".join(line.split("│")[side] for line in lines[1:] if "│" in line) for side in (0, 1)]
            for side, x in zip(sides, (node.value, node.grad), strict=True):
                assert side.split() == [text.number(entry) for entry in x.ravel()]


def test_gains_are_those_of_the_chain(mlp):
    drawn = boxes(mlp.to_svg("op"))
    chain = mlp.chain(to="W1")
    gains = [re.fullmatch(r"gain (\S+)( [▲▼])?", lines[-1])[1] for title, lines in drawn.items() if "=" in title]
    assert [gain for gain in gains if gain != "1.000"] == [text.fixed(gain) for gain in chain.gains[::-1]]
    assert gains.count("1.000") == 3  # adding a bias


def test_a_layer_has_its_result_its_parameters_and_the_gain_of_its_factors(mlp):
    drawn = boxes(mlp.to_svg())
    assert list(drawn) == ["layers.0", "layers.1", "layers.2", "L = mse(y, t)"]
    gain = np.prod(mlp.chain(to="W1").gains[2:4])  # σ' and W2ᵀ
    assert drawn["layers.1"][-1] == f"gain {text.fixed(gain)} ▼"
    assert drawn["layers.0"][-1] == "gain —"  # the input requires no gradient
    for line, name in zip(drawn["layers.1"][1:4], ("h2", "W2", "b2"), strict=True):
        node = mlp[name]
        assert line.split() == [name, text.shape(node.shape), rms(node.value), "│", rms(node.grad)]


def test_equal_layers_are_one_box_from_first_to_last(deep):
    drawn = boxes(deep.to_svg())
    title = "layers.1 … layers.49  ×49"
    assert list(drawn) == ["layers.0", title, "layers.50", "L = mse(y, t)"]
    assert drawn[title][1].endswith(f"│ {rms(deep['h2'].grad)} … {rms(deep['h50'].grad)}")
    assert drawn[title][2].endswith(f"│ {rms(deep['W2'].grad)} … {rms(deep['W50'].grad)}")
    gains = [deep[f"h{k - 1}"].norm / deep[f"h{k}"].norm for k in range(2, 51)]
    mean = (deep["h1"].norm / deep["h50"].norm) ** (1 / 49)
    ends = f"{text.fixed(gains[0])} … {text.fixed(gains[-1])}"
    assert drawn[title][-1] == f"gain {ends}, mean {text.fixed(mean)} ▼"


def test_a_cross_entropy_is_one_box_at_zoom_layer_and_its_steps_at_zoom_op(rng):
    model = Sequential(Dense(4, 3, rng=0))
    loss = mg.cross_entropy(model(rng.normal(size=(6, 4))), np.arange(6) % 3)
    trace = mg.trace(loss)
    drawn = boxes(trace.to_svg("layer"))
    assert list(drawn)[1:] == ["L = cross_entropy"]
    assert drawn["L = cross_entropy"][1].split() == ["L", "1", text.number(loss.item()), "│", "1"]
    assert {"log_softmax = log_softmax(y)", "L = mean(negative)"} < set(boxes(trace.to_svg("op")))
    beside = mg.trace(loss + mg.sum(model[0].weight))
    assert "mean = cross_entropy" in boxes(beside.to_svg("layer"))


def test_equal_blocks_are_one_frame_with_the_shares_of_the_chain(residual):
    view = GraphView(residual)
    (frame,) = view.frames
    assert (len(frame.boxes), frame.repeats) == (3, 6)
    sums = [factor for factor in residual.chain(to="W1").factors if factor.branches]
    assert frame.gain == pytest.approx(np.prod([factor.gain for factor in sums]), rel=1e-12)
    shown = words(residual.to_svg())
    assert f"×6, gain over all {text.fixed(frame.gain)} ▲" in shown
    for way in (0, 1):
        shares = [sorted(branch.share for branch in factor.branches)[way] for factor in sums[::-1]]
        assert f"{text.percent(shares[0])} … {text.percent(shares[-1])}" in shown


def test_the_steps_of_a_recurrence_are_one_box(lstm):
    drawn = boxes(lstm.to_svg())
    assert list(drawn) == ["layers.0  ×20", "square = square(h[19])", "L = mean(square)"]
    lines = drawn["layers.0  ×20"]
    steps = ["z", "i", "f", "g", "o", "c", "tanh_c", "h"]
    assert [line.split()[0] for line in lines[1:-1]] == [*(f"{name}[0]" for name in steps), "W1", "W2", "b2"]
    c = next(line for line in lines if line.startswith("c[0] … c[19]"))
    assert c.endswith(f"│ {rms(lstm['c[0]'].grad)} … {rms(lstm['c[19]'].grad)}")
    f = next(line for line in lines if line.startswith("f[0] … f[19]"))
    assert f.split("│")[1].split()[0] == "0"  # c[−1] = 0, so the gradient of f[0] is exactly 0
    ratio = lstm["h[0]"].norm / lstm["h[19]"].norm
    assert lines[-1] == f"grad of h[0] … h[19]: ratio {text.fixed(ratio)}, ×{text.fixed(ratio ** (1 / 19))} per step ▼"


class Encoders(Module):
    """Two layers that read sequences of different lengths."""

    def __init__(self):
        self.short, self.long = RNN(2, 3, rng=0), LSTM(2, 3, rng=1)

    def forward(self, x):
        return self.short(x[:, :4]) + self.long(x)


def test_each_recurrent_layer_shows_how_its_gradient_decays():
    trace = mg.trace(mg.sum(mg.square(Encoders()(np.random.default_rng(2).normal(size=(5, 6, 2))))))
    drawn = boxes(trace.to_svg())
    for layer, steps, first in (("short", 4, "h[0]"), ("long", 6, "h[0]:2")):
        ratio = trace[f"{layer}/h[0]"].norm / trace[f"{layer}/h[{steps - 1}]"].norm
        decay = f"ratio {text.fixed(ratio)}, ×{text.fixed(ratio ** (1 / (steps - 1)))} per step"
        assert drawn[f"{layer}  ×{steps}"][-1].startswith(f"grad of {first} … h[{steps - 1}]: {decay}")


@pytest.mark.parametrize("layer", [RNN, GRU])
def test_a_recurrence_without_a_module_around_it_is_rolled_too(layer, rng):
    trace = mg.trace(mg.square(layer(2, 4, rng=1)(rng.normal(size=(3, 7, 2)))).mean())
    assert GraphView(trace).boxes[0].repeats == 7


class Loop(Module):
    """A cell, called step by step."""

    def __init__(self):
        self.cell = RNNCell(2, 4, rng=1)

    def forward(self, x):
        return self.states(x)[-1]

    def states(self, x):
        h = [None]
        for t in range(x.shape[1]):
            h.append(self.cell(x[:, t], h[-1]))
        return h[1:]


class Steps(Module):
    """The states after every step."""

    def __init__(self, loop):
        self.loop = loop

    def forward(self, x):
        return self.loop.states(x)


def test_a_loop_over_a_cell_is_rolled(rng):
    loop, x = Loop(), rng.normal(size=(3, 9, 2))
    view = GraphView(mg.trace(mg.square(loop(x)).mean()))
    assert [box.repeats for box in view.boxes] == [9, 1, 1]
    whole = next(iter(boxes(mg.trace(mg.stack(Steps(loop)(x)).sum()).to_svg()).values()))
    assert len(whole) == 6  # a title, nine states as one line, three parameters, the gain
    outside = GraphView(mg.trace(mg.square(loop.forward(x)).mean()))  # no module is called: op by op, from step 1 on
    assert [frame.repeats for frame in outside.frames] == [8]


def test_what_is_not_alike_is_not_folded(rng):
    shrinking = Sequential(*(Dense(n + 1, n, "tanh", rng=n) for n in (8, 7, 6, 5, 4)))
    assert [box.repeats for box in GraphView(mg.trace(shrinking(np.ones((2, 9))).sum())).boxes] == [1] * 6


def test_blocks_whose_values_are_used_elsewhere_are_not_folded(rng):
    h, total = mg.tensor(0.5, requires_grad=True, name="x"), mg.tensor(0.0, requires_grad=True, name="total")
    states = [h := mg.tanh(h) for _ in range(6)]
    for k in (3, 0, 5, 1, 2, 4):
        total = total + states[k]
    assert {box.repeats for box in GraphView(mg.trace(total)).boxes} == {1}


def test_a_block_is_as_long_as_it_reaches_back():
    a, b = (mg.tensor(x, requires_grad=True, name=name) for x, name in ((1.0, "a"), (2.0, "b")))
    for _ in range(20):  # Fibonacci's numbers: each is the sum of the last two
        a, b = b, a + b
    view = GraphView(mg.trace(b))
    assert [len(frame.boxes) for frame in view.frames] == [2]
    assert max(box.repeats for box in view.boxes) >= 9


def test_widths_are_shares_and_dashes_are_zeros(residual, rng):
    view = GraphView(residual, "op")
    for wire in (wire for box in view.boxes for wire in box.wires):
        edges = wire.copies[0]
        g = edges[0].input.grad.ravel()
        share = edges[0].contribution.ravel() @ g / (g @ g)
        width, _, dashed = style(wire)
        assert width == pytest.approx(0.8 + 2.7 * min(abs(share), 1))
        assert not dashed
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    zero = GraphView(mg.trace(mg.sum(x * np.zeros(2) + x)), "op")
    from_x = [style(wire)[2] for box in zero.boxes for wire in box.wires if wire.source == 0]
    assert from_x == [True, False]


def test_a_gradient_that_was_not_computed_is_not_drawn_as_0():
    x, c = mg.tensor(2.0, requires_grad=True, name="x"), mg.tensor(3.0, name="c")
    svg = mg.trace(x * c).to_svg()
    assert boxes(svg)["c"] == ["data 3 │ grad —"]
    lost = mg.trace(mg.relu(-x) * 1.0)
    assert boxes(lost.to_svg())["x"] == ["data 2 │ grad 0"]
    assert any(lines[-1] == "gain 0.000 ▼" for lines in boxes(lost.to_svg()).values())
    assert any(lines[-1] == "gain —" for lines in boxes(lost.to_svg()).values())  # a gradient of 0 has no gain


@pytest.mark.parametrize("zoom", ZOOMS)
def test_a_value_that_no_op_computed_is_a_picture_of_its_own(zoom):
    trace = mg.trace(mg.tensor(3.0, requires_grad=True, name="x"))
    assert boxes(trace.to_svg(zoom)) == {"x": ["data 3 │ grad 1"]}


def test_each_use_of_a_leaf_is_a_line():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    trace = mg.trace(x * x + x)
    assert words(trace.to_svg()).count("42.9%") == 2  # 3/7
    assert "14.3%" in words(trace.to_svg())


def test_boxes_are_blue_where_gradients_shrink_and_red_where_they_grow(deep):
    view = GraphView(deep, "op")
    for box in view.boxes:
        red, blue = (int(colour(box)[k : k + 2], 16) for k in (1, 5))
        if box.gain is None:
            assert colour(box) == GREY
        else:
            assert np.sign(red - blue) == np.sign(round(np.log10(box.gain), 2)) or abs(np.log10(box.gain)) < 0.02
    assert colour(box_of(0.01)) == BLUE
    assert colour(box_of(100.0)) == RED
    assert colour(box_of(1.0)) == "#FFFFFF"
    assert colour(box_of(0.0)) == BLUE


def box_of(gain):
    x = mg.tensor(1.0, requires_grad=True)
    return GraphView(mg.trace(x * gain), "op").boxes[-1]


def test_of_two_numbers_neither_is_the_weight():
    a, b = (mg.tensor(x, requires_grad=True, name=name) for x, name in ((2.0, "a"), (-3.0, "b")))
    trace = mg.trace(a * b)
    assert boxes(trace.to_svg())["L = multiply(a, b)"][-1] == "gain 3.000 and 2.000 ▲"
    assert "to b: upstream × a, gain 2.000" in trace.to_dot()  # not b, as the op calls its second operand


def test_a_mask_is_an_array_and_not_the_input():
    model = Sequential(Dense(2, 4, rng=0), Dropout(0.5, rng=0), Dense(4, 1, rng=1))
    assert "multiply(z1, array)" in mg.trace(mg.sum(model(np.ones((3, 2))))).to_dot()


# In three languages


@pytest.mark.parametrize("zoom", ZOOMS)
def test_the_figure_says_what_the_svg_says(residual, zoom):
    from matplotlib import pyplot

    (ax,) = residual.draw(zoom=zoom).axes
    assert sorted(t.get_text() for t in ax.texts) == sorted(words(residual.to_svg(zoom)))
    assert any("How to read" in t.get_text() for t in ax.texts)
    wires = [patch for patch in ax.patches if patch.get_gid() == "wire"]
    expected = [style(wire)[0] for wire, _ in scene(residual, zoom).wires]
    assert np.corrcoef([wire.get_linewidth() for wire in wires], expected)[0, 1] == pytest.approx(1)
    assert pyplot.get_fignums() == []


def test_a_figure_is_saved_and_fits_into_given_axes(mlp, tmp_path):
    figure = mlp.draw(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 10_000
    ax = type(figure)(figsize=(4, 4)).subplots()
    assert mlp.draw(ax=ax) is ax.figure
    for line in ax.texts:
        extent = line.get_window_extent()
        assert extent.x1 <= ax.figure.bbox.x1
        assert extent.y0 >= 0


def test_text_stays_in_its_box(trace):
    (ax,) = trace.draw().axes
    frames = [patch.get_window_extent() for patch in ax.patches if patch.get_gid() == "box"]
    inside = {line for box in GraphView(trace).boxes for line in boxes_lines(box)}
    lines = [t for t in ax.texts if t.get_text() in inside]
    assert len(lines) > len(frames)
    for line in lines:
        extent = line.get_window_extent()
        assert any(f.x0 <= extent.x0 and extent.x1 <= f.x1 and f.y0 <= extent.y0 for f in frames), line.get_text()


def boxes_lines(box):
    from minigrad.inspection.draw.words import lines_of

    return lines_of(box)


@pytest.mark.parametrize("zoom", ZOOMS)
def test_dot_has_the_same_boxes_and_lines(residual, zoom):
    dot, view = residual.to_dot(zoom), GraphView(residual, zoom)
    assert len(re.findall(r"^  n\d+ \[", dot, re.M)) == len(view.boxes)
    assert len(re.findall(r"^  n\d+ -> n\d+ \[", dot, re.M)) == sum(len(box.wires) for box in view.boxes)
    assert dot.count("subgraph cluster") == len(view.frames)
    assert dot.count("{") == dot.count("}")
    for title in boxes(residual.to_svg(zoom)):
        assert title.strip("'") in dot


def test_boxes_say_their_formulas(mlp):
    tips = [group.find(f"{SVG}title").text for group in ET.fromstring(mlp.to_svg("op")).iter(f"{SVG}g")]
    assert len(tips) == len(mlp.nodes)
    (tip,) = (tip for tip in tips if tip.startswith("h1 ="))
    assert f"to z1: upstream × σ'(z1): σ(1−σ), gain {text.fixed(mlp.edges(into='z1')[0].gain)}" in tip


def test_any_name_may_be_drawn(tmp_path):
    x = mg.tensor([1.0, 2.0], requires_grad=True, name='<b>&"\x00\n\\' + "x" * 300)
    trace = mg.trace(mg.sum(x * x))
    (name,) = (title for title in boxes(trace.to_svg()) if title.startswith("<b>"))
    assert name.startswith('<b>&"��\\xxx')
    assert len(name) == 90
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', trace.to_dot())
    assert any(label.startswith('<b>&\\"��\\\\xxx') for label in labels)
    trace.draw(tmp_path / "named.png")


def test_what_is_not_a_number_has_no_direction():
    x = mg.tensor([1.0, np.nan], requires_grad=True, name="x")
    svg = mg.trace(mg.sum(mg.tanh(x))).to_svg("op")
    (lines,) = (lines for title, lines in boxes(svg).items() if title.endswith("tanh(x)"))
    assert lines[-1] == "gain —"


def test_numbers_beyond_all_bounds():
    x = mg.tensor([1e200, np.nan, 1.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        svg = mg.trace(mg.sum(mg.exp(x) * x)).to_svg()
    assert "nan" in svg
    x = mg.tensor([1e-200, 1e-200], requires_grad=True, name="x")
    assert "2.00e-200" in mg.trace(mg.sum(x * x * np.array([1e-50, 1.0])) * 1.0).to_svg("op")


# Places


@pytest.mark.parametrize("n", [3, 60, 1800])
def test_boxes_do_not_overlap_and_lines_lead_down(n):
    random.seed(n)
    sources = [random.sample(range(max(0, i - 9), i), min(i, random.choice([0, 1, 1, 2, 3]))) for i in range(n)]
    sizes = [(random.uniform(30, 300), random.uniform(20, 90)) for _ in range(n)]
    start = time.process_time()
    placed = layout(sizes, sources)
    assert time.process_time() - start < 0.5 * (1 + 4 * (sys.gettrace() is not None))  # slower under coverage
    rows = {}
    for (x, y), (width, height) in zip(placed.corners, sizes, strict=True):
        rows.setdefault(y, []).append((x, x + width, y + height))
        assert x >= 0
        assert x + width <= placed.width + 1e-6
    tops = sorted(rows)
    for top, following in zip(tops, [*tops[1:], np.inf], strict=True):
        row = sorted(rows[top])
        assert all(left[1] < right[0] for left, right in pairwise(row))
        assert max(bottom for _, _, bottom in row) < following
    for (i, k), course in placed.courses.items():
        j = sources[i][k]
        assert course[0][1] == pytest.approx(placed.corners[j][1] + sizes[j][1])
        assert course[-1][1] == placed.corners[i][1]
        heights = [y for _, y in course]
        assert heights == sorted(heights)


def test_lines_that_pass_a_row_go_round_its_boxes(residual):
    s = scene(residual, "op")
    bends = [(x, y) for _, points in s.wires for x, y in points if (x, y) not in (points[0], points[-1])]
    assert bends
    for x, y in bends:
        assert not [b for b, left, top, width, height, _ in s.boxes if 0 < x - left < width and 0 < y - top < height]


def tangled(rng):
    """Values with many users, so that many shares are written where their lines begin."""
    values = [mg.tensor(rng.normal(size=(2, 3)), requires_grad=True) for _ in range(4)]
    for a, b in ("43", "32", "21", "11", "14", "34", "33", "43", "33", "34", "24", "31"):
        values.append(mg.maximum(values[-int(a)], values[-int(b)]))
    return mg.trace(mg.sum(sum(values)))


def far(rng):
    """Shortcuts over so many rows that their lines are drawn behind the boxes instead of around them."""
    blocks = (Residual(Dense(4, 4, "tanh", rng=i), BatchNorm(4), Dense(4, 4, rng=9 + i)) for i in range(3))
    return trace_of(Sequential(*blocks, Dense(4, 1, rng=7)), rng)


def two_lstms(rng):
    return mg.trace(mg.square(LSTM(2, 4, layers=2, rng=0)(rng.normal(size=(3, 4, 2)))).mean())


@pytest.mark.parametrize("make", [tangled, far, two_lstms])
def test_shares_stand_on_no_box_and_not_on_each_other(make, rng):
    s = scene(make(rng), "op")
    shares = [(x, x + width, y - 10, y) for _, x, y, width in labels(s)]
    assert len(shares) >= 8
    others = [(x, x + width, y, y + height) for _, x, y, width, height, _ in s.boxes]
    for k, (left, right, top, bottom) in enumerate(shares):
        for a, b, c, d in (*shares[:k], *others):
            assert right <= a or b <= left or bottom <= c or d <= top


def test_inputs_stand_from_left_to_right():
    x = [mg.tensor(float(k), requires_grad=True, name=f"x{k}") for k in range(6)]
    trace = mg.trace(mg.sum(mg.stack(x)))
    places = {box.last[0].symbol: left for box, left, *_ in scene(trace, "op").boxes}
    assert sorted((symbol for symbol in places if symbol.startswith("x")), key=places.get) == [
        f"x{k}" for k in range(6)
    ]


def test_inputs_keep_their_order_whatever_was_computed_first():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    first, second = mg.tanh(x), mg.sigmoid(x)
    places = {box.last[0].op: left for box, left, *_ in scene(mg.trace(second - first), "op").boxes}
    assert places["sigmoid"] < places["tanh"]


def test_a_chain_stands_upright(deep):
    s = scene(deep, "op")
    centres = [left + width / 2 for box, left, _, width, *_ in s.boxes if not box.is_leaf]
    assert max(centres) - min(centres) < 20


def test_1800_values_are_drawn_in_seconds(rng):
    trace = trace_of(Sequential(*(Dense(4, 4, "tanh", rng=i) for i in range(360)), Dense(4, 1, rng=0)), rng)
    assert len(trace.nodes) > 1800
    start = time.process_time()
    assert len(boxes(trace.to_svg("op"))) == len(trace.nodes)
    assert time.process_time() - start < 10
    assert len(trace.to_svg()) < 10_000


# What else it does, and does not


@pytest.mark.parametrize("zoom", ZOOMS)
def test_every_kind_of_net_has_as_many_boxes_in_svg_and_dot(make_net, kind, zoom):
    net = make_net(kind)
    for expand in (True, False):
        trace = mg.trace(net.loss, expand=expand)
        assert len(boxes(trace.to_svg(zoom))) == len(re.findall(r"^  n\d+ \[", trace.to_dot(zoom), re.M)) > 1


def test_drawing_changes_nothing_and_may_come_after_the_step(make_net):
    net = make_net("mlp")
    trace, not_yet_drawn = mg.trace(net.loss), mg.trace(net.loss)
    before = boxes(trace.to_svg()).keys()
    net.model[0].weight.data += 1.0
    assert all(leaf.grad is None for leaf in net.leaves)
    assert boxes(trace.to_svg()).keys() == boxes(not_yet_drawn.to_svg()).keys() == before


def test_a_notebook_shows_text_and_picture(mlp, monkeypatch):
    bundle = mlp._repr_mimebundle_()
    assert bundle == {"text/plain": str(mlp), "image/svg+xml": mlp.to_svg()}
    monkeypatch.setattr(display, "LARGEST", 5)
    assert list(mlp._repr_mimebundle_()) == ["text/plain"]


def test_without_the_room(mlp, monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrad.inspection.draw", None)
    assert list(mlp._repr_mimebundle_()) == ["text/plain"]
    for method in (mlp.draw, mlp.to_svg, mlp.to_dot):
        with pytest.raises(ModuleNotFoundError, match="pictures need minigrad/inspection/draw"):
            method()


def test_there_are_two_zooms(mlp):
    with pytest.raises(ValueError, match="zoom is 'layer' or 'op', not 'element'"):
        mlp.draw(zoom="element")


def test_the_notebook_runs():
    path = Path(mg.__file__).parents[1] / "demos/inspection.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names, code = {}, [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        exec("".join(cell["source"]), names)
    assert "∂L/∂W1" in names["chain"].text()
