"""What holds for every op: random shapes, dtypes, axes and indices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg

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
