"""Modules: the parameters they find, the paths they have, and how they fail."""

import copy
import gc
import itertools
import pickle
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from layers import (
    LSTM,
    BatchNorm,
    CrossEntropy,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Softmax,
)
from minigrad.settings import state


class Tree(Module):
    """Parameters and modules in every place where they may be."""

    def __init__(self):
        self.first = Parameter([1.0])
        self.blocks = [Dense(2, 2), {"up": Dense(2, 2, bias=False), "down": (Parameter([2.0]), ReLU())}]
        self.note = "not a parameter"
        self.last = Parameter([3.0])

    def forward(self, x):
        return self.blocks[1]["up"](self.blocks[0](x))


def scopes(y):
    """The scopes in which y was computed, in forward order; several nodes of one call count once."""
    return [scope for scope, _ in itertools.groupby(node.scope for node in reversed(mg.graph.order(y.node)))]


def test_parameters_are_found_in_order_a_modules_own_first():
    assert [name for name, _ in Tree().named_parameters()] == [
        "first",
        "blocks.1.down.0",
        "last",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.up.weight",
    ]


def test_parameters_and_modules_come_in_the_order_of_their_names():
    tree = Tree()
    assert [id(p) for p in tree.parameters()] == [id(p) for _, p in tree.named_parameters()]
    assert tree.modules() == [tree, tree.blocks[0], tree.blocks[1]["up"], tree.blocks[1]["down"][1]]


def test_a_shared_parameter_and_a_shared_module_count_once():
    dense = Dense(2, 2)
    other = Dense(2, 2)
    other.weight = dense.weight
    model = Sequential(dense, other, dense)
    assert [name for name, _ in model.named_parameters()] == ["layers.0.weight", "layers.0.bias", "layers.1.bias"]
    assert len(model.modules()) == 3
    x = mg.tensor(np.ones((1, 2)))
    model(x).sum().backward()
    alone = Sequential(*[copy.deepcopy(layer) for layer in (dense, dense, dense)])
    alone.layers[1].bias.data = other.bias.data
    alone.zero_grad()
    alone(x).sum().backward()
    np.testing.assert_allclose(dense.weight.grad, sum(layer.weight.grad for layer in alone.layers))


def test_modules_that_hold_each_other_are_each_found_once():
    parent, child = Module(), Dense(2, 2)
    parent.child, child.parent = child, parent
    assert parent.modules() == [parent, child]
    assert len(child.parameters()) == 2


def test_a_module_works_without_super_init_and_a_parameter_assigned_later_is_found():
    class Forgetful(Module):
        def __init__(self):
            self.dense = Dense(2, 3)

    model = Forgetful()
    model.extra = Parameter([0.0])
    assert model.training
    assert [name for name, _ in model.named_parameters()] == ["extra", "dense.weight", "dense.bias"]


@pytest.mark.parametrize("numbers", [np.ones((2, 3)), [[1.0] * 3] * 2, 1.0])
def test_numbers_do_not_replace_a_parameter(numbers):
    """It would be trained no more, and nobody would say so."""
    layer = Dense(2, 3)
    with pytest.raises(TypeError, match=r"Dense: weight is a Parameter; numbers go into weight\.data"):
        layer.weight = numbers
    layer.weight.data = np.ones((2, 3))
    layer.bias = Parameter(np.ones(3))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer(np.ones((1, 2))).data.tolist() == [[3.0, 3.0, 3.0]]


def test_train_and_eval_reach_every_module_and_return_the_module():
    model = Sequential(Dense(2, 2), Residual(Dropout(0.5), BatchNorm(2)))
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in model.train(False).modules())


def test_zero_grad_forgets_all_gradients():
    model = Tree()
    model(np.ones((1, 2))).sum().backward()
    assert model.blocks[0].weight.grad is not None
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_astype_converts_parameters_gradients_and_buffers_and_the_layer_stays_in_float32():
    model = Sequential(Dense(2, 3, "relu"), BatchNorm(3))
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    model(x).sum().backward()
    assert model.astype("float32") is model
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}
    y = model(x)
    assert y.dtype == model[1].running_mean.dtype == model[1].running_var.dtype == np.float32
    assert model.eval()(x).dtype == np.float32
    model.zero_grad()
    y.sum().backward()
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}


def test_a_graph_made_before_astype_is_refused():
    model = Dense(2, 2)
    loss = model(np.ones((1, 2))).sum()
    model.astype("float32")
    with pytest.raises(mg.GraphError, match="changed in place"):
        loss.backward()


def test_astype_leaves_buffers_of_integers_alone():
    model = Dense(2, 2)
    model.calls = np.array([3], np.int64)
    assert model.astype("float32").calls.dtype == np.int64


@pytest.mark.parametrize("dtype", ["int64", "float16", "complex128"])
def test_astype_refuses_other_dtypes(dtype):
    with pytest.raises(TypeError, match=f"float32 or float64 is needed, not {dtype}"):
        Dense(2, 2).astype(dtype)


def test_new_parameters_have_the_default_dtype():
    mg.set_default_dtype("float32")
    for module in (Dense(2, 2), BatchNorm(2), Embedding(3, 2), LSTM(2, 2)):
        assert {p.dtype for p in module.parameters()} == {np.dtype("float32")}


def test_a_copy_shares_nothing():
    model = Sequential(Dense(2, 2), BatchNorm(2))
    twin = copy.deepcopy(model)
    twin(np.random.default_rng(0).normal(size=(5, 2)))
    twin[0].weight.data = 0
    assert np.all(model[1].running_mean == 0)
    assert np.any(model[0].weight.data != 0)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in twin.parameters()}


# Paths


def test_nodes_carry_the_path_of_the_innermost_module():
    class Block(Module):
        def __init__(self):
            self.dense = Dense(2, 2)

        def forward(self, x):
            return self.dense(x) + x

    class Net(Module):
        def __init__(self):
            self.blocks = [Block(), Block()]
            self.heads = {"main": Dense(2, 1)}

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["main"](x).sum()

    net = Net()
    once = scopes(net(np.ones((1, 2))))
    assert once == ["blocks.0.dense", "blocks.0", "blocks.1.dense", "blocks.1", "heads.main", ""]
    assert scopes(net(np.ones((1, 2)))) == once
    assert state.scope == ""


def test_a_layer_called_by_a_holder_further_out_has_its_full_path():
    class Net(Module):
        def __init__(self):
            self.encoder = Sequential(Dense(2, 2), Dense(2, 2))

        def forward(self, x):
            for layer in self.encoder:  # without calling the Sequential
                x = layer(x)
            return x

    assert scopes(Net()(np.ones((1, 2)))) == ["encoder.layers.0", "encoder.layers.1"]


def test_a_module_shared_by_two_parents_has_the_path_of_the_one_that_calls_it():
    shared = Dense(2, 2)
    model = Sequential(Sequential(shared), Sequential(ReLU(), shared))
    y = model(np.ones((1, 2)))
    assert scopes(y) == ["layers.0.layers.0", "layers.1.layers.0", "layers.1.layers.1"]
    assert shared.weight.name == "layers.0.layers.0.weight"


def test_of_two_names_in_one_parent_the_first_counts():
    dense = Dense(2, 2)
    assert scopes(Sequential(dense, ReLU(), dense)(np.ones((1, 2)))) == ["layers.0", "layers.1", "layers.0"]


def test_a_module_that_was_moved_has_its_new_path():
    model = Sequential(Dense(2, 2), ReLU(), Dense(2, 2))
    x, first = np.ones((1, 2)), model[0]
    model(x)
    model.layers.reverse()
    assert model(x).node.scope == "layers.2" == first.scope
    del model.layers[1:]
    assert model(first(x)).node.scope == "layers.0"
    model.layers = {"in": model.layers[0], "0": first}
    model.forward = lambda x: model.layers["0"](model.layers["in"](x))
    assert scopes(model(x)) == scopes(model(x)) == ["layers.in", "layers.0"]


def test_a_path_is_not_searched_for_in_the_whole_model_at_every_call(monkeypatch):
    class Net(Module):
        def __init__(self):
            self.blocks = [Residual(Dense(2, 2)) for _ in range(5)]

        def forward(self, x):
            for block in self.blocks:
                x = block.body[0](x)  # two levels down
                x = ReLU()(x) if self.foreign else x  # in no module
            return x

    searched = []
    search = Module.named_modules
    net = Net()
    for net.foreign, most in ((False, 0), (True, 1)):
        net(np.ones((1, 2)))
        with monkeypatch.context() as patch:
            patch.setattr(Module, "named_modules", lambda self: searched.append(self) or search(self))
            net(np.ones((1, 2)))
        assert sum(module is net for module in searched) == most


def test_a_module_that_calls_itself_keeps_its_path():
    class Twice(Module):
        def __init__(self):
            self.dense = Dense(2, 2)

        def forward(self, x, again=True):
            x = self.dense(x)
            return self(np.tanh(x), again=False) if again else x

    expected = ["layers.0.dense", "layers.0", "layers.0.dense"]
    assert scopes(Sequential(Twice())(np.ones((1, 2)))) == expected


def test_a_module_that_nobody_holds_goes_by_its_class():
    class Net(Module):
        def forward(self, x):
            return Dense(2, 2)(x)

    assert scopes(Sequential(Net())(np.ones((1, 2)))) == ["layers.0.Dense"]


def test_scope_says_where_a_module_was_called_last():
    model = Sequential(Dense(2, 2), Residual(ReLU()))
    assert model.scope is None
    model(np.ones((1, 2)))
    assert [module.scope for module in model.modules()] == ["", "layers.0", "layers.1", "layers.1.body.0"]


def test_parameters_get_their_path_as_a_name_unless_they_have_one():
    dense = Dense(2, 2)
    dense.bias.name = "threshold"
    dense(np.ones((1, 2)))
    assert (dense.weight.name, dense.bias.name) == ("weight", "threshold")
    Sequential(ReLU(), dense)(np.ones((1, 2)))  # put into a model afterwards
    assert (dense.weight.name, dense.bias.name) == ("layers.1.weight", "threshold")


@pytest.mark.parametrize("first", ["part", "whole"])
def test_names_are_those_in_the_whole_model_whichever_is_called_first(first):
    """Called first, a slice gave its own paths for good: "layers.1.weight" was the weight of layer 2."""
    model = Sequential(Dense(2, 3), Dense(3, 4), Dense(4, 1))
    calls = [lambda: model[1:](np.ones((1, 3))), lambda: model(np.ones((1, 2)))]
    for call in calls if first == "part" else calls[::-1]:
        call()
    assert [p.name for p in model.parameters()] == [name for name, _ in model.named_parameters()]
    assert mg.trace(mg.sum(model(np.ones((1, 2)))))["layers.1.weight"].shape == (3, 4)
    assert copy.deepcopy(model)[1].weight.name == "layers.1.weight"


def test_a_parameter_that_takes_the_place_of_another_after_a_call_gets_its_name():
    model = Sequential(Dense(2, 2))
    model(np.ones((1, 2)))
    model[0].weight = Parameter(np.eye(2))
    assert mg.trace(mg.sum(model(np.ones((1, 2)))))["layers.0.weight"].shape == (2, 2)


def test_threads_have_scopes_of_their_own():
    outer, inner, paths = Sequential(Dense(2, 2)), Dense(2, 2), []

    class Spawner(Module):
        def forward(self, x):
            thread = threading.Thread(target=lambda: paths.extend(scopes(inner(x))))
            thread.start()
            thread.join()
            return outer(x)

    y = Sequential(Spawner())(np.ones((1, 2)))
    assert paths == [""]
    assert scopes(y) == ["layers.0.Sequential.layers.0"]


# Errors


def test_an_error_starts_with_the_path_of_the_innermost_layer_once():
    model = Sequential(Dense(3, 4), ReLU(), Sequential(Dense(5, 2)))
    with pytest.raises(ValueError, match=r"^layers\.2\.layers\.0: dense: .*\(8, 4\).*\(5, 2\)") as caught:
        model(np.ones((8, 3)))
    assert str(caught.value).count("layers.2") == 1
    assert state.scope == ""


def test_after_an_error_the_model_works_and_paths_are_right():
    model = Sequential(Dense(3, 4))
    with pytest.raises(ValueError, match=r"^layers\.0: "):
        model(np.ones((8, 2)))
    assert scopes(model(np.ones((8, 3)))) == ["layers.0"]


@pytest.mark.parametrize("kind", [ValueError, TypeError, IndexError, FloatingPointError, mg.GraphError])
def test_an_error_keeps_its_type(kind):
    class Failing(Module):
        def forward(self, x):
            raise kind("went wrong")

    with pytest.raises(kind, match=r"^layers\.0: went wrong$"):
        Sequential(Failing())(0)


@pytest.mark.parametrize(("given", "args"), [(("bad", 3), ("layers.0: bad", 3)), ((3, "bad"), (3, "bad")), ((), ())])
def test_an_error_keeps_its_other_arguments(given, args):
    class Failing(Module):
        def forward(self, x):
            raise FloatingPointError(*given)

    with pytest.raises(FloatingPointError) as caught:
        Sequential(Failing())(0)
    assert caught.value.args == args


def test_an_error_of_the_outermost_module_has_nothing_in_front():
    with pytest.raises(ValueError, match=r"^BatchNorm: "):
        BatchNorm(2)(np.ones((4, 3)))


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()(1)


# Memory


def test_a_graph_and_its_model_are_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        model = Sequential(Dense(2, 4, "tanh"), BatchNorm(4), Residual(Dense(4, 4)), LSTM_as_rows())
        loss = model(np.random.default_rng(0).normal(size=(8, 2))).sum()
        loss.backward()
        watched = [weakref.ref(model), weakref.ref(loss), weakref.ref(model[0].weight)]
        del model
        assert watched[0]() is None  # the graph does not hold the modules
        del loss
        assert [ref() for ref in watched] == [None, None, None]
    finally:
        gc.enable()


class LSTM_as_rows(Module):
    """An LSTM that reads each row as a sequence of one feature."""

    def __init__(self):
        self.lstm = LSTM(1, 3)

    def forward(self, x):
        return self.lstm(x.reshape(x.shape[0], -1, 1))


# Summary


def test_summary_lists_layers_shapes_and_parameters():
    model = Sequential(Flatten(), Dense(12, 5, "relu"), BatchNorm(5), Residual(Dense(5, 5)), Dense(5, 2, bias=False))
    text = model.summary((7, 3, 4))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "output", "shape", "parameters"]
    assert [line.split()[0] for line in lines[1:]] == [
        "layers.0",
        "layers.1",
        "layers.2",
        "layers.3.body.0",
        "layers.4",
        "total",
    ]
    assert "Dense(inputs=12, outputs=5, activation='relu')" in lines[2]
    assert "(7, 12)" in lines[1]
    assert lines[2].endswith("(7, 5)                65")
    assert lines[-1].split() == ["total", "115", "float64"]
    assert "note" not in text


def test_summary_runs_once_in_eval_mode_and_changes_nothing():
    model = Sequential(BatchNorm(2), Dropout(0.5, rng=0))
    model[0].eval()
    before = model.state_dict()
    model.summary((5, 2))
    assert [module.training for module in model.modules()] == [True, False, True]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_prompt_shows_a_summary_as_it_is_printed():
    summary = Sequential(Dense(2, 2), Dense(2, 1)).summary()
    assert repr(summary) == str(summary)


def test_summary_counts_shared_parameters_once():
    dense = Dense(2, 2)
    tied = Dense(2, 2)
    tied.weight = tied.also = dense.weight
    dense.also = dense.weight
    lines = Sequential(dense, tied).summary().splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["6", "2"]
    assert lines[-1].split() == ["total", "8", "float64"]


def test_summary_takes_an_input_where_a_shape_says_too_little():
    text = Sequential(Embedding(10, 4), LSTM(4, 3)).summary(np.array([[1, 2, 3]]))
    assert "(1, 3, 4)" in text
    assert "(1, 3, 4)" in Sequential(Embedding(10, 4)).summary([[1, 2, 3]])
    with pytest.raises(TypeError, match=r"layers\.0: Embedding: indices must be integers, not float64"):
        Sequential(Embedding(10, 4)).summary((1, 3))


def test_summary_notes_a_softmax_in_front_of_cross_entropy():
    class Net(Module):
        def __init__(self):
            self.body = Sequential(Dense(2, 2), Softmax())
            self.loss = CrossEntropy()

    apart = Sequential(Net().body, Sequential(CrossEntropy()))
    for model in (Net().body, Net(), apart):
        assert "is a Softmax; CrossEntropy takes logits" in model.summary()
    assert "note" not in Sequential(Dense(2, 2), Softmax(), Dense(2, 2)).summary()


def test_summary_notes_float32_data_that_meets_float64_parameters():
    model = Sequential(Dense(2, 2))
    x = np.ones((1, 2), np.float32)
    assert "float32 data meets float64 parameters" in model.summary(x)
    assert "note" not in model.summary(x.astype(float))
    assert "note" not in model.astype("float32").summary(x)


def test_summary_notes_a_tensor_that_should_be_a_parameter():
    class Net(Module):
        def __init__(self):
            self.w = mg.tensor(np.ones((2, 2)), requires_grad=True)
            self.scaled = Parameter(np.ones(2)) * 0.1
            self.fixed, self.b = mg.tensor([1.0, 2.0]), Parameter(np.zeros(2))

        def forward(self, x):
            self.seen = x @ self.w * self.scaled + self.fixed + self.b
            return self.seen

    model = Sequential(Net())
    model(np.ones((1, 2)))
    notes = [line for line in model.summary((1, 2)).splitlines() if line.startswith("note")]
    assert [note.split()[1] for note in notes] == ["layers.0.w", "layers.0.scaled"]
    assert "is a Tensor, not a Parameter: it is neither trained nor saved" in notes[0]


def test_repr_shows_the_settings():
    assert repr(Dense(3, 2, "relu")) == "Dense(inputs=3, outputs=2, activation='relu')"
    assert repr(Dropout(0.25).eval()) == "Dropout(p=0.25)"


def test_repr_shows_the_modules_inside_by_name_and_ends():
    class Net(Module):
        def __init__(self):
            self.head, self.parts, self.w = Dense(2, 1), {"a": [LSTM(3, 4)]}, Parameter([1.0])

    net = Net()
    net.parts["again"] = net
    assert repr(net).splitlines() == [
        "Net()",
        "  head: Dense(inputs=2, outputs=1)",
        "  parts.a.0: LSTM(return_sequence=False)",
        "    layers.0: LSTMCell(inputs=3, hidden=4)",
        "  parts.again: …",
    ]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_is_one_of_its_own(copied):
    shared = Dense(3, 3, rng=0)
    model = Sequential(
        shared, BatchNorm(3), Residual(shared, after="relu"), Dropout(0.5, rng=0), Dense(3, 2, "tanh", rng=1)
    )
    x = np.arange(12.0).reshape(4, 3)
    model(x).sum().backward()
    other = copied(model.eval())
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in model.named_parameters()]
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(mine.grad, theirs.grad)
    before = model(x).numpy()
    np.testing.assert_array_equal(other(x).numpy(), before)
    for theirs in other.parameters():
        theirs.data -= 1
    assert not np.allclose(other(x).numpy(), before)
    np.testing.assert_array_equal(model(x).numpy(), before)
