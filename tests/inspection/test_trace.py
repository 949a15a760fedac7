"""What is in a trace: nodes, edges, and their gradients."""

import numpy as np
import pytest

import minigrad as mg
from layers import Dense, Sequential


def test_nodes_come_in_forward_order_with_leaves_and_constants(trace):
    kinds = [node.kind for node in trace.nodes]
    assert kinds == [
        *("parameter", "parameter", "weight", "parameter", "bias", "activation"),
        *("parameter", "weight", "parameter", "bias", "activation", "skip"),
        *("parameter", "weight", "parameter", "bias", "loss"),
    ]
    for edge in trace.edges():
        assert edge.input.index < edge.output.index


def test_gradients_are_those_of_backward(trace, model, x):
    trace.output.backward()
    for leaf in [x, *model.parameters()]:
        np.testing.assert_allclose(trace[leaf].grad, leaf.grad, rtol=1e-13)


def test_backward_fills_grad_in_the_same_pass(model, x):
    loss = mg.mse(model(x), np.zeros((5, 2)))
    trace = mg.trace(loss, backward=True)
    first = {leaf: leaf.grad.copy() for leaf in [x, *model.parameters()]}
    assert all(np.array_equal(trace[leaf].grad, g) for leaf, g in first.items())
    mg.trace(loss, backward=True)
    assert all(np.array_equal(leaf.grad, 2 * g) for leaf, g in first.items())


def test_what_was_written_down_can_be_read_after_the_step_of_the_optimizer():
    layer = Dense(3, 2, "tanh", rng=0)
    loss = mg.sum(layer(np.ones((4, 3))))
    trace, summary, weight = mg.trace(loss), mg.trace(loss).summary(), layer.weight.data.copy()
    layer.weight.data -= 0.5
    assert trace["h1"].norm == np.sqrt(8)
    assert [node.symbol for node in trace["h*"]] == ["hW1", "h1"]
    np.testing.assert_array_equal(trace[layer.weight].value, weight)  # the one that its gradient belongs to
    assert trace.summary() == summary


def test_a_constant_has_no_gradient_and_a_number_is_no_node():
    c = mg.tensor(3.0, name="c")
    x = mg.tensor(2.0, requires_grad=True, name="x")
    trace = mg.trace(2.0 * x * c + np.array(1.0))
    assert [node.name for node in trace.nodes if node.op == "leaf"] == ["x", "c"]
    assert trace["c"].kind == "constant"
    assert trace["c"].grad is None
    assert trace["c"].norm is None
    assert trace["c"].incoming == []
    assert "—" in str(trace["c"])
    assert "—" in repr(trace["c"])
    with pytest.raises(ValueError, match="make it with requires_grad=True"):
        trace.chain(to="c")


def test_the_gradient_that_a_trace_starts_from():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    np.testing.assert_array_equal(mg.trace(x * x, [1.0, 10.0])[x].grad, [2, 40])
    with pytest.raises(mg.GraphError, match="needs gradient="):
        mg.trace(x * x)
    with pytest.raises(mg.GraphError, match="nothing to differentiate"):
        mg.trace(mg.tensor(1.0))
    with pytest.raises(TypeError, match=r"trace: output is a Tensor, not ndarray; the trace of a matrix is np\.trace"):
        mg.trace(np.eye(2))
    for matrix in (mg.tensor(np.eye(2)), mg.tensor(np.eye(2), requires_grad=True) * 2):
        with pytest.raises(mg.GraphError, match=r"shape \(2, 2\) needs gradient=.* the trace of a matrix is np\.trace"):
            mg.trace(matrix)


def test_a_leaf_alone():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    trace = mg.trace(x)
    assert [node.name for node in trace.nodes] == ["x"]
    assert trace.edges() == []
    assert trace["x"].grad == 1
    assert [line.split()[0] for line in str(trace).split("\n")] == ["node", "x"]
    assert mg.trace(mg.tensor(3.0, requires_grad=True))[0].name == "x"


def test_an_edge_is_upstream_times_local(neuron):
    x, w, trace = neuron
    by_tanh, by_w, by_x = trace.edges()
    assert (by_tanh.output.op, by_tanh.input.op, by_tanh.slot) == ("tanh", "multiply", 0)
    assert by_tanh.gain == pytest.approx(1 - np.tanh(2) ** 2)
    assert by_w.input == trace[w]
    assert by_x.input == trace[x]
    for edge in trace.edges():
        np.testing.assert_allclose(edge.contribution, edge.upstream * edge.local.diagonal)
        assert edge.upstream is edge.output.grad
    assert trace[x].outgoing == []
    assert trace[x].incoming == [by_x] == trace.edges(into=x)


def test_the_gain_behind_a_zero_gradient_is_undefined():
    x = mg.tensor(-1.0, requires_grad=True)
    first, second = mg.trace(mg.relu(mg.sin(x))).edges()
    assert first.gain == 0
    assert second.gain is None


def test_uses_of_one_value_stay_apart():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    trace = mg.trace(x * x)
    assert [edge.slot for edge in trace[x].incoming] == [0, 1]
    assert [float(edge.contribution) for edge in trace[x].incoming] == [3, 3]
    assert trace[x].grad == 6


def test_unopened_fused_ops_are_one_node(model, x):
    ops = [node.op for node in mg.trace(mg.mse(model(x), np.zeros((5, 2))), expand=False).nodes if node.op != "leaf"]
    assert ops == ["dense", "dense", "add", "dense", "mse"]


def test_nodes_and_edges_are_equal_where_they_are_the_same(trace):
    assert trace["W1"] == trace["layers.0.weight"]
    assert trace["W1"] != trace["W2"]
    assert len({trace["W1"], trace["layers.0.weight"], trace["W2"]}) == 2
    assert trace.edges()[0] == trace.edges()[0]
    assert trace.edges()[0] != trace.edges()[1]
    assert trace.edges()[0] != trace.nodes[0]


def test_it_asks_each_rule_once_as_backward_does(monkeypatch):
    rng = np.random.default_rng(0)
    model = Sequential(*[Dense(4, 4, "sigmoid", rng=rng) for _ in range(5)], Dense(4, 1, rng=rng))
    loss = mg.mse(model(rng.normal(size=(3, 4))), np.zeros((3, 1)))
    asked = []
    for op in (mg.dense, mg.mse):
        rule = op.pull
        monkeypatch.setattr(op, "pull", lambda node, *rest, rule=rule: asked.append(node) or rule(node, *rest))
    loss.backward()
    nodes, asked[:] = asked.copy(), []
    assert len(nodes) == 7
    trace = mg.trace(loss, expand=False)
    assert all(node.norm is not None for node in trace.nodes)
    assert asked == nodes


def test_gradients_and_products_of_numbers_are_arrays():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    trace = mg.trace(x * x * x + mg.tanh(x))
    found = [node.grad for node in trace.nodes]
    found += [array for edge in trace.edges() for array in (edge.upstream, edge.contribution)]
    found += [trace.chain(to=x).product, *trace.by_path_length(to=x).values()]
    found += [path.contribution for path in trace.paths(to=x)]
    assert {type(array) for array in found} == {np.ndarray}
    np.testing.assert_allclose(trace[x].grad, 12 + 1 - np.tanh(2) ** 2, rtol=1e-15)


def test_a_trace_is_opened_once_so_that_nodes_of_both_calls_are_the_same():
    model = Sequential(Dense(2, 3, "tanh", rng=0), Dense(3, 1, rng=1))
    closed = mg.trace(mg.sum(model(np.ones((4, 2)))), expand=False)
    assert closed.opened() is closed.opened()
    changed = closed.what_if({"kind:activation": 1.0})
    assert [changed.node(node).symbol for node in closed.opened().nodes] == [n.symbol for n in changed.nodes]
