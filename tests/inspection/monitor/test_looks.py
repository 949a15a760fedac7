"""What is kept of a layer's outputs and gradients: the numbers of a direct computation, whatever order they came in."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, BatchNorm, CrossEntropy, Dense, Dropout, Module, ReLU, Residual, Sequential
from layers.scope import watching

# The numbers

DERIVATIVES = {
    "sigmoid": lambda z: 4 / (np.exp(z / 2) + np.exp(-z / 2)) ** 2,  # relative to its maximum, 1/4
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "softsign": lambda z: 1 / (1 + np.abs(z)) ** 2,
    "hard_tanh": lambda z: np.abs(z) < 1,
}


@pytest.mark.parametrize("kernels", ["auto", "definition"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_agree_with_a_direct_computation(network, data, norm, dtype, kernels):
    model = network("tanh", "relu", "sigmoid", "softsign", "hard_tanh", width=40).astype(dtype)
    for layer in model:
        layer.weight.data = 3 * layer.weight.data
    x, labels = data(n=200, dtype=dtype)
    with mg.kernels.use(kernels), mg.GradientMonitor(model) as monitor, watching() as calls:
        CrossEntropy()(model(x), labels).backward(retain_grad=True)
        monitor.step()
    h, close = x, {"rtol": 1e-6 if dtype == "float32" else 1e-12}
    for (path, layer, _, y), saw in zip(calls[:6], [monitor.history] * 6, strict=True):
        for what, values in (("activation", y.numpy()), ("gradient", y.grad)):
            np.testing.assert_allclose(saw[f"{what}_norm/{path}"], [norm(values)], **close)
            np.testing.assert_allclose(saw[f"{what}_rms/{path}"], [norm(values) / values.size**0.5], **close)
            assert saw[f"{what}_zeros/{path}"] == [np.mean(values == 0)]
        z = h @ layer.weight.data + layer.bias.data
        if layer.activation in DERIVATIVES:
            assert saw[f"saturated/{path}"] == [np.mean(DERIVATIVES[layer.activation](z) < 0.1)]
            assert 0 < saw[f"saturated/{path}"][0] < 1
        else:
            assert f"saturated/{path}" not in saw
        h = y.numpy()
    assert 0.2 < monitor.history["activation_zeros/layers.1"][0] < 0.8  # ReLU: about half are zeros
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(monitor.history[f"gradient_norm/{name}"], [norm(parameter.grad)], **close)
        np.testing.assert_allclose(monitor.history[f"weight_norm/{name}"], [norm(parameter.data)], **close)
    everything = [norm(p.grad) for p in model.parameters()]
    np.testing.assert_allclose(monitor.history["global_norm"], [norm(everything)], **close)


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_recurrent_layers_look_the_same_fused_and_step_by_step(layer):
    x, labels = np.random.default_rng(0).normal(size=(5, 7, 4)) * 3, [0, 1, 2, 0, 1]

    class Net(Module):
        def __init__(self):
            self.recurrent, self.out = layer(4, 6, rng=1), Dense(6, 3, rng=2)

        def forward(self, x):
            return self.out(self.recurrent(x))

    histories = []
    for kernels in ("auto", "definition"):
        model = Net()
        with mg.kernels.use(kernels), mg.GradientMonitor(model) as monitor:
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
        histories.append(monitor.history)
    fused, definition = histories
    assert set(fused) == set(definition)
    assert 0 < fused["saturated/recurrent"][0] < 1
    for key in fused:
        np.testing.assert_allclose(fused[key], definition[key], rtol=1e-9, err_msg=key)


def test_gradients_too_small_for_float32_squares_are_not_zero(network, data, norm):
    model = network(*["sigmoid"] * 40, init="xavier_uniform").astype("float32")
    x, labels = data(dtype="float32")
    with mg.GradientMonitor(model) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
    gradient = model[0].weight.grad
    assert np.sum(gradient**2) == 0
    assert norm(gradient) > 0
    np.testing.assert_allclose(monitor.history["gradient_norm/layers.0.weight"], [norm(gradient)], rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_norms_of_large_float32_arrays(norm, scale):
    from minigrad.inspection.monitor.looks import length

    x = (np.random.default_rng(0).normal(size=(301, 123)) * scale).astype(np.float32)
    with np.errstate(over="ignore"):
        for array in (x, x.T, x[::2], x[:, 1:]):
            np.testing.assert_allclose(length(array), norm(array), rtol=1e-7)
        x[5, 5] = np.nan
        assert length(x) == np.inf


def test_a_gradient_that_is_not_finite_is_written_as_infinite(network, data):
    model = network("relu")
    x, labels = data()
    x[3, 2] = np.nan
    with mg.GradientMonitor(model) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
    assert monitor.history["gradient_norm/layers.0.weight"] == [np.inf]
    assert monitor.history["activation_norm/layers.0"] == [np.inf]


# Which outputs are a layer's


def test_modules_of_every_kind_have_a_row_and_the_loss_has_none(data):
    mg.seed(0)
    model = Sequential(Dense(6, 8), BatchNorm(8), ReLU(), Residual(Dense(8, 8, "tanh")), Dropout(0.5), Dense(8, 3))
    x, labels = data()
    with mg.GradientMonitor(model) as monitor:
        loss = CrossEntropy()(model(x), labels) + 0.1 * mg.sum(model[0].weight ** 2)
        loss.backward()
        monitor.step()
    expected = ["layers.0", "layers.1", "layers.2", "layers.3.body.0", "layers.3", "layers.4", "layers.5"]
    assert list(monitor.history.of("activation_rms")) == expected
    assert monitor.history["activation_zeros/layers.4"][0] > 0.3  # the units that Dropout zeroed


def test_a_model_that_is_one_layer_and_one_that_holds_its_loss(data, norm):
    x, labels = data()
    layer = Dense(6, 3)
    with mg.GradientMonitor(layer) as monitor:
        CrossEntropy()(layer(x), labels).backward()
        monitor.step()
    assert monitor.history["activation_norm/Dense"] == pytest.approx([norm(layer(x).numpy())], rel=1e-14)

    class Judged(Module):
        def __init__(self):
            self.layer, self.loss = layer, CrossEntropy("none")

        def forward(self, x, labels):
            return mg.mean(self.loss(self.layer(x), labels))

    model = Judged()
    with mg.GradientMonitor(model) as monitor:
        model(x, labels).backward()
        monitor.step()
    assert list(monitor.history.of("activation_norm")) == ["layer"]


def test_two_models_in_one_graph_are_told_apart(network, data, norm):
    generator, judge = network("tanh", classes=6, seed=1), network("relu", classes=1, seed=2)
    with mg.GradientMonitor(generator) as of_generator, mg.GradientMonitor(judge) as of_judge:
        mg.mse(judge(generator(data()[0])), np.ones((32, 1))).backward()
        of_generator.step()
        of_judge.step()
    made = generator(data()[0])
    assert of_generator.history["activation_norm/layers.1"] == [norm(made.numpy())]
    assert of_judge.history["activation_norm/layers.1"] == [norm(judge(made).numpy())]
    assert "activation_zeros/layers.0" in of_judge.history
    assert of_generator.history["activation_zeros/layers.0"] == [0]  # tanh: not the zeros of the judge's ReLU


def test_a_sum_with_a_shortcut_from_another_model_belongs_to_its_body(network, data, norm):
    first = network("tanh", classes=6, seed=1)
    second = Sequential(Residual(Dense(6, 6, "tanh", rng=2)), Dense(6, 3, rng=3))
    with mg.GradientMonitor(first) as of_first, mg.GradientMonitor(second) as of_second:
        mg.sum(second(first(data()[0]))).backward()
        of_first.step()
        of_second.step()
    h = first[0](data()[0])
    assert of_first.history["activation_norm/layers.0"] == [norm(h.numpy())]
    assert of_second.history["activation_norm/layers.0"] == [norm(second[0](first[1](h)).numpy())]


def test_a_frozen_model_behind_it_is_not_a_part_of_the_model(network, data, norm):
    generator, judge = network("tanh", classes=6, seed=1), network("relu", classes=1, seed=2)
    for parameter in judge.parameters():
        parameter.requires_grad = False
    with mg.GradientMonitor(generator) as monitor:
        mg.mse(judge(generator(data()[0])), np.ones((32, 1))).backward()
        monitor.step()
    assert monitor.history["activation_norm/layers.1"] == [norm(generator(data()[0]).numpy())]
    assert monitor.history["activation_zeros/layers.0"] == [0]  # tanh: not the zeros of the judge's ReLU


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_shortcut_past_an_input_that_requires_a_gradient_has_a_row(requires_grad, data, norm):
    model = Sequential(Residual(Dense(6, 6, "tanh")), Dense(6, 3))
    x, labels = data()
    with mg.GradientMonitor(model) as monitor:
        CrossEntropy()(model(mg.tensor(x, requires_grad=requires_grad)), labels).backward()
        monitor.step()
    assert list(monitor.history.of("activation_norm")) == ["layers.0.body.0", "layers.0", "layers.1"]
    assert monitor.history["activation_norm/layers.0"] == pytest.approx([norm(model[0](x).numpy())], rel=1e-14)


# Which passes count


def test_several_backward_passes_before_a_step_are_one_batch(network, data):
    model, (x, labels) = network("relu"), data()
    rows = []
    for batches in ([slice(0, 32)], [slice(0, 16), slice(16, 32)]):
        model.zero_grad()
        with mg.GradientMonitor(model) as monitor:
            for batch in batches:
                CrossEntropy("sum")(model(x[batch]), labels[batch]).backward()
            monitor.step()
        rows.append(monitor.history.recent[-1])
    whole, halves = rows
    assert whole.keys() == halves.keys()
    for key in whole:
        np.testing.assert_allclose(halves[key], whole[key], rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("order", [1, -1])
def test_an_output_counts_whichever_backward_pass_comes_first(network, data, norm, order):
    model, x = network("relu"), data()[0]
    outputs = [model(x), model(2 * x)]
    with mg.GradientMonitor(model) as monitor:
        for y in outputs[::order]:
            y.backward(np.ones(y.shape))
        monitor.step()
    np.testing.assert_allclose(monitor.history["activation_norm/layers.1"], [norm([y.data for y in outputs])])


def test_a_backward_that_stops_where_it_was_told_to_counts(network, data, norm):
    weighted = mg.primitive("weighted", np.multiply, [lambda g, y, x, w: g * w, None])
    model, (x, _) = network(), data()
    with mg.GradientMonitor(model) as monitor:
        for _ in range(2):
            y = model(x)
            weighted(y, mg.exp(y)).sum().backward()
        monitor.step()
    expected = np.sqrt(2) * norm(y.data)
    np.testing.assert_allclose(monitor.history["activation_norm/layers.0"], [expected], rtol=1e-12)


def test_a_backward_that_breaks_off_does_not_count(network, data):
    works = True

    def rule(g, y, x):
        if not works:
            raise ValueError("it is broken")
        return g

    fragile = mg.primitive("fragile", lambda x: x.copy(), [rule])
    model, (x, labels) = network("relu", "tanh"), data()

    def backward(x):
        mg.cross_entropy(model[1:](fragile(model[0](x))), labels).backward()

    def recorded(before):
        nonlocal works
        with mg.GradientMonitor(model, level="full") as monitor:
            works = False
            for scale in before:
                with pytest.raises(mg.GraphError, match="it is broken"):
                    backward(scale * x)
            works = True
            model.zero_grad()
            backward(x)
            monitor.step()
        return dict(monitor.history), monitor.histograms.arrays(), monitor.units

    np.testing.assert_equal(recorded(before=[2, 10]), recorded(before=[]))


@pytest.mark.parametrize("where", ["in the middle", "in the last node"])
def test_after_a_backward_that_broke_off_there_is_nothing_to_record(where, network, data):
    model, (x, labels) = network("relu"), data()
    broken = mg.primitive("broken", lambda x: x.copy(), [lambda g, y, x: None])
    with mg.GradientMonitor(model) as monitor:
        h = broken(model[0](x)) if where == "in the middle" else mg.relu(x @ broken(model[0].weight))
        with pytest.raises(mg.GraphError, match="returned NoneType"):
            mg.cross_entropy(model[1](h), labels).backward()
        with pytest.raises(mg.GraphError, match="no gradient of the model has arrived"):
            monitor.step()
