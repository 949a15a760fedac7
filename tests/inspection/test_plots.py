"""Every number in a picture is one of the trace; every picture says how it is read, and can be read at 50 layers."""

import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, Dense, Residual, Sequential
from optim import SGD

draw = pytest.importorskip("minigrad.inspection.draw")
from matplotlib import colormaps  # noqa: E402  (only where the room is there)
from matplotlib.colors import to_rgb  # noqa: E402  (only where the room is there)
from matplotlib.figure import Figure  # noqa: E402  (as above)

from minigrad.inspection import text  # noqa: E402  (as above)
from minigrad.inspection.draw.paper import CAUSES, Layers, shown  # noqa: E402  (as above)


def plain(depth, activation="sigmoid", width=6):
    """Trace, model and input of a net whose layers are called z1, z2 … and y."""
    model = Sequential(
        *(Dense(4 if i == 0 else width, width, activation, rng=i) for i in range(depth)), Dense(width, 3, rng=99)
    )
    x = mg.tensor(np.random.default_rng(0).normal(size=(8, 4)), requires_grad=True, name="x")
    return mg.trace(mg.mse(model(x), np.ones((8, 3)))), model, x


def residual(depth):
    blocks = (Residual(Dense(4, 4, "tanh", rng=i)) for i in range(depth))
    model = Sequential(*blocks, Dense(4, 3, rng=99))
    x = mg.tensor(np.random.default_rng(0).normal(size=(8, 4)), requires_grad=True, name="x")
    return mg.trace(mg.mse(model(x), np.ones((8, 3)))), model, x


def recurrent(layer, steps, **options):
    h = layer(2, 4, rng=0, **options)(np.random.default_rng(0).normal(size=(3, steps, 2)))
    return mg.trace(mg.mean(mg.square(h)))


def dead():
    """No gradient passes the second of three layers."""
    model = Sequential(Dense(4, 5, "relu", rng=0), Dense(5, 5, "relu", rng=1), Dense(5, 1, rng=2))
    model[1].bias.data -= 100
    return mg.trace(mg.mse(model(np.random.default_rng(0).normal(size=(8, 4))), np.ones((8, 1)))), model


def watched(depth=2, optimizer=True):
    model = plain(depth, "tanh")[1]
    x, t = np.random.default_rng(1).normal(size=(8, 4)), np.ones((8, 3))
    sgd = SGD(model.parameters(), lr=0.01)
    with mg.GradientMonitor(model, sgd if optimizer else None) as monitor:
        for _ in range(6):
            sgd.zero_grad()
            mg.mse(model(x), t).backward()
            monitor.step()
            sgd.step()
    return monitor


DEAD = {
    "flow": lambda: draw.flow(dead()[0]),
    "ridge": lambda: draw.ridge(dead()[0]),
    "spectrum": lambda: draw.spectrum(dead()[0]),
    "path_lengths": lambda: dead()[0].by_path_length("W1").plot(),
}
PICTURES = {
    "plot_chain": lambda n: plain(n)[0].chain(to="x").plot(),
    "plot_chain of an LSTM": lambda n: recurrent(LSTM, n).chain(to="h[0]").plot(),
    "flow": lambda n: draw.flow(plain(n)[0]),
    "flow of blocks": lambda n: residual(n)[0].plot(),
    "flow of an LSTM": lambda n: draw.flow(recurrent(LSTM, n)),
    "ridge": lambda n: draw.ridge(plain(n)[0]),
    "ridge of values": lambda n: draw.ridge(plain(n, "relu")[0], "value"),
    "spectrum": lambda n: draw.spectrum(plain(n)[0]),
    "spectrum of a GRU": lambda n: draw.spectrum(recurrent(GRU, n)),
    "lens": lambda n: draw.lens(plain(n)[0]),
    "through_time": lambda n: draw.through_time(recurrent(LSTM, n, layers=2)),
    "lag_matrix": lambda n: draw.lag_matrix(recurrent(RNN, n).lag_matrix("h[*]")),
    "unit_map": lambda n: draw.unit_map(plain(n, "relu")[0]),
    "unit_map of an LSTM": lambda n: draw.unit_map(recurrent(LSTM, n)),
    "path_lengths": lambda n: residual(n)[0].by_path_length("x", "activation").plot(),
    "update_ratios": lambda n: draw.update_ratios(watched(n)),
    "before_after": lambda n: draw.before_after(t := plain(n)[0], t.what_if({"kind:activation": 1.0})),
}


def captions(figure):
    return [artist.get_text() for artist in figure.findobj(lambda artist: artist.get_gid() == "how to read")]


def line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label).get_ydata()


def texts(ax):
    return [text.get_text() for text in ax.texts if not text.get_gid()]


def assert_one_sentence(caption):
    assert re.fullmatch(r"How to read: [^.!?]+\.", caption), caption
    assert len(caption) <= 150


def assert_legible(figure):
    """It says in one sentence how it is read, and its labels do not overlap."""
    assert isinstance(figure, Figure)
    (caption,) = captions(figure)
    assert_one_sentence(caption)
    assert_labels_apart(figure)


def assert_labels_apart(figure):
    figure.draw_without_rendering()
    for ax in figure.axes:
        for axis, side in ((ax.xaxis, 0), (ax.yaxis, 1)):
            boxes = [
                t.get_window_extent() for t in axis.get_ticklabels(which="both") if t.get_visible() and t.get_text()
            ]
            boxes = sorted((box.extents[side], box.extents[side + 2]) for box in boxes if box.overlaps(figure.bbox))
            assert all(end <= start + 1 for (_, end), (start, _) in pairwise(boxes)), (axis, boxes)


@pytest.mark.parametrize("depth", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_legible(make, depth):
    assert_legible(make(depth))


def test_long_labels_of_many_steps_are_apart():
    assert_legible(draw.flow(recurrent(LSTM, 130)))  # up to [h, c][129]


@pytest.mark.parametrize("make", DEAD.values(), ids=DEAD)
def test_a_picture_of_a_dead_net_is_legible(make):
    assert_legible(make())


def test_pictures_are_drawn_without_pyplot_and_written_where_wanted(tmp_path):
    code = (
        "import sys, minigrad as mg; x = mg.tensor(1.0, requires_grad=True, name='x');"
        "mg.trace(mg.tanh(mg.tanh(x))).plot(to='x', path='flow.png'); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert draw.flow(plain(2)[0])._repr_png_().startswith(b"\x89PNG")  # what a notebook shows


def test_a_picture_can_be_part_of_a_figure():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    trace, _, x = plain(3)
    assert trace.chain(to=x).plot(ax=left) is figure
    assert draw.flow(trace, ax=right) is figure
    assert len(captions(figure)) == 2


def test_without_the_room_a_sentence_says_what_is_missing(monkeypatch):
    trace = plain(1)[0]
    monkeypatch.setitem(sys.modules, "minigrad.inspection.draw", None)
    for make in (trace.plot, trace.chain("x").plot, trace.by_path_length("x").plot):
        with pytest.raises(ModuleNotFoundError, match=r"pictures need minigrad/inspection/draw and matplotlib"):
            make()


def test_causes_can_be_told_apart_in_grey():
    for (one, hatch), (other, other_hatch) in combinations(CAUSES.values(), 2):
        grey, other_grey = (np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) for colour in (one, other))
        assert hatch != other_hatch or abs(grey - other_grey) > 0.2


def test_maps_can_be_read_in_grey():
    """From the lowest value to the highest every map gets brighter, or darker: the sign is not lost."""
    root = Path(mg.__file__).parents[1]
    sources = [path.read_text() for room in ("minigrad", "demos") for path in (root / room).rglob("*.py")]
    names = {name for source in sources for name in re.findall(r"""cmap="(\w+)"|colormaps\["(\w+)"\]""", source)}
    assert len(names) > 3
    for name in map("".join, names):
        greys = colormaps[name](np.linspace(0, 1, 64))[:, :3] @ (0.299, 0.587, 0.114)
        steps = np.diff(greys)
        assert all(steps > 0) or all(steps < 0), name


def test_spectra_can_be_told_apart_in_grey():
    (ax,) = draw.spectrum(plain(4)[0]).axes
    named = [line for line in ax.get_lines() if str(line.get_label()).startswith("to the")]
    looks = {(line.get_linestyle(), line.get_marker() if line.get_markersize() else "") for line in named}
    assert len(looks) == len(named) == 4


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (draw.lens, 1),
        (draw.lens, 1e-6),
        (lambda trace: draw.before_after(trace, trace.what_if({"kind:activation": 1.0})), 1),
    ],
)
def test_no_line_goes_through_the_legend(make, size):
    _, model, x = plain(3)
    for w in model.parameters():
        w.data *= size
    (ax,) = make(mg.trace(mg.mse(model(x), np.ones((8, 3))))).axes
    ax.figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent().padded(4)  # half a marker
    for line in ax.get_lines():
        x, y = ax.transData.transform(line.get_xydata()).T
        steps = np.linspace(0, len(x) - 1, 20 * len(x))
        points = zip(*(np.interp(steps, np.arange(len(x)), at) for at in (x, y)), strict=True)
        assert not any(legend.contains(*point) for point in points), line.get_label()


# The numbers


@pytest.mark.parametrize("make", [plain, residual])
def test_numbers_of_a_chain(make):
    trace, _, x = make(4)
    chain = trace.chain(to=x)
    (ax,) = chain.plot().axes
    running = [1, *chain.running]
    dots = next(line for line in ax.get_lines() if line.get_marker() == ".")
    np.testing.assert_array_equal(dots.get_ydata(), running)
    bars = [bar for container in ax.containers for bar in container]
    for k, bar in enumerate(bars):
        np.testing.assert_allclose([bar.get_y(), bar.get_y() + bar.get_height()], running[k : k + 2], rtol=1e-12)
    assert len(bars) == len(chain)
    total = chain.ledger().total
    shown = {text.get_text().rsplit(" ", 1)[0]: text.get_text().rsplit(" ", 1)[1] for text in ax.get_legend().texts}
    expected = {column: value for column, value in total.items() if value and column != "total"}
    if "activation type" in expected:
        expected["activations"] = expected.pop("activation type") + expected.pop("operating point")
    assert {k: float(v.replace("−", "-")) for k, v in shown.items()} == {
        k: pytest.approx(v, abs=0.0051) for k, v in expected.items()
    }


def test_numbers_of_the_flow():
    trace, _, x = plain(5)
    ax, below, bars = draw.flow(trace, to=x).axes
    names = ["z1", "z2", "z3", "z4", "z5", "y"]
    assert [label.get_text() for label in below.get_xticklabels()] == names
    for found, arrays in (
        (line(ax, "gradient, RMS"), [trace[name].grad for name in names]),
        (below.get_lines()[0].get_ydata(), [trace[name].value for name in names]),
    ):
        np.testing.assert_allclose(found, [np.sqrt(np.mean(array**2)) for array in arrays], rtol=1e-12)
    band = next(c for c in ax.collections if c.get_label() == "5–95% of |gradient|").get_paths()[0].vertices
    for k, name in enumerate(names):
        expected = np.percentile(np.abs(trace[name].grad), [5, 95])
        np.testing.assert_allclose([min(band[band[:, 0] == k, 1]), max(band[band[:, 0] == k, 1])], expected)
    rows = trace.chain(to=x).ledger().rows[::-1]
    for container in bars.containers:
        column = container.get_label().rsplit(" ", 1)[0]
        np.testing.assert_allclose([bar.get_height() for bar in container], [row[column] for _, row in rows])
    for k, (_, row) in enumerate(rows):  # stacked without gaps, up and down from 0
        pieces = [(c[k].get_y(), c[k].get_height()) for c in bars.containers]
        assert sum(h for _, h in pieces if h < 0) == pytest.approx(min(min(y + h, 0) for y, h in pieces))
        assert sum(h for _, h in pieces) == pytest.approx(sum(row.values()))


def test_the_values_of_a_flow_have_an_axis_with_several_numbers():
    below = draw.flow(plain(3)[0]).axes[1]
    below.figure.draw_without_rendering()
    numbers = {label.get_text() for label in below.get_yticklabels(which="both")}
    assert {"0.2", "0.5", "2"} <= numbers


def test_numbers_between_powers_of_ten_are_written_like_them():
    below = draw.flow(mg.trace(mg.tanh(mg.tensor(0.6, requires_grad=True)) * 2.0)).axes[1]
    below.figure.draw_without_rendering()
    assert {"0.5", "1"} <= {label.get_text() for label in below.get_yticklabels(which="both")}  # not 10⁰


def test_flow_of_an_lstm_shows_h_and_c_together():
    trace = recurrent(LSTM, 5)
    ax = draw.flow(trace).axes[0]
    layers = Layers(trace)
    at = layers.names.index("[h, c][2]")
    both = np.concatenate([trace["h[2]"].grad, trace["c[2]"].grad])
    assert line(ax, "gradient, RMS")[at] == pytest.approx(np.sqrt(np.mean(both**2)))


def test_zero_is_marked_and_not_drawn():
    trace, model = dead()
    ax = draw.flow(trace, to=model[0].weight).axes[0]
    np.testing.assert_array_equal(np.isnan(line(ax, "gradient, RMS")), [True, True, False])
    assert texts(ax) == ["0", "0"]
    (ax,) = trace.chain(to=model[0].weight).plot().axes
    assert texts(ax) == ["0"] * 4  # φ' of the dead layer and the factors after it
    assert ax.get_title("left").endswith("‖gradient‖ × 0")
    assert "nan" not in "".join(text.get_text() for text in ax.get_legend().texts)


@pytest.mark.parametrize(
    "make", [draw.spectrum, lambda trace: trace.chain("W1").plot(), lambda trace: draw.before_after(trace, trace)]
)
def test_a_zero_stands_within_the_axes(make):
    (ax,) = make(dead()[0]).axes
    ax.figure.draw_without_rendering()
    zeros = [text for text in ax.texts if text.get_text() == "0"]
    assert zeros
    for zero in zeros:
        extent = zero.get_window_extent()
        assert ax.bbox.x0 <= extent.x0
        assert extent.x1 <= ax.bbox.x1


def test_a_value_of_zero_stands_at_the_end_of_the_small_ones():
    model = Sequential(Dense(4, 5, "relu", rng=0), Dense(5, 5, "relu", rng=1), Dense(5, 1, rng=2))
    model[1].bias.data -= 100  # so y is 0
    below = draw.flow(mg.trace(mg.mse(model(np.ones((8, 4))), np.ones((8, 1))))).axes[1]
    below.figure.draw_without_rendering()
    (zero,) = (text.get_window_extent() for text in below.texts if text.get_text() == "0")
    smallest, largest = below.transData.transform([(0, y) for y in sorted(below.get_ylim())])[:, 1]
    assert abs((zero.y0 + zero.y1) / 2 - smallest) < 0.1 * abs(largest - smallest)


def test_where_all_gradients_are_zero_there_is_no_band():
    model = Sequential(*(Dense(5, 5, "relu", rng=k) for k in range(4)), Dense(5, 3, rng=9))
    for k, bias in ((1, -100), (2, 1), (3, 1)):  # no gradient passes z2: the band is that of z3, z4 and y
        model[k].bias.data += bias
    trace = mg.trace(mg.mse(model(np.random.default_rng(0).normal(size=(8, 5))), np.ones((8, 3))))
    ax = draw.flow(trace).axes[0]
    band = next(c for c in ax.collections if c.get_label() == "5–95% of |gradient|").get_paths()
    assert [set(path.vertices[:, 0]) for path in band] == [{2, 3, 4}]


def test_what_is_not_finite_is_marked():
    x = mg.tensor([0.0, 0.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        trace = mg.trace(mg.tanh(mg.tanh(x * 1e10) * 1e10), gradient=[1e300, 1e300])
        assert trace["x"].norm == np.inf
        for make in (draw.flow, draw.ridge):
            make(trace, to="x").draw_without_rendering()
        (ax,) = trace.chain("x").plot().axes
    assert "∞" in texts(ax)


@pytest.mark.parametrize(("bad", "sign"), [(0.0, "0"), (np.inf, "∞"), (np.nan, "nan")])
def test_what_a_logarithmic_axis_cannot_show_stands_at_its_end(bad, sign):
    """0 at the small end, the others at the large one, also where the axis points downwards."""
    ax, below, _ = draw.flow(
        mg.trace(mg.tanh(mg.tanh(mg.tensor([0.5, 1.0], requires_grad=True, name="x"))), [1, 1])
    ).axes
    for of in (ax, below):
        assert list(np.isnan(shown(of, [1.0, bad, 2.0]))) == [False, True, False]
        of.figure.draw_without_rendering()
        mark = of.texts[-1].get_window_extent()
        assert of.texts[-1].get_text() == sign
        small, large = of.transData.transform([(0, y) for y in sorted(of.get_ylim())])[:, 1]
        end = small if sign == "0" else large
        assert abs((mark.y0 + mark.y1) / 2 - end) < 0.2 * abs(large - small)


@pytest.mark.parametrize("of", ["gradient", "value"])
def test_numbers_of_a_ridge(of):
    trace = plain(4)[0]
    (ax,) = draw.ridge(trace, of).axes
    hills = {np.max(p.get_data().baseline): p.get_data() for p in ax.patches if hasattr(p, "get_data")}
    for k, name in enumerate(["z1", "z2", "z3", "z4", "y"]):
        array = trace[name].grad if of == "gradient" else trace[name].value
        counts, _ = np.histogram(array, hills[k].edges)
        assert counts.sum() == array.size
        np.testing.assert_allclose(hills[k].values, k + 1.6 * counts / counts.max())
    widths = np.diff(ax.xaxis.get_transform().transform(hills[0].edges))
    np.testing.assert_allclose(widths, widths[0])


@pytest.mark.parametrize(("activation", "edge"), [("sigmoid", np.arccosh(np.sqrt(10)) * 2), ("relu", 0)])
def test_what_is_shaded_passes_less_than_a_tenth(activation, edge):
    (ax,) = draw.ridge(plain(3, activation)[0], "value").axes
    zones = [
        patch.get_window_extent().transformed(ax.transData.inverted()) for patch in ax.patches if patch.zorder == 0
    ]
    assert len(zones) == (2 if activation == "sigmoid" else 1)
    assert min(abs(zone.x1) for zone in zones) == pytest.approx(edge, abs=0.02)


def test_a_ridge_counts_what_no_hill_can_hold():
    model = Sequential(Dense(4, 6, "tanh", rng=0), Dense(6, 3, rng=1))
    x = np.ones((5, 4))
    x[1, 2], x[3] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        (ax,) = draw.ridge(mg.trace(mg.sum(model(x))), "value").axes
    assert [t.get_text() for t in ax.texts if not t.get_gid()] == ["6 not finite", "12 not finite"]
    assert [round(t.get_position()[1]) for t in ax.texts if not t.get_gid()] == [1, 0]  # y and z1


@pytest.mark.parametrize("activation", ["sigmoid", None, "relu"])
def test_a_caption_speaks_of_a_grey_zone_where_there_is_one(activation):
    (ax,) = draw.ridge(plain(3, activation)[0], "value").axes
    assert ("grey zone" in captions(ax.figure)[0]) == any(patch.zorder == 0 for patch in ax.patches)
    assert_one_sentence(captions(ax.figure)[0].replace("\n", " "))


def test_an_axis_of_values_shows_where_it_is_logarithmic():
    (ax,) = draw.ridge(plain(3)[0], "value").axes  # linear up to 1
    assert {2.0, 3.0, 4.0, 5.0} <= set(ax.xaxis.get_minorticklocs())


def test_numbers_of_a_spectrum():
    trace = plain(4)[0]
    (ax,) = draw.spectrum(trace, sample=2).axes
    names = ["z1", "z2", "z3", "z4"]
    steps = [trace.jacobian(above, below, sample=2) for below, above in pairwise(names)]
    whole = [trace.jacobian("z4", below, sample=2) for below in names[:-1]]
    for label, matrices in (("next", steps), ("last", whole)):
        values = [np.linalg.svd(matrix, compute_uv=False) for matrix in matrices]
        np.testing.assert_allclose(line(ax, f"to the {label} layer, largest"), [v[0] for v in values], rtol=1e-10)
        np.testing.assert_allclose(line(ax, f"to the {label} layer, median"), [np.median(v) for v in values], rtol=1e-8)
    marks = [line.get_ydata() for line in ax.get_lines() if line.get_marker() == "_"]
    every = np.concatenate([np.linalg.svd(matrix, compute_uv=False) for matrix in steps])
    np.testing.assert_allclose(marks[0], every, rtol=1e-10)


def test_the_spectrum_of_one_layer_shows_its_median():
    (ax,) = draw.spectrum(plain(1)[0]).axes
    medians = [line for line in ax.get_lines() if line.get_label().endswith("median")]
    assert [len(line.get_xdata()) for line in medians] == [1, 1]  # a line through one point is none
    assert all(line.get_marker() != "None" and line.get_markersize() for line in medians)


@pytest.mark.parametrize("batch", [4, 5])
def test_the_spectrum_of_layers_that_share_a_weight(batch):
    """The weight that ends the chain counts as no layer, even with as many rows as the batch."""
    layer = Dense(4, 4, "tanh", rng=0)
    trace = mg.trace(mg.sum(Sequential(layer, layer, layer, Dense(4, 1, rng=1))(np.ones((batch, 4)))))
    (ax,) = draw.spectrum(trace, sample=3).axes
    above, below = trace.chain(to=layer.weight).ledger().places[:2]
    values = np.linalg.svd(trace.jacobian(above, below, sample=3), compute_uv=False)
    np.testing.assert_allclose(line(ax, "to the next layer, largest"), values[:1], rtol=1e-10)


def test_rounding_errors_are_no_singular_values():
    w = np.outer(np.arange(1.0, 5), np.arange(1.0, 5))  # of rank 1
    model = Sequential(*(Dense(4, 4, "tanh", bias=False, init=w / 30) for _ in range(4)))
    (ax,) = draw.spectrum(mg.trace(mg.sum(model(np.ones((2, 4)))))).axes
    assert min(np.nanmin(line.get_ydata(), initial=1) for line in ax.get_lines()) > 1e-6
    for label in ("to the next layer", "to the last layer"):
        assert not np.isnan(line(ax, f"{label}, largest")).any()
        assert np.isnan(line(ax, f"{label}, median")).all()  # three of four are rounding errors
    assert not texts(ax)


def test_a_median_does_not_rise_because_smaller_values_drown_in_rounding_errors():
    w = np.diag([1, 0.1, 0.01])
    x = h = mg.tensor(np.ones((1, 3)), requires_grad=True)
    for _ in range(20):
        h = h @ mg.tensor(w, requires_grad=True)
    (ax,) = draw.spectrum(mg.trace(h, np.ones((1, 3))), to=x).axes
    medians = line(ax, "to the last layer, median")
    lengths = np.arange(len(medians), 0, -1.0)
    known = ~np.isnan(medians)
    np.testing.assert_allclose(medians[known], 10 ** -lengths[known])
    assert 10 < sum(known) < 16  # 1e-16 is a rounding error of 1


def test_numbers_of_a_lens():
    trace, model, _ = plain(3)
    (ax,) = draw.lens(trace).axes
    curve = next(line for line in ax.get_lines() if line.get_label() == "|w·φ'(z)| = 1")
    s = 1 / (1 + np.exp(-curve.get_xdata()))
    np.testing.assert_allclose(curve.get_ydata() * s * (1 - s), 1)
    assert min(curve.get_ydata()) == pytest.approx(4)  # Nielsen: no gradient grows unless |w| ≥ 4
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    for k, name in enumerate(["z1", "z2", "z3"]):
        z = trace[name].value
        closest = np.argmin(np.abs(z), axis=0)  # where σ' is largest
        np.testing.assert_allclose(dots[k].get_xdata(), z[closest, range(6)])
        np.testing.assert_allclose(dots[k].get_ydata(), np.abs(model[k].weight.data).max(axis=0))
    assert ax.get_title("left").endswith("0 of 18")


X, W, B = (np.random.default_rng(0).normal(size=size) for size in ((5, 3), (3, 4), (1, 4)))


@pytest.mark.parametrize(
    ("left", "right", "b", "slot"),
    [(X, W, B, 1), (W.T, X.T, B.T, 0), (W.T, X[0], B[0], 0), (X, W[:, 0], B[0, :1], 1)],
    ids=["samples are rows", "samples are columns", "one sample", "one unit"],
)
@pytest.mark.parametrize("bias_first", [False, True])
def test_lens_finds_the_units_however_a_layer_is_written(left, right, b, slot, bias_first):
    x, w = (mg.tensor(array, requires_grad=i == slot) for i, array in enumerate((left, right)))
    b = mg.tensor(b, requires_grad=True)
    z = b + x @ w if bias_first else x @ w + b
    (ax,) = draw.lens(mg.trace(mg.sum(mg.tanh(z)))).axes
    (dots,) = [line for line in ax.get_lines() if line.get_marker() == "o"]
    zs, units = (X[:1] if right.shape == (3,) and slot == 0 else X) @ W + B, len(dots.get_xdata())
    assert units == (1 if b.size == 1 else 4)
    closest = np.argmin(np.abs(zs), axis=0)  # where tanh' is largest
    np.testing.assert_allclose(dots.get_xdata(), zs[closest, range(4)][:units])
    np.testing.assert_allclose(dots.get_ydata(), np.abs(W).max(axis=0)[:units])


def test_lens_counts_the_units_that_can_strengthen_a_gradient():
    x, b = mg.tensor([[1.0]]), mg.tensor([0.0, 0.0, -20.0])
    w = mg.tensor([[3.0, 8.0, 20.0]], requires_grad=True)
    z = x @ w + mg.tensor(b.data - [3, 8, 0], requires_grad=True)  # all z = 0
    (ax,) = draw.lens(mg.trace(mg.sum(mg.sigmoid(z)))).axes
    assert ax.get_title("left").endswith("2 of 3")


def test_numbers_through_time():
    trace = recurrent(LSTM, 6, layers=2)
    ax = draw.through_time(trace).axes[0]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["layers.1 h", "layers.1 c", "layers.0 h", "layers.0 c"]
    found = ax.collections[0].get_array().reshape(4, 6)
    for row, name in zip(found, rows, strict=True):
        scope, letter = name.split()
        expected = [np.linalg.norm(trace[f"{scope}/{letter}[{t}]"].grad) for t in range(6)]
        np.testing.assert_allclose(10**row, expected, rtol=1e-12)


def test_what_was_not_computed_is_a_dash_and_what_is_zero_a_0():
    h, w = mg.tensor(np.ones((2, 2)), name="h[0]"), mg.tensor(np.eye(2), requires_grad=True)
    first = mg.matmul(h, w)
    first.name = "h[1]"
    second = mg.relu(first - 100)
    second.name = "h[2]"
    ax = draw.through_time(mg.trace(mg.sum(second))).axes[0]
    assert texts(ax)[:2] == ["—", "0"]  # a constant has no gradient; that of h[1] is 0
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.collections[0].get_array()).ravel(), [True, True, False])


def test_what_is_no_number_is_not_called_anything_else():
    """A gradient, an effect or a slope that is NaN is neither ∞ nor absent, and its unit not healthy."""
    x = np.zeros((3, 4, 2))
    x[0, 2] = np.nan
    trace = mg.trace(mg.mean(mg.square(RNN(2, 4, rng=0)(x))))
    assert texts(draw.through_time(trace).axes[0]) == ["nan"] * 4
    written = texts(draw.lag_matrix(trace.lag_matrix("h[*]")).axes[0])
    assert (written.count("—"), written.count("nan")) == (6, 5)  # h[2] and h[3] on all before them
    assert texts(draw.unit_map(trace).axes[0]) == ["nan"] * 4
    shares = draw.unit_map({"one": [0.5, np.nan], "two": [0.5]}).axes[0]
    assert texts(shares) == ["nan", "—"]


def test_zeros_of_many_steps_are_still_called_0():
    h = mg.tensor(np.ones((1, 2)), requires_grad=True)
    for t in range(1000):
        h = mg.relu(h + 1 if t else h - 100)
        h.name = f"h[{t}]"
        h = h * float(t != 600)
    signs = texts(draw.through_time(mg.trace(mg.sum(h))).axes[0])
    assert set(signs) == {"0"}
    assert 200 < len(signs) <= 400


@pytest.mark.parametrize("layer", [RNN, GRU])
def test_numbers_of_a_lag_matrix(layer):
    lags = recurrent(layer, 6).lag_matrix("h[*]")
    ax = draw.lag_matrix(lags).axes[0]
    found = np.ma.filled(10 ** ax.collections[0].get_array().reshape(6, 6), 0)
    np.testing.assert_allclose(found, lags, rtol=1e-12)
    low, high = ax.collections[0].get_clim()
    assert low == -high  # a gain of 1 is in the middle
    written = {(t, k): text.number(lags[t, k], 2) for t in range(6) for k in range(t + 1)}
    shown = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts if not t.get_gid()}
    assert {cell: of for cell, of in shown.items() if of != "—"} == written


def test_numbers_of_path_lengths():
    trace, _, x = residual(6)
    parts = trace.by_path_length(x, "activation")
    ax, counts = parts.plot().axes
    whole = trace[x].grad
    shares = {length: np.sum(part * whole) / np.sum(whole**2) for length, part in parts.items()}
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for c in ax.containers for bar in c}
    assert bars == {length: pytest.approx(of_all) for length, of_all in shares.items()}
    assert sum(bars.values()) == pytest.approx(1)
    assert dict(zip(*counts.get_lines()[0].get_data(), strict=True)) == parts.counts
    for container, sign in zip(ax.containers, (1, -1), strict=False):
        assert all(sign * bar.get_height() > 0 for bar in container)


@pytest.mark.parametrize(("make", "depth"), [(plain, 2), (residual, 1), (residual, 4), (residual, 30)])
def test_the_lengths_below_the_bars_are_lengths_of_paths(make, depth):
    parts = make(depth)[0].by_path_length("x", "activation")
    ticks = parts.plot().axes[0].get_xticks()
    assert set(ticks) <= set(parts)
    assert min(len(parts), 10) <= len(ticks) <= 20


def test_shares_of_nothing_are_a_dash():
    ax = dead()[0].by_path_length("W1").plot().axes[0]
    assert not ax.containers
    assert set(texts(ax)) == {"—"}


@pytest.mark.parametrize(
    ("activation", "passes"), [("relu", lambda z: z > 0), ("tanh", lambda z: 1 - np.tanh(z) ** 2 >= 0.1)]
)
def test_numbers_of_a_unit_map(activation, passes):
    trace, model, _ = plain(3, activation)
    model[1].bias.data -= 3
    trace = mg.trace(mg.sum(model(np.random.default_rng(3).normal(size=(9, 4)))))
    ax = draw.unit_map(trace).axes[0]
    found = ax.collections[0].get_array().reshape(3, 6)
    expected = [np.mean(~passes(trace[name].value), axis=0) for name in ("z1", "z2", "z3")]
    assert np.max(expected) > 0.5
    np.testing.assert_allclose(found, expected)
    assert texts(ax).count("×") == np.sum(np.array(expected) == 1)


def test_one_bad_unit_of_many_is_seen():
    shares = np.zeros(1000)
    shares[777] = 1
    ax = draw.unit_map({"wide": shares, "narrow": np.zeros(10)}).axes[0]
    table = ax.collections[0].get_array().reshape(2, -1)
    assert table.shape[1] <= 128
    assert np.flatnonzero(table[0] == 1) == [777 // 8]
    assert texts(ax).count("×") == 1
    assert "worst of 8" in ax.get_xlabel()


def test_numbers_before_and_after():
    before = plain(5)[0]
    after = before.what_if({"kind:activation": 1.0})
    (ax,) = draw.before_after(before, after).axes
    for label, trace in (("before", before), ("after", after)):
        expected = [np.sqrt(np.mean(trace[name].grad ** 2)) for name in ("z1", "z2", "z3", "z4", "z5", "y")]
        np.testing.assert_allclose(line(ax, label), expected, rtol=1e-12)
    assert line(ax, "after")[0] > 100 * line(ax, "before")[0]


def test_numbers_of_update_ratios():
    monitor = watched()
    (ax,) = draw.update_ratios(monitor).axes
    for name in ("layers.0.weight", "layers.1.weight", "layers.2.weight"):
        np.testing.assert_allclose(line(ax, name), monitor.history[f"update_ratio/{name}"], rtol=1e-12)
    named = [line for line in ax.get_lines() if str(line.get_label()).endswith("weight")]
    assert len({line.get_linestyle() for line in named}) == len(named) == 3  # told apart in grey, too


@pytest.mark.parametrize("monitor", [None, watched])
def test_a_dashboard_has_four_pictures_and_writes_a_file(monitor, tmp_path):
    figure = draw.dashboard(residual(3)[0], monitor and monitor(), path=tmp_path / "dashboard.png")
    assert_labels_apart(figure)
    assert len(captions(figure)) == 4
    assert len({re.sub(r"\s+", " ", caption) for caption in captions(figure)}) == 4
    assert (tmp_path / "dashboard.png").stat().st_size > 10_000
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert ("step" in labels) == (monitor is not None)


def test_dashboard_of_a_recurrent_net():
    assert "time step" in [ax.get_xlabel() for ax in draw.dashboard(recurrent(RNN, 4)).axes]


def test_dashboard_without_activations():
    figure = draw.dashboard(plain(3, None)[0])
    assert "length of the paths, counting every edge" in [ax.get_xlabel() for ax in figure.axes]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: draw.ridge(plain(1)[0], "weight"), "ridge: of is 'gradient' or 'value', not 'weight'"),
        (
            lambda: draw.spectrum(mg.trace(mg.exp(mg.tensor([[0.0]], requires_grad=True, name="x")))),
            "only one layer on the way to x",
        ),
        (lambda: mg.trace(mg.tensor(2.0, requires_grad=True, name="x")).plot(), "∂x/∂x has no factor that changes it"),
        (lambda: draw.through_time(plain(1)[0]), r"nothing in this trace is called h\[t\] or c\[t\]"),
        (lambda: draw.unit_map(plain(1, None)[0]), "there is no activation in this trace"),
        (lambda: draw.unit_map({"first": [], "second": []}), "unit_map: there is no unit in any layer"),
        (lambda: draw.lag_matrix(np.ones((0, 0))), r"lag_matrix: a matrix .* is needed, not shape \(0, 0\)"),
        (lambda: draw.lag_matrix(np.ones((2, 3))), r"lag_matrix: a matrix .* is needed, not shape \(2, 3\)"),
        (lambda: draw.lens(plain(1, None)[0]), "there is no activation behind a weight"),
        (lambda: draw.update_ratios(watched(optimizer=False)), "the monitor has no optimizer"),
    ],
)
def test_a_wrong_call_says_why(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_an_empty_batch_is_a_sentence():
    model = Sequential(Dense(4, 6, "tanh", rng=0), Dense(6, 3, rng=1))
    trace = mg.trace(mg.sum(model(np.zeros((0, 4)))))
    with pytest.raises(ValueError, match="a batch is empty"):
        trace.plot()
    for of_units in (draw.lens, draw.unit_map):
        with pytest.raises(ValueError, match=f"{of_units.__name__}: there is no sample, \\S+ is empty"):
            of_units(trace)


def test_a_spectrum_of_what_is_not_finite_is_a_sentence():
    model = Sequential(Dense(4, 6, rng=0), Dense(6, 6, rng=1), Dense(6, 3, rng=2))
    model[1].weight.data[0, 0] = np.nan
    trace = mg.trace(mg.mse(model(np.ones((8, 4))), np.ones((8, 3))))
    with pytest.raises(ValueError, match="is not finite"):
        draw.spectrum(trace)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_lens_on_what_is_not_finite_is_a_sentence(value):
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    with np.errstate(all="ignore"):
        trace = mg.trace(mg.sum(mg.tanh(x @ mg.tensor([[value], [1.0]], requires_grad=True))))
    with pytest.raises(ValueError, match="lens: a weight or the z of a unit is not finite"):
        draw.lens(trace)


def test_a_lens_on_units_that_are_saturated_for_good():
    w = mg.tensor([[1.0, -1.01]], requires_grad=True)
    figure = draw.lens(mg.trace(mg.sum(mg.sigmoid(mg.tensor([[705.0]], requires_grad=True) @ w))))
    assert figure.axes[0].get_title("left").endswith(": 0 of 2")


@pytest.mark.parametrize("rate", [1e-3, 1e3])
def test_the_product_of_many_jacobians_in_float32_is_neither_0_nor_infinite(rate):
    x = h = mg.tensor(np.zeros((1, 3), np.float32), requires_grad=True)
    for _ in range(20):
        h = h @ mg.tensor(rate * np.eye(3, dtype=np.float32), requires_grad=True)
    trace = mg.trace(h, np.full((1, 3), rate**-10, np.float32))
    lines = draw.spectrum(trace, to=x).axes[0].get_lines()
    products = next(line for line in lines if line.get_label() == "to the last layer, largest").get_ydata()
    np.testing.assert_allclose(np.diff(np.log10(products)), -np.log10(rate), rtol=1e-5)
    assert abs(np.log10(products[0])) > 45


@pytest.mark.parametrize("scale", [1e80, 1e-80])
def test_values_at_the_ends_of_float64_are_drawn(scale, tmp_path):
    model = Sequential(*(Dense(3, 3, "relu", init=scale * np.ones((3, 3))) for _ in range(4)))
    with np.errstate(all="ignore"):
        trace = mg.trace(mg.mse(model(np.ones((2, 3))), np.ones((2, 3))))
        draw.flow(trace, path=tmp_path / "flow.png")
        trace.chain(to=model[3].bias).plot(tmp_path / "chain.png")


def test_gradients_that_are_infinite_are_drawn_without_a_warning(tmp_path):
    x = h = mg.tensor(np.ones((2, 3)), requires_grad=True)
    for _ in range(4):
        h = h * mg.tensor(np.full((2, 3), 1e60), requires_grad=True)
    draw.flow(mg.trace(mg.sum(h), np.inf), x, path=tmp_path / "flow.png")
    with np.errstate(over="ignore"):
        chain = mg.trace(mg.sum(h), 1e150).chain(to=x)
    assert np.isinf(chain.gains).any()
    chain.plot(tmp_path / "chain.png")


def test_ratios_of_weights_that_are_0_are_not_said_to_come_without_an_optimizer():
    model = Sequential(Dense(4, 3, "relu", init="zeros"), Dense(3, 2, init="zeros"))
    optimizer = SGD(model.parameters(), lr=0.0)
    with mg.GradientMonitor(model, optimizer) as monitor:
        mg.mean(model(np.ones((2, 4)))).backward()
        monitor.step()
        optimizer.step()
    with pytest.raises(ValueError, match="no step of a weight longer than 1e-8 is recorded"):
        draw.update_ratios(monitor)


@pytest.mark.parametrize("name", [r"price_$x_$\frac{", "a_very_long_name_" * 20])
def test_a_name_may_be_anything(name, tmp_path):
    x = mg.tensor(np.ones((3, 4)), requires_grad=True, name=name)
    loss = mg.sum(mg.tanh(Dense(4, 2, rng=0)(x)))
    loss.name = name
    trace = mg.trace(loss)
    draw.flow(trace, to=x, path=tmp_path / "flow.png")
    trace.chain(to=x).plot(tmp_path / "chain.png")
    trace.by_path_length(x).plot(tmp_path / "lengths.png")
