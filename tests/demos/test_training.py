"""The training loop of the lessons: the rates, penalties, angles and lost units that it records."""

import math

import numpy as np
import pytest

import optim
from demos import training
from demos.training import Way, between, fit, lost, train
from layers import Dense, Dropout, Sequential


def network(activation="relu", **options):
    return Sequential(Dense(64, 16, activation, rng=0, **options), Dense(16, 10, rng=1))


def test_a_plateau_lowers_the_rate_after_whole_epochs(images):
    """Nothing is learned at a rate of almost 0, so no epoch of 23 steps makes progress."""
    way = Way(optim.ReduceOnPlateau(1e-12, factor=0.5, patience=1, threshold=0.5, eps=0))
    rates = train(network(), images, way, 5 * 23, np.random.default_rng(0))["rate"]
    assert [rates[23 * epoch] / 1e-12 for epoch in range(5)] == [1, 1, 1, 0.5, 0.5]
    assert len(np.unique(rates)) == 2


def test_a_step_is_what_the_optimizer_and_the_penalty_make_of_it(images):
    """One step with λ so large that the data do not matter: w ← (1 − rate·λ)·w."""
    model = network()
    before = [layer.weight.data.copy() for layer in model]
    train(model, images, Way(optim.Constant(1e-9), l2=1e8), 1, np.random.default_rng(0))
    for layer, w in zip(model, before, strict=True):
        assert np.allclose(layer.weight.data, 0.9 * w, rtol=0, atol=1e-6)


def test_penalties_are_added_to_the_loss():
    w = Dense(2, 1, init=np.array([[3.0], [-4.0]])).weight
    loss = (w * 0).sum()
    assert Way(optim.Constant(1), l2=0.1).objective(loss, [w]).item() == pytest.approx(0.1 / 2 * 25)
    assert Way(optim.Constant(1), l1=0.1).objective(loss, [w]).item() == pytest.approx(0.1 * 7)
    assert Way(optim.Constant(1)).objective(loss, [w]) is loss


def test_the_same_seed_has_the_same_curves_and_dropout_is_off_in_the_end(images):
    def curves():
        model = Sequential(Dense(64, 16, "relu", rng=0), Dropout(0.5, rng=3), Dense(16, 10, rng=1))
        found = train(model, images, Way(optim.Constant(0.1)), 30, np.random.default_rng(0))
        model.eval()
        hits = model(images.x_held_out).numpy().argmax(axis=1) == images.y_held_out
        assert found["correct"] == hits.mean()
        return found

    first, second = curves(), curves()
    assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)


def test_a_gradient_that_is_not_finite_ends_training(images):
    found = train(network(init=lambda shape, rng: np.full(shape, 1e200)), images, Way(optim.Constant(1.0)), 9, 0)
    assert found["diverged"]
    assert found["correct"] == 0
    assert len(found["losses"]) == len(found["gradient"]) < 9
    assert math.isnan(found["dead"])
    model = network(init=lambda shape, rng: np.full(shape, 1e200))
    assert fit(model, optim.SGD(model.parameters(), lr=1), images, 1, np.random.default_rng(0)) == (math.inf, 0.0)


def test_the_angle_between_two_gradients():
    assert between(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == 90
    assert between(np.array([1.0, 1.0]), np.array([3.0, 3.0])) == pytest.approx(0, abs=1e-5)
    assert between(np.array([1.0, 0.0]), np.array([-1.0, 1.0])) == pytest.approx(135)


def test_the_first_angle_is_that_of_the_clipped_gradient(images):
    way = Way(optim.Constant(0.1), lambda params: optim.clip_by_value(params, 1e-3))
    model = network()
    found = train(model, images, way, 1, np.random.default_rng(0))
    kept = {id(p): p.grad for p in model.parameters()}
    assert all(np.abs(g).max() <= 1e-3 for g in kept.values())
    assert 5 < found["angle"] < 90


def test_no_step_loses_no_unit_and_a_long_one_many(images):
    assert lost(network(), images, 0.0) == 0
    assert lost(network(), images, 1e4) > 0.3
    assert lost(network("tanh"), images, 0.0) < 0.2
    assert lost(network("tanh"), images, 1e4) > 0.8


def test_all_ways_have_a_rate_and_a_clip():
    ways = training.ways(0.5, 10, 100)
    assert all(0 < way.rate(99) <= 0.5 for way in ways.values())
    assert ways["exponential"].rate(100) == pytest.approx(0.005)
    assert ways["clip + decay"].rate(50) == ways["exponential"].rate(50)
