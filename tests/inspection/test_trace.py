"""Looking at a trace: what is in it, how it is found, what it is called, and how it prints."""

import time

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, MSE, BatchNorm, Dense, Dropout, GRUCell, LayerNorm, Residual, Sequential
from minigrad.inspection import text


@pytest.fixture
def model():
    return Sequential(Dense(3, 4, "sigmoid", rng=0), Residual(Dense(4, 4, "tanh", rng=1)), Dense(4, 2, rng=2))


@pytest.fixture
def x():
    return mg.tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True, name="x")


@pytest.fixture
def trace(model, x):
    return mg.trace(mg.mse(model(x), np.zeros((5, 2))))


def neuron():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    w = mg.tensor(-1.0, requires_grad=True, name="w")
    return x, w, mg.trace(mg.tanh(w * x))


# What is in it


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
    trace = mg.trace(mg.sum(layer(np.ones((4, 3)))))
    layer.weight.data -= 0.5
    assert trace["h1"].norm == np.sqrt(8)
    assert [node.symbol for node in trace["h*"]] == ["hW1", "h1"]
    assert len(trace.summary().split("\n")) == 1 + len(trace.nodes)


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


def test_seed():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    np.testing.assert_array_equal(mg.trace(x * x, [1.0, 10.0])[x].grad, [2, 40])
    with pytest.raises(mg.GraphError, match="needs gradient="):
        mg.trace(x * x)
    with pytest.raises(mg.GraphError, match="nothing to differentiate"):
        mg.trace(mg.tensor(1.0))
    with pytest.raises(TypeError, match=r"trace: output is a Tensor, not ndarray; the trace of a matrix is np\.trace"):
        mg.trace(np.eye(2))


def test_a_leaf_alone():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    trace = mg.trace(x)
    assert [node.name for node in trace.nodes] == ["x"]
    assert trace.edges() == []
    assert trace["x"].grad == 1
    assert str(trace)
    assert mg.trace(mg.tensor(3.0, requires_grad=True))[0].name == "x"


def test_an_edge_is_upstream_times_local():
    x, w, trace = neuron()
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


# Finding things


def test_by_tensor_name_and_position(trace, model, x):
    assert trace[x].name == trace["x"].name == trace[0].name == "x"
    assert trace[model[0].weight] == trace["layers.0.weight"] == trace["W1"]
    assert trace[-1].kind == "loss"
    assert trace[np.int64(0)] == trace[0]
    with pytest.raises(IndexError, match=f"this trace has {len(trace.nodes)} nodes: there is no node 99"):
        trace[99]


def test_by_scope_and_op(trace):
    assert trace["layers.0/matmul"].kind == "weight"
    assert trace["layers.1.body.0/tanh"].kind == "activation"
    assert trace["layers.1.body.0/z2"] == trace["z2"]
    assert trace["layers.1/add"].kind == "skip"
    assert trace["mse"] == trace[-1]


def test_by_op_and_number():
    x = mg.tensor(0.5, requires_grad=True)
    trace = mg.trace(mg.sin(mg.cos(mg.sin(mg.sin(x)))))
    assert [trace[f"sin:{k}"].index for k in (1, 2, 3)] == [1, 2, 4]
    assert trace["sin"] == trace["sin:1"]
    assert trace["cos"].index == 3
    with pytest.raises(KeyError):
        trace["sin:4"]


def test_by_pattern(trace):
    assert [node.op for node in trace["layers.0/*"]] == ["matmul", "add", "sigmoid"]
    assert [node.name for node in trace["layers.?.weight"]] == ["layers.0.weight", "layers.2.weight"]
    assert {node.kind for node in trace["W?"]} == {"parameter"}


def test_states_of_a_recurrent_net_by_pattern():
    loss = mg.sum(LSTM(2, 3, rng=0)(np.ones((4, 6, 2))))
    trace = mg.trace(loss)
    assert [node.name for node in trace["h[*]"]] == [f"h[{t}]" for t in range(6)]
    assert trace["h[2]"].shape == (4, 3)


def test_gates_of_a_gru_are_those_of_their_step():
    layer, x = GRU(2, 3, layers=2, rng=0), np.random.default_rng(0).normal(size=(4, 6, 2))
    trace = mg.trace(mg.sum(layer(x)))
    assert [node.name for node in trace["layers.0/r[*]"]] == [f"r[{t}]" for t in range(6)]
    assert [trace[f"{gate}[5]"].op for gate in ("r", "z", "n")] == ["sigmoid", "sigmoid", "tanh"]
    z, n, before, h = (trace[f"layers.1/{name}"].value for name in ("z[4]", "n[4]", "h[3]", "h[4]"))
    np.testing.assert_allclose((1 - z) * n + z * before, h, rtol=1e-12)


def test_gates_without_a_step_keep_their_names():
    h = GRUCell(2, 3, rng=0)(np.ones((4, 2)))
    assert mg.trace(mg.sum(h))["r"].op == "sigmoid"
    h.name = "h[7]"
    assert mg.trace(mg.sum(h))["r[7]"].op == "sigmoid"


def test_by_module(trace, model):
    assert [node.op for node in trace[model[0]]] == ["matmul", "add", "sigmoid"]
    assert [node.op for node in trace[model[1]]] == ["matmul", "add", "tanh", "add"]
    assert [node.scope for node in trace[model[1].body[0]]] == ["layers.1.body.0"] * 3
    assert len(trace[model]) == sum(node.op != "leaf" for node in trace.nodes)
    assert trace[model[0]] == trace["layers.0/*"]


def test_a_module_is_not_another_one_whose_path_begins_alike():
    model = Sequential(*[Dense(2, 2, rng=0) for _ in range(11)])
    trace = mg.trace(mg.sum(model(np.ones((1, 2)))))
    assert {node.scope for node in trace[model[1]]} == {"layers.1"}


def test_a_module_that_was_not_called(trace):
    with pytest.raises(KeyError, match="computed by this BatchNorm"):
        trace[BatchNorm(3)]


def test_near_names(trace):
    with pytest.raises(KeyError, match=r"'layers.0/matmull'; did you mean .*layers.0/matmul"):
        trace["layers.0/matmull"]
    with pytest.raises(KeyError, match="called 'qqq'; there are L, "):
        trace["qqq"]
    with pytest.raises(KeyError, match=r"layers\.9/\*"):
        trace["layers.9/*"]
    with pytest.raises(KeyError, match="not part of this trace"):
        trace[mg.tensor(1.0, name="stranger")]
    with pytest.raises(TypeError, match="by Tensor, Module, name or number, not by list"):
        trace[[1]]


def test_a_pattern_is_not_one_node(trace):
    with pytest.raises(ValueError, match="one node"):
        trace.edges(into="layers.0/*")


def test_a_name_given_later_is_seen(model):
    y = model(np.ones((1, 3)))
    y.name = "prediction"
    assert mg.trace(mg.sum(y))["prediction"].kind == "bias"


# Kinds


def test_kinds_of_a_neuron():
    x, w, trace = neuron()
    assert [node.kind for node in trace.nodes] == ["parameter", "parameter", "weight", "activation"]
    assert trace[x].kind == trace[w].kind == "parameter"


def test_kinds_of_a_classifier_with_a_norm():
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Dense(4, 2, "relu", rng=1))
    loss = mg.cross_entropy(model(np.random.default_rng(0).normal(size=(5, 3))), np.array([0, 1, 0, 1, 1]))
    assert {node.kind for node in mg.trace(loss).nodes} >= {"weight", "bias", "scale", "activation", "reduce"}
    assert [node.kind for node in mg.trace(loss, expand=False).nodes if node.op == "batch_norm"] == ["norm"]
    assert mg.trace(loss, expand=False)[-1].kind == "loss"


def test_gates_of_an_lstm():
    trace = mg.trace(mg.sum(LSTM(2, 3, rng=0)(np.ones((4, 2, 2)))))
    gates = [node for node in trace.nodes if node.kind == "gate"]
    assert len(gates) == 6  # i·g, f·c and o·tanh c in two steps
    assert all(node.op == "multiply" for node in gates)


def test_an_add_of_two_strangers_is_no_shortcut():
    a, b = mg.tensor([1.0], requires_grad=True), mg.tensor([2.0], requires_grad=True)
    assert mg.trace(mg.sin(a) + mg.sin(b))[-1].kind == "arithmetic"
    assert mg.trace(mg.sin(a) + mg.cos(mg.sin(b)))[-1].kind == "arithmetic"
    h = mg.sin(a)
    assert mg.trace(h + mg.cos(h))[-1].kind == "skip"


def test_the_terms_of_a_loss_are_no_shortcut():
    h = mg.sin(mg.tensor([1.0, 2.0], requires_grad=True))
    assert mg.trace(mg.mse(h, np.ones(2)) + 0.5 * mg.sum(h * h))[-1].kind == "arithmetic"
    pooled = mg.mean(h, keepdims=True)
    assert mg.trace(pooled + mg.cos(pooled), np.ones(1))[-1].kind == "skip"
    normed = (h - mg.mean(h)) / mg.std(h)
    assert mg.trace(h + mg.cos(normed), np.ones(2))[-1].kind == "skip"


# Printing


def test_an_edge_is_one_sentence():
    _, _, trace = neuron()
    assert [str(edge) for edge in trace.edges()] == [
        "tanh'(z1) = 0.07065 × upstream 1 = 0.07065, added to z1",
        "x = 2 × upstream 0.07065 = 0.1413, added to w",
        "w = −1 × upstream 0.07065 = −0.07065, added to x",
    ]


def test_a_product_with_a_matrix_of_one_number_shows_it():
    w = mg.tensor([[-0.5]], requires_grad=True, name="w")
    x = mg.tensor([[3.0]], requires_grad=True, name="x")
    assert [str(edge) for edge in mg.trace(mg.sum(x @ w)).edges()] == [
        "sum (g to every summand) × upstream 1 = 1, added to z1",
        "wᵀ = −0.5 × upstream 1 = −0.5, added to x",
        "xᵀ = 3 × upstream 1 = 3, added to w",
    ]


def test_a_node_lists_its_contributions():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    lines = str(mg.trace(x * x)[x]).split("\n")
    assert lines[0] == "x: parameter, 1, value 3"
    assert lines[1].startswith("  from ")
    assert len(lines) == 4
    assert lines[-1].endswith("= 6")


def test_a_trace_prints_a_table(trace):
    lines = str(trace).split("\n")
    assert len(lines) == 1 + len(trace.nodes)
    assert lines[0].split() == ["node", "op", "scope", "kind", "shape", "‖value‖", "‖grad‖"]
    assert repr(trace) == f"<Trace of L: {len(trace.nodes)} nodes, {len(trace.edges())} products>"


def test_nodes_and_edges_are_equal_where_they_are_the_same(trace):
    assert trace["W1"] == trace["layers.0.weight"]
    assert trace["W1"] != trace["W2"]
    assert len({trace["W1"], trace["layers.0.weight"], trace["W2"]}) == 2
    assert trace.edges()[0] == trace.edges()[0]
    assert trace.edges()[0] != trace.edges()[1]
    assert trace.edges()[0] != trace.nodes[0]


def test_everything_prints_shortly_and_soon_for_two_million_parameters():
    model = Sequential(Dense(784, 1200, "relu", rng=0), Dense(1200, 900, "relu", rng=1), Dense(900, 10, rng=2))
    assert sum(p.size for p in model.parameters()) > 2_000_000
    x = mg.tensor(np.random.default_rng(0).normal(size=(64, 784)))
    trace = mg.trace(mg.cross_entropy(model(x), np.zeros(64, int)))
    start = time.process_time()
    things = [
        trace,
        *trace.nodes,
        *trace.edges(),
        *(edge.local for edge in trace.edges() if edge.local.kind != "linear"),
    ]
    for thing in things:
        assert len(repr(thing)) < 300
        assert len(str(thing)) < 3000
    assert time.process_time() - start < 5


def test_a_long_trace_is_folded():
    w = x = mg.tensor(0.1, requires_grad=True, name="w")
    for _ in range(500):
        x = mg.sin(x) * w
    trace = mg.trace(x)
    assert len(str(trace).split("\n")) == 61
    assert "nodes folded" in str(trace)
    assert len(trace.summary().split("\n")) == 1 + len(trace.nodes)
    assert len(str(trace[w]).split("\n")) < 25
    assert "contributions folded" in str(trace[w])


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


def test_an_element_of_the_target():
    x = mg.tensor([2.0, 3.0], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(x * x))
    assert trace.chain(to=x, element=1).in_numbers() == trace.chain(to=x, element=(1,)).in_numbers()
    assert trace.chain(to=x, element=1).in_numbers().endswith("= 6")
    for element in [2, -1, (0, 0), ()]:
        with pytest.raises(ValueError, match=r"chain: x of shape \(2,\) has no element \("):
            trace.chain(to=x, element=element)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("diag(∂power/∂h2)", r"\operatorname{diag}(\frac{\partial \operatorname{power}}{\partial h_{2}})"),
        ("∂h[5]/∂[h, c][4] · σ", r"\frac{\partial h_{5}}{\partial [h, c]_{4}} \, \sigma "),
        ("my_w · log_softmax", r"\operatorname{my\_w} \, \operatorname{log\_softmax}"),
        ("(I + γ1 · LeakyReLU'(z2))", r"(I + \gamma _{1} \, \operatorname{LeakyReLU}'(z_{2}))"),
    ],
)
def test_latex_keeps_brackets_where_they_were(symbols, expected):
    assert text.latex(symbols) == expected


@pytest.mark.parametrize("model", [Residual(Dense(3, 3, "leaky_relu")), LayerNorm(3), LSTM(3, 3)], ids=repr)
def test_the_latex_of_a_chain_can_be_set(model):
    mathtext = pytest.importorskip("matplotlib.mathtext")
    x = mg.tensor(np.ones((2, 4, 3)) * [1.0, 2.0, 4.0], requires_grad=True, name="my_x")
    found = mg.trace(mg.sum(model(x) ** 2.0)).chain(to=x).latex()
    assert found.startswith(r"\frac{\partial L}{\partial \operatorname{my\_x}} = ")
    for left, right in ["{}", "()"]:
        depth = np.cumsum([(c == left) - (c == right) for c in found])
        assert depth.min() >= 0
        assert depth[-1] == 0
    mathtext.MathTextParser("path").parse(f"${found}$")


def test_an_op_without_formulas_prints_its_name():
    double = mg.primitive("double", lambda x: 2 * x, [lambda g, y, x: 2 * g])
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert str(mg.trace(double(x).sum()).edges()[1]) == "double × upstream [2, ‖·‖ 1.41] = [2, ‖·‖ 2.83], added to x"


def test_each_of_two_models_finds_its_own_nodes():
    """Both have a layers.0, and neither is a part of the other."""
    first, second = (Sequential(Dense(2, 2, "tanh", rng=rng), Residual(Dense(2, 2, rng=rng))) for rng in (0, 1))
    x = mg.tensor(np.ones((3, 2)), requires_grad=True)
    trace = mg.trace(mg.sum(second(first(x))))
    assert [node.symbol for node in trace[first[0]]] == ["hW1", "z1", "h1"]
    assert [node.symbol for node in trace[second[0]]] == ["hW3", "z3", "h3"]
    assert [node.symbol for node in trace[first]] == ["hW1", "z1", "h1", "hW2", "z2", "s2"]
    assert [node.symbol for node in trace[second[1]]] == ["hW4", "z4", "s4"]
    rest = MSE()
    assert mg.trace(rest(first(x), np.ones((3, 2))))[rest][-1].op == "mse"
    shortcut = Sequential(Residual(Dense(2, 2, rng=0)))
    assert [node.op for node in mg.trace(mg.sum(shortcut(x)))[shortcut[0]]] == ["matmul", "add", "add"]


def test_a_layer_that_is_used_twice_has_its_names_twice():
    layer = Dense(2, 2, "tanh", rng=0)
    trace = mg.trace(mg.sum(layer(layer(np.ones((3, 2))))))
    symbols = [node.symbol for node in trace.nodes if node.op not in ("leaf", "sum")]
    assert symbols == ["hW1", "z1", "h1", "hW1:2", "z1:2", "h1:2"]


def test_layers_that_are_used_twice_in_turn_keep_their_numbers():
    model = Sequential(Dense(2, 2, "tanh", rng=0), Dense(2, 2, rng=1))
    trace = mg.trace(mg.sum(model(np.ones((3, 2))) - model(np.zeros((3, 2)))))
    symbols = [node.symbol for node in trace.nodes if node.kind in ("weight", "bias", "activation")]
    assert symbols == ["hW1", "z1", "h1", "hW2", "z2", "hW1:2", "z1:2", "h1:2", "hW2:2", "z2:2"]


def test_what_follows_a_weight_has_its_number():
    """Even if another weight is used in between."""
    w, v, b, c = (mg.tensor(x, requires_grad=True) for x in (np.eye(2), np.eye(2), np.ones(2), np.ones(2)))
    x = np.ones((3, 2))
    products = x @ w, x @ v
    trace = mg.trace(mg.sum(mg.tanh(products[0] + b) * mg.sigmoid(products[1] + c)))
    assert [trace[leaf].symbol for leaf in (w, v, b, c)] == ["W1", "W2", "b1", "b2"]
    assert [trace[z].symbol for z in products] == ["hW1", "hW2"]
    assert trace.chain(to=w).symbols == ["xᵀ", "diag(tanh'(z1))", "diag(h2)", "sum"]
    trace = mg.trace(mg.sum(mg.tanh(products[0]) * mg.exp(b)))
    assert [trace[key].symbol for key in (products[0], "tanh", "exp", b)] == ["z1", "h1", "exp", "w"]


def test_a_frozen_layer_keeps_its_number():
    """Even if only the input still requires a gradient."""
    model = Sequential(Dense(2, 2, "tanh", rng=0), Dense(2, 2, "tanh", rng=1), Dense(2, 1, rng=2))
    for p in model[1].parameters():
        p.requires_grad = False
    chain = mg.trace(mg.sum(model(np.ones((3, 2))))).chain(to="W1")
    assert chain.symbols == ["xᵀ", "diag(tanh'(z1))", "W2ᵀ", "diag(tanh'(z2))", "W3ᵀ", "sum"]
    for p in model.parameters():
        p.requires_grad = False
    x = mg.tensor(np.ones((3, 2)), requires_grad=True)
    chain = mg.trace(mg.sum(model(x))).chain(to=x)
    assert chain.symbols == ["W1ᵀ", "diag(tanh'(z1))", "W2ᵀ", "diag(tanh'(z2))", "W3ᵀ", "sum"]
    assert chain.derivative == "∂L/∂x"


def test_an_array_is_called_x_only_where_it_is_the_input():
    model = Sequential(Dense(2, 4, rng=0), Dropout(0.5, rng=0), Dense(4, 1, rng=1))
    trace = mg.trace(mg.sum(model(np.ones((3, 2)))))
    assert trace.chain(to="W1").symbols == ["xᵀ", "diag(array)", "W2ᵀ", "sum"]
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert mg.trace(mg.sum(x * np.ones(2))).chain(to=x).symbols == ["diag(array)", "sum"]


def test_the_edges_of_a_graph_are_not_called_x():
    edges, w = np.ones((3, 3)), mg.tensor(np.ones((2, 2)), requires_grad=True)
    chain = mg.trace(mg.sum(edges @ mg.tanh(edges @ (np.ones((3, 2)) @ w)))).chain(to=w)
    assert chain.symbols == ["xᵀ", "arrayᵀ", "diag(tanh'(matmul))", "arrayᵀ", "sum"]
    chain = mg.trace(mg.sum(np.ones((3, 2)) @ w.T)).chain(to=w)  # here the array is multiplied by the weight
    assert chain.symbols == ["transpose", "xᵀ", "sum"]


def test_a_bias_may_come_first():
    w, b = (mg.tensor(x, requires_grad=True) for x in (np.eye(2), np.ones(2)))
    trace = mg.trace(mg.sum(mg.tanh(b + np.ones((3, 2)) @ w)))
    assert [node.symbol for node in trace.nodes] == ["W1", "hW1", "b1", "z1", "h1", "L"]


def test_leaves_of_an_expression_are_no_weights():
    a, b, c, d = (mg.tensor(x, requires_grad=True) for x in (2.0, -3.0, 10.0, -2.0))
    trace = mg.trace((a * b + c) * d)
    assert [trace[leaf].symbol for leaf in (a, b, c, d)] == ["v1", "v2", "v3", "v4"]
    assert str(trace.chain(to=a)).startswith("∂L/∂v1 = v2 · v4\n")


def test_sums_and_products_of_an_expression_are_layers_only_where_an_activation_meets_them():
    a, b, c, d, e = (mg.tensor(x, requires_grad=True) for x in (2.0, -3.0, 10.0, -2.0, 0.5))

    def computed(y):
        return [node.symbol for node in mg.trace(y).nodes if node.op != "leaf"]

    assert computed(a * b + c) == ["multiply", "L"]
    assert computed((a * b + c) * d) == ["multiply", "add", "L"]
    assert computed(mg.tanh(a * b + c * d + e) * a) == ["multiply", "multiply:2", "add", "z1", "h1", "L"]


def test_a_product_keeps_the_name_it_was_given():
    w, b = (mg.tensor(x, requires_grad=True) for x in (np.eye(2), np.ones(2)))
    z = np.ones((3, 2)) @ w
    z.name = "z1"
    trace = mg.trace(mg.sum(mg.tanh(z + b)))
    assert [node.symbol for node in trace.nodes] == ["W1", "z1", "b1", "z1:2", "h1", "L"]


def test_what_is_in_a_trace():
    x, other = (mg.tensor(2.0, requires_grad=True, name=name) for name in ("x", "other"))
    trace = mg.trace(mg.tanh(x))
    for key in (x, "x", "tanh", "t*", 0, trace[x]):
        assert key in trace
    for key in (other, "other", "o*", 2, mg.trace(mg.tanh(x))[x]):
        assert key not in trace


def test_what_is_printed_is_found_under_that_name():
    """The symbol `add` names the second add: the first adds a bias, and is called z1."""
    w, b = (mg.tensor(x, requires_grad=True) for x in (np.eye(2), np.ones(2)))
    h = mg.tanh(np.ones((3, 2)) @ w + b) + mg.tensor(np.ones((3, 2)))
    trace = mg.trace(mg.sum(mg.sigmoid(h) + mg.tensor(np.ones((3, 2)))))
    assert [node.symbol for node in trace.nodes if node.op == "add"] == ["z1", "add", "add:2"]
    assert [trace[node.symbol] for node in trace.nodes] == trace.nodes
    assert trace["add:1"] == trace["z1"]


def test_a_node_is_found_without_going_through_all():
    """Otherwise a loop over the layers of a deep net would search all nodes at every look-up."""
    x = h = mg.tensor(0.5, requires_grad=True)
    for i in range(300):
        h = mg.tanh(h)
        h.name = f"state {i}"
    trace = mg.trace(h)
    assert trace["state 7"].value == trace[8].value

    for name in ("_labels", "_vertices"):
        trace.__dict__[name] = OnlyAsked(trace.__dict__[name])
    assert [trace[key].index for key in ("state 7", 8, -1, x, "tanh:9")] == [8, 8, 300, 0, 9]


class OnlyAsked:
    """A list or dictionary that can be asked for an item, but not gone through."""

    __iter__ = None

    def __init__(self, inside):
        self.inside = inside

    def __len__(self):
        return len(self.inside)

    def __contains__(self, key):
        return key in self.inside

    def __getitem__(self, key):
        return self.inside[key]
