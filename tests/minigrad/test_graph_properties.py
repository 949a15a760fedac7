"""What holds for every graph: random programs, values used in several places, wide graphs and deep ones."""

import gc
import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg

DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**32 - 1)


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


# Random programs: values are used again, in several places, in several shapes

STEPS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (2 + np.tanh(b)),
    "power": lambda a, b: (1.5 + np.tanh(a)) ** np.tanh(b),
    "tanh": lambda a, b: np.tanh(a),
    "sin": lambda a, b: np.sin(a + b),
    "exp": lambda a, b: np.exp(np.tanh(a)),
    "self": lambda a, b: a * a + a,
    "mean": lambda a, b: a - np.mean(b),
    "row": lambda a, b: a + np.sum(b, axis=-1, keepdims=True),
    "matmul": lambda a, b: np.matmul(a, np.transpose(b)) @ (np.ones((2, 3)) / 3),
    "flip": lambda a, b: a * np.flip(b, axis=0),
    "index": lambda a, b: a[[1, 1]] + b[:1],
    "join": lambda a, b: np.concatenate([a[:1], b[1:]]),
    "stack": lambda a, b: np.sum(np.stack([a, b, a]), axis=0) / 3,
    "where": lambda a, b: np.where(np.array([[True, False, True]]), a, b),
    "broadcast": lambda a, b: np.broadcast_to(np.sum(a, axis=0), (2, 3)) / 3 + b,
    "reshape": lambda a, b: np.reshape(np.reshape(a, (3, 2)) * 2, (2, 3)) - b,
}
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=15
)


def run(program, leaves):
    values = list(leaves)
    for name, i, j in program:
        values.append(STEPS[name](values[i % len(values)], values[j % len(values)]))
    return sum(np.sum(np.tanh(value)) for value in values[-4:])


@given(program=PROGRAMS, seed=SEEDS)
@settings(max_examples=150)
def test_gradients_of_random_programs(program, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(2, 3)) / 2 for _ in range(3)]
    leaves = [leaf(x) for x in xs]
    loss = run(program, leaves)
    loss.backward()
    assert loss.item() == pytest.approx(run(program, xs), rel=1e-12)
    directions = [rng.normal(size=(2, 3)) for _ in xs]
    step = 1e-5
    ends = [run(program, [x + sign * step * v for x, v in zip(xs, directions, strict=True)]) for sign in (1, -1)]
    slope = sum(np.sum(x.grad * v) for x, v in zip(leaves, directions, strict=True) if x.grad is not None)
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


@given(program=PROGRAMS, seed=SEEDS)
def test_second_derivatives_of_random_programs(program, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(2, 3)) / 2 for _ in range(2)]
    directions = [rng.normal(size=(2, 3)) for _ in xs]

    def slopes(values):
        leaves = [leaf(x) for x in values]
        return leaves, mg.grad(run(program, leaves), leaves, create_graph=True)

    leaves, first = slopes(xs)
    along = sum(np.sum(g * v) for g, v in zip(first, directions, strict=True))
    second = mg.grad(along, leaves)
    step = 1e-5
    ends = [
        [g.data for g in slopes([x + sign * step * v for x, v in zip(xs, directions, strict=True)])[1]]
        for sign in (1, -1)
    ]
    for g, ahead, behind in zip(second, *ends, strict=True):  # H·v, since H is symmetric
        np.testing.assert_allclose(g.data, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-6)


@given(program=PROGRAMS, seed=SEEDS, dtypes=st.tuples(DTYPES, DTYPES))
def test_every_gradient_has_the_dtype_of_its_leaf(program, seed, dtypes):
    rng = np.random.default_rng(seed)
    leaves = [leaf(rng.normal(size=(2, 3)), dtype) for dtype in dtypes]
    loss = run(program, leaves)
    loss.backward()
    for x, g in zip(leaves, mg.grad(loss, leaves, create_graph=True), strict=True):
        assert g.dtype == x.dtype
        assert x.grad is None or x.grad.dtype == x.dtype


@given(program=PROGRAMS, seed=SEEDS, order=st.permutations(range(4)))
def test_losses_add_up_in_any_order(program, seed, order):
    xs = [leaf(np.random.default_rng(seed).normal(size=(2, 3))) for _ in range(2)]
    trunk = run(program, xs)
    losses = [trunk, trunk * trunk, np.sum(xs[0]), trunk + np.sum(xs[1] * xs[0])]
    for i in order:
        losses[i].backward()
    together = mg.grad(losses, xs)
    for x, g in zip(xs, together, strict=True):
        np.testing.assert_allclose(x.grad, g.data, rtol=1e-9, atol=1e-12)


# One value as several inputs, and gradients that share no memory

SLOTS = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (b * b + 1),
    lambda a, b: np.matmul(a, b),
    lambda a, b: np.where(np.eye(3, dtype=bool), a, b),
    lambda a, b: np.concatenate([a, b]),
    lambda a, b: np.stack([a, b]),
    lambda a, b: np.einsum("ij,kj->ik", a, b),
    lambda a, b: np.hypot(a, b),
    lambda a, b: mg.clip(a, b - 0.5, b + 0.5),
    lambda a, b: mg.mse(a, b),
    lambda a, b: mg.dense(a, b, None),
    lambda a, b: mg.cross_entropy(a, mg.softmax(b)),
]


@pytest.mark.parametrize("f", SLOTS)
def test_a_leaf_in_two_slots_gets_the_sum(f):
    x = np.random.default_rng(0).normal(size=(3, 3))
    a, b, both = leaf(x), leaf(x), leaf(x)
    y, doubled = f(a, b), f(both, both)
    upstream = np.random.default_rng(1).normal(size=y.shape)
    parts = mg.grad(y, [a, b], upstream)
    (total,) = mg.grad(doubled, both, upstream)
    np.testing.assert_allclose(total.data, parts[0].data + parts[1].data, rtol=1e-12, atol=1e-14)
    again = mg.grad(f(both, both), both, upstream, create_graph=True)[0]
    np.testing.assert_allclose(again.data, total.data, rtol=1e-12, atol=1e-14)


VIEWS = {
    "add": lambda x: x + 1,
    "identity sum": lambda x: x + x,
    "subtract": lambda x: x - 0.0,
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.T,
    "flip": lambda x: mg.flip(x),
    "broadcast": lambda x: mg.broadcast_to(x, (2, *x.shape)),
    "getitem": lambda x: x[:],
    "sum": lambda x: x.sum(axis=0, keepdims=True),
    "concatenate": lambda x: mg.concatenate([x, x]),
    "astype": lambda x: x.astype("float64"),
    "expand": lambda x: mg.expand_dims(x, 0),
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(VIEWS, VIEWS)), ids=str)
def test_leaf_gradients_are_owned_writable_and_apart(first, second):
    a, b = leaf(np.ones((2, 2))), leaf(np.ones((2, 2)))
    f = lambda x: VIEWS[second](VIEWS[first](x))  # noqa: E731 (one view after another)
    y = f(a) + f(b)
    upstream = np.random.default_rng(0).normal(size=y.shape)
    kept = upstream.copy()
    y.backward(upstream)
    np.testing.assert_array_equal(upstream, kept)
    np.testing.assert_array_equal(a.grad, b.grad)
    before = b.grad.copy()
    assert not np.shares_memory(a.grad, b.grad)
    assert not np.shares_memory(a.grad, upstream)
    assert not np.shares_memory(a.grad, a.data)
    a.grad *= 0  # as clipping would
    np.testing.assert_array_equal(b.grad, before)
    np.testing.assert_array_equal(upstream, kept)
    y.backward(upstream)
    np.testing.assert_array_equal(b.grad, 2 * before)
    np.testing.assert_array_equal(a.grad, before)


# Wide graphs, deep graphs, and what is left of them


def test_a_wide_graph(dtype):
    x = leaf(np.arange(4.0), dtype)
    parts = [x * float(k % 7) for k in range(5_000)]
    total = mg.sum(mg.stack(parts), axis=0)
    total.backward([1.0, 10.0, 100.0, 1000.0])
    expected = sum(k % 7 for k in range(5_000)) * np.array([1, 10, 100, 1000])
    np.testing.assert_allclose(x.grad, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_many_leaves():
    leaves = [leaf(float(k)) for k in range(5_000)]
    sum(x * x for x in leaves).backward()
    assert [x.grad.item() for x in leaves[::1000]] == [0, 2000, 4000, 6000, 8000]


DEEP = {  # a step, and by how many ops it makes the graph deeper
    "arithmetic": (lambda x: x * 1.0001 - 0.0001, 2),
    "activation": (lambda x: 1.5 * np.tanh(x) - 0.5 * x, 3),
    "view": (lambda x: x[::-1].reshape(2, 1).reshape(2), 3),
    "diamond": (lambda x: (x + x) / 2, 2),
    "join": (lambda x: mg.concatenate([x[1:], x[:1]]), 2),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_graphs_of_every_kind(kind):
    gc.collect()
    gc.disable()
    try:
        x = leaf([0.0, 0.0])
        y = x
        step, depth = DEEP[kind]
        for _ in range(0, 50_000, depth):
            y = step(y)
        last = weakref.ref(y)
        y.sum().backward()
        assert np.all(np.isfinite(x.grad))
        assert np.all(x.grad != 0)
        del y
        assert last() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


FREED = {
    "backward": lambda x: np.tanh(x @ x).sum().backward(),
    "retained": lambda x: (x * x).sum().backward(retain_grad=True),
    "second order": lambda x: mg.grad(mg.grad((x**3).sum(), x, create_graph=True)[0].sum(), x),
    "fused": lambda x: mg.dense(x, x, None, "tanh").sum().backward(),
    "fused, second order": lambda x: mg.grad(
        mg.grad(mg.cross_entropy(x, [0, 1]), x, create_graph=True)[0].sum(), x, create_graph=True
    ),
    "fused, backward through a gradient": lambda x: (
        mg.grad(mg.dense(x, x, None, "tanh").sum(), x, create_graph=True)[0].sum().backward(retain_grad=True)
    ),
    "reductions": lambda x: mg.prod(mg.max(x, axis=0) * mg.std(x, axis=1)).backward(),
    "indices": lambda x: (x[[0, 0]] + mg.sort(x, axis=0)[::-1]).sum().backward(),
    "einsum": lambda x: mg.einsum("ij,jk,ki->", x, x, x).backward(),
    "numpy": lambda x: np.sum(np.concatenate([np.sqrt(x), np.clip(x, 0, 1)])).backward(),
    "forward only": lambda x: mg.log_softmax(x),
}


@pytest.mark.parametrize("kind", FREED)
def test_nothing_is_left_for_the_collector(kind):
    FREED[kind](leaf([[0.5, 0.25], [0.125, 0.75]]))  # fills the caches
    gc.collect()
    gc.disable()
    try:
        x = leaf([[0.5, 0.25], [0.125, 0.75]])
        alive = weakref.ref(x), weakref.ref(x.data)
        FREED[kind](x)
        del x
        assert [reference() for reference in alive] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_op_that_fails_keeps_nothing_alive():
    x = leaf(np.ones((2, 3)))
    alive = weakref.ref(x)
    with pytest.raises(ValueError, match="add"):
        x + np.ones(4)
    del x
    gc.collect()
    assert alive() is None
