"""The lesson on iterated functions: slopes against products derived on paper, the picture against the numbers."""

import math

import numpy as np
import pytest

from demos import logistic_map
from demos.lesson import UserError
from demos.logistic_map import LAST, TIMES

CURVE, CELL, MANY, CHAOS, WEAK = (
    "3.5·x·(1−x)",
    "tanh cell, w = 2.5",
    "tanh cell of 20 units",
    "chaos, 4·x·(1−x)",
    "tanh cell, w = 0.9",
)


@pytest.fixture(scope="module")
def result():
    return logistic_map.run()


@pytest.fixture(scope="module")
def found(result):
    return result.numbers["found"]


@pytest.fixture
def without_picture(monkeypatch):
    """Of a run whose numbers are wanted; drawing takes most of the time."""
    monkeypatch.setattr(logistic_map, "draw", lambda *found: None)


def slopes(found, name, times):
    return np.abs(found[name][times]["slope"])


def test_parabolas_against_the_formula(result, found):
    for name, rate in ((CURVE, 3.5), (CHAOS, 4.0)):
        h, slope = np.linspace(0, 1, 4001), np.ones(4001)
        for n in TIMES:
            h, slope = rate * h * (1 - h), slope * rate * (1 - 2 * h)
            assert np.allclose(found[name][n]["curve"], h, rtol=0, atol=1e-12)
            assert np.allclose(found[name][n]["slope"], slope, rtol=1e-9, atol=1e-9)


def test_cell_against_the_formula(found):
    h, slope = np.linspace(-1, 1, 4001), np.ones(4001)
    for n in range(1, LAST + 1):
        h = np.tanh(2.5 * h)
        slope = slope * 2.5 * (1 - h**2)
        if n in TIMES:
            assert np.allclose(found[CELL][n]["curve"], h, rtol=1e-12, atol=0)
            assert np.allclose(found[CELL][n]["slope"], slope, rtol=1e-8, atol=0)


def test_large_cell_against_small_steps(result, found):
    of = result.numbers["maps"][MANY]
    change = np.gradient(found[MANY][6]["curve"], of.x)
    assert np.allclose(change[1:-1], found[MANY][6]["slope"][1:-1], atol=0.05 * slopes(found, MANY, 6).max())


def test_slopes_explode_like_powers_where_x_is_0(found):
    for n in (*TIMES, LAST):
        assert slopes(found, CURVE, n).max() == pytest.approx(3.5**n)
        assert slopes(found, CELL, n).max() == pytest.approx(2.5**n)
        assert found[CURVE][n]["slope"][0] == pytest.approx(3.5**n)


def test_zeros_of_the_slope(found):
    """They are the x from which a later value is 1/2; x = (1 ± √(1 − 4c/3.5))/2 leads to c in one step."""
    root = math.sqrt(1 - 2 / 3.5)
    assert found[CURVE][2]["zeros"] == pytest.approx([(1 - root) / 2, 0.5, (1 + root) / 2], abs=2.5e-4)
    assert [len(found[CURVE][n]["zeros"]) for n in TIMES] == [1, 3, 7, 13, 23, 37]
    assert [len(found[CHAOS][n]["zeros"]) for n in TIMES] == [1, 3, 7, 15, 31, 63]
    assert not any(len(found[CELL][n]["zeros"]) for n in TIMES)


@pytest.mark.parametrize(("count", "places"), [(3, "0.000, 1.000, 2.000"), (99, "99 places"), (100, "100 or more")])
def test_how_many_zeros_there_are(count, places):
    """What is found lies on a grid, so that between its points there may be more."""
    x = np.arange(count, dtype=float)
    assert logistic_map.summary(1, x, {"slope": np.ones(count), "zeros": x})[-1] == places


def test_a_long_iteration_explodes_only_in_chaos(found):
    assert np.median(slopes(found, CURVE, LAST)) < 1e-10
    assert np.median(slopes(found, CELL, LAST)) < 1e-50
    assert np.median(slopes(found, CHAOS, LAST)) > 1e12
    assert slopes(found, WEAK, LAST).max() <= 0.9**LAST * 1.0001


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds",
        "holds if the iteration is chaotic",
        "false",
        "holds",
        "holds",
        "holds if each fold reaches from 0 to 1 (rate 4)",
    ]
    assert "1.6e+27; tanh cell, w = 2.5: 7.9e+19" in result.claims[0].measured
    assert result.claims[2].measured == "tanh cell, w = 2.5: ∂h_6/∂x up to 244.1"
    assert "13, 23, 37" in result.claims[5].measured


def test_a_rate_near_1_makes_no_cliff(without_picture):
    result = logistic_map.run(rate=1.02)
    assert result.claims[0].verdict == "false"
    assert logistic_map.run(rate=4.0).claims[5].verdict == "holds"


def test_the_product_in_the_table(result):
    lines = result.table.replace("−", "-").split("\n\n")[1].split("\n")[2:]
    _, h, slope, product = np.array([[float(cell) for cell in line.split()] for line in lines]).T
    assert np.allclose(slope, 3.5 * (1 - 2 * h), atol=1e-5)
    assert np.allclose(np.cumprod(slope), product, rtol=1e-5)


def test_the_tables_show_the_numbers(result, found):
    for name in (CURVE, CELL, MANY):
        x = result.numbers["maps"][name].x
        lines = (
            result.table.replace("−", "-").split(f"\n{name.replace('−', '-')}\n\n")[1].split("\n")[2 : 3 + len(TIMES)]
        )
        for line, (n, one) in zip(lines, found[name].items(), strict=True):
            times, largest, at, median, above, below, *_ = line.split()
            size = np.abs(one["slope"])
            assert int(times) == n
            assert float(largest) == pytest.approx(size.max(), rel=1e-5)
            assert float(at) == pytest.approx(x[size.argmax()], abs=1e-5)
            assert float(median) == pytest.approx(np.median(size), rel=1e-5)
            assert float(above[:-1]) == pytest.approx(100 * np.mean(size > 1), abs=0.051)
            assert float(below[:-1]) == pytest.approx(100 * np.mean(size < 0.01), abs=0.051)
    assert "0.173, 0.500, 0.827" in result.table


def test_the_chain_of_the_cell(result):
    chain = logistic_map.chain_of_cell(2.5, 0.1)
    assert str(chain) in result.table
    h, product = 0.1, 1.0
    for _ in TIMES:
        h = math.tanh(2.5 * h)
        product *= 2.5 * (1 - h * h)
    assert chain.product.item() == pytest.approx(product, rel=1e-12)


def test_the_picture_shows_the_numbers(result, found):
    axes = np.array(result.figure.axes).reshape(3, 2, len(TIMES))
    for name, (curves, below) in zip((CURVE, CELL, MANY), axes, strict=True):
        assert curves[0].get_title(loc="left") == f"{name}: once"
        for n, curve, slope in zip(TIMES, curves, below, strict=True):
            assert np.array_equal(curve.lines[0].get_ydata(), found[name][n]["curve"])
            assert np.array_equal(slope.lines[0].get_ydata(), slopes(found, name, n))
            assert slope.get_yscale() == "log"
    assert all(len(ax.get_xticks()) == 3 for ax in axes.flat)  # more would run into the next column
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_seed_chooses_the_larger_cell(found, without_picture):
    other = logistic_map.run(seed=1).numbers["found"]
    assert not np.array_equal(other[MANY][6]["curve"], found[MANY][6]["curve"])
    assert np.array_equal(other[CELL][6]["curve"], found[CELL][6]["curve"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate": 1.0}, "--rate: above 1 and at most 4, not 1"),
        ({"rate": 4.5}, "--rate: above 1 and at most 4, not 4.5"),
        ({"weight": 1.0}, "--weight: from 1.5 to 10, not 1"),
        ({"weight": math.nan}, "--weight: from 1.5 to 10, not nan"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        logistic_map.run(**options)
