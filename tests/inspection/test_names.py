"""The names of nodes: numbered as on paper, and kept where a layer is used twice, frozen, or is none."""

import numpy as np

import minigrad as mg
from layers import RNN, Dense, Dropout, Sequential


def test_a_layer_that_is_used_twice_has_its_names_twice():
    layer = Dense(2, 2, "tanh", rng=0)
    trace = mg.trace(mg.sum(layer(layer(np.ones((3, 2))))))
    symbols = [node.symbol for node in trace.nodes if node.op not in ("leaf", "sum")]
    assert symbols == ["hW1", "z1", "h1", "hW1:2", "z1:2", "h1:2"]


def test_layers_that_no_model_holds_are_numbered():
    """Each calls its parameters weight and bias."""
    first, second = Dense(4, 3, "tanh", rng=0), Dense(3, 1, rng=1)
    trace = mg.trace(mg.sum(second(first(np.ones((5, 4))))))
    assert trace.chain(to=first.weight).symbols == ["xᵀ", "diag(tanh'(z1))", "W2ᵀ", "sum"]
    assert [trace[key].symbol for key in (first.bias, "weight", second.weight)] == ["b1", "W1", "W2"]
    assert mg.trace(mg.sum(second(np.ones((5, 3)))))[second.weight].symbol == "weight"
    for layer in (first, second):
        layer.weight.name = "w"  # a name that somebody chose stays
    assert [mg.trace(trace.output)[layer.weight].symbol for layer in (first, second)] == ["w", "w:2"]


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


def test_the_state_before_the_first_step_is_not_called_x():
    model = RNN(2, 3, layers=2, rng=0)
    trace = mg.trace(mg.sum(model(np.ones((4, 2, 2)))))
    first, second = ([trace.chain(to=layer.w_hidden, use=k) for k in (0, 1)] for layer in model.layers)
    assert [chain.symbols[0] for chain in first + second] == ["h[0]ᵀ", "h[−1]ᵀ", "h[0]:2ᵀ", "h[−1]:2ᵀ"]
    assert r"h_{-1}^{\top}" in first[1].latex()
    assert [edge.symbol for edge in trace.edges(into=model.layers[0].w_input)] == ["xᵀ", "xᵀ"]


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


def test_a_name_may_be_a_number():
    x = mg.tensor(2.0, requires_grad=True, name=7)
    trace = mg.trace(mg.exp(x))
    assert trace["7"] == trace[x]
    assert trace[x].symbol == "7"


def test_a_product_keeps_the_name_it_was_given():
    w, b = (mg.tensor(x, requires_grad=True) for x in (np.eye(2), np.ones(2)))
    z = np.ones((3, 2)) @ w
    z.name = "z1"
    trace = mg.trace(mg.sum(mg.tanh(z + b)))
    assert [node.symbol for node in trace.nodes] == ["W1", "z1", "b1", "z1:2", "h1", "L"]
