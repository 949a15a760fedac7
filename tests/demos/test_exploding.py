"""The lesson on exploding gradients: its curves against formulas, its verdicts, its picture against its table."""

import math

import numpy as np
import pytest

import optim
from demos import exploding, training
from demos.datasets import noise
from demos.lesson import UserError
from demos.training import SWEEP, ways

DECAYS = ("exponential", "square root", "natural exp.", "inverse time")


@pytest.fixture(scope="module")
def result():
    return exploding.run(**exploding.QUICK)


@pytest.fixture(scope="module")
def article():
    return exploding.run(width=48, steps=40, data="seed")


# What the lesson claims


def test_clipping_learns_where_a_constant_rate_does_not(rows):
    assert rows["constant"]["correct"] < 0.2
    assert rows["constant"]["gradient"].max() > 1e5
    for name in ("clip value", "clip global", "adaptive", "clip + decay"):
        assert rows[name]["correct"] > 0.85
        assert rows[name]["gradient"].max() < 2 * rows[name]["gradient"][0]


def test_no_decay_is_fast_enough(rows):
    for name in DECAYS:
        assert rows[name]["correct"] < 0.2
        assert rows[name]["gradient"].max() > 1e4


def test_explosion_ends_in_vanishing(rows, result):
    """All units of the network that exploded are dead; one long step kills more than 40 % of them."""
    assert rows["constant"]["dead"] == 1
    assert rows["constant"]["losses"][-1] == pytest.approx(math.log(10), abs=0.05)  # a guess: only the bias is left
    assert rows["clip global"]["dead"] < 0.1
    for before, clipped, exploded in result.numbers["units"].values():
        assert before < 0.05
        assert clipped < 0.15
        assert exploded > 0.4


def test_a_threshold_too_low_learns_nothing_and_one_too_high_kills(rows):
    assert rows["0.001"]["correct"] < 0.2
    assert rows["0.001"]["dead"] < 0.1
    assert rows["1000"]["correct"] < 0.2
    assert rows["1000"]["dead"] > 0.5


def test_only_the_global_norm_keeps_the_direction(rows):
    assert rows["clip global"]["angle"] < 1e-5
    assert all(rows[name]["angle"] > 10 for name in ("clip value", "clip tensor", "adaptive"))


def test_weights_of_the_right_size_need_no_remedy(rows):
    assert rows["He's weights"]["correct"] > 0.95


@pytest.mark.slow
def test_a_constant_rate_overflows_in_the_wide_network(monkeypatch):
    """Only these two ways are trained, each from one start; the claims need all of them and are left out."""
    monkeypatch.setattr(exploding, "PAIR", ())
    monkeypatch.setattr(exploding, "ways", lambda *how: {k: ways(*how)[k] for k in ("constant", "clip global")})
    monkeypatch.setattr(exploding, "claims", lambda *found: [])
    rows = exploding.run(width=512, steps=200).numbers["rows"]
    assert rows["constant"]["diverged"]
    assert rows["constant"]["gradient"][-1] == math.inf
    assert rows["clip global"]["correct"] > 0.9


# The curves against formulas


def test_a_step_is_rate_times_clipped_gradient(rows):
    for name in ("constant", "clip value", "clip global", *DECAYS):
        row = rows[name]
        assert np.allclose(row["change"], row["rate"] * row["coefficient"] * row["gradient"], rtol=1e-9)


def test_coefficients_are_those_of_the_formula(rows):
    row = rows["clip global"]
    assert np.allclose(row["coefficient"], np.minimum(1, 10 / row["gradient"]), rtol=1e-12)
    assert np.allclose(rows["scale up too"]["coefficient"], 10 / rows["scale up too"]["gradient"], rtol=1e-12)
    assert np.allclose(rows["constant"]["coefficient"], 1)


def test_rates_are_those_of_the_formulas(rows):
    t = np.arange(100)
    assert np.allclose(rows["exponential"]["rate"], 0.5 * 0.01 ** (t / 100))
    assert np.allclose(rows["natural exp."]["rate"], 0.5 * np.exp(-3 * t / 100))
    assert np.allclose(rows["square root"]["rate"], 0.5 / np.sqrt(t + 1))
    assert np.allclose(rows["inverse time"]["rate"], 0.5 / (1 + 30 * t / 100))


def test_the_sweep_crosses_the_clipped_row(rows):
    assert np.array_equal(rows["10"]["losses"], rows["clip global"]["losses"])
    assert list(SWEEP.values()) == [10.0**k for k in range(-3, 4)]


def test_all_ways_start_alike(rows):
    assert len({row["losses"][0] for name, row in rows.items() if name not in ("L2", "He's weights")}) == 1
    assert set(rows) == set(ways(0.5, 10, 100))


# The article's data


def test_a_softmax_before_the_loss_shows_its_factor(article):
    chain = article.numbers["chain"]
    (softmax,) = (factor for factor in chain.factors if factor.symbol == "softmax")
    assert softmax.formula == "(diag(p) − p·pᵀ)·g"
    assert softmax.gain < 0.1
    assert "(diag(p) − p·pᵀ)·g" in article.table


def test_a_softmax_before_the_loss_keeps_it_above_its_floor(article):
    floor = math.log(1 + 9 / math.e)
    losses = article.numbers["rows"]["He's weights"]["losses"]
    assert article.numbers["rows"]["He's weights"]["correct"] > 0.8
    assert floor < losses[-1] < floor + 0.3


def test_the_article_gets_one_claim(article):
    (claim,) = article.claims
    assert claim.verdict == "false"
    assert "1.46" in claim.measured


def test_noise_is_100_rows():
    data = noise(0)
    assert data.x.shape == (100, 784)
    assert data.x is data.x_held_out
    assert set(data.y) == set(range(10))
    assert np.array_equal(noise(0).x, data.x)


# What is shown


def test_the_picture_shows_the_numbers(result, rows):
    axes = {ax.get_title(): ax for ax in result.figure.axes}
    for quantity, title in exploding.CURVES.items():
        lines = {line.get_label(): line for line in axes[title].lines}
        assert set(lines) == set(exploding.LINES)
        for name, line in lines.items():
            assert np.array_equal(line.get_ydata(), rows[name][quantity])
        assert len({line.get_linestyle() for line in lines.values()}) == len(lines)
    for line in axes["clip global"].lines:
        assert list(line.get_xdata()) == list(SWEEP.values())
        assert list(line.get_ydata()) == [rows[name][line.get_label()] for name in SWEEP]
    bars = {bar.get_label(): [b.get_height() for b in bar] for bar in axes[axes_title(axes)].containers}
    assert bars == result.numbers["units"]
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_rounding_does_not_fill_the_picture_where_nothing_was_clipped(article):
    rows = {name: row | {"coefficient": 1 + 0 * row["coefficient"]} for name, row in article.numbers["rows"].items()}
    rows["clip global"]["coefficient"][-1] -= 1e-16
    ax = exploding.draw(rows, article.numbers["units"]).axes[0]
    assert ax.get_title() == exploding.CURVES["coefficient"]
    assert ax.get_ylim()[0] < 0.2


def axes_title(axes):
    return next(title for title in axes if title.startswith("units"))


def cells(text, name):
    """The line of `name` in a table, as text."""
    line = next(line for line in text.split("\n") if line.startswith(name))
    return line.removeprefix(name).replace("−", "-").split()


def test_the_tables_show_the_numbers(result, rows):
    losses, facts = result.table.split("\n\n")[1:3]
    for name, row in rows.items():
        if name not in SWEEP:
            shown = row["losses"][[*range(0, 100, 10), 99]]
            assert [float(x) for x in cells(losses, name)] == pytest.approx(shown, rel=6e-3)
        first, largest, coefficient, angle, rate, step, dead, correct = cells(
            facts, f"limit {name} " if name in SWEEP else f"{name} "
        )
        wanted = [row["gradient"][0], row["gradient"].max(), np.median(row["coefficient"])]
        assert [float(x) for x in (first, largest, coefficient)] == pytest.approx(wanted, rel=6e-3)
        assert [float(rate), float(step)] == pytest.approx([row["rate"][-1], row["change"].max()], rel=6e-3)
        assert (angle, dead) == (f"{row['angle']:.0f}°", f"{row['dead']:.0%}")
        assert correct == f"{row['correct']:.0%}"


def test_an_overflow_is_shown():
    row = {"diverged": True, "losses": np.ones(7), "correct": 0.0}
    assert exploding.fate(row) == "overflow, step 7"
    result = exploding.run(width=16, steps=30, scale=1e6, rate=1e6)
    rows = result.numbers["rows"]
    assert rows["constant"]["diverged"]
    assert "overflow, step" in result.table
    steps = len(rows["exponential"]["step"])
    overflow = {"gradient": np.geomspace(1, 1e300, steps), "change": np.full(steps, 1e250)}
    overflow["gradient"][-1] = np.inf
    rows["exponential"] |= overflow  # beside one that was measured
    exploding.draw(rows, result.numbers["units"]).draw_without_rendering()


@pytest.mark.parametrize("steps", [10, 11, 29, 30])
def test_the_table_of_losses_shows_no_step_twice(rows, steps):
    _, *shown = exploding.report({"constant": rows["constant"]}, steps).split("\n")[0].split()
    marks = [int(mark) for mark in shown[2:]]
    assert marks == sorted({*marks})
    assert (marks[0], marks[-1]) == (0, steps - 1)


def test_claims_of_the_quick_run(result):
    verdicts = {claim.said.split(" (")[0]: claim.verdict for claim in result.claims}
    assert verdicts["Clip the norm"] == "holds"
    assert verdicts["Clipping keeps the direction"] == "holds if it clips the norm of all tensors together"
    assert verdicts["Scale short gradients up, too"] == "false"
    assert verdicts["A decaying rate cures it"] == "false"
    assert verdicts["Exploding is the opposite of vanishing"] == "false"
    assert verdicts["Start with smaller weights"] == "holds"


def test_scaling_up_is_judged_by_several_starts(result, rows):
    for name in ("scale up too", "clip global"):
        assert rows[name]["each"][0] == rows[name]["correct"]
        assert len(rows[name]["each"]) == 4
    lucky = rows | {"scale up too": rows["scale up too"] | {"correct": 0.961, "each": [0.961, 0.85, 0.93, 0.9]}}
    lucky["clip global"] = rows["clip global"] | {"correct": 0.914, "each": [0.914, 0.936, 0.972, 0.903]}
    claim = exploding.claims(lucky, result.numbers["units"], result.numbers["chain"])[4]
    assert (claim.measured, claim.verdict) == ("accuracy −2.1 ± 2.8 points, over 4 starts", "false")


def test_other_numbers_give_other_verdicts(result, rows):
    """A run in which everything learns and no unit is lost."""
    fine = {name: row | {"correct": 0.95, "diverged": False, "angle": 0.0} for name, row in rows.items()}
    fine["scale up too"]["each"], fine["clip global"]["each"] = [0.97, 0.98, 0.97, 0.98], [0.92, 0.93, 0.92, 0.92]
    units = {name: [0.0, 0.0, 0.01] for name in result.numbers["units"]}
    found = exploding.claims(fine, units, result.numbers["chain"])
    assert [claim.verdict for claim in found] == ["false"] + 8 * ["holds"]
    fine["exponential"]["correct"] = fine["0.001"]["correct"] = 0.1
    verdicts = [claim.verdict for claim in exploding.claims(fine, units, result.numbers["chain"])]
    assert "holds if it falls like square root or natural exp. or inverse time" in verdicts
    assert "holds if the threshold is one of these" in verdicts


# Options, and what can go wrong


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 0}, "--width: at least 1, not 0"),
        ({"steps": 9}, "--steps: at least 10, not 9"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
        ({"rate": 0.0}, "--rate: above 0 and at most .*, not 0.0"),
        ({"limit": -1.0}, "--limit: above 0 and at most .*, not -1.0"),
        ({"scale": math.inf}, "--scale: above 0 and at most .*, not inf"),
        ({"rate": math.nan}, "--rate: above 0 and at most .*, not nan"),
        ({"data": "mnist"}, "mnist needs the folder"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        exploding.run(**options)


def test_ctrl_c_keeps_what_is_finished(monkeypatch):
    def interrupted(model, images, way, *rest):
        if way.clip is optim.clip_adaptively:
            raise KeyboardInterrupt
        return training.train(model, images, way, *rest)

    monkeypatch.setattr(exploding, "train", interrupted)
    result = exploding.run(width=8, steps=10)
    assert not result.complete
    assert list(result.numbers["rows"]) == ["constant", "clip value", "clip tensor", "clip global"]
    assert result.claims == []
    result.figure.draw_without_rendering()
