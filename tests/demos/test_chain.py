"""The lesson on neurons in a row: its products against formulas derived on paper, its picture against its numbers."""

import math

import numpy as np
import pytest

from demos import chain
from demos.chain import CENTRED, LARGE, RANDOM
from demos.lesson import UserError


@pytest.fixture(scope="module")
def result():
    return chain.run()


def gradient(rows, name):
    return rows[name]["gradients"][0]


def test_five_neurons_against_the_formula(result):
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=5), rng.normal(size=5)
    h, product = 1.0, 1.0
    for weight, bias in zip(w, b, strict=True):
        h = 1 / (1 + math.exp(-(weight * h + bias)))
        product *= weight * h * (1 - h)
    five = result.numbers["five"]
    assert five["outputs"][-1] == pytest.approx(h, rel=1e-14)
    assert five["gradients"][0] == pytest.approx(product, rel=1e-13)


def test_the_table_of_terms_multiplies_to_the_gradient(result):
    lines = result.table.replace("−", "-").split("\n\n")[1].split("\n")[2:]
    columns = np.array([[float(cell) for cell in line.split()] for line in lines]).T
    n, _, w, slope, term, gradients = columns
    assert list(n) == [5, 4, 3, 2, 1]
    assert np.allclose(w * slope, term, rtol=1e-4)
    assert np.allclose(np.cumprod(term), gradients, rtol=1e-4)
    assert gradients[-1] == pytest.approx(result.numbers["five"]["gradients"][0], rel=1e-4)


def test_powers_only_where_the_slope_is_1(rows):
    for name in ("linear", "ReLU"):
        assert gradient(rows, f"{name}, w = 0.8") == pytest.approx(1.427e-5, rel=1e-3)
        assert gradient(rows, f"{name}, w = 1.2") == pytest.approx(9100.4, rel=1e-4)
    assert gradient(rows, "tanh, w = 1.2") < 1e-8
    assert gradient(rows, "sigmoid, w = 1.2") < 1e-29


def test_the_forward_pass_is_stable_where_the_activation_is_bounded(rows):
    for name in ("tanh", "sigmoid"):
        assert 0.6 < rows[f"{name}, w = 1.2"]["outputs"][-1] < 0.7
    for name in ("linear", "ReLU"):
        assert rows[f"{name}, w = 1.2"]["outputs"][-1] > 9000


def test_large_weights_alone_do_not_explode(rows):
    assert gradient(rows, LARGE) == 0
    assert gradient(rows, CENTRED) == pytest.approx(25.0**50)
    assert np.array_equal(rows[CENTRED]["outputs"][1:], np.full(50, 0.5))


def test_band_against_the_formula(result):
    """σ' = 1/|w| where σ = (1 ± √(1 − 4/|w|))/2, and x = ln(σ/(1 − σ))/w."""
    w, width = result.numbers["w"], result.numbers["width"]
    at_edge = (1 + np.sqrt(1 - 4 / w[w >= 4])) / 2
    assert np.allclose(width[w >= 4], 2 * np.log(at_edge / (1 - at_edge)) / w[w >= 4], atol=1e-6)
    assert not width[w < 4].any()
    assert width.max() == pytest.approx(0.4477, abs=1e-4)
    assert w[np.argmax(width)] == pytest.approx(6.894, abs=0.01)


def test_terms_of_random_neurons(result):
    terms = np.abs(result.numbers["terms"])
    assert np.mean(terms < 0.25) > 0.75
    assert np.mean(terms >= 1) < 1e-3


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds if φ' = 1 (linear; ReLU above 0)",
        "holds if φ is bounded (σ, tanh)",
        "false",
        "holds",
        "holds",
        "holds",
        "holds if the biases keep z near 0",
    ]
    assert "1.42725e−05 and 9100.44" in result.claims[0].said
    assert "0.4477 wide at |w| = 6.89" in result.claims[4].measured
    assert "exactly 0; with z = 0: +69.9 decades" in result.claims[6].measured


def test_one_neuron_shows_nothing_yet():
    verdicts = [claim.verdict for claim in chain.run(depth=1).claims]
    assert verdicts[0] == "holds if φ' = 1 (linear; ReLU above 0)"
    assert verdicts[2] == "holds"  # tanh loses less than two decades


def test_the_picture_shows_the_numbers(result, rows):
    forward, back, unlike, band = result.figure.axes
    lines = {line.get_label(): line for line in forward.lines}
    assert len(lines) == len(back.lines) == 8
    for line in back.lines:
        name = line.get_label()
        assert np.array_equal(line.get_ydata(), np.abs(rows[name]["gradients"]))
        assert np.array_equal(lines[name].get_ydata(), rows[name]["outputs"])
    random, zero, centred = unlike.lines
    assert np.array_equal(random.get_ydata(), np.abs(rows[RANDOM]["gradients"]))
    assert np.array_equal(centred.get_ydata(), np.abs(rows[CENTRED]["gradients"]))
    assert zero.get_label() == "σ, w = 100: exactly 0"
    assert np.isnan(zero.get_ydata()[:-1]).all()
    edges = band.collections[0].get_paths()[0].vertices
    assert 2 * edges[:, 0].max() == result.numbers["width"].max()
    assert edges[:, 1].min() >= 4
    looks = {(line.get_linestyle(), line.get_marker()) for line in back.lines}  # distinct without colour
    assert len(looks) == 8
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_report_shows_the_chain(result, rows):
    printed = rows["sigmoid, w = 1.2"]["trace"].chain(to="x")
    assert str(printed) in result.table
    assert len(printed.factors) == 100
    assert "the factors multiplied out = ∂y/∂x to the last bit ✓" in result.table
    ends = result.table.split("2  50 neurons")[1].split("\n\n")[1].replace("−", "-").split("\n")[2:]
    for line, row in zip(ends, rows.values(), strict=True):
        shown = [float(cell) for cell in line.split()[-2:]]
        assert shown == pytest.approx([row["outputs"][-1], row["gradients"][0]], rel=1e-5)


def test_the_seed_chooses_the_random_weights(result):
    other = chain.run(seed=1).numbers["rows"]
    assert gradient(other, RANDOM) != gradient(result.numbers["rows"], RANDOM)
    assert gradient(other, CENTRED) == gradient(result.numbers["rows"], CENTRED)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 0}, "--depth: from 1 to 100, not 0"),
        ({"depth": 101}, "--depth: from 1 to 100, not 101"),
        ({"small": 1.0}, "--small: above 0 and below 1, not 1"),
        ({"small": math.nan}, "--small: above 0 and below 1, not nan"),
        ({"large": 11.0}, "--large: above 1 and at most 10, not 11"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        chain.run(**options)


def test_the_largest_options_stay_finite():
    result = chain.run(depth=100, small=0.01, large=10.0)
    assert gradient(result.numbers["rows"], "linear, w = 10") == pytest.approx(1e100)
    result.figure.draw_without_rendering()
