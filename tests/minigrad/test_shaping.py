"""Shapes: everything that NumPy's functions accept, and every gradient back where its number came from."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg

rng = np.random.default_rng(3)
T, F = True, False


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


CALLS = [  # name, shape of x, arguments
    ("reshape", (2, 3), ((3, 2),)),
    ("reshape", (2, 3), (-1,)),
    ("reshape", (2, 3), ((1, -1, 2, 1),)),
    ("reshape", (), ((1, 1),)),
    ("reshape", (1,), ((),)),
    ("reshape", (0, 3), ((3, 0, 2),)),
    ("ravel", (2, 3), ()),
    ("ravel", (), ()),
    ("transpose", (2, 3, 4), ()),
    ("transpose", (2, 3, 4), ((1, 2, 0),)),
    ("transpose", (2, 3, 4), ((-1, 0, -2),)),
    ("transpose", (), ()),
    ("swapaxes", (2, 3, 4), (0, -1)),
    ("swapaxes", (2, 3, 4), (1, 1)),
    ("moveaxis", (2, 3, 4), (0, -1)),
    ("moveaxis", (2, 3, 4), ((0, 1), (-1, 0))),
    ("expand_dims", (2, 3), (0,)),
    ("expand_dims", (2, 3), (-1,)),
    ("expand_dims", (2, 3), ((0, 2),)),
    ("expand_dims", (), (0,)),
    ("squeeze", (1, 2, 1), ()),
    ("squeeze", (1, 2, 1), (0,)),
    ("squeeze", (1, 2, 1), ((0, -1),)),
    ("broadcast_to", (3,), ((2, 3),)),
    ("broadcast_to", (2, 1), ((4, 2, 3),)),
    ("broadcast_to", (), ((2, 2),)),
    ("broadcast_to", (1, 3), ((0, 3),)),
    ("flip", (2, 3), ()),
    ("flip", (2, 3), (-1,)),
    ("flip", (2, 3, 2), ((0, 2),)),
    ("roll", (5,), (2,)),
    ("roll", (2, 3), (-4,)),
    ("roll", (2, 3), (1, 1)),
    ("roll", (2, 3), ((1, -1), (0, -1))),
    ("triu", (3, 4), ()),
    ("triu", (2, 3, 3), (1,)),
    ("triu", (3,), (-1,)),
    ("tril", (3, 4), ()),
    ("tril", (2, 3, 3), (-1,)),
    ("tril", (3,), (1,)),
    ("repeat", (2, 3), (2,)),
    ("repeat", (2, 3), (3, 0)),
    ("repeat", (2, 3), ([0, 1, 3], -1)),
    ("repeat", (), (4,)),
    ("repeat", (), (4, 0)),
    ("repeat", (), ([4], -1)),
    ("tile", (2, 3), (2,)),
    ("tile", (2, 3), ((2, 1),)),
    ("tile", (3,), ((2, 1, 3),)),
    ("tile", (2, 3), ((0, 2),)),
    ("tile", (), (3,)),
    ("pad", (2, 3), (1,)),
    ("pad", (2, 3), ((1, 2),)),
    ("pad", (2, 3), (((1, 0), (2, 3)),)),
    ("pad", (2, 3), (((1, 2),),)),
    ("pad", (0,), (2,)),
    ("pad", (), (1,)),
    *[("pad", (3, 4), (2, mode)) for mode in ("edge", "reflect", "symmetric", "wrap")],
    *[("pad", (2,), ((5, 7), mode)) for mode in ("edge", "reflect", "symmetric", "wrap")],
    ("diag", (3,), ()),
    ("diag", (3,), (1,)),
    ("diag", (3,), (-2,)),
    ("diag", (3, 4), ()),
    ("diag", (3, 4), (2,)),
    ("diag", (3, 4), (-1,)),
    ("diagonal", (3, 4), ()),
    ("diagonal", (2, 3, 4), (1, 1, 2)),
    ("diagonal", (2, 3, 4), (-1, -1, 0)),
    ("diagonal", (3, 4), (9,)),
    ("trace", (3, 4), ()),
    ("trace", (4, 3), (-1,)),
    ("trace", (2, 3, 3), (0, 1, 2)),
    ("sort", (5,), ()),
    ("sort", (2, 5), (0,)),
    ("sort", (2, 5), (-1,)),
    ("sort", (2, 5), (None,)),
    ("sort", (0,), ()),
]


def op_named(name):
    return getattr(mg.Tensor, name) if name == "trace" else getattr(mg, name)


@pytest.mark.parametrize(("name", "shape", "args"), CALLS, ids=str)
def test_a_call_agrees_with_numpy(agrees, name, shape, args):
    x = rng.normal(size=shape)
    agrees(lambda x: op_named(name)(x, *args), lambda x: getattr(np, name)(x, *args), x)
    assert np.array_equal(getattr(np, name)(leaf(x), *args).data, getattr(np, name)(x, *args))
    if hasattr(mg.Tensor, name):
        assert np.array_equal(getattr(leaf(x), name)(*args).data, getattr(np, name)(x, *args))


def test_flatten_as_a_method():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    (x.flatten() * [1.0, 10.0, 100.0, 1000.0]).sum().backward()
    assert x.grad.tolist() == [[1, 10], [100, 1000]]


def test_reshape_and_transpose_as_methods():
    x = leaf(rng.normal(size=(2, 3, 4)))
    assert x.reshape(4, 6).shape == x.reshape((4, 6)).shape == x.reshape([4, 6]).shape == (4, 6)
    assert x.reshape(-1).shape == (24,)
    assert x.transpose(1, 2, 0).shape == x.transpose((1, 2, 0)).shape == (3, 4, 2)
    assert x.transpose().shape == x.transpose(None).shape == x.T.shape == (4, 3, 2)


def test_views_share_memory_and_copies_do_not():
    x = leaf(rng.normal(size=(2, 3)))
    for view in (x.reshape(6), x.T, x[0], x[:, ::2], x.ravel(), mg.broadcast_to(x, (2, 2, 3)), mg.flip(x)):
        assert np.shares_memory(view.data, x.data)
    for copy in (x[[0, 1]], mg.repeat(x, 1), mg.sort(x), mg.pad(x, 0), mg.triu(x)):
        assert not np.shares_memory(copy.data, x.data)


def test_a_padded_border_has_the_value_it_was_given(agrees):
    x = rng.normal(size=(2, 3))
    for value in (1.5, (1, 2), ((1, 2), (3, 4))):
        agrees(
            lambda x, value=value: mg.pad(x, 1, constant_values=value),
            lambda x, value=value: np.pad(x, 1, constant_values=value),
            x,
        )
    agrees(lambda x: mg.pad(x, {-1: (1, 2)}), lambda x: np.pad(x, ((0, 0), (1, 2))), x)


def test_sorting_sends_the_gradient_back_to_where_each_number_was():
    x = leaf([3.0, 1.0, 2.0, 1.0])
    assert np.array_equal(mg.grad(mg.sort(x), x, [10.0, 20.0, 30.0, 40.0])[0].data, [40, 10, 30, 20])


# Indexing

INDICES = [
    0,
    -1,
    np.int64(1),
    slice(None),
    slice(1, None),
    slice(None, None, -2),
    slice(5, 9),
    Ellipsis,
    None,
    (),
    (0, 1),
    (0, slice(1, 3)),
    (slice(None), 1, slice(None, None, -1)),
    (..., 0),
    (0, ..., None, 1),
    (None, slice(None), None),
    [0, 2],
    [0, 0, -1],
    [],
    [[]],
    range(1, 3),
    ((0, 0, 1),),
    (slice(None), (1, 1)),
    ((0, 0), (2, 2)),
    (..., range(2)),
    np.array([2, 0, 2, 2]),
    np.array([[0, 1], [1, 1]]),
    np.array(1),
    ([0, 1, 0], [2, 1, 2]),
    ([0, 0], slice(None), [1, 1]),
    (slice(None), [0, 0, 1]),
    (0, [1, 1], slice(0, 2)),
    ([[0], [2]], [1, 1, 0]),
    (None, [0, 0], ..., 1),
    (np.array([1, 1]), np.newaxis, 0, [0, 1]),
    np.array([T, F, T]),
    [T, F, T],
    np.array([F, F, F]),
    (slice(None), np.array([T, F, T, T])),
    (np.array([T, F, T]), [0, 1]),
    (np.array([T, F, T]), 0, slice(None, None, 2)),
    np.arange(24).reshape(3, 4, 2) % 3 == 0,
    (np.arange(12).reshape(3, 4) % 5 < 2, 0),
    True,
    np.False_,
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_an_index_agrees_with_numpy(agrees, index):
    agrees(lambda x: mg.getitem(x, index), lambda x: x[index], rng.normal(size=(3, 4, 2)))
    x = rng.normal(size=(3, 4, 2))
    assert np.array_equal(leaf(x)[index].data, x[index])


def test_indexing_a_number():
    x = leaf(3.0)
    for index in ((), ..., None, True):
        assert mg.grad(x[index].sum(), x)[0].data == 1


def test_repeated_indices_add_up(dtype):
    x = leaf([1.0, 2.0, 3.0], dtype)
    (g,) = mg.grad(x[[0, 0, 2, 0]], x, np.array([1, 10, 100, 1000], dtype))
    assert np.array_equal(g.data, [1011, 0, 100])
    assert g.dtype == dtype


def test_picking_a_few_rows_of_a_large_table_needs_no_more_memory_than_its_gradient():
    table = leaf(np.zeros((20_000, 4, 8)), np.float32)
    y = table[np.array([[3, -1, 3]], np.int8)]
    tracemalloc.start()
    (g,) = mg.grad(y, table, np.ones(y.shape))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * 2 * table.data.nbytes  # the gradient, and the copy that is handed out
    rows = np.zeros(len(table.data))
    rows[[3, -1]] = 2, 1
    np.testing.assert_array_equal(g.data, np.broadcast_to(rows[:, None, None], table.shape))


def test_the_gradient_of_a_table_is_not_copied_into_its_grad():
    table = leaf(np.zeros((20_000, 32)), np.float32)
    y = table[np.array([3, -1, 3])].sum()
    tracemalloc.start()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * table.data.nbytes


def test_tensors_as_indices():
    x = leaf(np.arange(6.0).reshape(2, 3))
    rows, columns = mg.tensor([1, 0], dtype=int), mg.tensor([[0], [2]], dtype=int)
    assert np.array_equal(x[rows].data, x.data[[1, 0]])
    assert np.array_equal(x[rows, columns].data, x.data[[1, 0], [[0], [2]]])
    assert np.array_equal(x[x > 2].data, [3, 4, 5])


def test_an_index_that_is_changed_later_does_not_change_the_gradient():
    x, index = leaf([1.0, 2.0, 3.0]), np.array([0, 1])
    y = x[index]
    index[:] = 2
    assert np.array_equal(mg.grad(y.sum(), x)[0].data, [1, 1, 0])


def test_iteration_gives_rows_that_record():
    x = leaf(np.arange(6.0).reshape(3, 2))
    assert len(x) == 3
    assert np.array_equal(mg.grad(sum(k * row.sum() for k, row in enumerate(x)), x)[0].data, [[0, 0], [1, 1], [2, 2]])


# Several arrays


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_concatenate_agrees_with_numpy(agrees, axis):
    shapes = (
        [(2, 2), (2, 2), (2, 2)] if axis is None else [(2, 1), (2, 3), (2, 2)] if axis else [(1, 2), (0, 2), (3, 2)]
    )
    xs = [rng.normal(size=shape) for shape in shapes]
    agrees(lambda *xs: mg.concatenate(xs, axis), lambda *xs: np.concatenate(xs, axis), *xs)
    agrees(lambda x: mg.concatenate([x, x * x, x]), lambda x: np.concatenate([x, x * x, x]), xs[2])
    assert np.array_equal(np.concatenate([leaf(xs[0]), *xs[1:]], axis).data, np.concatenate(xs, axis))


def test_where_to_split_and_how_often_to_repeat_may_be_tensors():
    x, numbers = rng.normal(size=(4, 3)), np.array([1, 2])
    for y, expected in zip(np.split(leaf(x), mg.tensor(numbers)), np.split(x, numbers), strict=True):
        assert np.array_equal(y.data, expected)
    assert len(mg.split(leaf(x), mg.tensor(numbers[1]))) == 2
    assert np.array_equal(np.tile(leaf(x), mg.tensor(numbers)).data, np.tile(x, numbers))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack_agrees_with_numpy(agrees, axis):
    xs = [rng.normal(size=(2, 3)) for _ in range(3)]
    agrees(lambda *xs: mg.stack(xs, axis), lambda *xs: np.stack(xs, axis), *xs)
    assert np.array_equal(np.stack([xs[0], leaf(xs[1])], axis=axis).data, np.stack(xs[:2], axis=axis))


def test_stacked_numbers_and_lists():
    x = leaf(2.0)
    y = mg.stack([x, 3.0, x * x])
    assert np.array_equal(y.data, [2, 3, 4])
    assert mg.grad(y, x, [1.0, 10.0, 100.0])[0].item() == 401
    assert np.array_equal(mg.concatenate([[1.0], leaf([2.0])]).data, [1, 2])
    assert isinstance(mg.stack([[1.0], [2.0]]), np.ndarray)


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f.pad(x, 1),
        lambda f, x: f.pad(x, 1, mode="edge"),
        lambda f, x: f.repeat(x, 2, axis=1),
        lambda f, x: f.repeat(x, 2),
        lambda f, x: f.tile(x, 2),
        lambda f, x: f.diag(x),
        lambda f, x: f.diagonal(x),
        lambda f, x: f.sort(x, axis=0),
        lambda f, x: f.sort(x, axis=None),
        lambda f, x: f.split(x, 2),
    ],
)
def test_a_list_is_an_array(call):
    x = [[3.0, 1.0], [2.0, 4.0]]
    assert np.array_equal(call(mg, x), call(np, np.array(x)))


@pytest.mark.parametrize(
    ("sections", "axis"), [(2, 0), (3, 1), (3, -1), ([1, 3], 0), ([2, 2, 9], 1), ([3, 1], 0)], ids=str
)
def test_split_agrees_with_numpy(agrees, sections, axis):
    x = rng.normal(size=(4, 3))
    for k, part in enumerate(np.split(x, sections, axis)):
        assert np.array_equal(np.split(leaf(x), sections, axis)[k].data, part)
        agrees(
            lambda x, k=k: mg.split(x, sections, axis)[k],
            lambda x, k=k: np.split(x, sections, axis)[k],
            x,
        )


def test_many_arrays_are_concatenated_in_linear_time():
    xs = [leaf([float(i)]) for i in range(2000)]
    mg.concatenate(xs).backward(np.arange(2000.0))
    assert [x.grad.item() for x in xs[::500]] == [0, 500, 1000, 1500]


def test_rolling_by_an_unsigned_number():
    x, w = leaf(np.arange(3.0)), np.array([1.0, 10.0, 100.0])
    for shift in (np.uint8(1), np.array([1], np.uint64), True):
        (g,) = mg.grad((mg.roll(x, shift) * w).sum(), x)
        assert np.array_equal(g.data, [10, 100, 1])


def test_rolling_along_no_axis():
    x = leaf(np.arange(3.0))
    mg.roll(x, (), ()).backward([1.0, 10.0, 100.0])
    assert np.array_equal(x.grad, [1, 10, 100])


# What is refused

WRONG = [
    (lambda x: np.concatenate(x, x), "concatenate: shape"),  # older NumPy hands on both as inputs
    (lambda x: mg.concatenate(x, x), "concatenate: shapes (2, 3) and (2, 3): the arrays come as one"),
    (lambda x: mg.stack(x, np.ones(1)), "stack: shapes (2, 3) and (1,): the arrays come as one list, [a, b]"),
    (lambda x: mg.reshape(x, (4, 2)), "reshape: shape (2, 3): cannot reshape array of size 6 into shape (4,2)"),
    (lambda x: x.reshape(4, -1), "reshape: shape (2, 3): cannot reshape array of size 6 into shape"),
    (lambda x: mg.transpose(x, (0, 0)), "transpose: shape (2, 3): repeated axis in transpose"),
    (lambda x: mg.transpose(x, (0, 1, 2)), "transpose: shape (2, 3): axes don't match array"),
    (
        lambda x: mg.squeeze(x, 0),
        "squeeze: shape (2, 3): cannot select an axis to squeeze out which has size not equal to one",
    ),
    (lambda x: mg.broadcast_to(x, (3, 2)), "broadcast_to: shape (2, 3) does not broadcast to (3,2)"),
    (lambda x: x[2], "getitem: shape (2, 3): index 2 is out of bounds for axis 0 with size 2"),
    (
        lambda x: x[0, 0, 0],
        "getitem: shape (2, 3): too many indices for array: array is 2-dimensional, but 3 were indexed",
    ),
    (lambda x: x[[0, 5]], "getitem: shape (2, 3): index 5 is out of bounds for axis 0 with size 2"),
    (lambda x: mg.diag(mg.stack([x])), "diag: a vector or a matrix is needed, not shape (1, 2, 3)"),
    (
        lambda x: mg.pad(x, 1, mode="mirror"),
        "pad: mode 'mirror' is not one of constant, edge, reflect, symmetric, wrap",
    ),
    (lambda x: mg.pad(x, -1), "pad: shape (2, 3): index can't contain negative values"),
    (lambda x: mg.split(x, 4), "split: shape (2, 3): array split does not result in an equal division"),
    (lambda x: mg.stack([x, x.T]), "stack: shapes (2, 3) and (3, 2): all input arrays must have the same shape"),
    (lambda x: mg.concatenate([]), "concatenate: need at least one array to concatenate"),
    (
        lambda x: mg.concatenate([1.0, x[0, 0]]),
        "concatenate: shapes () and (): zero-dimensional arrays cannot be concatenated",
    ),
    (
        lambda x: mg.concatenate([x, x.T]),
        "concatenate: shapes (2, 3) and (3, 2): all the input array dimensions except for the concatenation axis must "
        "match exactly",
    ),
    (
        lambda x: np.take_along_axis(x, np.array([0, 1]), -1),
        "take_along_axis: x (2, 3) and indices (2,) must have as many axes",
    ),
    (lambda x: mg.reshape(x), "reshape: it is called as reshape(x, shape)"),
    (lambda x: mg.pad(x), "pad() missing 1 required positional argument: 'pad_width'"),
]


@pytest.mark.parametrize(("call", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_the_sentence_of_a_wrong_call(call, sentence):
    with pytest.raises((ValueError, TypeError, IndexError)) as caught:
        call(leaf(np.ones((2, 3))))
    assert str(caught.value).startswith(sentence)


AXIS_CALLS = {
    "swapaxes": lambda x: mg.swapaxes(x, 0, 2),
    "moveaxis": lambda x: mg.moveaxis(x, 2, 0),
    "expand_dims": lambda x: mg.expand_dims(x, 5),
    "flip": lambda x: mg.flip(x, 2),
    "roll": lambda x: mg.roll(x, 1, 2),
    "repeat": lambda x: mg.repeat(x, 2, 2),
    "sort": lambda x: mg.sort(x, 2),
    "split": lambda x: mg.split(x, 1, 2),
    "concatenate": lambda x: mg.concatenate([x, x], 2),
    "stack": lambda x: mg.stack([x, x], 5),
    "diagonal": lambda x: mg.diagonal(x, 0, 0, 2),
    "trace": lambda x: x.trace(0, 2, 0),
}


@pytest.mark.parametrize("name", AXIS_CALLS)
def test_an_axis_that_is_not_there(name):
    with pytest.raises(
        ValueError,
        match=rf"^{name}: shapes? \(2, 3\).*(axis|destination|source).* \d is out of bounds for array of dimension",
    ):
        AXIS_CALLS[name](leaf(np.ones((2, 3))))


def test_kinds_that_are_refused():
    for name in ("reshape", "ravel", "pad", "repeat", "diag", "sort"):
        with pytest.raises(TypeError, match="not complex128"):
            getattr(mg, name)(np.ones(3, complex), *((1,) if name in ("reshape", "pad", "repeat") else ()))
    with pytest.raises(IndexError, match=r"^getitem: shape \(3,\): "):
        leaf(np.ones(3))["a"]
