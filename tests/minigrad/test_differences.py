"""gradcheck: it passes what is right, also at kinks, and shows the worst element of what is wrong."""

import numpy as np
import pytest

import minigrad as mg

pytestmark = pytest.mark.usefixtures("kernels_run")

X = np.array([[0.5, -1.2, 0.3], [2.0, 0.7, -0.4]])
W = np.array([[0.2, -0.5, 1.1], [0.9, 0.4, -0.3], [-1.3, 0.6, 0.8]])


# What it finds


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (lambda x: np.tanh(x), [X]),
        (lambda x, w: mg.softmax(x @ w), [X, W]),
        (lambda x, labels: mg.cross_entropy(x, labels), [X, np.array([0, 2])]),
        (lambda x, w, b: mg.dense(x, w, b), [X, W, None]),
        (lambda x: x * 2, [3.0]),
        (lambda x: x.sum(), [[1, 2]]),
        (lambda x: x * x, [mg.tensor([1.0, 2.0], dtype="float32")]),
        (lambda x: np.exp(x), [[0.1, 12.0, -3.0]]),  # the second derivatives differ by six digits
    ],
)
def test_gradcheck_passes_what_is_right(f, inputs):
    assert mg.gradcheck(f, *inputs, order=2) is True


def test_gradcheck_shows_the_worst_element():
    def f(x):
        return x * x + mg.tensor(x.data) * np.array([0.0, 0.5, 0.0])  # a path without gradient

    with pytest.raises(AssertionError) as caught:
        mg.gradcheck(f, [1.0, 2.0, 3.0])
    u = mg.differences.cotangent((3,))[1]
    assert f"input 0[1]: expected {4.5 * u:.6g} (numeric), got {4 * u:.6g} (analytic)" in str(caught.value)
    assert "relative error 0.11" in str(caught.value)
    assert "1 of 3 elements differ" in str(caught.value)


def test_a_rule_that_is_not_a_number_is_the_worst():
    wrong = mg.elementwise("wrong", np.sin, [lambda y, x: np.where(x > 1, np.nan, 2 * np.cos(x))], ["?"])
    with pytest.raises(AssertionError, match=r"got nan \(analytic\), relative error inf; 6 of 6 elements differ"):
        mg.gradcheck(wrong, X)


def test_a_slight_error_looks_like_no_slip():
    log = mg.elementwise("log", np.log, [lambda y, x: 1 / x + 1e-5 * (x > 1)], ["1/x"])
    with pytest.raises(AssertionError, match=r"1 of 3 elements differ$"):  # and no guess why
        mg.gradcheck(log, [0.5, 0.7, 2.0], rtol=1e-6)


@pytest.mark.parametrize("order", [0, -1])
def test_gradcheck_does_not_pass_without_checking_anything(order):
    with pytest.raises(ValueError, match=r"gradcheck: order=.* checks nothing"):
        mg.gradcheck(mg.sin, [1.0], order=order)


def test_gradcheck_names_the_order_and_the_input_that_is_wrong():
    half = mg.primitive(
        "half", lambda x: x * x, [lambda g, y, x: g * 2 * (x.data if isinstance(x, mg.Tensor) else x)], ["2x"]
    )
    assert mg.gradcheck(half, X)
    with pytest.raises(AssertionError, match=r"gradcheck, order 2: derivative by x\["):
        mg.gradcheck(half, X, order=2)


@pytest.mark.parametrize("size", [1, 4])
def test_the_upstream_gradient_is_random(size):
    forgets = mg.primitive("forgets", np.sin, [lambda g, y, x: np.cos(x)], ["cos x"])
    with pytest.raises(AssertionError):
        mg.gradcheck(forgets, np.full(size, 0.3))


def test_gradcheck_names_what_cuts_a_layer_off():
    def detached(x):
        return mg.tanh(mg.tensor(x.data) + 0 * x)

    with pytest.raises(AssertionError, match=r"it is 0, as behind \.data or a rule"):
        mg.gradcheck(detached, X)


def test_gradcheck_leaves_everything_as_it_was():
    x = mg.tensor(X, requires_grad=True)
    outer = mg.tensor(2.0, requires_grad=True)
    state = mg.settings.generator().bit_generator.state
    assert mg.gradcheck(lambda x: x * outer, x, order=2)
    assert x.grad is None
    assert outer.grad is None
    assert mg.settings.generator().bit_generator.state == state


def test_a_wrong_rule_is_told_where_the_op_does_not_take_its_own_output():
    transposed = mg.primitive("transposed", lambda x: x.T, [lambda g, y, x: 2 * g.T])
    reshaped = mg.primitive("reshaped", lambda x: x.reshape(6), [lambda g, y, x: 2 * g.reshape(2, 3)])
    for wrong in (transposed, reshaped):
        with pytest.raises(AssertionError, match="6 of 6 elements differ; it is 2 times as large"):
            mg.gradcheck(wrong, X)


# Kinks

KINKED = [
    (mg.relu, [0.0, 1.0, -1.0]),
    (mg.abs, [0.0, 1e-7, -3e-7]),
    (mg.hard_tanh, [1.0, -1.0 - 2e-7, 0.2]),
    (lambda x: np.maximum(x, 1.0), [1.0 + 4e-7, 1.0 + 3.333e-7, 1.0 - 1.6667e-7]),
    (lambda x: np.sqrt(x), [0.0, 1e-7]),
    (lambda x: x.max(), [1.0, 1.0, 0.5]),
    (lambda x: x * (x.data > 0.5), [0.5, 0.5 - 1e-7, 2.0]),
]
BENT = [  # their slope jumps, or has a kink, at 0
    (mg.abs, [0.0, 1.0, -2.0]),
    (mg.softsign, [0.0, 1.0]),
    (lambda x: x * mg.abs(x), [0.0, 1e-7, 1.0]),
    (lambda x: mg.relu(x) ** 2, [0.0, -1.0, 1.0]),
    (lambda x: mg.norm(x), [0.0, 0.0]),
    (lambda x: mg.maximum(x, 2 * x), [0.0, 1.0]),
]


@pytest.mark.parametrize(("f", "x"), KINKED)
def test_kinks_are_left_out(f, x):
    assert mg.gradcheck(f, x)


@pytest.mark.parametrize(("f", "x"), BENT)
def test_kinks_of_slopes_are_left_out(f, x):
    assert mg.gradcheck(f, x, order=3)


def test_a_curve_too_strong_for_the_step_is_no_error():
    assert mg.gradcheck(mg.sqrt, [1e-5, 2e-6, 1.0])
    wrong = mg.elementwise("wrong", np.sqrt, [lambda y, x: 0.501 / y], ["?"])
    with pytest.raises(AssertionError, match="1 of 1 elements differ"):
        mg.gradcheck(wrong, [1e-5])


@pytest.mark.parametrize("offset", [1e9, 1e12])
def test_rounding_excuses_nothing(offset):
    """Differences of large numbers are inexact, but must not pass for a kink."""
    wrong = mg.elementwise("wrong", lambda x: x + offset, [lambda y, x: 1.5 + 0 * x], ["?"])
    with pytest.raises(AssertionError, match="differ"):
        mg.gradcheck(wrong, np.linspace(0.1, 1, 20))


def test_kinks_are_counted():
    report = mg.check_op(mg.relu, np.array([0.0, 1.0, -1.0, 2e-7]))
    assert report.ok
    assert "gradients against finite differences: 2 elements, 2 at a kink left out" in str(report)
    steep = mg.elementwise("steep", lambda x: np.maximum(x, 0), [lambda y, x: 1.5 * (x > 0)], ["?"])
    with pytest.raises(AssertionError, match="1 of 2 elements differ, 2 at a kink left out"):
        mg.gradcheck(steep, [0.0, 1.0, -1.0, -1e-7])


def test_a_wrong_rule_is_not_excused_by_a_kink():
    wrong = mg.elementwise("wrong", lambda x: np.maximum(x, 0), [lambda y, x: np.where(x > 0, 1.0, 7.0)], ["?"])
    with pytest.raises(AssertionError):
        mg.gradcheck(wrong, [0.0])  # 7 is no slope between 0 and 1
    with pytest.raises(AssertionError):
        mg.gradcheck(wrong, [0.0, -1.0])


@pytest.mark.parametrize("x", [1e-3, 0.1, 40.0])
def test_a_strong_curve_is_not_a_kink(x):
    wrong = mg.elementwise("wrong", lambda x: 1 / x, [lambda y, x: -1.01 / x**2], ["?"])
    with pytest.raises(AssertionError, match="1 of 1 elements differ"):
        mg.gradcheck(wrong, x)


def test_a_strong_curve_does_not_excuse_a_wrong_rule():
    """Slopes at steps of 0.1, 0.05 and 0.025 are −3.01, −3.0025 and −3.0006: they tend to −3, not to −3.015."""
    wrong = mg.elementwise("wrong", lambda x: -x * x * x, [lambda y, x: -3.015 * x * x], ["?"])
    with pytest.raises(AssertionError, match="1 of 1 elements differ"):
        mg.gradcheck(wrong, 1.0, eps=0.1)


# Wrong calls


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.gradcheck(lambda x: mg.log(x), [-1.0]), ValueError, "not finite at these inputs"),
        (lambda: mg.gradcheck(lambda x: mg.dropout(x, 0.5), X), ValueError, "draws random numbers"),
        (lambda: mg.gradcheck(lambda x: x.data, X), TypeError, "f must return a Tensor, not ndarray"),
        (lambda: mg.gradcheck(lambda x: x, np.array([1, 2])), ValueError, "no floating input"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=message), np.errstate(all="ignore"):
        call()
