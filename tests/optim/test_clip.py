"""Every way of clipping: its formula, the norm it returns, and whose arrays it leaves alone."""

import functools
import math

import numpy as np
import pytest

import minigrad as mg
from optim import (
    SGD,
    AutoClip,
    clip_adaptively,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    damp_gradient,
    normalise_gradient,
)

W, B = np.array([[3.0, 0.0, 1e-9], [4.0, 0.5, 0.0]]), np.array([1.0, 2.0, -2.0])
GW, GB = np.array([[0.6, 8.0, 1e-4], [0.8, 6.0, 0.0]]), np.array([3.0, -4.0, 0.0])
NORM = math.sqrt(1 + 100 + 1e-8 + 25)

CLIPS = {
    "value": functools.partial(clip_by_value, limit=1.0),
    "norm": functools.partial(clip_by_norm, limit=1.0),
    "global norm": functools.partial(clip_by_global_norm, limit=1.0),
    "adaptively": functools.partial(clip_adaptively, ratio=0.01),
    "normalise": functools.partial(normalise_gradient, norm=1.0),
    "damp": functools.partial(damp_gradient, limit=1.0),
    "auto": lambda params: AutoClip(params)(),
}
every_clip = pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS.keys())


def parameters(dtype=np.float64, gradients=(GW, GB)):
    params = [mg.tensor(x, dtype=dtype, requires_grad=True) for x in (W, B)]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    return params


@every_clip
@pytest.mark.parametrize("old", [100.0, math.nan])
def test_the_old_gradient_of_a_frozen_parameter_neither_counts_nor_changes(clip, old):
    params, frozen = parameters(), mg.tensor([1.0], requires_grad=True)
    frozen.grad = [old]
    frozen.requires_grad = False
    alone = parameters()
    assert clip([*params, frozen]) == clip(alone)
    np.testing.assert_array_equal(frozen.grad, [old])
    for p, q in zip(params, alone, strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)


def test_a_step_with_a_limit_and_clipping_before_it_agree_about_a_frozen_parameter():
    pairs = [(mg.tensor([3.0, 4.0], requires_grad=True), mg.tensor([1.0], requires_grad=True)) for _ in range(2)]
    for w, frozen in pairs:
        w.grad, frozen.grad = [3.0, 4.0], [100.0]
        frozen.requires_grad = False
    (w, _), (v, _) = pairs
    SGD(pairs[0], lr=1.0).step(clip=1.0)
    clip_by_global_norm(pairs[1], 1.0)
    SGD(pairs[1], lr=1.0).step()
    np.testing.assert_array_equal(w.data, v.data)
    np.testing.assert_allclose(w.data, [2.4, 3.2])


def gradients_after(clip):
    params = parameters()
    assert clip(params) == pytest.approx(NORM, rel=1e-14)
    return [p.grad for p in params]


def test_clip_by_value_limits_each_number():
    gw, gb = gradients_after(lambda params: clip_by_value(params, 3.5))
    np.testing.assert_array_equal(gw, [[0.6, 3.5, 1e-4], [0.8, 3.5, 0.0]])
    np.testing.assert_array_equal(gb, [3.0, -3.5, 0.0])


def test_clip_by_norm_shortens_each_gradient():
    gw, gb = gradients_after(lambda params: clip_by_norm(params, 8.0))
    np.testing.assert_allclose(gw, GW * 8 / math.sqrt(101 + 1e-8), rtol=1e-14)
    np.testing.assert_array_equal(gb, GB)  # 5 ≤ 8


@pytest.mark.parametrize("limit", [2.0, 11.0])
def test_by_global_norm(limit):
    gw, gb = gradients_after(lambda params: clip_by_global_norm(params, limit))
    np.testing.assert_allclose(gw, GW * limit / NORM, rtol=1e-14)
    np.testing.assert_allclose(gb, GB * limit / NORM, rtol=1e-14)


def test_clip_adaptively_limits_each_unit_by_its_weights():
    gw, gb = gradients_after(lambda params: clip_adaptively(params, ratio=0.1))
    np.testing.assert_allclose(gw[:, 0], GW[:, 0] * 0.5, rtol=1e-14)  # ‖g‖ = 1, ‖w‖ = 5
    np.testing.assert_allclose(gw[:, 1], GW[:, 1] * 0.1 * 0.5 / 10, rtol=1e-14)
    np.testing.assert_allclose(gw[:, 2], [1e-4, 0])  # ‖w‖ counts as eps = 0.001
    np.testing.assert_allclose(gb, GB * 0.1 * 3 / 5, rtol=1e-14)  # a vector is one unit


def test_adaptively_lets_weights_of_0_grow():
    w = mg.tensor(np.zeros(2), requires_grad=True)
    w.grad = [3.0, 4.0]
    clip_adaptively([w], ratio=0.1, eps=0.5)
    np.testing.assert_allclose(w.grad, [0.03, 0.04])


def test_adaptively_however_negative_a_gradient_is():
    w = mg.tensor([3.0, 4.0], requires_grad=True)
    w.grad = [-3e200, -4e200]
    clip_adaptively([w], ratio=0.1)
    np.testing.assert_allclose(w.grad, [-0.3, -0.4], rtol=1e-12)


@pytest.mark.parametrize("norm", [1.0, 100.0])
def test_normalise_gradient_gives_all_together_this_norm(norm):
    gw, gb = gradients_after(lambda params: normalise_gradient(params, norm))
    np.testing.assert_allclose(gw, GW * norm / NORM, rtol=1e-14)
    np.testing.assert_allclose(gb, GB * norm / NORM, rtol=1e-14)


def test_a_limit_may_be_an_array_of_one_number():
    gw, _ = gradients_after(lambda params: damp_gradient(params, np.array(2.0)))
    np.testing.assert_allclose(gw, GW / (1 + NORM / 2), rtol=1e-14)


def test_damp_gradient_divides_by_1_plus_its_norm_over_the_limit():
    gw, gb = gradients_after(lambda params: damp_gradient(params, 2.0))
    np.testing.assert_allclose(gw, GW / (1 + NORM / 2), rtol=1e-14)
    np.testing.assert_allclose(gb, GB / (1 + NORM / 2), rtol=1e-14)


def test_auto_clip_uses_a_percentile_of_the_norms_so_far():
    w = mg.tensor([0.0, 0.0], requires_grad=True)
    clip, norms = AutoClip([w], percentile=25), [5.0, 1.0, 0.0, 3.0, 8.0]
    seen = []
    for norm in norms:
        w.grad = np.array([0.6, 0.8]) * norm
        assert clip() == pytest.approx(norm)
        seen += [norm] if norm else []
        limit = np.percentile(seen, 25)
        np.testing.assert_allclose(w.grad, np.array([0.6, 0.8]) * min(norm, limit), rtol=1e-12)
    w.grad = [np.nan, 1.0]
    clip()
    assert clip.history == pytest.approx([5, 1, 3, 8])


@every_clip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_replaced_never_written_to(clip, dtype):
    params = parameters(dtype)
    held = [p.grad for p in params]
    copies = [g.copy() for g in held]
    for g in held:
        g.flags.writeable = False  # a write would raise
    weights = [p.data.copy() for p in params]
    clip(params)
    for p, g, copy, w in zip(params, held, copies, weights, strict=True):
        np.testing.assert_array_equal(g, copy)
        np.testing.assert_array_equal(p.data, w)
        assert p.grad.dtype == dtype
        if not np.array_equal(p.grad, copy):
            assert not np.shares_memory(p.grad, g)
            assert p.grad.flags.writeable


@every_clip
def test_gradients_that_are_not_finite_stay(clip):
    for bad in (np.nan, np.inf, -np.inf):
        params = parameters(gradients=(GW, [bad, 1e300, -4.0]))
        norm = clip(params)
        assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
        np.testing.assert_array_equal(params[0].grad, GW)
        np.testing.assert_array_equal(params[1].grad, [bad, 1e300, -4.0])


@every_clip
def test_no_gradients_and_gradients_of_0(clip):
    w, b, empty = (mg.tensor(x, requires_grad=True) for x in (W, B, np.zeros((0, 2))))
    empty.grad = np.zeros((0, 2))
    assert clip([w, b]) == 0
    assert w.grad is None
    b.grad = 0
    assert clip([w, b, empty]) == 0
    np.testing.assert_array_equal(b.grad, [0, 0, 0])


@every_clip
def test_huge_gradients_are_finite_ones(clip):
    params = parameters(gradients=(GW * 1e200, GB * 1e200))
    assert clip(params) == pytest.approx(NORM * 1e200, rel=1e-12)
    assert all(np.isfinite(p.grad).all() for p in params)
    if clip is not CLIPS["auto"]:
        assert abs(params[0].grad).max() < 10


def test_tiny_gradients_are_not_0():
    params = parameters(gradients=(GW * 1e-250, GB * 1e-250))
    assert normalise_gradient(params, NORM) == pytest.approx(NORM * 1e-250, rel=1e-12)
    np.testing.assert_allclose(params[1].grad, GB, rtol=1e-12)


def test_norms_are_summed_in_float64():
    w = mg.tensor(np.zeros(100_000), dtype=np.float32, requires_grad=True)
    w.grad = 1e-3
    expected = float(np.float32(1e-3)) * math.sqrt(100_000)
    assert clip_by_global_norm([w], math.inf) == pytest.approx(expected, rel=1e-13)
    w.grad = 1e30  # its square overflows float32
    assert clip_by_global_norm([w], 1.0) == pytest.approx(1e30 * math.sqrt(100_000), rel=1e-6)
    np.testing.assert_allclose(w.grad, 1 / math.sqrt(100_000), rtol=1e-6)


@pytest.mark.parametrize(
    "clip", [clip_by_value, clip_by_norm, clip_by_global_norm, clip_adaptively, normalise_gradient, damp_gradient]
)
@pytest.mark.parametrize(
    ("limit", "error", "message"),
    [(0, ValueError, "= 0 is out of range"), (-1.0, ValueError, "= -1.0 is out of range"),
     (math.nan, ValueError, "= nan is out of range"), ("1", TypeError, "is a number, not '1'")],
)  # fmt: skip
def test_wrong_limits(clip, limit, error, message):
    params = parameters()
    with pytest.raises(error, match=rf"{clip.__name__}: \w+ {message}"):
        clip(params, limit)
    np.testing.assert_array_equal(params[0].grad, GW)


def test_other_refusals():
    w = mg.tensor(W, requires_grad=True)
    with pytest.raises(TypeError, match="clip_by_norm: params is an iterable of tensors"):
        clip_by_norm(w, 1.0)
    with pytest.raises(ValueError, match="normalise_gradient: norm = inf is out of range"):
        normalise_gradient([w], math.inf)
    for percentile in (-1, 101, math.nan):
        with pytest.raises(ValueError, match="AutoClip: percentile"):
            AutoClip([w], percentile)


def test_an_infinite_limit_only_measures():
    params = parameters()
    held = [p.grad for p in params]
    assert clip_by_global_norm(params, math.inf) == pytest.approx(NORM)
    assert all(p.grad is g for p, g in zip(params, held, strict=True))
