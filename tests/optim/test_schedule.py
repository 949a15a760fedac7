"""Schedules at step 0, at 1, at their boundaries and far out."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minigrad as mg
from optim import (
    SGD,
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    NaturalExponentialDecay,
    PiecewiseConstant,
    PolynomialDecay,
    ReduceOnPlateau,
    Schedule,
    SqrtDecay,
    StepDecay,
    Warmup,
)

VALUES = [
    (Constant(0.3), {0: 0.3, 1: 0.3, 10**6: 0.3}),
    (ExponentialDecay(0.8, 0.5), {0: 0.8, 1: 0.4, 3: 0.1, 1000: 0.8 * 0.5**1000}),
    (ExponentialDecay(0.8, 0.25, steps=10), {0: 0.8, 5: 0.4, 10: 0.2, 20: 0.05}),
    (NaturalExponentialDecay(0.8, 0.1), {0: 0.8, 1: 0.8 * math.exp(-0.1), 50: 0.8 * math.exp(-5)}),
    (NaturalExponentialDecay(0.8, 2, steps=10), {0: 0.8, 1: 0.8 * math.exp(-0.2), 10: 0.8 * math.exp(-2)}),
    (SqrtDecay(0.8), {0: 0.8, 1: 0.8 / math.sqrt(2), 3: 0.4, 10**6 - 1: 0.0008}),
    (InverseTimeDecay(0.8, 1), {0: 0.8, 1: 0.4, 3: 0.2, 799: 0.001}),
    (InverseTimeDecay(0.8, 3, steps=10), {0: 0.8, 1: 0.8 / 1.3, 10: 0.2}),
    (StepDecay(0.8, 0.5, every=10), {0: 0.8, 1: 0.8, 9: 0.8, 10: 0.4, 19: 0.4, 20: 0.2, 105: 0.8 / 1024}),
    (PiecewiseConstant([2, 5], [3, 2, 1]), {0: 3, 1: 3, 2: 2, 4: 2, 5: 1, 1000: 1}),
    (PiecewiseConstant([], [0.5]), {0: 0.5, 9: 0.5}),
    (PolynomialDecay(0.8, 10), {0: 0.8, 1: 0.72, 9: 0.08, 10: 0, 11: 0, 1000: 0}),
    (PolynomialDecay(0.8, 10, final=0.2, power=2), {0: 0.8, 1: 0.2 + 0.6 * 0.81, 5: 0.35, 10: 0.2, 11: 0.2}),
    (CosineDecay(0.8, 10), {0: 0.8, 1: 0.4 * (1 + math.cos(math.pi / 10)), 5: 0.4, 10: 0, 11: 0, 1000: 0}),
    (CosineDecay(0.8, 10, final=0.2), {0: 0.8, 5: 0.5, 10: 0.2, 20: 0.2}),
    (Warmup(Constant(0.8), 4), {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 0.8, 1000: 0.8}),
    (Warmup(PolynomialDecay(0.8, 10), 4), {0: 0.2, 3: 0.8, 4: 0.8, 5: 0.72, 14: 0, 15: 0}),
    (Warmup(Warmup(Constant(0.8), 2), 2), {0: 0.2, 1: 0.4, 2: 0.4, 3: 0.8, 4: 0.8}),
    (Warmup(lambda step: [4.0, 5.0, 6.0][step], 2), {0: 2, 1: 4, 2: 4, 3: 5, 4: 6}),
]


@pytest.mark.parametrize(("schedule", "step", "rate"), [(s, t, r) for s, table in VALUES for t, r in table.items()])
def test_the_rate_at_a_step(schedule, step, rate):
    assert schedule(step) == pytest.approx(rate, rel=1e-13, abs=1e-16)
    assert schedule(np.int64(step)) == schedule(step)
    assert type(schedule(np.int64(step))) is type(schedule(step)) is float


class Own(Schedule):
    """A schedule that is only a formula."""

    def __init__(self, at):
        self.at = at


def test_a_rate_may_come_out_of_numpy():
    def rate(step):
        return np.where(step < 3, 0.1, 0.01)

    optimizer = SGD([mg.tensor(1.0, requires_grad=True)], lr=rate)
    assert [type(found) for found in (optimizer.lr, Own(rate)(0))] == [float, float]
    assert [optimizer.lr, Own(rate)(2), Own(rate)(3)] == [0.1, 0.1, 0.01]


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (lambda t: print(end=""), TypeError, "Own: the rate at step 2 is a number, not None"),
        (lambda t: 1 - t, ValueError, "Own: the rate at step 2 = -1 is out of range"),
        (lambda t: np.ones(2), TypeError, r"Own: the rate at step 2 is a number, not array\(\[1., 1.\]\)"),
    ],
    ids=["none", "negative", "array"],
)
def test_a_formula_that_gives_no_rate_is_named(rate, error, message):
    with pytest.raises(error, match=message):
        Own(rate)(2)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in VALUES if not isinstance(schedule, Warmup)])
def test_rates_never_grow_and_never_end_below_0(schedule):
    rates = [schedule(t) for t in range(50)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] >= 0


def test_repr_shows_what_was_given():
    assert repr(Warmup(CosineDecay(0.1, steps=9), steps=3)) == (
        "Warmup(schedule=CosineDecay(lr=0.1, steps=9, final=0), steps=3)"
    )


def test_plot_needs_a_number_of_steps():
    _, ax = plt.subplots()
    with pytest.raises(TypeError, match=r"Constant\.plot: steps is a number, not 'rates\.png'"):
        Constant(0.1).plot("rates.png", ax=ax)
    plt.close(ax.figure)


def test_plot_draws_the_rates_on_axes():
    schedule = Warmup(CosineDecay(0.1, steps=9), steps=3)
    ax = schedule.plot(12)
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, range(12))
    np.testing.assert_array_equal(y, [schedule(t) for t in range(12)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "learning rate")
    assert Constant(0.1).plot(12, ax=ax) is ax
    assert len(ax.lines) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [repr(schedule), "Constant(lr=0.1)"]
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Constant(-0.1), ValueError, "Constant: lr = -0.1 is out of range"),
        (lambda: Constant("0.1"), TypeError, "Constant: lr is a number, not '0.1'"),
        (lambda: ExponentialDecay(0.1, math.nan), ValueError, "ExponentialDecay: rate = nan is out of range"),
        (lambda: ExponentialDecay(0.1, 0.5, steps=0), ValueError, "ExponentialDecay: steps = 0 is out of range"),
        (lambda: NaturalExponentialDecay(0.1, -1), ValueError, "NaturalExponentialDecay: rate = -1 is out of range"),
        (lambda: SqrtDecay(math.inf), ValueError, "SqrtDecay: lr = inf is out of range"),
        (lambda: InverseTimeDecay(0.1, -1), ValueError, "InverseTimeDecay: rate = -1 is out of range"),
        (lambda: StepDecay(0.1, 0.5, every=0), ValueError, "StepDecay: every = 0 is out of range"),
        (lambda: PolynomialDecay(0.1, 10, power=-1), ValueError, "PolynomialDecay: power = -1 is out of range"),
        (lambda: CosineDecay(0.1, -10), ValueError, "CosineDecay: steps = -10 is out of range"),
        (lambda: CosineDecay(0.1, 10, final=-1), ValueError, "CosineDecay: final = -1 is out of range"),
        (
            lambda: PiecewiseConstant([1], [0.1]),
            ValueError,
            r"PiecewiseConstant: boundaries \[1\] must increase, and values \[0.1\] must have one entry more",
        ),
        (
            lambda: PiecewiseConstant([2, 1], [3, 2, 1]),
            ValueError,
            r"PiecewiseConstant: boundaries \[2, 1\] must increase",
        ),
        (lambda: PiecewiseConstant([1], [0.1, -1]), ValueError, "PiecewiseConstant: .* = -1 is out of range"),
        (lambda: Warmup(0.1, 10), TypeError, "Warmup: schedule is a function of the step, not 0.1; see Constant"),
        (lambda: Warmup(Constant(0.1), 0), ValueError, "Warmup: steps = 0 is out of range"),
        (lambda: CosineDecay(0.1, 10)(-1), ValueError, "CosineDecay: step = -1 is out of range"),
        (lambda: CosineDecay(0.1, 10)("1"), TypeError, "CosineDecay: step is a number, not '1'"),
        (lambda: ReduceOnPlateau(-0.1), ValueError, "ReduceOnPlateau: lr = -0.1 is out of range"),
        (lambda: ReduceOnPlateau(0.1, factor=1), ValueError, "ReduceOnPlateau: factor = 1 is out of range"),
        (lambda: ReduceOnPlateau(0.1, patience=-1), ValueError, "ReduceOnPlateau: patience = -1 is out of range"),
        (lambda: ReduceOnPlateau(0.1, mode="low"), ValueError, "mode is 'min' or 'max', not 'low'"),
        (lambda: ReduceOnPlateau(0.1, threshold_mode="x"), ValueError, "threshold_mode is 'rel' or 'abs', not 'x'"),
    ],
)
def test_wrong_settings_of_a_schedule(make, error, message):
    with pytest.raises(error, match=message):
        make()


def rates(schedule, metrics):
    seen = []
    for metric in metrics:
        schedule.observe(metric)
        seen.append(schedule(0))
    return pytest.approx(seen, rel=1e-12)


def test_plateau_waits_for_more_than_patience():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=2)
    assert schedule(0) == 1
    assert rates(schedule, [3, 3, 3]) == [1, 1, 1]  # the first is progress, then two failures are tolerated
    assert rates(schedule, [3, 3, 3]) == [0.5, 0.5, 0.5]
    assert rates(schedule, [2, 2, 2, 2]) == [0.5, 0.5, 0.5, 0.25]


def test_what_counts_as_progress_on_a_plateau():
    below = {"factor": 0.5, "patience": 0, "threshold": 0.1}
    assert rates(ReduceOnPlateau(1.0, **below), [10, 9.01, 8.99]) == [1, 0.5, 0.5]
    assert rates(ReduceOnPlateau(1.0, threshold_mode="abs", **below), [10, 9.91, 9.89]) == [1, 0.5, 0.5]
    assert rates(ReduceOnPlateau(1.0, mode="max", **below), [10, 10.99, 11.01]) == [1, 0.5, 0.5]
    assert rates(ReduceOnPlateau(1.0, mode="max", threshold_mode="abs", **below), [10, 10.09, 10.11]) == [1, 0.5, 0.5]
    assert rates(ReduceOnPlateau(1.0, factor=0.5, patience=0), [1, 0.99995, 0.9998]) == [1, 0.5, 0.5]
    for mode in ("min", "max"):  # standing still is no progress, however low the threshold
        assert rates(ReduceOnPlateau(1.0, factor=0.5, patience=0, mode=mode, threshold=0), [1, 1]) == [1, 0.5]


def test_plateau_cools_down_and_ends_at_the_lowest_rate():
    schedule = ReduceOnPlateau(1.0, factor=0.5, patience=0, cooldown=2, min_lr=0.2)
    assert rates(schedule, [1] * 11) == [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


def test_plateau_does_not_make_changes_below_eps():
    assert rates(ReduceOnPlateau(1.0, factor=0.5, patience=0, eps=0.3), [1, 1, 1]) == [1, 0.5, 0.5]


def test_plateau_takes_a_nan_as_failure_and_a_tensor_as_a_number():
    schedule = ReduceOnPlateau(1.0, patience=0)
    assert rates(schedule, [mg.tensor(2.0), math.nan]) == [1, 0.1]
    assert type(schedule.state["best"]) is float  # not a Tensor, which would keep its graph alive


def test_plateau_in_an_optimizer_under_a_warmup():
    plateau = ReduceOnPlateau(0.8, factor=0.5, patience=0)
    optimizer = SGD([mg.tensor(1.0, requires_grad=True)], lr=Warmup(plateau, steps=2))
    assert optimizer.lr == 0.4
    optimizer.step()
    assert optimizer.lr == 0.8
    for _ in range(2):
        plateau.observe(1.0)
    optimizer.step()
    assert optimizer.lr == 0.4
