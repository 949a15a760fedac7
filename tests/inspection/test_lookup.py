"""Finding the nodes of a trace: by Tensor, name, number, pattern or Module."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, MSE, BatchNorm, Dense, Dropout, GRUCell, Residual, Sequential, Tanh

# One node


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


def test_near_names(trace):
    with pytest.raises(KeyError, match=r"'layers.0/matmull'; did you mean .*layers.0/matmul"):
        trace["layers.0/matmull"]
    with pytest.raises(KeyError, match="called 'qqq'; there are L, "):
        trace["qqq"]
    with pytest.raises(KeyError, match=r"layers\.9/\*"):
        trace["layers.9/*"]
    with pytest.raises(KeyError, match="the tensor stranger is not part of this trace: its output"):
        trace[mg.tensor(1.0, name="stranger")]
    with pytest.raises(KeyError, match=r"the tensor of shape \(2,\) is not part"):
        trace[mg.tensor([1.0, 2.0])]
    with pytest.raises(TypeError, match="by Tensor, Module, name or number, not by list"):
        trace[[1]]
    with pytest.raises(TypeError, match=r"not by ndarray; give the model mg.tensor\(x, requires_grad=True\)"):
        trace.chain(to=np.ones(2))


def test_a_frozen_weight_that_was_not_recorded_is_said_to_be_frozen():
    model = Sequential(Dense(2, 3, rng=0), Dense(3, 1, rng=1))
    for p in model[0].parameters():
        p.requires_grad = False
    with pytest.raises(KeyError, match=r"layers.0.weight is not part of this trace: .* since it requires no gradient"):
        mg.trace(mg.sum(model(np.ones((4, 2))))).chain(to=model[0].weight)


def test_a_pattern_or_module_is_not_one_node(trace, model):
    for key in ("layers.0/*", model[0]):
        with pytest.raises(ValueError, match=r"one node of this trace is needed, not 3: choose from hW1, z1, h1$"):
            trace.edges(into=key)
    with pytest.raises(ValueError, match=r"choose from hW1, z1, h1, hW2, z2 …$"):
        trace.chain(to=model)


def test_an_input_that_is_an_array_is_no_node():
    layer, x = Sequential(Dense(2, 2, rng=0)), np.ones((3, 2))
    assert mg.trace(mg.sum(layer(x))).chain(to=layer[0].weight).symbols == ["xᵀ", "sum"]
    with pytest.raises(KeyError, match=r"called 'x'; an array is no node, but a Tensor is: x = mg\.tensor\(x, "):
        mg.trace(mg.sum(layer(x))).chain(to="x")
    x = mg.tensor(x, requires_grad=True)
    assert mg.trace(mg.sum(layer(x))).chain(to="x").symbols == ["W1ᵀ", "sum"]


def test_a_name_given_later_is_seen(model):
    y = model(np.ones((1, 3)))
    y.name = "prediction"
    assert mg.trace(mg.sum(y))["prediction"].kind == "bias"


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


@pytest.mark.parametrize("names", [("w:2", "w", "w"), ("w", "w:2", "w"), ("w", "w", "w:2"), ("tanh:2", "tanh", "w")])
def test_no_two_values_have_the_same_symbol_whatever_names_are_given(names):
    a, b, c = (mg.tensor([1.0, 2.0], requires_grad=True, name=name) for name in names)
    trace = mg.trace(mg.sum(mg.tanh(mg.tanh(a) * b) * c))
    assert len({node.symbol for node in trace.nodes}) == len(trace.nodes)


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


# The states and gates of recurrent nets


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


# All nodes of a module


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


def test_a_layer_that_was_also_called_alone():
    model = Sequential(Dense(2, 2, rng=0), Residual(Dense(2, 2, "tanh", rng=1)), Tanh())
    x = mg.tensor([[1.0, 1.0]], requires_grad=True)
    before = mg.trace(mg.sum(model(x)))
    alone = [mg.trace(layer(x), gradient=np.ones((1, 2))) for layer in (model[1], model[2])]
    for trace in (before, mg.trace(mg.sum(model(x)))):
        assert [node.scope for node in trace[model[1]]] == ["layers.1.body.0"] * 3 + ["layers.1"]
        assert [node.scope for node in trace[model[2]]] == ["layers.2"]
    assert [len(trace[layer]) for trace, layer in zip(alone, (model[1], model[2]), strict=True)] == [4, 1]


def test_a_module_that_was_not_called(trace):
    with pytest.raises(KeyError, match="computed by this BatchNorm"):
        trace[BatchNorm(3)]
    model = Sequential(Dense(2, 2, rng=0), Dropout(0.5, rng=1), Dense(2, 2, rng=2))
    model(np.ones((1, 2)))
    for layer, x in ((model[1], model.eval()(np.ones((1, 2)))), (model[2], model[0](2 * mg.tensor([[1.0, 1.0]])))):
        with pytest.raises(KeyError, match="nothing in this trace was computed by this D"):
            mg.trace(mg.sum(x))[layer]


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
