"""The role of each node: weight, bias, activation, gate, shortcut."""

import numpy as np

import minigrad as mg
from layers import LSTM, BatchNorm, Dense, Sequential


def test_kinds_of_a_neuron(neuron):
    x, w, trace = neuron
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
