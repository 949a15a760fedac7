"""The lesson on descent: its steps against NumPy's, the effect of rates, and its picture against its numbers."""

import math
from functools import partial

import numpy as np
import pytest

from demos import gradient_descent
from demos.gradient_descent import FAR, LANDSCAPES, NEAR, OPTIMIZERS, PARTS, RATES, best, descend
from demos.lesson import UserError
from optim import SGD

STEPS = gradient_descent.QUICK["steps"]


@pytest.fixture(scope="module")
def result():
    return gradient_descent.run(**gradient_descent.QUICK)


@pytest.fixture(scope="module")
def numbers(result):
    return result.numbers


def rosenbrock_slope(a):
    return np.array([-2 * (1 - a[0]) - 400 * a[0] * (a[1] - a[0] ** 2), 200 * (a[1] - a[0] ** 2)])


def test_steps_against_numpy():
    F, start, *_ = LANDSCAPES["Rosenbrock"]
    way, a = descend(F, start, SGD, 0.001, 50), np.array(start)
    for point in way.path:
        assert np.allclose(point, a, rtol=1e-12, atol=0)
        a = a - 0.001 * rosenbrock_slope(a)
    assert way.heights == pytest.approx([F(point) for point in way.path])
    assert len(way.path) == 51


def test_momentum_against_numpy():
    F, start, *_ = LANDSCAPES["Rosenbrock"]
    way, a, v = descend(F, start, OPTIMIZERS["momentum"], 0.0003, 30), np.array(start), np.zeros(2)
    for point in way.path:
        assert np.allclose(point, a, rtol=1e-11, atol=0)
        v = 0.9 * v + rosenbrock_slope(a)
        a = a - 0.0003 * v


def test_on_the_quadratic_every_step_is_the_same_factor(numbers):
    """After n steps, (1 − λh)ⁿ of the distance is left, for the curvatures h = 1 and h = 25."""
    for way in numbers["descents"]["quadratic"]:
        n = np.arange(len(way.path))[:, None]
        factors = 1 - way.rate * np.array([1.0, 25.0])
        assert np.allclose(way.path, way.path[0] * factors**n, rtol=1e-9, atol=1e-9)


def test_rates_are_those_around_two_over_the_curvature(numbers):
    steepest = {"quadratic": 25.0, "Rosenbrock": 501 + math.sqrt(501**2 - 400), "saddle": 2.0}
    for name, h in steepest.items():
        assert [way.rate for way in numbers["descents"][name]] == pytest.approx([part * 2 / h for part in PARTS])


def test_what_rates_do(numbers):
    fates = {name: [way.fate for way in ways] for name, ways in numbers["descents"].items()}
    assert fates == {
        "quadratic": ["decreases", "oscillates", "diverges", "diverges"],
        "Rosenbrock": ["decreases", "oscillates", "oscillates", "diverges"],
        "saddle": ["decreases", "oscillates", "oscillates", "diverges"],
    }


def test_small_steps_never_rise_and_large_ones_do(numbers):
    for ways in numbers["descents"].values():
        assert ways[0].rose == 0
        assert ways[2].rose > 0
        assert np.all(np.diff(ways[0].heights) <= 0)
        assert ways[3].heights[-1] >= FAR


def test_on_the_ridge_descent_stays_and_beside_it_leaves(numbers):
    assert numbers["ridge"].heights[-1] == pytest.approx(0.25)
    assert np.all(numbers["ridge"].path[:, 1] == 0)
    beside = numbers["descents"]["saddle"][0]
    assert beside.heights[-1] <= NEAR
    assert beside.path[-1] == pytest.approx([0, 1], abs=1e-3)


def test_tuned_momentum_needs_fewer_steps(numbers):
    plain, momentum = numbers["tuned"]
    assert 2.5 < plain / momentum < 10  # √κ = 5
    usual = best(numbers["races"]["quadratic", "momentum"]).arrived
    assert usual > plain


def test_adam_runs_away_less_often(numbers):
    away = {
        optimizer: sum(
            not way.heights[-1] < FAR for (_, o), race in numbers["races"].items() if o == optimizer for way in race
        )
        for optimizer in OPTIMIZERS
    }
    assert away["Adam"] < min(away["SGD"], away["momentum"]) / 4


def test_no_optimizer_is_first_everywhere(numbers):
    first = {
        name: min(OPTIMIZERS, key=lambda o: best(numbers["races"][name, o]).arrived) for name in ("quadratic", "saddle")
    }
    assert first == {"quadratic": "Adam", "saddle": "SGD"}


def test_best_is_the_first_to_arrive_else_the_lowest():
    F, start, *_ = LANDSCAPES["quadratic"]
    slow, fast, lost = (descend(F, start, SGD, rate, 300) for rate in (0.03, 0.05, 0.09))
    assert best([slow, lost, fast]) is fast
    assert best([lost, descend(F, start, SGD, 1e-4, 5)]).rate == 1e-4
    assert (fast.arrived, lost.arrived) == (len(fast.path) - 1, math.inf)


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds if λ is small",
        "holds if F is quadratic",
        "holds if it starts beside the ridge (Lee et al., 2016)",
        "holds if rate and momentum are tuned to κ",
        "holds if F is the quadratic",
    ]
    assert "λ = 0.5·2/h: F rose 0 times" in result.claims[0].measured
    assert "Rosenbrock oscillates" in result.claims[1].measured
    assert "Rosenbrock: SGD never" in result.claims[4].measured


def test_nothing_is_said_of_momentum_if_it_did_not_arrive():
    """Tuned, it takes 31 steps, but 138 as usual."""
    found = gradient_descent.run(steps=120).claims
    assert [claim.said for claim in found if claim.said.startswith("Momentum")] == []
    assert len(found) == 4


def test_what_does_not_arrive_in_so_few_steps_never_does():
    descent = gradient_descent.run(steps=10).claims[2]
    assert descent.measured.endswith("from beside it: never")
    assert descent.verdict == "false"


@pytest.mark.slow
def test_claims_of_a_full_run(numbers):
    """In Rosenbrock's valley, which alone takes so many steps, momentum arrives first, Adam second, SGD never."""
    F, start, *_ = LANDSCAPES["Rosenbrock"]
    races = {
        ("Rosenbrock", name): [descend(F, start, optimizer, rate, 1000) for rate in RATES]
        for name, optimizer in OPTIMIZERS.items()
    }
    sgd, momentum, adam = (best(race).arrived for race in races.values())
    assert momentum < adam < sgd == math.inf
    claims = gradient_descent.claims(**numbers | {"races": numbers["races"] | races})
    assert claims[4].verdict == "holds if F is the quadratic"


def test_the_picture_shows_the_numbers(result, numbers):
    axes = np.array(result.figure.axes).reshape(3, 3).T
    for (name, ways), (above, middle, below) in zip(numbers["descents"].items(), axes, strict=True):
        assert above.get_title() == name
        for way, trail, height in zip(ways, above.lines, middle.lines, strict=False):
            assert np.array_equal(np.array(trail.get_data()).T, way.path)
            assert np.array_equal(height.get_ydata(), way.heights)
        for optimizer, trail in zip(OPTIMIZERS, below.lines, strict=False):
            first = best(numbers["races"][name, optimizer])
            assert np.array_equal(np.array(trail.get_data()).T, first.path)
            assert trail.get_label() == f"{optimizer}, λ = {first.rate:g}"
        assert len({(line.get_color(), line.get_linestyle()) for line in middle.lines}) == len(PARTS)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_no_path_goes_through_a_legend(result):
    result.figure.draw_without_rendering()
    for ax in (ax for ax in result.figure.axes if ax.get_legend()):
        legend = ax.get_legend().get_window_extent()
        for line in ax.get_lines():
            x, y = ax.transData.transform(line.get_xydata()).T
            steps = np.linspace(0, len(x) - 1, 100 * len(x))
            points = zip(*(np.interp(steps, np.arange(len(x)), at) for at in (x, y)), strict=True)
            assert not any(legend.contains(*point) for point in points), (ax.get_title(), line.get_label())


def test_the_tables_show_the_numbers(result, numbers):
    blocks = result.table.replace("−", "-").split("\n\n")
    lines = iter(blocks[1].split("\n")[2:])
    for name, ways in numbers["descents"].items():
        for way in ways:
            shown, rate, _, steep, steps, rose, end, fate = next(lines).split()
            assert (shown, int(steps), int(rose), fate) == (name, len(way.path) - 1, way.rose, way.fate)
            assert [float(rate), float(end)] == pytest.approx([way.rate, way.heights[-1]], rel=1e-5)
            assert 1 - float(steep) == pytest.approx(2 * PARTS[ways.index(way)], abs=1e-5)
    for (key, race), line in zip(numbers["races"].items(), blocks[3].split("\n")[2:], strict=True):
        name, optimizer, arrived, rate, after, end = line.split()
        first = best(race)
        assert (name, optimizer) == key
        assert int(arrived) == sum(way.arrived < math.inf for way in race)
        assert float(rate) == pytest.approx(first.rate)
        assert after == str(first.arrived).replace("inf", "never")
        assert float(end) == pytest.approx(first.heights[-1], rel=1e-5)
        assert [way.rate for way in race] == list(RATES)


def test_ctrl_c_keeps_the_races_that_are_finished(monkeypatch):
    """Stopped at the second optimizer, it shows the races of the first, but no claims about all of them."""

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setitem(OPTIMIZERS, "momentum", stopped)
    result = gradient_descent.run(steps=20)
    assert not result.complete
    assert list(result.numbers["races"]) == [("quadratic", "SGD")]
    assert len(result.claims) == 3
    assert "SGD" in result.table.split("2  Each optimizer")[1]


def test_the_seed_shifts_the_starts(numbers):
    other = gradient_descent.run(steps=10, seed=1).numbers
    shifts = [run["descents"]["saddle"][0].path[0] - [2, 0] for run in (numbers, other)]
    assert all(0 < part < 0.01 for shift in shifts for part in shift)
    assert not np.array_equal(*shifts)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"steps": 9}, "--steps: at least 10, not 9"), ({"seed": -1}, "--seed: at least 0, not -1")],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        gradient_descent.run(**options)


def test_a_start_at_the_minimum_takes_no_step():
    F, _, minimum, _ = LANDSCAPES["Rosenbrock"]
    way = partial(descend, F, minimum, SGD, 0.1)(steps=5)
    assert (way.arrived, way.rose, len(way.path)) == (0, 0, 1)
