"""Counterfactual traces: other local derivatives, the same graph."""

import numpy as np
import pytest

import minigrad as mg
from layers import Dense, Sequential

X = np.random.default_rng(0).normal(size=(32, 64))


@pytest.fixture
def deep():
    """Ten sigmoid layers, in which the gradient vanishes, and its loss."""
    model = Sequential(*[Dense(64, 64, "sigmoid", rng=i) for i in range(10)], Dense(64, 1, rng=10))
    return model, mg.mse(model(X), np.zeros((32, 1)))


def by_hand(model, slope):
    """∂L/∂W1 with `slope` in place of every σ'(z), in plain NumPy."""
    h = X
    for layer in list(model)[:-1]:
        h = 1 / (1 + np.exp(-(h @ layer.weight.data + layer.bias.data)))
    g = 2 * (h @ model[-1].weight.data + model[-1].bias.data) / len(X)
    for layer in list(model)[:0:-1]:
        g = slope * (g @ layer.weight.data.T)
    return X.T @ g


def test_it_tells_the_type_of_activation_from_saturation(deep):
    model, loss = deep
    w = model[0].weight
    trace = mg.trace(loss)
    best, through = trace.what_if({"kind:activation": 0.25}), trace.what_if({"kind:activation": 1.0})
    np.testing.assert_allclose(best[w].grad, by_hand(model, 0.25), rtol=1e-10, atol=1e-20)
    np.testing.assert_allclose(through[w].grad, by_hand(model, 1.0), rtol=1e-10, atol=1e-12)
    assert trace[w].norm < 1e-4
    assert best[w].norm < 10 * trace[w].norm
    assert through[w].norm > 1e5 * trace[w].norm


@pytest.mark.parametrize("slope", [0.25, 1.0])
def test_the_ledger_takes_a_given_slope_for_the_type_of_activation(deep, slope):
    model, loss = deep
    total = mg.trace(loss).what_if({"kind:activation": slope}).chain(to=model[0].weight).ledger().total
    assert total["operating point"] == 0
    np.testing.assert_allclose(total["activation type"], 10 * np.log10(slope), rtol=1e-12, atol=1e-12)


def test_nothing_else_changes(deep):
    model, loss = deep
    loss.backward()
    trace = mg.trace(loss)
    before = [(p.data.copy(), p.grad.copy(), p.version) for p in model.parameters()]
    gradients = [node.grad.copy() for node in trace.nodes if node.grad is not None]
    state = mg.settings.generator().bit_generator.state
    trace.what_if({"kind:activation": 1.0, "kind:weight": lambda local, g: 0 * local.vjp(g)})
    for p, (data, grad, version) in zip(model.parameters(), before, strict=True):
        assert np.array_equal(p.data, data)
        assert np.array_equal(p.grad, grad)
        assert p.version == version
    assert mg.settings.generator().bit_generator.state == state
    after = [node.grad for node in trace.nodes if node.grad is not None]
    assert all(np.array_equal(g, h) for g, h in zip(gradients, after, strict=True))


def test_every_edge_shows_what_was_multiplied(net, tolerance):
    rng = np.random.default_rng(0)
    trace = mg.trace(net.loss)
    changed = trace.what_if({"kind:activation": 0.7, "kind:bias": lambda local, g: 2 * local.vjp(g)})
    for edge in changed.edges():
        np.testing.assert_array_equal(edge.contribution, edge.local.vjp(edge.upstream))
        v = rng.normal(size=edge.input.shape)
        if edge.output.kind == "bias":
            two = 2 * trace.edges()[edge.index].local.jvp(v)
            np.testing.assert_allclose(edge.local.jvp(v), two, rtol=tolerance, atol=tolerance)
    assert max(node.check() for node in changed.nodes) <= tolerance
    for leaf in net.leaves:
        chain = changed.chain(to=leaf)
        assert changed[leaf].check([chain.product]) <= tolerance


def test_the_chain_shows_the_replacement(deep):
    model, loss = deep
    chain = mg.trace(loss).what_if({"kind:activation": 0.25}).chain(to=model[0].weight)
    factors = [factor for factor in chain.factors if factor.kind == "activation"]
    assert len(factors) == 10
    for factor in factors:
        assert factor.gain == pytest.approx(0.25, rel=1e-12)
        assert factor.local.expected_gain == factor.local.max_gain == 0.25
        assert factor.formula == "0.25 for σ(1−σ)"
    assert "✓" in str(chain)
    assert "σ'(z10)" in str(chain)


# Keys


def small():
    x = mg.tensor([[1.0, -2.0]], requires_grad=True, name="x")
    model = Sequential(Dense(2, 2, "tanh", rng=0), Dense(2, 2, "tanh", rng=1))
    return x, model, mg.trace(mg.sum(model(x)))


def test_a_name_a_kind_a_pattern_a_scope():
    _, _, trace = small()
    for key, names in [
        ("h1", ["h1"]),
        ("layers.1/tanh", ["h2"]),
        ("kind:activation", ["h2", "h1"]),
        ("layers.1/*", ["h2", "z2"]),
        ("layers.*/tanh", ["h2", "h1"]),
    ]:
        changed = trace.what_if({key: 3.0})
        assert [e.output.symbol for e in changed.edges() if "3 for" in e.formula and e.slot == 0] == names


def test_a_tensor_or_module_as_key():
    _, model, trace = small()
    changed = trace.what_if({model[1]: lambda local, g: 0 * local.vjp(g)})
    assert changed[model[0].weight].norm == 0
    assert trace[model[0].weight].norm > 0


def test_an_array_in_the_shape_of_the_node():
    _, _, trace = small()
    slope = np.array([[0.0, 2.0]])
    changed = trace.what_if({"h2": slope})
    np.testing.assert_array_equal(changed["z2"].grad, slope)
    np.testing.assert_array_equal(trace.what_if({"h2": [0, 2]})["z2"].grad, slope)
    assert "an array for" in changed.edges()[1].formula


def test_a_function_gets_the_local_derivative_and_the_upstream():
    _, _, trace = small()
    seen = []

    def clipped(local, upstream):
        seen.append((local.kind, upstream.shape))
        return np.clip(local.vjp(upstream), -0.1, 0.1)

    changed = trace.what_if({"layers.1/matmul": clipped})
    assert ("matrix", (1, 2)) in seen
    assert np.max(np.abs(changed["h1"].grad)) <= 0.1 < np.max(np.abs(trace["h1"].grad))


def test_the_later_key_counts_and_changes_add_up():
    _, _, trace = small()
    both = trace.what_if({"kind:activation": 2.0, "h1": 5.0})
    assert [both["h1"].outgoing[0].local.diagonal[0, 0], both["h2"].outgoing[0].local.diagonal[0, 0]] == [5, 2]
    again = trace.what_if({"kind:activation": 2.0}).what_if({"h1": 5.0})
    np.testing.assert_array_equal(again["x"].grad, both["x"].grad)


def test_a_kind_replaces_only_diagonal_derivatives():
    x = mg.tensor([[0.3, -0.2]], requires_grad=True, name="x")
    trace = mg.trace(mg.mse(mg.softmax(mg.tanh(x)), np.array([[0.0, 1.0]])))
    assert {node.op for node in trace.nodes if node.kind == "activation"} == {"tanh", "softmax"}
    slopes = 1 - np.tanh(x.data) ** 2
    np.testing.assert_allclose(trace.what_if({"kind:activation": 1.0})[x].grad, trace[x].grad / slopes)


def test_a_bias_is_summed_over_the_batch():
    b = mg.tensor([1.0, 2.0], requires_grad=True)
    trace = mg.trace(mg.sum(np.ones((3, 2)) + b)).what_if({"add": 2.0})
    np.testing.assert_array_equal(trace[b].grad, [6, 6])
    (edge,) = trace.edges(into=b)
    np.testing.assert_array_equal(edge.local.jvp([1.0, 0.0]), [[2, 0]] * 3)
    np.testing.assert_allclose(edge.local.singular_values(), [12**0.5] * 2)


def test_it_acts_on_the_opened_graph():
    model = Sequential(Dense(2, 2, "tanh", rng=0))
    loss = mg.sum(model(np.ones((3, 2))))
    closed = mg.trace(loss, expand=False).what_if({"kind:activation": 1.0})
    assert [node.op for node in closed.nodes if node.op != "leaf"] == ["matmul", "add", "tanh", "sum"]
    np.testing.assert_array_equal(closed[model[0].bias].grad, [3, 3])


# What cannot be


def test_a_key_that_matches_nothing():
    _, _, trace = small()
    with pytest.raises(KeyError, match="did you mean kind:activation"):
        trace.what_if({"kind:activations": 1.0})
    with pytest.raises(KeyError, match="'activation' is a kind: write 'kind:activation'"):
        trace.what_if({"activation": 1.0})  # as by_path_length calls it
    with pytest.raises(KeyError, match="'h11'; did you mean h1"):
        trace.what_if({"h11": 1.0})
    with pytest.raises(KeyError, match=r"layers\.7"):
        trace.what_if({"layers.7/*": 1.0})
    with pytest.raises(KeyError, match="matches no node that passes a gradient on"):
        trace.what_if({"x": 1.0})


@pytest.mark.parametrize("change", [None, "1", {}, [[1.0], [2.0, 3.0]], 1j])
def test_a_change_of_another_kind(change):
    _, _, trace = small()
    with pytest.raises(ValueError, match="'h1' must go with a number, an array or a function"):
        trace.what_if({"h1": change})


def test_a_number_where_elements_are_mixed():
    _, _, trace = small()
    with pytest.raises(ValueError, match=r"does not act element by element.* give a function \(local, upstream\)"):
        trace.what_if({"layers.0/matmul": 1.0})
    with pytest.raises(ValueError, match="does not act element by element"):
        trace.what_if({"kind:weight": 1.0})


def test_shapes_that_do_not_fit():
    _, _, trace = small()
    with pytest.raises(ValueError, match=r"shape \(3,\) does not fit h1 of \(1, 2\)"):
        trace.what_if({"h1": np.ones(3)})
    with pytest.raises(ValueError, match=r"shape \(4, 1, 2\) does not fit"):
        trace.what_if({"h1": np.ones((4, 1, 2))})
    with pytest.raises(ValueError, match=r"must return a contribution of shape \(1, 2\), not \(2,\)"):
        trace.what_if({"h1": lambda local, g: g[0]})
    with pytest.raises(ValueError, match="changes are a dict"):
        trace.what_if("kind:activation")


def test_a_value_changed_since_is_refused(deep):
    model, loss = deep
    trace = mg.trace(loss)
    model[3].weight.data *= 2
    with pytest.raises(mg.GraphError, match="changed in place"):
        trace.what_if({"kind:activation": 1.0})


def test_dtype_is_kept(make_net):
    trace = mg.trace(make_net("mlp", seed=1, dtype=np.float32).loss)
    changed = trace.what_if({"kind:activation": np.float64(0.3), "kind:weight": lambda local, g: local.vjp(g) * 1.0})
    assert {node.grad.dtype for node in changed.nodes if node.grad is not None} == {np.dtype(np.float32)}


def test_a_replaced_derivative_keeps_its_symbol():
    _, _, trace = small()
    changed = trace.what_if({"kind:activation": lambda local, g: 2 * g, "layers.0/z1": 1.0})
    assert [edge.symbol for edge in changed.edges(into="z2")] == ["tanh'(z2)"]
    assert "tanh'(z1)" in str(changed.chain(to="x"))
