"""Initial values: their statistics, and what layers accept."""

import functools
import math

import numpy as np
import pytest

import minigrad as mg
from layers import BatchNorm, Dense, Dropout, Embedding, ReLU, Residual, Sequential, init

SHAPE = (400, 300)

STD = {
    "normal": (init.normal, 1.0),
    "normal, std 0.02": (functools.partial(init.normal, std=0.02), 0.02),
    "uniform": (init.uniform, 1 / math.sqrt(12)),
    "fan_in_uniform": (init.fan_in_uniform, 1 / math.sqrt(3 * 400)),
    "xavier_uniform": (init.xavier_uniform, math.sqrt(2 / 700)),
    "xavier_normal": (init.xavier_normal, math.sqrt(2 / 700)),
    "xavier_normal, gain 2": (functools.partial(init.xavier_normal, gain=2), 2 * math.sqrt(2 / 700)),
    "he_uniform": (init.he_uniform, math.sqrt(2 / 400)),
    "he_normal": (init.he_normal, math.sqrt(2 / 400)),
    "he_normal, slope 1": (functools.partial(init.he_normal, slope=1), math.sqrt(1 / 400)),
    "lecun_normal": (init.lecun_normal, math.sqrt(1 / 400)),
}


@pytest.mark.parametrize("name", STD)
def test_standard_deviation_and_mean_are_those_of_the_paper(name):
    scheme, std = STD[name]
    draws = scheme(SHAPE, 0)
    mean = 0.5 if name == "uniform" else 0
    assert draws.shape == SHAPE
    # 120,000 draws: the mean is within 5 standard errors, std within 1% (its standard error is at most 0.2%)
    assert abs(draws.mean() - mean) < 5 * std / math.sqrt(draws.size)
    assert abs(draws.std() / std - 1) < 0.01


@pytest.mark.parametrize(
    ("scheme", "bound"),
    [
        (init.fan_in_uniform, 1 / 20),
        (init.xavier_uniform, math.sqrt(6 / 700)),
        (init.he_uniform, math.sqrt(6 / 400)),
        (init.uniform, 1),
    ],
)
def test_uniform_schemes_fill_their_interval_and_no_more(scheme, bound):
    largest = np.abs(scheme(SHAPE, 0)).max()
    assert 0.999 * bound < largest <= bound


def test_plain_values():
    np.testing.assert_array_equal(init.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.ones((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(init.constant((2, 3), value=4), np.full((2, 3), 4.0))
    assert init.constant((2, 3), value=4).dtype == float
    np.testing.assert_array_equal(init.identity((2, 3), gain=3), [[3, 0, 0], [0, 3, 0]])
    assert init.uniform((1000,), 0, low=2, high=3).min() >= 2


@pytest.mark.parametrize("shape", [(50, 50), (80, 20), (20, 80), (4, 5, 10)])
def test_orthogonal_has_singular_values_of_gain(shape):
    w = init.orthogonal(shape, 0, gain=1.5)
    assert w.shape == shape
    np.testing.assert_allclose(np.linalg.svd(w.reshape(-1, shape[-1]), compute_uv=False), 1.5, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (3, 5)])
def test_orthogonal_is_the_factor_beside_a_positive_diagonal(shape):
    """The Q of normal numbers whose R has a positive diagonal is uniform among orthogonal matrices (Mezzadri, 2007)."""
    for seed in range(20):
        q = init.orthogonal(shape, seed)
        q = q if shape[0] >= shape[1] else q.T
        numbers = np.random.default_rng(seed).normal(size=q.shape)
        assert np.all(np.diag(q.T @ numbers) > 0)


def test_orthogonal_is_as_likely_to_turn_one_way_as_the_other():
    signs = [np.sign(np.linalg.det(init.orthogonal((3, 3), seed))) for seed in range(400)]
    corner = [init.orthogonal((3, 3), seed)[0, 0] for seed in range(400)]
    assert abs(np.mean(signs)) < 5 / 20  # 5 standard errors; without the signs of R all have one sign
    assert abs(np.mean(corner)) < 5 / math.sqrt(3 * 400)


def test_the_same_seed_gives_the_same_numbers_and_none_means_the_global_generator():
    for scheme in (init.normal, init.xavier_uniform, init.orthogonal):
        np.testing.assert_array_equal(scheme((4, 5), 3), scheme((4, 5), 3))
        assert np.any(scheme((4, 5), 3) != scheme((4, 5), 4))
        mg.seed(1)
        first = scheme((4, 5))
        assert np.any(first != scheme((4, 5)))
        mg.seed(1)
        np.testing.assert_array_equal(first, scheme((4, 5)))


@pytest.mark.parametrize("name", ["xavier_uniform", "he_normal", "lecun_normal", "fan_in_uniform", "orthogonal"])
def test_schemes_that_count_inputs_refuse_a_vector(name):
    with pytest.raises(ValueError, match=r"shape \(5,\) has no fan_in"):
        init.schemes[name]((5,))


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "lecun_normal"])
def test_all_axes_but_the_last_are_inputs(name):
    scheme = init.schemes[name]
    np.testing.assert_array_equal(scheme((2, 3, 4), 0), scheme((6, 4), 0).reshape(2, 3, 4))


def test_identity_refuses_anything_but_a_matrix():
    with pytest.raises(ValueError, match=r"identity: a matrix is needed, not shape \(5,\)"):
        init.identity((5,))


def test_layers_take_a_function_its_name_or_an_array():
    numbers = np.arange(6).reshape(2, 3)
    for given in (numbers, lambda shape, rng: numbers, numbers.tolist()):
        layer = Dense(2, 3, init=given)
        np.testing.assert_array_equal(layer.weight.data, numbers)
        assert layer.weight.dtype == np.float64
    np.testing.assert_array_equal(Dense(2, 3, init="he_normal", rng=5).weight.data, init.he_normal((2, 3), 5))
    np.testing.assert_array_equal(Dense(2, 3, init=init.he_normal, rng=5).weight.data, init.he_normal((2, 3), 5))
    layer = Dense(2, 3, init=numbers)
    layer.weight.data -= 1
    np.testing.assert_array_equal(numbers, np.arange(6).reshape(2, 3))


def test_an_init_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"Dense: init gave an array of shape \(3, 2\), the weight has shape \(2, 3\)"):
        Dense(2, 3, init=np.zeros((3, 2)))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"Dense: init='xavier_unifrom' .* did you mean 'xavier_uniform'\?"):
        Dense(2, 3, init="xavier_unifrom")


# Layer-sequential unit variance


def test_lsuv_gives_every_dense_layer_unit_variance_before_its_activation():
    model = Sequential(
        Dense(20, 64, "relu"), Dense(64, 64, "tanh"), Residual(Dense(64, 64), ReLU()), Dense(64, 10, bias=False)
    )
    x = np.random.default_rng(0).normal(3, 5, (256, 20))
    init.lsuv(model, x, rng=0)
    h = x
    for layer in (model[0], model[1]):
        np.testing.assert_allclose(np.var(h @ layer.weight.data), 1, rtol=1e-12)
        h = layer(h).numpy()
    np.testing.assert_allclose(np.var(model[2].body[0](h).numpy()), 1, rtol=1e-12)
    np.testing.assert_allclose(np.var(model(x).numpy()), 1, rtol=1e-12)
    for layer in (model[0], model[1], model[3]):
        singular = np.linalg.svd(layer.weight.data, compute_uv=False)
        np.testing.assert_allclose(singular, singular[0], rtol=1e-12)  # orthogonal, but for the scale
    alike = np.corrcoef(model[1].weight.data.ravel(), model[2].body[0].weight.data.ravel())[0, 1]
    assert abs(alike) < 0.1  # one seed, but layers of one shape get different weights


def test_lsuv_leaves_other_layers_and_gradients_alone():
    model = Sequential(Embedding(10, 8), Dense(8, 4), Dropout(0.0))
    table = model[0].weight.data.copy()
    init.lsuv(model, np.arange(10), rng=0)
    np.testing.assert_array_equal(model[0].weight.data, table)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert np.var(model(np.arange(10)).numpy()) == pytest.approx(1, rel=1e-12)


def test_lsuv_refuses_a_layer_that_nothing_reaches():
    model = Sequential(Dense(3, 4, "relu"), ReLU(), Dense(4, 2))
    with pytest.raises(ValueError, match=r"lsuv: x·W of layers\.0 has no variance"):
        init.lsuv(model, np.zeros((5, 3)))


def test_lsuv_before_batch_norm():
    model = Sequential(Dense(3, 4), BatchNorm(4), Dense(4, 2))
    init.lsuv(model, np.random.default_rng(0).normal(size=(50, 3)), rng=0)
    assert np.isfinite(model[2].weight.data).all()


@pytest.mark.parametrize("name", init.schemes)
def test_a_layer_can_start_by_every_name_that_is_offered(name):
    assert Dense(3, 4, init=name).weight.shape == (3, 4)


def test_a_constant_without_its_value_is_not_offered():
    with pytest.raises(ValueError, match=r"Dense: init='constant' is not one of zeros, ones"):
        Dense(3, 4, init="constant")
