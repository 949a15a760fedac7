"""A trace opens packs: every packed value gets its own gradient, and no path goes through storage."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, Dense

PACKS = ["stack", "concatenate"]


def leaves(*shape, count=4):
    rng = np.random.default_rng(3)
    return [mg.tensor(rng.normal(size=shape), requires_grad=True, name=f"a{k}") for k in range(count)]


def packs_in(trace):
    return [node.op for node in trace.nodes if node.op in PACKS]


def assert_as_backward(loss, tensors):
    """`backward=True` stores the gradients of backward(), and the contributions in the trace add up."""
    found = []
    for backward in (loss.backward, lambda: mg.trace(loss, backward=True)):
        for x in tensors:
            x.zero_grad()
        backward()
        found.append([x.grad for x in tensors])
    trace = mg.trace(loss)
    for expected, grad in zip(*found, strict=True):
        np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-15)
    assert max(node.check() for node in trace.nodes) <= 1e-12
    return trace


@pytest.mark.parametrize(
    ("take", "uses"),
    [
        (lambda a: mg.stack(a)[2], [0, 0, 1, 0]),
        (lambda a: mg.stack(a)[-1], [0, 0, 0, 1]),
        (lambda a: mg.stack(a, axis=1)[:, 1], [0, 1, 0, 0]),
        (lambda a: mg.stack(a, axis=-1)[..., np.int64(3)], [0, 0, 0, 1]),
        (lambda a: mg.stack(a, axis=-2)[:, 0:1], [1, 0, 0, 0]),
        (lambda a: mg.stack(a)[1:3], [0, 1, 1, 0]),
        (lambda a: mg.stack(a)[::-2], [0, 1, 0, 1]),
        (lambda a: mg.stack(a, axis=1)[0, 2], [0, 0, 1, 0]),
        (lambda a: mg.stack(a, axis=2)[0, :, 2], [0, 0, 1, 0]),
        (lambda a: mg.stack(a, axis=1)[::-1, 2, 1:], [0, 0, 1, 0]),
        (lambda a: mg.concatenate(a)[2], [1, 0, 0, 0]),
        (lambda a: mg.concatenate(a)[3:6], [0, 1, 0, 0]),
        (lambda a: mg.concatenate(a)[2:7], [1, 1, 1, 0]),
        (lambda a: mg.concatenate(a, axis=-1)[:, -2:], [0, 0, 0, 1]),
        (lambda a: mg.concatenate(a, axis=1)[1, 3], [0, 1, 0, 0]),
        (lambda a: mg.concatenate(a, axis=1)[0], [1, 1, 1, 1]),
        (lambda a: mg.split(mg.concatenate(a), 4)[1], [0, 1, 0, 0]),
        (lambda a: list(mg.stack(a))[1], [0, 1, 0, 0]),
        (lambda a: mg.stack([mg.concatenate(a[:2]), mg.concatenate(a[2:])])[1, 3:], [0, 0, 0, 1]),
        (lambda a: mg.stack([mg.concatenate(a[:2]), mg.concatenate(a[2:])])[:, :3], [1, 0, 1, 0]),
        (lambda a: mg.stack(a)[1:][1:][0], [0, 0, 1, 0]),
        (lambda a: mg.stack(a)[0] * mg.stack(a)[0] + mg.stack(a)[3], [1, 0, 0, 1]),
    ],
)
def test_what_is_taken_out_of_a_pack_is_the_piece_itself(take, uses):
    a = leaves(3, 2)
    h = [mg.tanh(x) for x in a]
    trace = assert_as_backward(mg.sum(mg.square(take(h))), a)
    for x, used in zip(a, uses, strict=True):
        if used:
            assert trace[x].norm > 0
        else:
            with pytest.raises(KeyError):  # the output does not depend on it
                trace[x]


@pytest.mark.parametrize("take", [lambda a: mg.stack(a)[1], lambda a: mg.concatenate(a)[3:6]])
def test_a_leaf_in_a_pack_is_the_leaf(take):
    a = leaves(3, 2)
    trace = assert_as_backward(mg.sum(mg.square(take(a))), a)
    assert not packs_in(trace)
    assert trace.count_paths(to=a[1]) == 1
    assert str(mg.trace(take(a), np.ones((3, 2)))[-1]) == str(mg.trace(a[1], np.ones((3, 2)))[-1])


@pytest.mark.parametrize(
    "index", [np.array([2, 0, 2]), ([0, 1], [2, 2]), None, np.array([True, False, True, True]), (slice(None), None, 1)]
)
def test_what_takes_single_elements_still_goes_through_the_pack(index):
    a = leaves(3, 2)
    trace = assert_as_backward(mg.sum(mg.square(mg.stack([mg.tanh(x) for x in a])[index])), a)
    assert packs_in(trace) == ["stack"]


def test_every_other_row_of_a_concatenation():
    a = leaves(3, 2)
    trace = assert_as_backward(mg.sum(mg.square(mg.concatenate([mg.tanh(x) for x in a])[1::2])), a)
    assert packs_in(trace) == ["concatenate"]


def test_constants_in_a_pack_get_no_gradient():
    a, constant = leaves(3, 2)[0], mg.tensor(np.ones((3, 2)), name="c")
    for pieces in ([constant, mg.tanh(a)], [np.ones((3, 2)), mg.tanh(a)]):
        pack = mg.stack(pieces)
        trace = assert_as_backward(mg.sum(pack[0] * pack[1]), [a])
        assert not packs_in(trace)
        np.testing.assert_allclose(trace[a].grad, 1 - np.tanh(a.data) ** 2, rtol=1e-12)
    assert constant.grad is None


def test_a_definition_without_a_gradient_is_a_constant():
    sign = mg.fused(
        "sign", lambda x: (np.sign(x), None), lambda g, y, saved, x: (g,), lambda x: np.sign(x), kind="activation"
    )  # a straight-through estimator: only its kernel has a gradient
    a, b = leaves(2, count=2)
    loss = mg.sum(sign(mg.tanh(a)) * b)
    trace = mg.trace(loss)
    np.testing.assert_array_equal(trace[b].grad, np.sign(a.data))
    assert trace["sign"].grad is not None
    with pytest.raises(KeyError):
        trace[a]
    np.testing.assert_allclose(mg.trace(loss, expand=False)[a].grad, (1 - np.tanh(a.data) ** 2) * b.data, rtol=1e-12)


def test_what_no_gradient_reaches_has_none_after_a_trace_as_after_backward():
    """Zeros would be no harm to SGD, but Adam would go on moving the weights of a branch that is switched off."""
    gate = mg.elementwise("gate", lambda x, on: x * on, [lambda y, x, on: on, None], ["on", ""])
    open_layer, shut_layer = Dense(3, 3, "tanh", rng=0), Dense(3, 3, "relu", rng=1)
    x = np.ones((2, 3))
    mg.trace(mg.sum(gate(open_layer(x), shut_layer(x))), backward=True)
    assert open_layer.weight.grad is not None
    assert shut_layer.weight.grad is None
    assert shut_layer.bias.grad is None


def test_only_an_opened_trace_looks_into_packs():
    a = leaves(3, 2)
    loss = mg.sum(mg.stack([mg.tanh(x) for x in a])[1])
    assert packs_in(mg.trace(loss, expand=False)) == ["stack"]
    assert not packs_in(mg.trace(loss))


def test_a_pack_that_grew_step_by_step():
    """Deeper than Python's stack."""
    h = mg.tensor([[1.0]], requires_grad=True, name="h")
    states = first = mg.tanh(h)
    for _ in range(3000):
        states = mg.concatenate([states, np.ones((1, 1))])
    trace = mg.trace(mg.sum(states[0]))
    assert trace.count_paths(to=h) == 1
    np.testing.assert_allclose(trace[h].grad, 1 - first.data**2)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("return_sequence", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
@pytest.mark.parametrize("kernels", ["auto", "definition"])
def test_opened_recurrent_layers_have_the_gradients_of_backward(layer, return_sequence, layers, kernels):
    rng = np.random.default_rng(1)
    steps, hidden = 5, 3
    net, head = layer(2, hidden, layers=layers, return_sequence=return_sequence, rng=rng), Dense(hidden, 2, rng=rng)
    x = mg.tensor(rng.normal(size=(4, steps, 2)), requires_grad=True)
    with mg.kernels.use(kernels):
        loss = mg.sum(mg.square(head(net(x))))
    trace = assert_as_backward(loss, [x, *net.parameters(), *head.parameters()])
    assert packs_in(trace) == (["stack"] if return_sequence else [])
    last = "layers.1/" if layers > 1 else ""
    assert [node.name for node in trace[f"{last}h[*]"]] == [f"h[{t}]" for t in range(steps)]


def test_a_chain_through_time_has_two_factors_a_step():
    rng = np.random.default_rng(1)
    steps = 12
    y = RNN(2, 3, rng=rng)(rng.normal(size=(4, steps, 2)))
    chain = mg.trace(mg.sum(mg.square(y))).chain(to="h[0]")
    kinds = [factor.kind for factor in chain.factors if factor.kind in ("activation", "weight")]
    assert kinds == ["activation", "weight"] * (steps - 1)
    np.testing.assert_allclose(chain.product, mg.trace(mg.sum(mg.square(y)))["h[0]"].grad, rtol=1e-12)


def test_a_state_answers_to_all_its_names():
    y = LSTM(2, 3, rng=0)(np.ones((4, 5, 2)))
    y.name = "last"
    trace = mg.trace(mg.sum(mg.square(y)))
    assert trace["last"] == trace["h[4]"] == trace[y]
    assert trace["last"].name == "last"
    assert len(trace["h[*]"]) == 5


def test_a_graph_of_which_only_the_first_step_counts():
    rng = np.random.default_rng(1)
    net = RNN(2, 3, return_sequence=True, rng=rng)
    loss = mg.sum(net(rng.normal(size=(4, 6, 2)))[:, 0])
    trace = assert_as_backward(loss, net.parameters())
    assert [node.name for node in trace["h[*]"]] == ["h[0]"]
