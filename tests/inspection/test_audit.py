"""An audit finds nothing where all derivatives are right, and exactly the faulty op where one is wrong."""

import re

import numpy as np
import pytest

import minigrad as mg
from layers import Dense, Residual, Sequential
from minigrad.fused import Fused


def loss_of(op, inputs, params):
    """Σ c·op(inputs) with a random c, so that every element has a weight of its own."""
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x for x in inputs]
    y = op(*xs, **params)
    return mg.sum(y * np.random.default_rng(3).uniform(0.5, 2, y.shape))


def plant(monkeypatch, op, factor):
    """Multiply every derivative of an op by a factor."""
    if op.definition:
        backward = op.backward
        monkeypatch.setattr(op, "backward", lambda *xs, **ps: [scaled(c, factor) for c in backward(*xs, **ps)])
    elif callable(op.rules):
        rule = op.rules
        monkeypatch.setattr(op, "rules", lambda *xs, **ps: factor * rule(*xs, **ps))
    else:
        rules = [with_factor(rule, factor) for rule in op.rules]
        monkeypatch.setattr(op, "rules", rules)


def with_factor(rule, factor):
    return (lambda *xs, **ps: factor * rule(*xs, **ps)) if callable(rule) else scaled(rule, factor)


def scaled(x, factor):
    if callable(x):  # a product that is computed later
        return lambda: factor * x()
    return None if x is None else factor * x


def named(audit):
    return {failure.op for failure in audit.failures}


def test_every_op_is_right(op_example):
    op, inputs, params = op_example
    for expand in (True, False) if isinstance(op, Fused) else (True,):
        audit = mg.trace(loss_of(op, inputs, params), expand=expand).audit()
        assert audit.ok, audit
        assert audit.worst <= 1e-7
        assert audit.checks[0].count > 0


def test_a_mistake_in_any_op_is_named(op_example, monkeypatch):
    op, inputs, params = op_example
    loss = loss_of(op, inputs, params)
    plant(monkeypatch, op, 1.01)
    trace = mg.trace(loss)
    audit = trace.audit()
    assert not audit.ok
    assert named(audit) == {op.name}
    assert op.name in str(audit.failures[0])
    assert "✗" in str(audit)
    assert audit.worst >= max(failure.error for failure in audit.failures) > 1e-6


def test_nets_are_right(net):
    for expand in (True, False):
        audit = mg.trace(net.loss, expand=expand).audit()
        assert audit.ok, audit
        assert audit.worst <= 1e-5
        assert audit.checks[0].worst <= 1e-8


@pytest.mark.slow
def test_a_mistake_in_a_net_is_named(kind, make_net, monkeypatch):
    net = make_net(kind, seed=0)
    ops = {node.vertex.op for node in mg.trace(net.loss).nodes if node.op != "leaf"}
    ops |= {node.vertex.op for node in mg.trace(net.loss, expand=False).nodes if node.op != "leaf"}
    assert len(ops) > 3
    for k, op in enumerate(sorted(ops, key=lambda op: op.name)):
        with monkeypatch.context() as patch:
            plant(patch, op, (-1, 1 + 1e-4)[k % 2])
            assert named(mg.trace(net.loss).audit()) == {op.name}


def test_a_kernel_that_computes_something_else_is_named(monkeypatch):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    w = mg.tensor(np.eye(3), requires_grad=True)
    forward = mg.dense.forward
    monkeypatch.setattr(mg.dense, "forward", lambda *xs, **ps: (forward(*xs, **ps)[0] + 1e-6, None))
    audit = mg.trace(mg.dense(x, w, None).sum(), expand=False).audit()
    assert named(audit) == {"dense"}


def test_a_wrong_rule_is_named_once_however_many_kernels_use_it(monkeypatch):
    model = Sequential(Dense(3, 3, "tanh"), Dense(3, 1))
    loss = mg.sum(model(np.ones((2, 3))))
    plant(monkeypatch, mg.tanh, 1.1)
    assert named(mg.trace(loss).audit()) == {"tanh"}
    assert named(mg.trace(loss, expand=False).audit()) == {"dense"}


# Kinks


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.relu, [0.0, 1e-7, -3e-7, 0.4, -0.3]),
        (mg.abs, [1e-9, -0.2, 0.8]),
        (mg.leaky_relu, [0.0, 1e-8, 0.5]),
        (lambda x: mg.elu(x, 2.0), [0.0, 1e-8, 0.5]),
        (lambda x: mg.clip(x, -1, 1), [1.0, -1.0, 0.5, 3.0]),
        (mg.hard_tanh, [1.0, -1.0, 0.5, 3.0]),
        (lambda x: mg.hinge(x, np.ones(2)), [1.0, 0.5]),
    ],
)
def test_kinks_are_recognised_left_out_and_counted(f, x):
    x = mg.tensor(x, requires_grad=True)
    audit = mg.trace(mg.sum(f(x) * np.array(2.0))).audit()
    assert audit.ok, audit
    (kinks,) = [check for check in audit.checks if "kink" in check.name]
    assert kinks.count > 0
    assert kinks.worst > 1e-4
    assert "would have failed" in str(audit)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.square, [0.0, 1e-8, 3.0]),
        (mg.log, [1e-6, 1.0, 30.0]),
        (mg.tanh, [0.0, 1e-5, -20.0]),
        (mg.max, [0.3, 0.3, 0.1]),
        (mg.norm, [0.0, 0.0]),
        (lambda x: mg.maximum(x, 0.5), [0.5, 0.1]),
        (mg.abs, [0.0]),
    ],
)
def test_no_kink_is_seen_where_f_is_smooth_or_its_derivative_is_in_the_middle_of_both_sides(f, x):
    audit = mg.trace(mg.sum(f(mg.tensor(x, requires_grad=True)))).audit()
    assert audit.ok, audit
    assert "kink" not in str(audit)


def test_only_the_elements_at_a_kink_are_left_out(monkeypatch):
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    loss = mg.sum(mg.relu(x))
    plant(monkeypatch, mg.relu, 1.001)
    assert named(mg.trace(loss).audit()) == {"relu"}


def test_a_mask_of_minus_infinity_is_no_kink():
    scores = mg.tensor(np.arange(9.0).reshape(3, 3) / 10, requires_grad=True)
    past = np.tril(np.ones((3, 3), dtype=bool))
    for masked in (mg.where(past, scores, -np.inf), scores + np.where(past, 0, -np.inf)):
        audit = mg.trace(mg.sum(mg.square(mg.softmax(masked)))).audit()
        assert audit.ok, audit
        assert "kink" not in str(audit)
    masked = mg.where(past, 3 * scores, -np.inf)
    masked.node.op = mg.define.elementwise("half", lambda c, a, b: np.where(c, a, b), [None, 0.5, None], ["", "½", ""])
    assert named(mg.trace(mg.sum(mg.softmax(masked) * scores)).audit()) == {"half"}


def test_a_net_whose_values_explode_is_not_blamed_on_a_kernel():
    x, w, b = (mg.tensor(x, requires_grad=True) for x in ([[1e200, 1.0]], [[1e200, 0.5], [1.0, 1.0]], [0.0, 0.0]))
    with np.errstate(all="ignore"):
        loss = mg.sum(mg.dense(x, w, b, "relu"))
        assert not np.isfinite(loss.item())
        assert named(mg.trace(loss).audit()) == set()
        loss.node.inputs[0].node.output[0, 1] *= 1.001
        assert named(mg.trace(loss).audit()) == {"dense"}


def test_sums_of_nan_are_not_called_wrong():
    x = mg.tensor([1e200, -1e200, 1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        squares = mg.square(x)
        trace = mg.trace(mg.sum(mg.exp(mg.relu(squares - squares[::-1]))))
        audit = trace.audit()
    assert not np.isfinite(trace[x].grad[:2]).any()
    assert audit.ok, audit
    assert "find_nan" in str(audit)


def test_the_edge_of_a_domain_is_left_out():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        audit = mg.trace(mg.sum(mg.sqrt(x) + x)).audit()
    assert audit.checks[0].failures == []
    assert "excluded" in str(audit)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 1e12,
        lambda x: mg.sum(mg.exp(x)) * 1e-8 + 1e6,
        lambda x: mg.log(1e-9 * mg.square(x)),
        lambda x: mg.matmul(mg.stack([x, x, x]), 1e8 * np.array([[1.0], [-1.0], [0.0], [1e-9]])),
        lambda x: mg.softmax(1000 * x),
        lambda x: mg.divide(1e-12, x),
    ],
)
def test_rounding_is_no_mistake(f):
    x = mg.tensor([0.1, 0.100001, 3.0, -2.0], requires_grad=True)
    y = f(x)
    audit = mg.trace(mg.sum(y * np.ones(y.shape)), expand=False).audit()
    assert audit.ok, audit


# Everything else


@pytest.mark.parametrize(
    ("noise", "note"),
    [(1e-4, ""), (1e-6, r"not counted: rounding of \de-1[01]")],  # condition numbers of 10⁵ and 10⁷
)
def test_an_ill_conditioned_matrix_is_no_mistake(noise, note, monkeypatch):
    """A Gaussian process: steps leave the positive definite matrices, and in its gradient terms nearly cancel."""
    linalg = pytest.importorskip("minigrad.numpy_linalg")
    x = np.linspace(0, 5, 40)
    width, scale = (mg.tensor(0.0, requires_grad=True, name=name) for name in ("width", "scale"))
    kernel = np.exp(scale) * np.exp(-0.5 * (x[:, None] - x) ** 2 * np.exp(width)) + noise * np.eye(40)
    fit, volume = np.sin(x) @ np.linalg.solve(kernel, np.sin(x)), np.sum(np.log(np.diag(np.linalg.cholesky(kernel))))
    audit = mg.trace(fit + 2 * volume).audit()
    assert audit.failures == []
    assert re.search(note, str(audit))
    plant(monkeypatch, linalg.cholesky, 2)
    assert [failure.op for failure in mg.trace(fit + 2 * volume).audit().failures] == ["cholesky"]


def test_differences_are_taken_in_float64(make_net):
    net = make_net("mlp", seed=1, dtype=np.float32)
    audit = mg.trace(net.loss).audit()
    assert audit.ok
    assert audit.checks[0].worst < 1e-8
    x = mg.tensor([0.3, 0.7], requires_grad=True, dtype=np.float32)
    assert mg.trace(mg.sum(mg.astype(mg.tanh(mg.astype(x, np.float64)), np.float32))).audit().ok
    swapped = mg.tensor(np.array([0.3, 0.7], ">f4"), requires_grad=True)  # float32 as big-endian files hold it
    assert mg.trace(mg.sum(mg.tanh(swapped) * swapped)).audit().checks[0].worst <= 1e-9


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_was_given_is_not_compared(make_net, dtype):
    trace = mg.trace(make_net("mlp", seed=1, dtype=dtype).loss)
    activations = sum(node.kind == "activation" for node in trace.nodes)
    audit = trace.what_if({"kind:activation": 2.0}).audit()
    assert audit.ok, audit
    (given,) = [check for check in audit.checks if "what_if" in check.name]
    assert given.count == activations > 0


def test_a_contribution_that_is_lost_is_found(make_net):
    trace = mg.trace(make_net("residual", seed=1).loss)
    node = next(node for node in trace.nodes if len(node.incoming) > 1)
    trace._gradients[node.vertex] = node.grad * 1.001
    audit = trace.audit()
    assert [(failure.check[0], failure.where) for failure in audit.failures] == [("Σ", node.symbol)]


def test_it_changes_nothing(net):
    for leaf in net.leaves:
        leaf.grad = 0.5
    values = [(leaf.data.copy(), leaf.version) for leaf in net.leaves]
    state = mg.settings.generator().bit_generator.state
    mg.trace(net.loss).audit()
    assert mg.settings.generator().bit_generator.state == state
    for leaf, (value, version) in zip(net.leaves, values, strict=True):
        assert np.array_equal(leaf.data, value)
        assert leaf.version == version
        assert np.all(leaf.grad == 0.5)


def test_an_audit_prints_a_line_per_property():
    x = mg.tensor([0.5, -1.0], requires_grad=True, name="x")
    text = str(mg.trace(mg.sum(mg.tanh(x) * x)).audit())
    assert "local product vs central differences                 4" in text
    assert "Σ contributions = grad, every node" in text
    assert "products multiplied out = grad, every parameter" in text
    assert "Σ path lengths = grad" in text
    assert text.endswith(" ms")
    assert "everything holds" in text


def test_a_leaf_has_nothing_to_audit():
    assert mg.trace(mg.tensor(1.0, requires_grad=True)).audit().ok


def test_a_bias_before_a_norm_has_no_gradient_and_that_is_said():
    model = Sequential(Dense(2, 3), Residual(Dense(3, 3, bias=False)))
    loss = mg.sum(mg.batch_norm(model(np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.1]])), np.ones(3), np.zeros(3)) * 0)
    audit = mg.trace(loss).audit()
    assert audit.ok
    assert "(3 exactly 0)" in str(audit)


def test_long_paths_are_not_split_and_that_is_said():
    y = mg.tensor(0.1, requires_grad=True)
    for _ in range(400):
        y = mg.sin(y)
    audit = mg.trace(y).audit()
    assert audit.ok
    assert "skipped: 400 products on paths of up to 400" in str(audit)


def test_a_changed_value_is_refused(make_net):
    net = make_net("mlp", seed=1)
    trace = mg.trace(net.loss)
    net.model[0].weight.data *= 2
    with pytest.raises(mg.GraphError, match="changed in place"):
        trace.audit()


@pytest.mark.parametrize("f", [lambda x: x**3, lambda x: mg.sin(x) - x, mg.prod])
def test_a_derivative_of_exactly_0(f):
    """The differences are not 0, but fall with the step, far below those of longer steps."""
    x = mg.tensor([0.0, 0.0, 0.0], requires_grad=True)
    assert mg.trace(mg.sum(f(x))).audit().ok


def test_a_0_that_is_wrong():
    slip = mg.elementwise("slip", lambda x: x**3 + 1e-3 * x, [lambda y, x: 3 * x * x], ["3x²"])
    audit = mg.trace(mg.sum(slip(mg.tensor([0.0, 0.0], requires_grad=True)))).audit()
    assert [failure.op for failure in audit.failures] == ["slip"]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_values_that_are_not_finite_are_mentioned():
    audits = [mg.trace(mg.sum(mg.log(mg.tensor(x, requires_grad=True)))).audit() for x in ([1.0, 2.0], [-1.0, 2.0])]
    assert ["find_nan()" in str(audit) for audit in audits] == [False, True]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("expand", [True, False])
def test_a_weight_that_is_not_finite_accuses_no_op(value, expand):
    rng = np.random.default_rng(0)
    model = Sequential(Dense(3, 4, "tanh", rng=rng), Dense(4, 4, "tanh", rng=rng), Dense(4, 2, rng=rng))
    model[1].weight.data[0, 0] = value
    x = mg.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    audit = mg.trace(mg.cross_entropy(model(x), np.array([0, 1])), expand=expand).audit()
    assert audit.ok
    assert np.isfinite(audit.worst)
    assert "find_nan()" in str(audit)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_beside_a_weight_that_is_not_finite_a_wrong_rule_is_still_found(monkeypatch):
    plant(monkeypatch, mg.tanh, 1.01)
    plant(monkeypatch, mg.matmul, 1.01)
    w, x = (mg.tensor(np.random.default_rng(k).normal(size=(3, 3)), requires_grad=True) for k in range(2))
    w.data[0, 0] = np.inf
    audit = mg.trace(mg.sum(mg.tanh(x) @ w)).audit()
    assert {failure.op for failure in audit.failures} == {"tanh", "matmul"}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_sums_in_another_order_agree_beside_gradients_that_are_infinite():
    rng = np.random.default_rng(0)
    x = mg.tensor(np.abs(rng.normal(size=(4, 5))), requires_grad=True)
    x.data[0, 0] = 0
    y = mg.sqrt(x) * 1.0
    for _ in range(4):
        y = y + mg.tanh(y * rng.normal(size=(4, 5)))
    trace = mg.trace(mg.sum(y))
    assert np.isinf(trace[x].grad[0, 0])
    assert trace.audit().ok
    parts = [edge.contribution for edge in trace[x].incoming]
    wrong = [np.where(parts[0] == parts[0][1, 1], 1.1 * parts[0], parts[0]), *parts[1:]]
    assert 1e-3 < trace[x].check(wrong) < np.inf
    assert trace[x].check([np.nan_to_num(part) for part in parts]) == np.inf


def test_a_leaf_that_is_packed_and_never_taken_out_does_not_stop_the_audit():
    """Paths are those of the opened graph, of which the leaf is no part."""
    a, b = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    audit = mg.trace(mg.sum(mg.tanh(mg.stack([a, b])[0])), expand=False).audit()
    assert audit.ok
    assert {check.name: check.count for check in audit.checks}["Σ path lengths = grad"] == 1


@pytest.mark.parametrize("n", [2, 3, 5, 33])
@pytest.mark.parametrize("x", [0.0, 1e-9, -1e-8, 1e-7, 1e-6])
def test_a_slope_that_bends_sharply_where_x_is_almost_0_is_right(x, n):
    """The slope of softsign, 1/(1+|x|)², has a kink at 0: differences with a step h are off by h."""
    x = mg.tensor(np.full(n, x), requires_grad=True)
    audit = mg.trace(mg.sum(mg.softsign(x))).audit()
    assert audit.ok, audit


def test_a_net_of_zeros_with_softsign_is_right():
    rng = np.random.default_rng(0)
    model = Sequential(Dense(16, 16, "softsign", init="zeros"), Dense(16, 3, rng=rng))
    audit = mg.trace(mg.mse(model(rng.normal(size=(8, 16))), np.ones((8, 3))), expand=False).audit()
    assert audit.ok, audit
