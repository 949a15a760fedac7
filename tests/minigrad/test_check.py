"""check_op: it passes what is right, and shows what is wrong, where, and how."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.op import Elementwise

pytestmark = pytest.mark.usefixtures("kernels_run")

X = np.array([[0.5, -1.2, 0.3], [2.0, 0.7, -0.4]])
W = np.array([[0.2, -0.5, 1.1], [0.9, 0.4, -0.3], [-1.3, 0.6, 0.8]])


def failing(report):
    return [verdict.property for verdict in report.failures]


def only_failure(report):
    assert len(report.failures) == 1, str(report)
    return report.failures[0]


# All ops


def test_every_op_has_an_example(op_examples):
    assert [op.name for op, examples in op_examples.items() if not examples] == []


def test_every_op_passes(op_example):
    """Gradients of both orders agree with finite differences, float32 stays float32, and all else that is checked."""
    op, inputs, params = op_example
    report = mg.check_op(op, *inputs, **params)
    expected = ["float32 and float64 kept"] if op.name == "astype" else []  # it exists to change the dtype
    assert failing(report) == expected, str(report)
    assert report.notes == []


def test_elementwise_ops_need_no_example(op_examples):
    for op in op_examples:
        if isinstance(op, Elementwise) and op.name != "astype":
            report = mg.check_op(op)
            assert report.ok, str(report)
            assert report.notes == []


def test_a_function_may_return_its_input_or_a_constant():
    for f in (lambda x: x, lambda x: mg.tensor(2.0, dtype=x.dtype)):
        report = mg.check_op(f, X)
        assert report.ok, str(report)


# What it finds

GRADIENTS = "gradients against finite differences"
SECOND = "second derivative"
DTYPES = "float32 and float64 kept"
LAYOUTS = "zero-size, 0-d and non-contiguous inputs"
UPSTREAM = "upstream not written to"


def in_place(x):
    return np.maximum(x, 0, out=x)


def writes_upstream(g, y, x):
    g *= 2 * x
    return g


def uses_up(g, y, saved, x):
    saved *= g
    return (saved,)


def rough_in_float32(x):
    return np.cos(x) * (0.99 if x.dtype == np.float32 else 1)


def noted_sin():
    """sin, with a rule that looks at what the last call left behind."""
    noted = {}

    def forward(x):
        noted["cos"] = np.cos(x)
        return np.sin(x)

    return elementwise(forward, lambda y, x: noted["cos"] if type(x) is np.ndarray else np.cos(x))


def into_one_array(f):
    """f, which always returns the same array for one shape and dtype."""
    room = {}

    def call(x):
        if type(x) is not np.ndarray:
            return f(x)
        out = room.setdefault((x.shape, x.dtype), np.empty_like(x))
        out[...] = f(x)
        return out

    return call


into_one = into_one_array(lambda x: x)


def needs_contiguous(x):
    return 3 * x if x.flags.c_contiguous else 2 * x


def elementwise(forward, *derivatives):
    return mg.elementwise("mine", forward, derivatives, [""] * len(derivatives))


def primitive(forward, *vjps):
    return mg.primitive("mine", forward, vjps)


def fused(forward, backward, definition):
    return mg.fused("mine", forward, backward, definition)


def fresh_sum(backward):
    """a + b, with its gradients declared to be new arrays."""
    return mg.fused("mine", lambda a, b: (a + b, np.ones_like(a)), backward, lambda a, b: a + b, fresh=True)


# (op, example inputs, the lines that fail, what the first of them says)
SLIPS = [
    (elementwise(np.sin, lambda y, x: -np.cos(x)), [], [GRADIENTS], "the sign is wrong"),
    (elementwise(np.sin, lambda y, x: 2 * np.cos(x)), [], [GRADIENTS], "it is 2 times as large"),
    (elementwise(np.square, lambda y, x: x), [], [GRADIENTS], "it is 0.5 times as large"),
    (elementwise(lambda x: np.sin(3 * x), lambda y, x: np.cos(3 * x)), [], [GRADIENTS], "it is 0.3333 times as large"),
    (elementwise(np.sin, 1), [], [GRADIENTS], "the local derivative is missing"),
    (primitive(np.square, lambda g, y, x: 2 * x), [X], [GRADIENTS, UPSTREAM], "the upstream gradient is missing"),
    (
        primitive(lambda x: np.sum(x), lambda g, y, x: x**0),
        [X],
        [GRADIENTS, UPSTREAM],
        "the upstream gradient is missing",
    ),
    (elementwise(np.sin, lambda y, x: np.cos(y)), [], [GRADIENTS, SECOND], "the derivative at y, not at x"),
    (elementwise(np.multiply, lambda y, a, b: a, lambda y, a, b: b), [], [GRADIENTS], "it is the derivative by b"),
    (
        primitive(np.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: a.T @ g),
        [X, W],
        [GRADIENTS],
        "6 of 15 elements",
    ),
    (primitive(lambda x: x + x.T, lambda g, y, x: 2 * g), [W], [GRADIENTS], "6 of 9 elements differ"),
    (primitive(lambda x: x.T, lambda g, y, x: g), [W], [GRADIENTS], "it is transposed"),
    (elementwise(np.round, 1), [], [GRADIENTS], "the local derivative is missing"),  # a straight-through estimator
    (
        elementwise(lambda x: np.float64(2) * x, 2),
        [],
        [DTYPES],
        "value for float32: expected dtype float32, got float64",
    ),
    (
        elementwise(np.abs, lambda y, x: np.where(x > 0, 1.0, -1.0)),
        [],
        [DTYPES],
        "gradient of x as its rule returns it for float32: expected dtype float32, got float64",
    ),
    (elementwise(in_place, lambda y, x: x > 0), [], ["forward leaves inputs alone"], "x: the call changed it from -0."),
    (
        elementwise(lambda a, b: a + b * b.ndim, 1, lambda y, a, b: b.ndim),
        [],
        ["broadcasting", LAYOUTS],
        "with b of shape",
    ),
    (elementwise(np.sin, lambda y, x: rough_in_float32(x)), [], [DTYPES], "gradient of x for float32: expected "),
    (elementwise(rough_in_float32, lambda y, x: -np.sin(x)), [], [DTYPES], "value for float32: expected "),
    (primitive(np.square, writes_upstream), [X], [UPSTREAM], "the upstream gradient was [["),
    (noted_sin(), [], [UPSTREAM], "gradient of x on a second walk, after another call: expected "),
    (elementwise(into_one_array(np.exp), lambda y, x: y), [], [UPSTREAM], "value on a second walk, after another call"),
    (
        primitive(np.exp, lambda g, y, x: into_one(g * y)),
        [X],
        [UPSTREAM],
        "gradient of x kept from before: expected [[",
    ),
    (primitive(needs_contiguous, lambda g, y, x: 3 * g), [X], [LAYOUTS], "value for strided views: expected [["),
    (
        elementwise(lambda x: np.exp(x.ravel("K").reshape(x.shape)), lambda y, x: y),
        [],
        [LAYOUTS],
        "value for arrays stored column by column: expected [[",
    ),
    (
        fused(lambda x: (x, None), lambda g, y, s, x: (g,), lambda x: 2 * x),
        [X],
        ["kernel equals definition"],
        "of the k",
    ),
    (fused(lambda x: (x * x, 2 * x), uses_up, lambda x: x * x), [X], [UPSTREAM], "gradient of x on a second walk"),
    (fresh_sum(lambda g, y, s, a, b: (g, g.copy())), [X, X + 1], [UPSTREAM], "the upstream gradient was [["),
    (fresh_sum(lambda g, y, s, a, b: (+g,) * 2), [X, X + 1], [UPSTREAM], "before, declared fresh: expected [["),
    (
        fresh_sum(lambda g, y, s, a, b: (g.copy(), np.copyto(s, g) or s)),
        [X, X + 1],
        [UPSTREAM],
        "gradient of b kept from before, declared fresh: expected [[",
    ),
]


@pytest.mark.parametrize(("op", "inputs", "lines", "text"), SLIPS)
def test_a_slip_fails_its_line(op, inputs, lines, text):
    report = mg.check_op(op, *inputs)
    assert failing(report) == lines, str(report)
    assert text in report.failures[0].detail


def test_a_jump_may_lie_elsewhere_in_float32():
    """10·0.35 is 3.5 in float32, and just less for the same number in float64: they are rounded to 4 and 3."""
    tenths = elementwise(lambda x: np.round(10 * x) / 10, 1)
    assert tenths(np.float32(0.35)) != tenths(np.float64(np.float32(0.35)))
    assert failing(mg.check_op(tenths, [0.35, 0.7])) == [GRADIENTS]


def test_only_a_gradient_needs_an_upstream_gradient_to_be_seen():
    report = mg.check_op(elementwise(in_place, lambda y, x: x > 0))
    assert "upstream" not in only_failure(report).detail


def test_second_derivatives_by_two_inputs_do_not_cancel():
    """For a function of a − b, ∂f/∂a + ∂f/∂b is 0, even where second derivatives are lost."""
    lost = elementwise(
        lambda a, b: (a - b) ** 3,
        lambda y, a, b: 3 * np.square(mg.data.array(a) - mg.data.array(b)),
        lambda y, a, b: -3 * np.square(mg.data.array(a) - mg.data.array(b)),
    )
    assert failing(mg.check_op(lost, X, X - 1.3)) == [SECOND]


@pytest.mark.parametrize("fault", [KeyError("rate"), OSError("no table"), type("Unfinished", (Exception,), {})("todo")])
def test_a_rule_that_breaks_is_told(fault):
    def breaks(g, y, x):
        raise fault

    report = mg.check_op(primitive(np.sin, breaks), X)
    assert set(failing(report)) == {GRADIENTS, SECOND, DTYPES, UPSTREAM, LAYOUTS}
    assert f"{type(fault).__name__}: {fault}" in report.failures[0].detail


def test_an_assertion_in_a_rule_fails_its_lines():
    def asserts(g, y, x):
        raise AssertionError

    report = mg.check_op(primitive(lambda x: +x, asserts), X)
    assert GRADIENTS in failing(report)
    assert report.failures[0].detail.startswith("an assertion in it fails\nwhere x = ")


def test_a_rule_that_cannot_be_differentiated_fails_one_line():
    op = elementwise(np.sin, lambda y, x: np.cos(np.asarray(x)))
    detail = only_failure(mg.check_op(op)).detail
    assert "rule for input 0 failed: an array or parameter would lose a tensor's gradients" in detail


def test_a_rule_that_fills_an_array_is_told_to_be_an_expression():
    def fills(g, y, x):
        z = np.zeros_like(x)
        for i in range(len(x)):
            z[i] = 2 * g
        return z

    report = mg.check_op(primitive(lambda x: 2 * np.sum(x), fills), X[0])
    assert "it is 0, as behind .data or a rule that fills an array: write it as an" in only_failure(report).detail


def test_a_wrong_shape_is_told_with_both_shapes():
    report = mg.check_op(primitive(lambda x: x.sum(axis=0), lambda g, y, x: g), X)
    assert "GraphError: mine: the rule for input 0 returned shape (3,), where shape (2, 3)" in report.failures[0].detail


# The report


def test_the_smallest_input_is_shown():
    """The rule is wrong for negative numbers only: one of them is picked, and nothing else."""
    op = elementwise(lambda x: x * np.abs(x), lambda y, x: 2 * x)
    verdict = only_failure(mg.check_op(op, X))
    assert verdict.detail.splitlines()[0] == "2 of 6 elements differ"
    u = mg.differences.cotangent(())
    assert verdict.detail.splitlines()[1:] == [
        f"derivative by x: expected {2.4 * u:.6g} (numeric), got {-2.4 * u:.6g} (analytic), relative error 2",
        f"where x = -1.2, upstream gradient = {u}",
    ]


def test_a_broadcast_input_is_shown_at_the_element_that_met_the_fault():
    op = elementwise(lambda x, b: b * x * np.abs(x), lambda y, x, b: 2 * b * x, lambda y, x, b: x * np.abs(x))
    inputs = np.abs(X) * [[1, 1, 1], [1, 1, -1]], np.array([0.6, 0.8, 1.7])
    verdict = mg.check_op(op, *inputs).failures[0]
    assert verdict.detail.splitlines()[-1].startswith("where x = -0.4, b = 1.7, upstream gradient")


def test_a_matrix_is_cut_down():
    report = mg.check_op(primitive(np.matmul, lambda g, y, a, b: -(g @ b.T), lambda g, y, a, b: a.T @ g), X, W)
    assert "where a = [[0.5]], b = [[0.2]], upstream gradient" in only_failure(report).detail


def test_an_input_that_the_op_refuses_is_not_shown():
    def step(x):
        if len(x) < 2:
            raise ValueError("a step needs two rows")
        return x[1:] - x[:1]

    verdict = only_failure(mg.check_op(primitive(step, lambda g, y, x: np.concatenate([g, -g])), X))
    assert verdict.detail.splitlines()[1].startswith("derivative by x[")
    assert verdict.detail.splitlines()[2] == "where x = [[0.5],"


def test_an_input_at_which_something_else_goes_wrong_is_not_shown():
    """3 is written where x.shape[0] is meant: for a smaller input the shape is wrong, too."""
    op = primitive(lambda x: x.sum(axis=0), lambda g, y, x: 2 * np.stack([g] * 3))
    summary, sentence, where, *_ = mg.check_op(op, W).failures[0].detail.splitlines()
    assert summary == "9 of 9 elements differ; it is 2 times as large as it should be"
    assert sentence.startswith("derivative by x[")
    assert where.startswith("where")


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ("the output was [[", lambda g, y, x: np.multiply(y, 0, out=y) + g * np.cos(x)),
        ("the input x was [[", lambda g, y, x: g * np.cos(x) + 0 * np.multiply(x, 2, out=x)),
    ],
)
def test_an_array_that_a_rule_writes_to_is_named(changed, rule):
    detail = [v.detail for v in mg.check_op(primitive(np.sin, rule), X).failures if v.property == UPSTREAM]
    assert changed in detail[0]
    assert "before the rules ran" in detail[0]


def test_a_report_has_a_line_per_property():
    report = mg.check_op(mg.tanh)
    lines = str(report).splitlines()
    assert lines[0] == "tanh: every property holds"
    assert [line.split()[0] for line in lines[1:]] == ["ok", "ok", "–", "ok", "ok", "ok", "ok", "–"]
    assert report.ok
    assert report.failures == []
    assert repr(report) == str(report)  # so that a notebook and a failed test show it too


def test_a_failing_report_says_how_many_lines_fail():
    report = mg.check_op(elementwise(np.sin, lambda y, x: np.cos(y)))
    assert not report.ok
    assert str(report).startswith("mine: 2 of 8 properties fail\n")
    assert str(report).count("\n  FAIL  ") == 2


def test_an_op_that_leaves_nan_alone_is_not_said_to_change_it():
    assert "forward leaves inputs alone" not in failing(mg.check_op(mg.tanh, np.array([0.5, np.nan])))


def test_a_report_says_once_why_a_rule_always_fails():
    report = mg.check_op(primitive(lambda x: 2 * x, lambda g, y, x: np.sum(g)), X[0])
    assert str(report).count("GraphError") == 1
    assert str(report).count("\n  FAIL  ") == len(report.failures) == 5
    assert str(report).count(": as above") == 4
    assert all("returned shape ()" in verdict.detail for verdict in report.failures)


def test_a_report_as_json():
    report = mg.check_op(elementwise(np.sin, lambda y, x: -np.cos(x)))
    found = json.loads(report.to_json())
    assert found["op"] == "mine"
    assert found["ok"] is False
    assert [v["property"] for v in found["verdicts"] if v["ok"] is False] == [GRADIENTS]
    assert [v["property"] for v in found["verdicts"] if v["ok"] is None] == ["broadcasting", "kernel equals definition"]
    assert all(v["detail"] for v in found["verdicts"] if v["ok"] is False)


# Inputs of all kinds


def test_inputs_without_a_rule_are_handed_on():
    masked = elementwise(lambda x, mask: x * mask, lambda y, x, mask: mask, None)
    assert mg.check_op(masked, X, np.round(np.abs(X))).ok
    assert mg.check_op(mg.cross_entropy, X, np.array([0, 2])).ok
    assert mg.check_op(mg.dense, X, W, None, activation="relu").ok


def product(x, mask):
    return x * mask


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (elementwise(product, lambda y, x, mask: mask, None), [X, np.abs(X)]),
        (elementwise(product, lambda y, x, mask: mask, None), [X, 0 * X]),
        (elementwise(product, lambda y, x, mask: mask, None), []),  # the made-up masks are True and False
        (primitive(lambda x, mask: x @ mask, lambda g, y, x, mask: g @ mask.T, None), [X, W]),
    ],
)
def test_an_input_without_a_rule_is_noted_if_the_output_changes_with_it(op, inputs):
    report = mg.check_op(op, *inputs)
    note = "input 1 (mask) has no rule though the output changes with it: declared as not differentiable"
    assert report.ok
    assert json.loads(report.to_json())["notes"] == report.notes == [note]
    assert str(report).splitlines()[-1] == f"  note  {note}"


def test_an_input_beside_a_condition_is_noted():
    op = elementwise(lambda x, c, t: np.where(~c, x * t, 0), lambda y, x, c, t: np.where(~c, t, 0), None, None)
    (note,) = mg.check_op(op).notes
    assert note.startswith("input 2 (t) has no rule")


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (elementwise(product, lambda y, x, mask: mask, None), [X, X > 0]),
        (elementwise(product, lambda y, x, mask: mask, None), [X, np.array([1, 0, 2])]),
        (elementwise(lambda x, t: x * (x > t), lambda y, x, t: x > t, None), [X, np.abs(X) + 0.1]),
        (elementwise(lambda x, c: np.where(~c, x, 0), lambda y, x, c: ~c, None), []),  # ~ takes no floats
    ],
)
def test_what_cannot_have_a_derivative_is_not_noted(op, inputs):
    report = mg.check_op(op, *inputs)
    assert report.ok, str(report)
    assert report.notes == []


def test_float32_beside_integers_is_no_fault():
    assert mg.check_op(mg.power, np.abs(X) + 0.3, np.array([1, 2, 3])).ok
    assert mg.check_op(mg.matmul, X, np.arange(6).reshape(3, 2)).ok
    widened = elementwise(lambda x, n: x * n * np.float64(1), lambda y, x, n: np.float64(1) * n, None)
    assert [v.property for v in mg.check_op(widened, X, np.array([1, 2, 3])).failures] == ["float32 and float64 kept"]


def test_examples_keep_their_values():
    x = X.copy()
    mg.check_op(elementwise(in_place, lambda y, x: x > 0), x)
    np.testing.assert_array_equal(x, X)


def test_any_function_can_be_checked():
    def pair(a, b):
        return mg.stack([a, b])

    report = mg.check_op(pair, X, X + 1)
    assert report.ok
    assert report.op == "pair"


@pytest.mark.parametrize(("op", "low", "high"), [(mg.log, 0, 3), (mg.arcsin, -1, 1), (mg.arccosh, 1, 3)])
def test_examples_lie_in_the_domain(op, low, high):
    xs = mg.check.examples_for(op, {})
    assert low < xs[0].min() <= xs[0].max() < high


def test_a_sum_is_not_elementwise():
    report = mg.check_op(elementwise(lambda x: np.sum(x), lambda y, x: np.ones_like(x)), X)
    failed = {verdict.property: verdict.detail for verdict in report.failures}
    assert "inputs of shape (1, 1) give shape (): that is not elementwise" in failed["broadcasting"]


# Wrong calls


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.check_op(mg.matmul), ValueError, "check_op: matmul needs example inputs"),
        (lambda: mg.check_op(mg.tanh(X)), ValueError, "^check_op: ndarray needs example inputs"),  # not the op itself
        (lambda: mg.check_op(mg.matmul, X, X), ValueError, r"matmul: .*\(2, 3\)"),
        (lambda: mg.check_op(mg.add, X), TypeError, r"add: it is called as add\(a, b\)"),
        (
            lambda: mg.check_op(elementwise(lambda a, b: a * b, lambda y, a, b: b)),
            TypeError,
            "has no rule for b: write one",
        ),
        (lambda: mg.check_op(mg.sigmoid, X, X), TypeError, r"sigmoid: it is called as sigmoid\(x\)"),
        (lambda: mg.check_op(mg.sigmoid, np.array([1, 2])), ValueError, "no floating input"),
        (lambda: mg.check_op(elementwise(np.sin, None), X), ValueError, "none that has a rule"),
        (lambda: mg.check_op(elementwise(lambda x: x / 0 * 0, 1)), ValueError, "mine is finite on none of"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=message), np.errstate(all="ignore"):
        call()
