"""Penalties, and how they compare with weight_decay."""

import numpy as np
import pytest

import minigrad as mg
from optim import SGD, Adam, AdamW, l1_penalty, l2_penalty

W = np.array([[1.0, -2.0], [0.0, 3.0]])
B = np.array([0.5, -1.0])


def test_l2_is_half_the_strength_times_the_squares():
    w, b = mg.tensor(W, requires_grad=True), mg.tensor(B, requires_grad=True)
    penalty = l2_penalty((p for p in (w, b)), strength=0.3)
    penalty.backward()
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(0.15 * (14 + 1.25))
    np.testing.assert_allclose(w.grad, 0.3 * W)
    np.testing.assert_allclose(b.grad, 0.3 * B)


def test_l1_is_the_strength_times_the_magnitudes():
    w, b = mg.tensor(W, requires_grad=True), mg.tensor(B, requires_grad=True)
    penalty = l1_penalty([w, b], strength=0.3)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.3 * 7.5)
    np.testing.assert_allclose(w.grad, 0.3 * np.sign(W))  # 0 at 0
    np.testing.assert_allclose(b.grad, 0.3 * np.sign(B))


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_float32_stays_float32(penalty):
    w = mg.tensor(W, dtype=np.float32, requires_grad=True)
    assert penalty([w], np.float64(0.1)).dtype == np.float32


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_what_penalties_refuse(penalty):
    w = mg.tensor(W, requires_grad=True)
    with pytest.raises(ValueError, match=rf"{penalty.__name__}: strength = -1 is out of range"):
        penalty([w], -1)
    with pytest.raises(TypeError, match=rf"{penalty.__name__}: params is an iterable"):
        penalty(w, 0.1)
    with pytest.raises(ValueError, match=rf"{penalty.__name__}: there are no parameters"):
        penalty([], 0.1)


def trained(make, penalised, steps=20):
    """w after training in which its two elements get gradients of very different size."""
    w = mg.tensor([1.0, 1.0], requires_grad=True)
    optimizer, rng = make([w]), np.random.default_rng(0)
    for _ in range(steps):
        noise = rng.normal(size=2) * [100.0, 0.01]
        loss = (w * noise).sum()
        optimizer.zero_grad()
        (loss + l2_penalty([w], 0.5) if penalised else loss).backward()
        optimizer.step()
    return w.data


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_for_sgd_weight_decay_is_the_l2_penalty(settings):
    penalty = trained(lambda params: SGD(params, 0.01, **settings), penalised=True)
    decay = trained(lambda params: SGD(params, 0.01, weight_decay=0.5, **settings), penalised=False)
    np.testing.assert_allclose(decay, penalty, rtol=1e-12)


def test_for_adam_weight_decay_is_the_l2_penalty_too_and_adamw_differs():
    penalty = trained(lambda params: Adam(params, 0.01), penalised=True)
    decay = trained(lambda params: Adam(params, 0.01, weight_decay=0.5), penalised=False)
    decoupled = trained(lambda params: AdamW(params, 0.01, weight_decay=0.5), penalised=False)
    np.testing.assert_allclose(decay, penalty, rtol=1e-12)
    assert abs(decoupled - penalty).min() > 0.01


def shrunk(make):
    """The factors by which a step with gradient 0 shrinks two weights, after gradients of ±100 and ±0.01."""
    w = mg.tensor([1.0, 1.0], requires_grad=True)
    optimizer = make([w])
    for sign in [1, -1] * 50:  # they cancel in the running mean, but not in the running square
        w.grad = np.array([100.0, 0.01]) * sign
        optimizer.step()
    w.data, w.grad = 1.0, 0.0
    optimizer.step()
    return w.data


def test_sgd_and_adamw_shrink_all_weights_alike_and_adam_does_not():
    sgd = shrunk(lambda params: SGD(params, 0.01, weight_decay=0.5))
    np.testing.assert_allclose(sgd, 1 - 0.01 * 0.5, rtol=1e-12)

    without = shrunk(lambda params: AdamW(params, 0.01, weight_decay=0.0))
    adamw = shrunk(lambda params: AdamW(params, 0.01, weight_decay=0.5))
    np.testing.assert_allclose(without - adamw, 0.01 * 0.5, rtol=1e-12)

    without = shrunk(lambda params: Adam(params, 0.01, weight_decay=0.0))
    adam = without - shrunk(lambda params: Adam(params, 0.01, weight_decay=0.5))
    assert adam[1] > 50 * adam[0] > 0  # the weight with large gradients hardly shrinks
