"""What a trace shows is proved here, for every kind of net, in both dtypes."""

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, BatchNorm, Dense, Dropout, Residual, Sequential, Sigmoid
from minigrad.arrays import length


def relative(a, b, scale=0.0):
    return length(np.asarray(a, np.float64) - b) / max(length(b), scale, 1e-300)


# Sums and products


@pytest.mark.parametrize("expand", [True, False])
def test_contributions_add_up_to_the_gradient_of_every_node(net, expand, tolerance):
    trace = mg.trace(net.loss, expand=expand)
    assert max(node.check() for node in trace.nodes) <= tolerance
    for node in trace.nodes:
        into = trace.edges(into=node)
        assert [edge.index for edge in into] == [edge.index for edge in trace.edges() if edge.input == node]
        assert bool(into) == (node.grad is not None and node != trace[-1])
        assert node.grad is None or node.grad.shape == node.shape


def test_every_contribution_is_upstream_times_local(net, tolerance):
    for edge in mg.trace(net.loss).edges():
        by_matrix = (edge.upstream.ravel() @ edge.local.todense()).reshape(edge.input.shape)
        assert relative(edge.contribution, by_matrix, 1e-2 * length(edge.upstream)) <= tolerance


def test_a_chain_telescopes_and_multiplies_out(net, tolerance):
    trace = mg.trace(net.loss)
    for leaf in net.leaves:
        node, chain = trace[leaf], trace.chain(to=leaf)
        assert node.check([chain.product]) <= tolerance
        assert chain.product.shape == node.shape
        np.testing.assert_allclose(chain.running, np.cumprod(chain.gains), rtol=1e-12)
        np.testing.assert_allclose(chain.decades, np.cumsum(np.log10(chain.gains)), atol=1e-12 * len(chain))
        if node.norm > 1e-6:  # the gradient of a bias before a norm is only rounding error
            assert chain.running[-1] == pytest.approx(node.norm / length(trace.seed), rel=tolerance)
        total = chain.ledger().total["total"]
        assert total == pytest.approx(chain.decades[-1], abs=1e-9)
        for factor in chain.factors:
            if factor.branches:
                assert sum(branch.share for branch in factor.branches) == pytest.approx(1, abs=1e3 * tolerance)


def test_the_product_of_all_local_jacobians_is_the_jacobian(net, tolerance):
    y = net.model(net.x)
    trace = mg.trace(y, np.ones(y.shape))
    start = trace[net.x].index
    found = {start: np.eye(net.x.size)}
    for edge in reversed(trace.edges()):  # forward: ∂v/∂x = Σ over inputs u of ∂v/∂u · ∂u/∂x
        if edge.input.index in found:
            part = edge.local.todense() @ found[edge.input.index]
            found[edge.output.index] = found.get(edge.output.index, 0) + part
    direct = mg.jacobian(net.model, net.x).reshape(y.size, net.x.size)
    assert relative(found[trace[-1].index], direct) <= tolerance


def test_parts_by_path_length_add_up(net, tolerance):
    if net.kind.endswith("norm") and net.x.dtype == np.float32:
        pytest.skip("on the way through a norm the parts cancel by more digits than float32 has")
    trace = mg.trace(net.loss)
    for leaf in net.leaves[:2]:
        for count in (None, "activation"):
            parts = trace.by_path_length(to=leaf, count=count)
            assert trace[leaf].check(list(parts.values())) <= tolerance
            assert sum(parts.counts.values()) == trace.count_paths(to=leaf)


def test_an_opened_trace_has_the_gradients_of_the_kernels(net, tolerance):
    net.loss.backward()
    opened, closed = mg.trace(net.loss), mg.trace(net.loss, expand=False)
    assert len(opened.nodes) > len(closed.nodes)
    for leaf in net.leaves:
        assert opened[leaf].check([leaf.grad]) <= tolerance
        np.testing.assert_array_equal(closed[leaf].grad, leaf.grad)
        assert opened[leaf].grad.dtype == leaf.dtype
    values = [node.value for node in opened.nodes if node.name == net.loss.name or node == opened[-1]]
    assert relative(values[-1], net.loss.data) <= tolerance


@pytest.mark.parametrize("activations", [["sigmoid", "tanh", "gelu"], ["relu", "leaky_relu", "hard_tanh"]])
def test_local_products_are_those_of_finite_differences(kind, dtype, activations, make_net):
    for seed in (0, 3):
        audit = mg.trace(make_net(kind, seed, dtype, activations).loss).audit()
        assert audit.ok, audit
        assert max(check.worst for check in audit.checks if "differences" in check.name) <= 1e-8


def test_gradients_are_those_of_finite_differences_end_to_end(kind, make_net):
    net = make_net(kind, seed=2)
    trace = mg.trace(net.loss)
    rng, h = np.random.default_rng(1), 1e-5
    for leaf in net.leaves:
        v, before = rng.normal(size=leaf.shape), leaf.data.copy()

        def loss(step, leaf=leaf, v=v, before=before):
            leaf.data = before + step * v
            y = net.model(net.x)
            if net.kind == "classifier":
                return mg.cross_entropy(y, np.argmax(net.target, axis=1)).item()
            return mg.mse(y, net.target).item()

        measured = (loss(h) - loss(-h)) / (2 * h)
        leaf.data = before
        assert np.sum(trace[leaf].grad * v) == pytest.approx(measured, rel=1e-6, abs=1e-9)


# Tiny gradients


def test_no_norm_of_a_deep_net_in_float32_is_a_false_zero():
    def norms(dtype):
        mg.set_default_dtype(dtype)
        rng = np.random.default_rng(0)
        layers = [layer for _ in range(50) for layer in (Dense(64, 64, rng=rng), Sigmoid())]
        model = Sequential(*layers, Dense(64, 1, rng=rng)).astype(dtype)
        x = mg.tensor(rng.normal(size=(16, 64)), dtype=dtype, requires_grad=True)
        trace = mg.trace(mg.mse(model(x), np.zeros((16, 1), dtype)), expand=False)
        return np.array([node.norm for node in trace.nodes if node.grad is not None]), trace

    (single, trace), (double, _) = norms(np.float32), norms(np.float64)
    assert len(single) > 200
    assert single.min() < 1e-30
    assert np.all(single > 0)
    np.testing.assert_allclose(single, double, rtol=1e-3)
    naive = [np.sqrt(np.sum(node.grad**2)) for node in trace.nodes if node.grad is not None]
    assert np.sum(np.equal(naive, 0)) > 50  # their squares underflow in float32
    assert "0" not in [row.split()[-1] for row in trace.summary().split("\n")]


@pytest.mark.parametrize("exponent", [-320, -300, -200, -160, -40, 0, 40, 150, 160, 250, 307])
def test_norms_of_any_magnitude(exponent):
    x = np.random.default_rng(0).uniform(0.1, 1, 50)
    exact = np.sqrt(np.sum(np.square(x.astype(np.longdouble)))) * np.longdouble(10.0) ** exponent
    scaled = (x * np.longdouble(10.0) ** exponent).astype(np.float64)
    assert length(scaled) == pytest.approx(float(exact), rel=1e-12 if exponent > -300 else 1e-2)
    assert length(scaled) > 0


def test_norms_at_the_ends():
    assert length(np.zeros(3)) == 0
    assert length(np.empty((0, 3))) == 0
    assert length(np.array([1.0, np.inf])) == np.inf
    assert np.isnan(length(np.array([1.0, np.nan])))
    assert length(np.array(-2.0, np.float32)) == 2


def test_a_gradient_of_exactly_zero_is_said_to_be_that():
    layer = Dense(3, 2, "relu")
    layer.bias.data -= 100
    chain = mg.trace(mg.sum(layer(np.ones((4, 3))))).chain(to=layer.weight)
    assert "ReLU'" in chain.factors[1].symbol
    assert str(chain).endswith("the gradient is exactly 0 from step 1 on: there is nothing to compare")
    assert not chain.product.any()


# Nothing is changed, nothing is kept


def test_a_trace_changes_nothing():
    model = Sequential(Dense(3, 4, "tanh"), BatchNorm(4), Dropout(0.5), Residual(Dense(4, 4)), Dense(4, 1))
    loss = mg.sum(model(np.random.default_rng(0).normal(size=(6, 3))))
    loss.backward()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    grads, versions = [p.grad.copy() for p in model.parameters()], [p.version for p in model.parameters()]
    state = mg.settings.generator().bit_generator.state
    trace = mg.trace(loss)
    w = model[0].weight
    for look in (
        lambda: str(trace),
        lambda: str(trace.chain(to=w)),
        lambda: str(trace.ledger()),
        lambda: [str(edge) for edge in trace.edges()],
        lambda: [edge.local.singular_values() for edge in trace.edges()],
        lambda: [edge.local.jvp(np.ones(edge.input.shape)) for edge in trace.edges()],
        lambda: trace.by_path_length(to=w),
        lambda: trace.paths(to=w),
        lambda: trace.what_if({"kind:activation": 1.0}),
        lambda: trace.audit(),
        lambda: trace.find_nan(),
    ):
        look()
        assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
        assert all(np.array_equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
        assert [p.version for p in model.parameters()] == versions
        assert mg.settings.generator().bit_generator.state == state
    loss.backward()
    assert all(np.array_equal(p.grad, 2 * g) for p, g in zip(model.parameters(), grads, strict=True))


def test_traces_and_graphs_are_freed_without_the_collector(kind, make_net):
    gc.collect()
    gc.disable()
    try:
        net = make_net(kind, seed=1)
        trace = mg.trace(net.loss)
        w = net.leaves[1]
        chain, audit, found = trace.chain(to=w), trace.audit(), trace.find_nan()
        changed = trace.what_if({"kind:weight": lambda local, g: local.vjp(g)})
        paths, parts = trace.paths(to=w), trace.by_path_length(to=w)
        texts = [str(thing) for thing in (trace, chain, audit, found, paths, parts, trace.edges()[0], trace.nodes[0])]
        assert all(texts)
        seen = [weakref.ref(trace), weakref.ref(changed), weakref.ref(net.loss.data), weakref.ref(net.loss)]
        del chain, audit, found, paths, parts
        del trace, changed
        assert [ref() is None for ref in seen] == [True, True, False, False]  # the graph holds its values
        del net
        assert [ref() for ref in seen] == [None] * 4
    finally:
        gc.enable()


def test_what_belongs_to_a_trace_keeps_it():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    edge = mg.trace(mg.sin(x)).edges()[0]
    gc.collect()
    assert edge.output.trace["x"].grad == pytest.approx(np.cos(2))


# A graph that was changed


@pytest.mark.parametrize("expand", [True, False])
def test_a_value_changed_in_place_is_refused(kind, expand, make_net):
    net = make_net(kind, seed=1)
    net.leaves[-2].data *= 2
    with pytest.raises(mg.GraphError, match="changed in place"):
        mg.trace(net.loss, expand=expand)


def test_a_trace_made_before_a_change_keeps_its_gradients_and_refuses_its_rules():
    layer = Dense(3, 2, "tanh", rng=0)
    trace = mg.trace(mg.sum(layer(np.ones((4, 3)))))
    before = trace[layer.weight].grad.copy()
    layer.weight.data -= 0.5
    np.testing.assert_array_equal(trace[layer.weight].grad, before)
    for look in (
        lambda: trace.audit(),
        lambda: trace.what_if({"kind:activation": 1.0}),
        lambda: mg.trace(trace.output),
    ):
        with pytest.raises(mg.GraphError, match="changed in place"):
            look()


def test_data_assigned_since_does_not_change_the_values_of_a_primitive():
    w = mg.tensor([2.0], requires_grad=True)
    loss = mg.sum(w * w)
    w.data = [5.0]
    assert mg.trace(loss)[w].grad == 4


def test_a_trace_shows_the_value_that_was_multiplied_not_one_assigned_since():
    w = mg.tensor(2.0, requires_grad=True, name="w")
    loss = w * 3.0
    before = mg.trace(loss)
    w.data = 5.0
    for trace in (before, mg.trace(loss)):
        assert trace[w].value == 2
        assert trace.jacobian(loss, w) == 3
        assert str(trace[w]).startswith("w: parameter, 1, value 2\n")
    assert mg.trace(w)[0].value == 5  # no op has used it


def test_data_assigned_since_is_refused_where_a_definition_must_run_again():
    layer = LSTM(2, 3, rng=0)
    loss = mg.sum(layer(np.ones((2, 4, 2))))
    w = layer.parameters()[0]
    w.data = np.zeros(w.shape)
    with pytest.raises(mg.GraphError, match="was replaced since"):
        mg.trace(loss)
