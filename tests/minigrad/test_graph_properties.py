"""What holds for every op and every graph: random shapes, dtypes, axes, indices, programs."""

import gc
import itertools
import math
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")

DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**32 - 1)
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


def whole(rng, shape):
    """Small whole numbers: sums of products of them are exact in every dtype and order."""
    return rng.integers(-4, 5, shape).astype(float)


# Elementwise ops: broadcasting is the same as copying first and adding up afterwards

BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "logaddexp", "arctan2", "hypot"]


def added_up(g, shape):
    """The gradient of a broadcast array of this shape, added up entry by entry."""
    total = np.zeros(shape)
    for place in np.ndindex(g.shape):
        own = place[len(place) - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))] += g[place]
    return total


@given(
    name=st.sampled_from(BINARY),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0),
    dtypes=st.tuples(DTYPES, DTYPES),
    seed=SEEDS,
)
def test_broadcasting_is_copying(name, shapes, dtypes, seed):
    rng = np.random.default_rng(seed)
    xs = [rng.uniform(0.3, 2, shape).astype(dtype) for shape, dtype in zip(shapes.input_shapes, dtypes, strict=True)]
    upstream = rng.normal(size=shapes.result_shape)
    op = getattr(mg, name)
    short, long = [leaf(x) for x in xs], [leaf(np.broadcast_to(x, shapes.result_shape)) for x in xs]
    y, copied = op(*short), op(*long)
    assert y.shape == shapes.result_shape
    assert y.dtype == np.result_type(*dtypes)
    np.testing.assert_array_equal(y.data, copied.data)
    tolerance = TOLERANCE[min(dtypes)]
    for g, full, x in zip(mg.grad(y, short, upstream), mg.grad(copied, long, upstream), xs, strict=True):
        assert g.shape == x.shape
        assert g.dtype == x.dtype
        np.testing.assert_allclose(g.data, added_up(full.data, x.shape), **tolerance)


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), seed=SEEDS, dtype=DTYPES)
def test_where_broadcasts_three_ways(shapes, seed, dtype):
    rng = np.random.default_rng(seed)
    condition = rng.integers(0, 2, shapes.input_shapes[0]).astype(bool)
    a, b = (leaf(whole(rng, shape), dtype) for shape in shapes.input_shapes[1:])
    upstream = whole(rng, shapes.result_shape)
    y = mg.where(condition, a, b)
    by_a, by_b = mg.grad(y, [a, b], upstream)
    np.testing.assert_array_equal(y.data, np.where(condition, a.data, b.data))
    chosen = np.broadcast_to(condition, shapes.result_shape)
    np.testing.assert_array_equal(by_a.data, added_up(np.where(chosen, upstream, 0), a.shape))
    np.testing.assert_array_equal(by_b.data, added_up(np.where(chosen, 0, upstream), b.shape))


# Every op that there is

X, A = np.array([[0.4, 0.7], [0.3, 0.9]]), np.array([0.2, 0.6])
OF_ONE = """
    negative abs exp expm1 log log1p log2 log10 sqrt square reciprocal sin cos tan arcsin arccos arctan sinh cosh
    tanh arcsinh arctanh sigmoid relu leaky_relu elu softplus silu gelu softsign hard_tanh sum mean prod max min var std
    logsumexp norm cumsum transpose squeeze ravel flip diag triu tril sort softmax log_softmax"""
NOT_METHODS = """where concatenate stack getitem einsum cross_entropy mse binary_cross_entropy_with_logits hinge dropout
    dense batch_norm"""
CALLS = {
    **dict.fromkeys(OF_ONE.split(), (X,)),
    **dict.fromkeys([*BINARY, "matmul", "dot", "outer"], (X, A)),
    "arccosh": (X + 1,),
    "where": (X > 0.5, X, A),
    "clip": (X, 0.3, 0.5),
    "reshape": (X, (4,)),
    "swapaxes": (X, 0, 1),
    "moveaxis": (X, 0, 1),
    "expand_dims": (X, 0),
    "broadcast_to": (X, (3, 2, 2)),
    "concatenate": ([X, X],),
    "stack": ([X, X],),
    "split": (X, 2),
    "getitem": (X, 0),
    "pad": (X, 1),
    "roll": (X, 1),
    "repeat": (X, 2),
    "tile": (X, 2),
    "tensordot": (X, A, 1),
    "einsum": ("ij,j->i", X, A),
    "cross_entropy": (X, [0, 1]),
    "mse": (X, X + 1),
    "binary_cross_entropy_with_logits": (X, X),
    "hinge": (X, np.sign(X)),
    "dropout": (X, 0.5),
    "dense": (X, X, A, "tanh"),
    "batch_norm": (X, A, A),
}


def with_tensors(x):
    """The same argument with Tensors in place of its arrays of floats."""
    if isinstance(x, list) and isinstance(x[0], np.ndarray):
        return [leaf(part) for part in x]
    return leaf(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


@pytest.mark.parametrize("name", CALLS)
def test_arrays_give_arrays_and_tensors_tensors(name):
    op, args = getattr(mg, name), CALLS[name]
    mg.seed(0)
    plain = op(*args)
    mg.seed(0)
    recorded = op(*map(with_tensors, args))
    mg.seed(0)
    with mg.no_grad():
        unrecorded = op(*map(with_tensors, args))
    for y, t, u in zip(*(r if isinstance(r, list) else [r] for r in (plain, recorded, unrecorded)), strict=True):
        assert type(y) is np.ndarray
        assert isinstance(t, mg.Tensor)
        assert t.requires_grad
        assert isinstance(u, mg.Tensor)
        assert not u.requires_grad
        np.testing.assert_array_equal(t.data, y)
        np.testing.assert_array_equal(u.data, y)
    assert hasattr(mg.Tensor, name) != (name in NOT_METHODS.split())


# Reductions over any axes

REDUCTIONS = ["sum", "mean", "prod", "max", "min", "var", "std", "norm", "logsumexp"]


@st.composite
def shape_and_axes(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
    axes = draw(st.none() | st.sets(st.integers(0, len(shape) - 1)).map(sorted))
    if axes is not None:
        signs = draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))
        axes = tuple(a - len(shape) if negative else a for a, negative in zip(axes, signs, strict=True))
        axes = axes[0] if len(axes) == 1 and draw(st.booleans()) else axes
    return shape, axes


@given(name=st.sampled_from(REDUCTIONS), case=shape_and_axes(), keepdims=st.booleans(), dtype=DTYPES, seed=SEEDS)
def test_a_reduction_is_one_row_at_a_time(name, case, keepdims, dtype, seed):
    shape, axis = case
    rng = np.random.default_rng(seed)
    x = leaf(rng.permutation(math.prod(shape)).reshape(shape) / 7 + 0.1, dtype)
    op = getattr(mg, name)
    y = op(x, axis=axis, keepdims=keepdims)
    upstream = rng.normal(size=y.shape)
    (g,) = mg.grad(y, x, upstream)
    axes = range(len(shape)) if axis is None else np.atleast_1d(axis).astype(int) % len(shape)
    rest = [i for i in range(len(shape)) if i not in axes]
    assert y.shape == tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
    assert y.dtype == g.dtype == dtype
    upstream = upstream.reshape([shape[i] for i in rest])
    for place in np.ndindex(*(shape[i] for i in rest)):
        index = [slice(None)] * len(shape)
        for i, k in zip(rest, place, strict=True):
            index[i] = k
        row = leaf(x.data[tuple(index)].ravel())
        one = op(row)
        np.testing.assert_allclose(y.data.reshape(upstream.shape)[place], one.data, **TOLERANCE[dtype])
        by_row = mg.grad(one, row, upstream[place])[0].data
        np.testing.assert_allclose(g.data[tuple(index)].ravel(), by_row, **TOLERANCE[dtype])


# Linear ops: ⟨g, A·x⟩ = ⟨Aᵀ·g, x⟩, exactly in whole numbers


def adjoint(f, x, rng):
    y = f(x)
    upstream = whole(rng, y.shape)
    (g,) = mg.grad(y, x, upstream, create_graph=True)
    assert g.dtype == x.dtype
    assert np.sum(upstream * y.data) == np.sum(g.data * x.data)
    if g.requires_grad:
        zero = mg.grad(g, x, np.ones(x.shape))[0].data  # linear: no second derivative
        np.testing.assert_array_equal(zero, np.zeros(x.shape))


@given(case=shape_and_axes(), dtype=DTYPES, seed=SEEDS, data=st.data())
def test_moving_elements_is_linear(case, dtype, seed, data):
    shape, _ = case
    rng = np.random.default_rng(seed)
    n = len(shape)
    axis = data.draw(st.integers(-n, n - 1))
    other = data.draw(st.integers(-n, n - 1))
    order = rng.permutation(n) - n * rng.integers(0, 2)
    functions = [
        lambda x: mg.transpose(x, tuple(order.tolist())),
        lambda x: mg.swapaxes(x, axis, other),
        lambda x: mg.moveaxis(x, axis, other),
        lambda x: mg.reshape(x, (-1,)),
        lambda x: mg.expand_dims(x, axis),
        lambda x: mg.flip(x, axis),
        lambda x: mg.roll(x, other, axis),
        lambda x: mg.repeat(x, 2, axis),
        lambda x: mg.repeat(x, rng.integers(0, 3, x.shape[axis]).tolist(), axis),
        lambda x: mg.tile(x, tuple(rng.integers(1, 3, 3).tolist())),
        lambda x: mg.broadcast_to(x, (2, *x.shape)),
        lambda x: mg.pad(x, rng.integers(0, 3, (n, 2)).tolist()),
        lambda x: mg.pad(x, 2, mode="wrap"),
        lambda x: mg.pad(x, 2, mode="symmetric"),
        lambda x: mg.cumsum(x, axis),
        lambda x: mg.sum(x, axis),
        lambda x: mg.triu(x, other),
        lambda x: mg.tril(x, other),
        lambda x: mg.sort(x, axis),
        lambda x: mg.concatenate([x, x * 2, x], axis),
        lambda x: mg.stack([x, x * 3], axis),
        lambda x: mg.stack(mg.split(x, [1], axis)[:1]),
        lambda x: mg.where(rng.integers(0, 2, x.shape), x, 0),
    ]
    f = data.draw(st.sampled_from(functions))
    adjoint(f, leaf(whole(rng, shape), dtype), rng)


@given(shape=hnp.array_shapes(max_dims=3, max_side=4), dtype=DTYPES, seed=SEEDS, data=st.data())
def test_any_index_is_linear(shape, dtype, seed, data):
    rng = np.random.default_rng(seed)
    kinds = [
        hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
        hnp.integer_array_indices(shape),
        st.just(rng.integers(0, 2, shape).astype(bool)),
        st.integers(-shape[0], shape[0] - 1).map(lambda i: (i, ..., None)),
        st.lists(st.integers(-shape[0], shape[0] - 1), max_size=5),
    ]
    index = data.draw(st.sampled_from(kinds).flatmap(lambda kind: kind))
    x = leaf(whole(rng, shape), dtype)
    np.testing.assert_array_equal(x[index].data, x.data[index])
    adjoint(lambda x: x[index], x, rng)
    counted = np.zeros(shape)
    upstream = whole(rng, x.data[index].shape)
    np.add.at(counted, index, upstream)
    np.testing.assert_array_equal(mg.grad(x[index], x, upstream)[0].data, counted)


@given(
    shapes=hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, max_side=3),
    dtype=DTYPES,
    seed=SEEDS,
)
def test_matmul_is_linear_in_both(shapes, dtype, seed):
    rng = np.random.default_rng(seed)
    a, b = (leaf(whole(rng, shape), dtype) for shape in shapes.input_shapes)
    assert (a @ b).shape == shapes.result_shape
    np.testing.assert_array_equal((a @ b).data, a.data @ b.data)
    adjoint(lambda a: a @ b.data, a, rng)
    adjoint(lambda b: a.data @ b, b, rng)


@given(data=st.data(), seed=SEEDS)
def test_any_einsum_is_linear_in_each_operand(data, seed):
    rng = np.random.default_rng(seed)
    terms = data.draw(st.lists(st.text("ijk", max_size=3), min_size=1, max_size=3))
    letters = sorted(set("".join(terms)))
    output = "".join(data.draw(st.lists(st.sampled_from(letters), unique=True))) if letters else ""
    sizes = dict(zip("ijk", data.draw(st.tuples(*[st.integers(1, 3)] * 3)), strict=True))
    xs = [whole(rng, tuple(sizes[c] for c in term)) for term in terms]
    subscripts = ",".join(terms) + "->" + output
    np.testing.assert_array_equal(mg.einsum(subscripts, *map(leaf, xs)).data, np.einsum(subscripts, *xs))
    for i, x in enumerate(xs):
        adjoint(lambda x, i=i: mg.einsum(subscripts, *xs[:i], x, *xs[i + 1 :]), leaf(x), rng)


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
