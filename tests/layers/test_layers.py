"""Every layer: its gradients, what it does beyond its ops, and what it refuses."""

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import (
    ELU,
    GELU,
    MSE,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    DenseBlock,
    Dropout,
    Embedding,
    Flatten,
    Hinge,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)


def example(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


# Gradients

LAYERS = {
    "Dense": lambda: Dense(4, 3),
    "Dense without bias": lambda: Dense(4, 3, bias=False),
    **{
        f"Dense {name}": lambda name=name: Dense(4, 3, name)
        for name in ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu")
    },
    "Residual": lambda: Residual(Dense(4, 6, "tanh"), Dense(6, 4)),
    "Residual with a shortcut": lambda: Residual(Dense(4, 3), shortcut=Dense(4, 3), after="tanh"),
    "DenseBlock": lambda: DenseBlock(Dense(4, 3, "tanh"), Dense(7, 2, "tanh")),
    "BatchNorm": lambda: BatchNorm(4),
    "BatchNorm after training": lambda: warmed(BatchNorm(4)).eval(),
    "LayerNorm": lambda: LayerNorm(4),
    "Dropout": lambda: Dropout(0.0),
    "Dropout after training": lambda: Dropout(0.5).eval(),
    "Flatten": Flatten,
    **{kind.__name__: kind for kind in (Sigmoid, Tanh, ReLU, LeakyReLU, ELU, Softplus, SiLU, GELU, Softmax)},
    "a network": lambda: Sequential(
        Dense(4, 5), BatchNorm(5), Tanh(), Residual(Dense(5, 5, "gelu"), LayerNorm(5)), Dense(5, 2)
    ),
}


def warmed(layer):
    """`layer` after some batches, which have moved its running statistics."""
    for seed in range(3):
        layer(np.random.default_rng(seed).normal(2, 3, size=(6, 4)))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_input_and_parameters(name, assert_gradients):
    layer = LAYERS[name]()
    rng = np.random.default_rng(1)
    for parameter in layer.parameters():  # zero biases and unit scales would hide faults
        parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    x = example(5, 4)
    assert_gradients(lambda: layer(x), x, *layer.parameters())


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_of_layers(name):
    """∂/∂x of Σ(∂L/∂x)² along a random direction, against the difference of first derivatives."""
    layer = LAYERS[name]()
    x = example(5, 4)
    v = np.random.default_rng(2).normal(size=x.shape)
    r = np.random.default_rng(3).normal(size=layer(x).shape)

    def slope(at, create_graph=False):
        return mg.grad((layer(at) * r).sum(), at, create_graph=create_graph)[0]

    found = mg.grad((slope(x, create_graph=True) * v).sum() + (x * 0).sum(), x)[0].numpy()
    sides = [slope(mg.tensor(x.data + step * v, requires_grad=True)).numpy() for step in (1e-5, -1e-5)]
    np.testing.assert_allclose(found, (sides[0] - sides[1]) / 2e-5, rtol=1e-5, atol=1e-6)


LOSSES = {
    "CrossEntropy of labels": (CrossEntropy, np.array([0, 3, 1, 1, 2])),
    "CrossEntropy of probabilities": (CrossEntropy, np.random.default_rng(0).dirichlet(np.ones(4), 5)),
    "MSE": (MSE, np.random.default_rng(0).normal(size=(5, 4))),
    "BinaryCrossEntropy": (BinaryCrossEntropy, np.random.default_rng(0).uniform(size=(5, 4))),
    "Hinge": (Hinge, np.where(np.random.default_rng(0).normal(size=(5, 4)) > 0, 1.0, -1.0)),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_losses(name, reduction, assert_gradients):
    kind, targets = LOSSES[name]
    x = example(5, 4)
    loss = kind(reduction)
    assert_gradients(lambda: loss(x, targets), x)
    if reduction != "none":
        per_sample = kind("none")(x, targets).numpy()
        assert loss(x, targets).item() == pytest.approx(getattr(np, reduction)(per_sample), rel=1e-12)


def test_losses_by_hand():
    assert CrossEntropy()([[0.0, 0.0, 0.0]], [1]).item() == pytest.approx(np.log(3))
    assert MSE()([1.0, 2.0], [0.0, 4.0]).item() == pytest.approx(2.5)
    assert BinaryCrossEntropy()([0.0], [1.0]).item() == pytest.approx(np.log(2))
    assert Hinge()([0.25, 3.0], [1.0, 1.0]).item() == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("loss", "targets", "sentence"),
    [
        (Hinge, [1, 0, 1], "Hinge: targets must be −1 or 1, not 0"),
        (Hinge, np.array([True, False, True]), "Hinge: targets must be −1 or 1, not 0"),
        (BinaryCrossEntropy, [0.0, 2.5, 1.0], "BinaryCrossEntropy: targets must be from 0 to 1, not 2.5"),
        (BinaryCrossEntropy, mg.tensor([-1.0, 1.0, 1.0]), "BinaryCrossEntropy: targets must be from 0 to 1, not -1"),
        (BinaryCrossEntropy, [0.0, np.nan, 1.0], "BinaryCrossEntropy: targets must be from 0 to 1, not nan"),
    ],
)
def test_targets_of_another_loss_are_refused(loss, targets, sentence):
    with pytest.raises(ValueError, match=sentence):
        loss()([0.5, -0.5, 2.0], targets)


@pytest.mark.parametrize("loss", [Hinge, BinaryCrossEntropy])
def test_targets_that_are_no_numbers_are_refused_in_a_sentence(loss):
    with pytest.raises(TypeError, match="tensors hold float32, float64, integers or booleans, not <U3"):
        loss()([0.5, -0.5], ["cat", "dog"])
    with pytest.raises(ValueError, match=r"predictions \(2,\) and targets \(\) must have one shape"):
        loss()([0.5, -0.5], None)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name):
    layer = LAYERS[name]().astype("float32")
    x = mg.tensor(np.random.default_rng(0).normal(size=(5, 4)).astype("float32"), requires_grad=True)
    y = layer(x)
    assert y.dtype == np.float32
    y.sum().backward()
    assert {t.grad.dtype for t in (x, *layer.parameters())} == {np.dtype("float32")}


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_seed_gives_the_same_bits(name):
    outputs = []
    for _ in range(2):
        mg.seed(3)
        outputs.append(LAYERS[name]()(example(5, 4)).numpy())
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("name", LAYERS)
def test_lists_and_arrays_are_inputs_too(name):
    mg.seed(0)
    layer, x = LAYERS[name](), example(5, 4).numpy()
    outputs = [layer(given) for given in (x, mg.tensor(x), x.tolist())]
    arrays = [y.numpy() if isinstance(y, mg.Tensor) else np.asarray(y) for y in outputs]
    np.testing.assert_array_equal(arrays[0], arrays[1])
    np.testing.assert_array_equal(arrays[0], arrays[2])


# Containers


def test_sequential_is_a_list_of_its_layers():
    model = Sequential(Dense(2, 3), ReLU(), Dense(3, 1))
    assert len(model) == 3
    assert list(model) == model.layers
    assert model[-1] is model.layers[2]
    assert isinstance(model[:2], Sequential)
    assert model[:2].layers == model.layers[:2]
    x = np.ones((4, 2))
    np.testing.assert_array_equal(model(x).numpy(), model[2](model[:2](x)).numpy())


def test_residual_adds_what_goes_around():
    x = np.random.default_rng(0).normal(size=(3, 4))
    dense, shortcut = Dense(4, 2), Dense(4, 2)
    np.testing.assert_array_equal(Residual(Sigmoid())(x), x + Sigmoid()(x))
    expected = np.maximum(shortcut(x).numpy() + dense(x).numpy(), 0)
    for after in ("relu", ReLU(), mg.relu):
        np.testing.assert_array_equal(Residual(dense, shortcut=shortcut, after=after)(x).numpy(), expected)


@pytest.mark.parametrize("outputs", [1, 3])
def test_residual_refuses_shapes_that_differ_even_if_they_would_broadcast(outputs):
    with pytest.raises(ValueError, match=rf"Residual: body\(x\) is \(5, {outputs}\), the shortcut \(5, 4\)"):
        Residual(Dense(4, outputs))(np.ones((5, 4)))


def test_dense_block_keeps_all_that_came_before():
    x = np.random.default_rng(0).normal(size=(3, 4))
    first, second = Dense(4, 2), Dense(6, 3)
    one = np.concatenate([x, first(x).numpy()], axis=1)
    np.testing.assert_array_equal(
        DenseBlock(first, second)(x).numpy(), np.concatenate([one, second(one).numpy()], axis=1)
    )


def test_flatten_keeps_the_batch_even_if_it_is_empty():
    assert Flatten()(np.zeros((2, 3, 4))).shape == (2, 12)
    assert Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)
    assert Flatten()(np.zeros(3)).shape == (3, 1)


# Normalisation


def test_batch_norm_in_training_uses_the_batch_and_follows_it():
    layer, running_mean, running_var = BatchNorm(3, momentum=0.25), np.zeros(3), np.ones(3)
    for seed in range(4):
        x = np.random.default_rng(seed).normal([1, -2, 5], [1, 3, 0.5], size=(7, 3))
        expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)  # biased
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-13)
        running_mean = 0.75 * running_mean + 0.25 * x.mean(0)
        running_var = 0.75 * running_var + 0.25 * x.var(0, ddof=1)  # unbiased
        np.testing.assert_allclose(layer.running_mean, running_mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var, running_var, rtol=1e-12)


def test_batch_norm_after_training_uses_the_running_statistics_and_leaves_them():
    layer = warmed(BatchNorm(4)).eval()
    mean, variance = layer.running_mean.copy(), layer.running_var.copy()
    x = np.random.default_rng(9).normal(size=(1, 4))  # one row is enough now
    np.testing.assert_allclose(layer(x).numpy(), (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-12)
    np.testing.assert_array_equal(layer.running_mean, mean)
    np.testing.assert_array_equal(layer.running_var, variance)


def test_batch_norm_refuses_one_row_in_training_and_keeps_its_statistics():
    layer = BatchNorm(2)
    with pytest.raises(ValueError, match="BatchNorm: one row has no variance"):
        layer(np.ones((1, 2)))
    np.testing.assert_array_equal(layer.running_mean, np.zeros(2))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (5, 4, 2)])
def test_batch_norm_refuses_what_is_not_batch_by_features(shape):
    for layer in (BatchNorm(2), BatchNorm(2).eval()):
        with pytest.raises(ValueError, match=r"BatchNorm: input must be \(batch, 2\), not \("):
            layer(np.ones(shape))


def test_layer_norm_normalises_each_sample():
    x = np.random.default_rng(0).normal(3, 5, size=(2, 3, 8))
    y = LayerNorm(8)(x).numpy()
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(-1), x.var(-1) / (x.var(-1) + 1e-5), rtol=1e-12)
    with pytest.raises(ValueError, match=r"LayerNorm: the last axis must be 8, input has shape \(2, 3\)"):
        LayerNorm(8)(np.ones((2, 3)))


# Dropout and Embedding


def test_dropout_keeps_the_mean_and_drops_a_share_p():
    y = Dropout(0.3, rng=0)(np.ones(100_000))
    assert set(np.unique(y)) == {0, 1 / 0.7}
    assert np.mean(y == 0) == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 100_000))  # 5 standard errors


def test_dropout_of_everything_leaves_zeros_and_a_gradient_of_zeros():
    """As PyTorch's: a search over p may end at 1."""
    layer, x = Dropout(1.0), mg.tensor([1.0, -2.0], requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.data.tolist() == x.grad.tolist() == [0.0, 0.0]
    assert layer.eval()(x) is x


def test_dropout_does_nothing_after_training():
    x = np.ones(5)
    assert Dropout(0.9).eval()(x) is x


def test_dropout_takes_its_numbers_from_rng_and_else_from_the_global_generator():
    x = np.ones(50)
    layer = Dropout(0.5, rng=4)
    first = layer(x)
    assert np.any(first != layer(x))
    np.testing.assert_array_equal(first, Dropout(0.5, rng=np.random.default_rng(4))(x))
    mg.seed(1)
    first = Dropout(0.5)(x)
    mg.seed(1)
    np.testing.assert_array_equal(first, Dropout(0.5)(x))


def test_embedding_looks_rows_up_and_adds_the_gradients_of_repeated_ones():
    layer = Embedding(5, 2)
    indices = np.array([[1, 1, 3]])
    y = layer(indices)
    np.testing.assert_array_equal(y.numpy(), layer.weight.data[indices])
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, [[0, 0], [2, 2], [0, 0], [1, 1], [0, 0]])
    for index in (0, 4):  # the first row and the last, each by itself
        np.testing.assert_array_equal(layer([index]).numpy(), layer.weight.data[[index]])


@pytest.mark.parametrize(
    ("indices", "kind", "message"),
    [
        ([0, 5], ValueError, "indices must lie in 0 to 4, not in 0 to 5"),
        ([-1], ValueError, "indices must lie in 0 to 4, not in -1 to -1"),
        ([0.0], TypeError, "indices must be integers, not float64"),
        ([True], TypeError, "indices must be integers, not bool"),
    ],
)
def test_embedding_refuses_other_indices(indices, kind, message):
    with pytest.raises(kind, match=message):
        Embedding(5, 2)(indices)


# What constructors refuse

REFUSED = [
    (lambda: Dense(0, 3), ValueError, "Dense: inputs must be at least 1, not 0"),
    (lambda: Dense(3, -1), ValueError, "Dense: outputs must be at least 1, not -1"),
    (lambda: Dense(3.0, 2), TypeError, r"Dense: inputs must be an integer, not 3\.0"),
    (lambda: Dense("3", 2), TypeError, "Dense: inputs must be an integer, not '3'"),
    (lambda: Dense(True, 2), TypeError, "Dense: inputs must be an integer, not True"),
    (lambda: Dense(3, 2, "rleu"), ValueError, r"Dense: activation='rleu' .* did you mean 'relu'\?"),
    (lambda: Dense(3, 2, "ReLU"), ValueError, r"did you mean 'relu'\?"),
    (lambda: Dense(3, 2, "xyz"), ValueError, "activation='xyz' is not one of sigmoid, tanh, relu, [^;]*$"),
    (lambda: Dense(3, 2, ReLU()), TypeError, r"Dense: activation must be one of .*, not ReLU\(\)"),
    (lambda: Dense(3, 2, init=7), ValueError, r"Dense: init gave an array of shape \(\)"),
    (lambda: BatchNorm(0), ValueError, "BatchNorm: features must be at least 1"),
    (lambda: BatchNorm(3, eps=-1e-5), ValueError, r"BatchNorm: eps must lie in \[0, inf\], not -1e-05"),
    (lambda: BatchNorm(3, eps=float("nan")), ValueError, "BatchNorm: eps must lie in"),
    (lambda: BatchNorm(3, momentum=1.5), ValueError, r"BatchNorm: momentum must lie in \[0, 1\], not 1\.5"),
    (lambda: BatchNorm(3, momentum=None), TypeError, "BatchNorm: momentum must be a number, not None"),
    (lambda: LayerNorm(2.5), TypeError, r"LayerNorm: features must be an integer, not 2\.5"),
    (lambda: LayerNorm((3, 4)), TypeError, "LayerNorm: features must be an integer"),
    (lambda: Dropout(1.1), ValueError, r"Dropout: p must lie in \[0, 1\], not 1\.1"),
    (lambda: Dropout(-0.1), ValueError, r"Dropout: p must lie in \[0, 1\], not -0\.1"),
    (lambda: Dropout("0.5"), TypeError, "Dropout: p must be a number, not '0.5'"),
    (lambda: Embedding(0, 4), ValueError, "Embedding: count must be at least 1"),
    (lambda: Embedding(4, None), TypeError, "Embedding: features must be an integer, not None"),
    (lambda: LeakyReLU("steep"), TypeError, "LeakyReLU: slope must be a number"),
    (lambda: ELU(-1), ValueError, "ELU: alpha must lie in"),
    (lambda: Softmax(0.5), TypeError, r"Softmax: axis must be an integer, not 0\.5"),
    (lambda: Sequential([Dense(2, 2)]), TypeError, r"Sequential: layers\[0\] must be a module, not list"),
    (lambda: Sequential(Dense(2, 2), ReLU), TypeError, r"layers\[1\] is the class ReLU; make one: ReLU\(…\)"),
    (lambda: Sequential(None), TypeError, r"Sequential: layers\[0\] must be a module, not NoneType"),
    (lambda: Residual("dense"), TypeError, r"Residual: body\[0\] must be a module, not str"),
    (lambda: Residual(ReLU(), after="rleu"), ValueError, r"Residual: after='rleu' .* did you mean 'relu'\?"),
    (lambda: Residual(ReLU(), shortcut=3), TypeError, r"Residual: shortcut\[0\] must be a module, not int"),
    (lambda: DenseBlock(3), TypeError, r"DenseBlock: stages\[0\] must be a module, not int"),
    (lambda: CrossEntropy("men"), ValueError, r"CrossEntropy: reduction='men' .* did you mean 'mean'\?"),
    (lambda: MSE(None), TypeError, "MSE: reduction must be one of mean, sum, none, not None"),
    (lambda: layers.RNN(3, 4, "tahn"), ValueError, r"activation='tahn' .* did you mean 'tanh'\?"),
    (lambda: layers.RNN(3, 4, layers=0), ValueError, "RNN: layers must be at least 1, not 0"),
    (lambda: layers.RNN(3, 0), ValueError, "hidden must be at least 1, not 0"),
    (lambda: layers.LSTM(3, 4, layers=1.5), TypeError, r"LSTM: layers must be an integer, not 1\.5"),
    (lambda: layers.LSTM(3, 4, forget_bias="1"), TypeError, "forget_bias must be a number, not '1'"),
    (lambda: layers.LSTM(3, 4, 2, True), TypeError, "forget_bias must be a number, not True"),
    (lambda: layers.GRU("x", 4), TypeError, "inputs must be an integer, not 'x'"),
    (lambda: layers.GRUCell(3, 2.0), TypeError, r"GRUCell: hidden must be an integer, not 2\.0"),
    (lambda: layers.Parameter([1, 2], dtype=int), TypeError, "dtype"),
    (lambda: layers.Parameter(np.array([1, 2])), TypeError, "only floating tensors can require gradients"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_a_wrong_argument_is_refused_by_name(case):
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        make()


def test_numpy_integers_are_sizes():
    assert Dense(np.int64(3), np.int32(2)).weight.shape == (3, 2)
