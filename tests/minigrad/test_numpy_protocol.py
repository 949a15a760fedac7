"""NumPy's functions on Tensors: which op they run, what they return, and what they refuse by name."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_protocol import PLAIN_FUNCTIONS, PLAIN_UFUNCS

rng = np.random.default_rng(6)


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


X = rng.normal(size=(2, 3))

CALLS = [  # NumPy's arguments, by position and by name, in every spelling
    ("sum", lambda np, x: np.sum(x, 0)),
    ("sum", lambda np, x: np.sum(a=x, axis=1)),
    ("sum", lambda np, x: np.sum(x, 0, None, None, True)),
    ("mean", lambda np, x: np.mean(x, (0, 1), keepdims=True)),
    ("max", lambda np, x: np.amax(x, 1)),
    ("min", lambda np, x: np.amin(x, axis=0)),
    ("std", lambda np, x: np.std(x, 0, None, None, 1)),
    ("var", lambda np, x: np.var(x, axis=1, ddof=1, keepdims=True)),
    ("prod", lambda np, x: np.prod(x, -1)),
    ("cumsum", lambda np, x: np.cumsum(x, 1)),
    ("clip", lambda np, x: np.clip(x, -0.5, 0.5)),
    ("clip", lambda np, x: np.clip(x, a_min=-0.5, a_max=None)),
    ("clip", lambda np, x: np.clip(x, a_min=None, a_max=0.5)),
    ("transpose", lambda np, x: np.transpose(x, (1, 0))),
    ("transpose", lambda np, x: np.transpose(x, axes=[1, 0])),
    ("transpose", lambda np, x: np.permute_dims(x, (1, 0))),
    ("reshape", lambda np, x: np.reshape(x, (3, 2))),
    ("reshape", lambda np, x: np.reshape(x, -1, "C")),
    ("ravel", lambda np, x: np.ravel(x)),
    ("squeeze", lambda np, x: np.squeeze(x[:1], axis=0)),
    ("expand_dims", lambda np, x: np.expand_dims(x, axis=(0, 1))),
    ("swapaxes", lambda np, x: np.swapaxes(x, axis1=0, axis2=1)),
    ("moveaxis", lambda np, x: np.moveaxis(x, source=0, destination=-1)),
    ("broadcast_to", lambda np, x: np.broadcast_to(x, shape=(2, 2, 3))),
    ("flip", lambda np, x: np.flip(m=x, axis=0)),
    ("roll", lambda np, x: np.roll(x, shift=1, axis=1)),
    ("concatenate", lambda np, x: np.concatenate((x, x), 1)),
    ("concatenate", lambda np, x: np.concat([x, x], axis=None)),
    ("stack", lambda np, x: np.stack([x, x], axis=-1)),
    ("getitem", lambda np, x: np.split(x, 3, 1)[2]),
    ("getitem", lambda np, x: np.split(ary=x, indices_or_sections=[1], axis=0)[1]),
    ("getitem", lambda np, x: np.repeat(x, repeats=2, axis=0)),
    ("reshape", lambda np, x: np.tile(x, reps=(2, 1))),
    ("pad", lambda np, x: np.pad(x, pad_width=((1, 0), (0, 2)), mode="constant", constant_values=2)),
    ("getitem", lambda np, x: np.pad(x, 1, "edge")),
    ("triu", lambda np, x: np.triu(x, k=1)),
    ("tril", lambda np, x: np.tril(m=x)),
    ("getitem", lambda np, x: np.diag(v=x, k=1)),
    ("reshape", lambda np, x: np.diag(x[0])),
    ("sum", lambda np, x: np.trace(x, offset=1)),
    ("getitem", lambda np, x: np.sort(x, axis=None, kind="stable")),
    ("where", lambda np, x: np.where(x > 0, x, -1.5)),
    ("einsum", lambda np, x: np.einsum("ij->j", x)),
    ("einsum", lambda np, x: np.einsum("ij,ij->i", x, x, optimize=True)),
    ("reshape", lambda np, x: np.tensordot(x, x, axes=([0, 1], [0, 1]))),
    ("matmul", lambda np, x: np.dot(x, x.T)),
    ("multiply", lambda np, x: np.outer(a=x, b=x)),
    ("matmul", lambda np, x: np.matmul(x.T, x)),
    ("divide", lambda np, x: np.true_divide(x, 3)),
    ("power", lambda np, x: np.pow(x, 2)),
    ("abs", lambda np, x: np.absolute(x)),
]


@pytest.mark.parametrize(("op", "call"), CALLS)
def test_a_call_as_in_numpy_runs_the_op(agrees, op, call):
    y = call(np, leaf(X))
    assert y.node.op.name == op
    agrees(lambda x: call(np, x), lambda x: call(np, x), X)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy has them from 2.1 on")
def test_clip_by_its_newer_names():
    np.testing.assert_array_equal(np.clip(leaf([1.0, 2.0, 3.0]), min=1.5, max=2.5).data, [1.5, 2, 2.5])


def test_a_dtype_that_is_asked_for():
    x = leaf(X, "float32")
    for y in (
        np.sum(x, dtype=np.float64),
        np.mean(x, 0, np.float64),
        np.add(x, 1, dtype=np.float64),
        np.multiply(2.0, x, dtype=float),
    ):
        assert y.dtype == np.float64
        assert mg.grad(y.sum(), x)[0].dtype == np.float32
    assert np.sum(x, dtype=np.float64).item() == X.astype(np.float32).astype(float).sum()


@pytest.mark.parametrize("scalar", [np.float64(2), np.array(2.0)], ids=["scalar", "0-d array"])
def test_numpys_numbers_promote_as_arrays_do(scalar):
    x = leaf([1.0], "float32")
    for y in (scalar * x, x * scalar, np.multiply(x, scalar), scalar + x, x - scalar):
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.float64
        assert mg.grad(y, x)[0].dtype == np.float32
    assert (np.float32(2) * x).dtype == np.float32
    assert (np.int64(2) * x).dtype == np.float64  # as in NumPy


def test_arrays_on_the_left_give_tensors():
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    for y in (array + x, array - x, array * x, array / x, array**x, array @ x):
        assert isinstance(y, mg.Tensor)
        assert y.requires_grad
    before = array
    with pytest.raises(TypeError, match=r"np.add: out= is an array, which has no history"):
        array += x
    assert array is before


def test_lists_that_contain_tensors_dispatch():
    x = leaf(2.0)
    y = np.stack([x, x * 3])
    assert np.array_equal(mg.grad(y.sum(), x)[0].data, 4)
    assert isinstance(np.concatenate([[1.0], leaf([2.0])]), mg.Tensor)
    with pytest.raises(TypeError, match=r"mg\.stack"):
        np.array([x, x])


PLAIN_CALLS = {
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": lambda x: np.argmin(x),
    "argsort": lambda x: np.argsort(x, axis=0),
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "rint": np.rint,
    "trunc": np.trunc,
    "round": lambda x: np.round(x, 1),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "greater": lambda x: np.greater(x, 0),
    "logical_not": np.logical_not,
    "floor_divide": lambda x: np.floor_divide(x, 0.3),
    "all": np.all,
    "any": lambda x: np.any(x, axis=0),
    "count_nonzero": np.count_nonzero,
    "nonzero": np.nonzero,
    "where": lambda x: np.where(x),
    "searchsorted": lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
    "unique": np.unique,
    "histogram": lambda x: np.histogram(x, bins=3, weights=np.ones((2, 3))),
    "allclose": lambda x: np.allclose(x, x),
    "array_equal": lambda x: np.array_equal(x, X),
    "zeros_like": np.zeros_like,
    "full_like": lambda x: np.full_like(x, 7),
    "result_type": lambda x: np.result_type(x, np.float32),
    "isclose": lambda x: np.isclose(x, 0),
    "heaviside": lambda x: np.heaviside(x, 0.5),
}


@pytest.mark.parametrize("name", PLAIN_CALLS)
def test_what_has_no_derivative_gives_plain_arrays(name):
    found, expected = PLAIN_CALLS[name](leaf(X)), PLAIN_CALLS[name](X)
    assert type(found) is type(expected)
    for part, wanted in zip(*((r if isinstance(r, tuple) else (r,)) for r in (found, expected)), strict=True):
        assert not isinstance(part, mg.Tensor)
        np.testing.assert_array_equal(part, wanted)


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort", "all", "any", "nonzero", "round"])
def test_methods_without_derivative_give_numpys_arrays(name):
    found, expected = getattr(leaf(X), name)(), getattr(X, name)()
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)


def test_a_plain_method_takes_the_arguments_of_numpy():
    np.testing.assert_array_equal(leaf(X).argmax(axis=1, keepdims=True), X.argmax(axis=1, keepdims=True))


def test_every_name_of_a_plain_function_is_numpys():
    assert [name for name in (PLAIN_UFUNCS + " " + PLAIN_FUNCTIONS).split() if not hasattr(np, name)] == []


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: np.linalg.svd(x), "np.linalg.svd is not supported on Tensors"),
        (lambda x: np.fft.fft(x), "np.fft.fft is not supported on Tensors"),
        (lambda x: np.histogram([0, 1, 1], weights=x[0]), "np.histogram is not supported on Tensors"),
        (lambda x: np.histogram([0, 1, 1], 3, None, None, x[0]), "np.histogram is not supported on Tensors"),
        (lambda x: np.apply_along_axis(np.sum, 0, x), "np.apply_along_axis is not supported on Tensors"),
        (lambda x: np.add.reduce(x), "np.add.reduce is not supported on Tensors"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer is not supported on Tensors"),
        (lambda x: np.add.at(x, 0, 1), "np.add.at is not supported on Tensors"),
        (lambda x: np.bitwise_and(x, 1), "np.bitwise_and is not supported on Tensors"),
        (lambda x: np.sum(x, initial=2), "sum: it is called as sum(x, axis=None, keepdims=False), not with initial="),
        (
            lambda x: np.max(x, where=x.data > 0),
            "max: it is called as max(x, axis=None, keepdims=False), not with where=",
        ),
        (
            lambda x: np.sum(x, out=np.zeros(())),
            "sum: it is called as sum(x, axis=None, keepdims=False), not with out=",
        ),
        (
            lambda x: np.std(x, correction=1),
            "std: it is called as std(x, axis=None, keepdims=False, ddof=0), not with correction=",
        ),
        (
            lambda x: np.exp(x, out=np.zeros((2, 3))),
            "np.exp: out= is an array, which has no history",
        ),
        (lambda x: np.add(x, 1, where=x.data > 0), "add: it is called as add(a, b), not with where="),
        (lambda x: np.reshape(x, 6, order="F"), "reshape: it is called as reshape(x, shape), not with order="),
        (lambda x: np.ravel(x, "F"), "ravel: it is called as ravel(x), not with order="),
        (lambda x: np.ma.masked_less(X, 0) * x, "an array or parameter would lose a tensor's gradients"),
        (lambda x: np.stack([x, x], dtype=np.float32), "stack() got an unexpected keyword argument 'dtype'"),
        (
            lambda x: np.pad(x, 1, "reflect", reflect_type="odd"),
            "pad() got an unexpected keyword argument 'reflect_type'",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(call, sentence):
    with pytest.raises(TypeError) as caught:
        call(leaf(X))
    assert str(caught.value).startswith(sentence)


def test_functions_that_call_others_record_as_well():
    x = leaf([1.0, 2.0, 3.0])
    y = np.sqrt(np.mean(np.square(x - np.mean(x))))
    assert y.item() == pytest.approx(np.std(x.data))
    np.testing.assert_allclose(mg.grad(y, x)[0].data, mg.grad(np.std(x), x)[0].data)
    assert sum([x, x]).node.op.name == "add"
