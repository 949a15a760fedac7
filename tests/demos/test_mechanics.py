"""The first lesson: its engine, its mistakes and minigrad against derivatives found on paper."""

import numpy as np
import pytest

from demos import mechanics
from demos.mechanics import Value, apply, backward, discovered, order

# e = ab·(ab + a), so ∂e/∂a = 2ab² + 2ab, ∂e/∂b = 2a²b + a², ∂e/∂c = d + c, ∂e/∂d = c
ON_PAPER = [36, 45, 15, 6, 1]


@pytest.fixture(scope="module")
def result():
    return mechanics.run()


def test_expression_by_both_engines(result):
    columns = result.numbers["expression"]
    assert columns["this engine"] == columns["minigrad"] == ON_PAPER
    assert columns["small steps"][:2] == pytest.approx(ON_PAPER[:2], rel=1e-9)


def test_the_two_mistakes_give_wrong_numbers(result):
    """∂e/∂a is 6 + 9·2 instead of 6 + 15·2 if c is visited too early, and the last part alone if parts overwrite."""
    columns = result.numbers["expression"]
    assert columns["wrong order"] == [24, 27, 15, 6, 1]
    assert columns["overwriting"] == [12, 18, 6, 6, 1]


def test_neuron_against_the_formula():
    numbers = mechanics.run(seed=3).numbers["neuron"]
    w = np.random.default_rng(3).normal(size=9)
    x = np.array([1.0, -2.0, 1.0])  # the last 1 is the input of the bias
    h = np.tanh([w[:3] @ x, w[3:6] @ x])
    slope = 1 - np.tanh(w[6] * h[0] + w[7] * h[1] + w[8]) ** 2
    first, second = (slope * w[6 + j] * (1 - h[j] ** 2) * x for j in (0, 1))
    on_paper = np.concatenate([first, second, slope * h, [slope]])
    assert np.allclose(numbers["this engine"], on_paper, rtol=1e-13, atol=0)
    assert np.allclose(numbers["minigrad"], on_paper, rtol=1e-13, atol=0)
    assert np.allclose(numbers["small steps"], on_paper, rtol=0, atol=1e-8)


def test_engine_on_values_that_meet_themselves():
    x = Value(3.0)
    y = x * x + x * x * x
    assert backward(y, order(y))[x] == 2 * 3 + 3 * 9


def test_order_puts_users_first():
    x = Value(0.5)
    y = apply("tanh", x * x + x) * x
    places = {value: i for i, value in enumerate(order(y))}
    assert set(places) == set(discovered(y))
    assert all(places[value] < places[x] for value in places for x in value.inputs)


def test_deep_expressions_need_no_recursion():
    y = x = Value(1.0)
    for _ in range(1500):
        y = y + x
    assert backward(y, order(y))[x] == 1501


def test_the_picture_shows_the_numbers(result):
    shown = [text.get_text() for text in result.figure.axes[0].texts]
    assert {"a │ 3 │ 6 + 30 = 36", "b │ 2 │ 45", "c │ 6 │ 9 + 6 = 15", "d │ 9 │ 6", "e │ 54 │ 1"} <= set(shown)
    assert {"1 × 9 = 9", "1 × 6 = 6", "6 × 1 = 6", "15 × 2 = 30", "15 × 3 = 45"} <= set(shown)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_report_steps_through_the_backward_pass(result):
    steps = (
        result.table.index("d = 9 × upstream 1 = 9, added to c"),
        result.table.index("a = 3 × upstream 15 = 45, added to b"),
    )
    assert steps[0] < steps[1]
    assert "= 9, added to w" in result.table  # 1 + 3 + 5: the gradient of a broadcast input is a sum
    assert "minigrad/graph.py" in result.table


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds",
        "holds if each value waits for all its users",
        "holds",
    ]
    assert "36 summed, 12 overwritten" in result.claims[0].measured
    assert "24 in the order" in result.claims[1].measured
