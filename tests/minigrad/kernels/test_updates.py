"""Optimizers take the same steps with kernels as by their `change`, to the bit; norms are right at every scale."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays import length, sum_of_squares
from optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, clip_by_global_norm
from optim.one_pass import passes

pytest.importorskip("numba")

CASES = [
    (SGD, {}),
    (SGD, {"weight_decay": 0.3}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
    (Adagrad, {}),
    (RMSprop, {"decay": 0.5}),
    (RMSprop, {"decay": 0.0}),
    (Adam, {}),
    (Adam, {"betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.3}),
    (Adam, {"betas": (0.0, 0.0)}),
    (AdamW, {}),
    (AdamW, {"weight_decay": 0.0}),
]
every_case = pytest.mark.parametrize(("kind", "settings"), CASES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(), (0,), (1,), (7,), (13, 5), (33, 64), (2, 3, 5)]


def steps(kernels, kind, settings, dtype, listener=None, count=5, clip=math.inf, spoil=None):
    """Parameters and state after some steps with random gradients; every other one skips the first parameter."""
    rng = np.random.default_rng(3)
    params = [mg.tensor(rng.normal(size=shape), dtype=dtype, requires_grad=True) for shape in SHAPES]
    params[-3].data = rng.normal(size=(5, 13)).astype(dtype).T  # column by column in memory
    if spoil is not None:
        params[-2].data[3, 4] = spoil
    optimizer = kind(params, lr=0.05, **settings)
    if listener is not None:
        optimizer.listeners.append(listener)
    with mg.kernels.use(kernels), np.errstate(all="ignore"):
        for step in range(count):
            for p in params:
                p.grad = rng.normal(size=p.shape) * 10.0 ** rng.integers(-3, 3)
            params[-1].grad = np.zeros((2, 3, 5))
            params[0].grad = None if step % 2 else params[0].grad
            optimizer.step(clip)
    return [p.data for p in params], optimizer.state_dict()


def same_bits(first, second):
    (weights, state), (expected, expected_state) = first, second
    assert list(state) == list(expected_state)
    for x, y in [*zip(weights, expected, strict=True), *((state[key], expected_state[key]) for key in state)]:
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(np.signbit(x), np.signbit(y))


@every_dtype
@every_case
def test_the_same_bits_as_by_change(kind, settings, dtype):
    same_bits(steps("numba", kind, settings, dtype), steps("numpy", kind, settings, dtype))


@every_dtype
@every_case
@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_spoils_no_other(kind, settings, dtype, spoil):
    weights, state = steps("numba", kind, settings, dtype, spoil=spoil)
    same_bits((weights, state), steps("numpy", kind, settings, dtype, spoil=spoil))
    assert np.isfinite(weights[-2]).sum() == weights[-2].size - 1


@every_dtype
@every_case
def test_listeners_hear_the_same(kind, settings, dtype):
    heard = {"numba": [], "numpy": []}
    results = {
        kernels: steps(kernels, kind, settings, dtype, lambda p, g, change, to=to: to.append((g, change)))
        for kernels, to in heard.items()
    }
    same_bits(results["numba"], results["numpy"])
    assert len(heard["numba"]) == 5 * len(SHAPES) - 2
    for ours, theirs in zip(heard["numba"], heard["numpy"], strict=True):
        for x, y in zip(ours, theirs, strict=True):
            assert np.shape(x) == np.shape(y)
            np.testing.assert_array_equal(x, y)


@every_dtype
@every_case
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_listeners_change_nothing(kind, settings, dtype, kernels):
    heard = []
    listened = steps(kernels, kind, settings, dtype, lambda p, g, change: heard.append(np.linalg.norm(g)), clip=2.0)
    same_bits(listened, steps(kernels, kind, settings, dtype, clip=2.0))
    assert 0 < max(heard) < 2 + 1e-6  # they hear of gradients after clipping


@every_dtype
@every_case
def test_meters_hear_the_lengths_of_what_listeners_hear(kind, settings, dtype):
    lengths, arrays = [], []
    for scale in (1.0, 1e-180):  # squares of the second underflow in float64
        params = [mg.tensor(np.zeros(shape), dtype=dtype, requires_grad=True) for shape in SHAPES]
        optimizer = kind(params, lr=0.1, **settings)
        optimizer.meters.append(lambda p, weight, gradient, change: lengths.append((gradient, change)))
        for listen in (False, True):
            if listen:
                optimizer.listeners.append(lambda p, g, change: arrays.append((length(g), length(change))))
            for i, p in enumerate(params):
                p.grad = np.random.default_rng(i).normal(size=p.shape) * scale
            with mg.kernels.use("numba"):
                optimizer.step(clip=2.0)
    quiet, heard = len(SHAPES), len(arrays) // 2
    for got, expected in zip([*lengths[quiet : 2 * quiet], *lengths[3 * quiet :]], arrays, strict=True):
        assert got == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-12, abs=0)
    assert heard == quiet
    assert dtype == np.float32 or all(change > 0 for _, change in lengths[3 * quiet + 2 :])


@every_dtype
@every_case
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_clipping_on_the_way_is_clipping_before(kind, settings, dtype, kernels):
    def clip_before(optimizer, clip):
        clip_by_global_norm(optimizer.params, clip)
        Optimizer.step(optimizer)

    before = type(kind.__name__, (kind,), {"step": clip_before, "change": kind.change})
    assert before.change in passes
    same_bits(steps(kernels, kind, settings, dtype, clip=3.0), steps(kernels, before, settings, dtype, clip=3.0))


def test_clipping_on_the_way_leaves_the_gradient_alone():
    for kernels in ("numba", "numpy"):
        w = mg.tensor([1.0, 1.0], requires_grad=True)
        w.grad = [3.0, 4.0]
        w.grad.flags.writeable = False
        with mg.kernels.use(kernels):
            SGD([w], lr=1.0).step(clip=0.5)
            assert w.grad.tolist() == [3, 4]
            np.testing.assert_allclose(w.data, [0.7, 0.6], rtol=1e-15)
            for wrong in (0, -1.0, math.nan):
                with pytest.raises(ValueError, match=r"SGD\.step: clip = .* is out of range"):
                    SGD([w], lr=1.0).step(clip=wrong)


def test_a_change_of_ones_own_is_used():
    class Cautious(Adam):
        def change(self, w, g, state, lr, betas, eps, weight_decay):
            return 0.5 * super().change(w, g, state, lr, betas, eps, weight_decay)

    moved = []
    for kind in (Adam, Cautious):
        w = mg.tensor(np.zeros(600), requires_grad=True)
        w.grad = np.ones(600)
        with mg.kernels.use("numba"):
            kind([w], lr=0.1).step()
        moved.append(w.data)
    np.testing.assert_allclose(moved[1], moved[0] / 2)


def test_small_parameters_follow_the_large_ones(monkeypatch):
    served = []
    twin = passes[Adam.change]
    kernel = twin.kernel

    def noted(w, *rest, **settings):
        served.append(w.shape)
        return kernel(w, *rest, **settings)

    monkeypatch.setitem(twin.__dict__, "kernel", noted)
    large, small, together = [(30, 20), (20,)], [(5, 4), (4,)], [(8, 10), (10,), (10, 8)]
    for shapes, expected in ((large, large), (small, []), (together, together)):
        params = [mg.tensor(np.ones(shape), requires_grad=True) for shape in shapes]
        for p in params:
            p.grad = np.ones(p.shape)
        with mg.kernels.use("auto"):
            Adam(params, lr=0.1).step()
        assert served == expected
        served.clear()


def test_state_of_another_order_and_of_no_dimension_is_taken_over():
    for kernels in ("numba", "numpy"):
        params = [mg.tensor(np.ones((3, 2)), requires_grad=True), mg.tensor(2.0, requires_grad=True)]
        optimizer = SGD(params, lr=0.1, momentum=0.5)
        state = optimizer.state_dict()
        velocity = np.arange(6.0).reshape(2, 3).T
        optimizer.load_state_dict({**state, "0.velocity": velocity, "1.velocity": np.float64(4.0)})
        params[0].grad, params[1].grad = 1.0, 1.0
        with mg.kernels.use(kernels):
            optimizer.step()
        np.testing.assert_allclose(params[0].data, 1 - 0.1 * (0.5 * velocity + 1), rtol=1e-15)
        np.testing.assert_allclose(params[1].data, 1.7, rtol=1e-15)


@every_dtype
@pytest.mark.parametrize("size", [0, 1, 2, 31, 512, 4097])
def test_sum_of_squares(size, dtype):
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    with mg.kernels.use("numba"):
        for array in (x, x[::-1], x[::3], x.reshape(1, -1).T):
            expected = math.fsum(float(v) ** 2 for v in array.ravel())
            assert sum_of_squares(array) == pytest.approx(expected, rel=1e-14)
            assert sum_of_squares(array) == pytest.approx(sum_of_squares.line(array), rel=1e-14)
        x.flags.writeable = False
        assert sum_of_squares(x) == sum_of_squares(x.copy())
        for bad, expected in ((np.inf, math.inf), (-np.inf, math.inf), (np.nan, math.nan)):
            for i in {0, size // 2, size - 1} if size else ():
                spoilt = x.copy()
                spoilt[i] = bad
                np.testing.assert_equal(sum_of_squares(spoilt), expected)


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
@pytest.mark.parametrize("size", [3, 1000])
def test_lengths_at_every_scale(size, kernels):
    x = np.random.default_rng(0).normal(size=size)
    with mg.kernels.use(kernels):
        for dtype, scales in (("float32", [1e-40, 1e-30, 1.0, 1e37]), ("float64", [1e-300, 1e-200, 1.0, 1e200, 1e305])):
            for scale in scales:
                scaled = (x * scale).astype(dtype)
                expected = np.linalg.norm(scaled.astype(np.longdouble))
                assert length(scaled) == pytest.approx(float(expected), rel=1e-13)
        for bad in (np.nan, np.inf):
            np.testing.assert_equal(length(np.array([1.0, bad] * size)), bad)
            np.testing.assert_equal(length(np.array([1.0, bad] * size, np.float32)), bad)
        assert length(np.zeros(size)) == 0
        assert length(np.full(size, 2)) == pytest.approx(2 * size**0.5)
