"""A Tensor: making one, assigning its data and grad, and looking at it."""

import numpy as np
import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


# Making one


def test_data_is_copied():
    array = np.array([1.0, 2.0])
    t = mg.tensor(array)
    again = mg.tensor(t)
    array += 1
    again.data += 5
    assert t.data.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (3, "float64"),
        (3.5, "float64"),
        ([1, 2], "float64"),
        ([[1.0], [2.0]], "float64"),
        ([True, False], "bool"),
        (np.array([1, 2]), "int64"),
        (np.array([1, 2], "uint8"), "uint8"),
        (np.float32(3), "float32"),
        (np.array(3.0, "float32"), "float32"),
        (np.ones(2, bool), "bool"),
        (mg.tensor([1.0], dtype="float32"), "float32"),
    ],
)
def test_arrays_keep_their_dtype_and_numbers_get_the_default(data, dtype):
    assert mg.tensor(data).dtype == dtype


def test_the_default_dtype_can_be_set():
    mg.set_default_dtype("float32")
    assert mg.tensor([1, 2]).dtype == np.float32
    assert mg.tensor(np.ones(2)).dtype == np.float64
    assert mg.tensor(1.0, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("dtype", ["float16", "complex128", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="tensors hold float32, float64, integers or booleans"):
        mg.tensor(np.zeros(2, dtype))


@pytest.mark.parametrize("data", [np.array([1, 2]), np.array([True]), mg.tensor(np.array(1))])
def test_integers_and_booleans_cannot_require_gradients(data):
    with pytest.raises(TypeError, match="only floating tensors can require gradients"):
        leaf(data)


def test_integers_cannot_be_made_to_require_gradients_later():
    counts = mg.tensor(np.array([1, 2]))
    with pytest.raises(TypeError, match="only floating tensors can require gradients, not int64"):
        counts.requires_grad = True
    assert counts.requires_grad is False
    weights = mg.tensor([1.0, 2.0])
    weights.requires_grad = True
    (weights * counts * 2.5).sum().backward()
    assert weights.grad.tolist() == [2.5, 5]


def test_a_computed_tensor_cannot_be_cut_off_by_its_flag():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with pytest.raises(mg.GraphError, match=r"requires_grad: .* \.detach\(\)"):
        y.requires_grad = False
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_attributes():
    t = mg.tensor([[1.0, 2.0, 3.0]], name="t")
    assert (t.shape, t.ndim, t.size, t.dtype, t.name) == ((1, 3), 2, 3, np.float64, "t")
    assert t.T.shape == (3, 1)
    assert t.is_leaf
    assert t.grad is None
    assert not t.requires_grad
    assert not (leaf(1.0) * 2).is_leaf
    t.name = "u"
    assert "name='u'" in repr(t)


# Assigning data and grad


@pytest.mark.parametrize("what", ["data", "grad"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, [[0, 0], [0, 0]]),
        ([5, 6], [[5, 6], [5, 6]]),
        (np.array([[1], [2]], "int8"), [[1, 1], [2, 2]]),
        (mg.tensor([5.0, 6.0]), [[5, 6], [5, 6]]),
    ],
)
def test_what_is_assigned_is_broadcast_and_cast(what, value, expected):
    t = leaf(np.ones((2, 2), "float32"))
    setattr(t, what, value)
    found = getattr(t, what)
    assert found.tolist() == expected
    assert found.dtype == np.float32
    assert found.flags.writeable


@pytest.mark.parametrize("what", ["data", "grad"])
def test_another_shape_is_refused_with_both_shapes(what):
    t = leaf(np.ones((2, 3)))
    with pytest.raises(ValueError, match=rf"{what} of shape \(4,\) does not fit a tensor of shape \(2, 3\)"):
        setattr(t, what, np.ones(4))
    with pytest.raises(ValueError, match=r"\(5, 2, 3\) does not fit"):
        setattr(t, what, np.ones((5, 2, 3)))


def test_what_is_assigned_is_copied():
    t, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    t.data = t.grad = array
    array += 1
    assert t.data.tolist() == t.grad.tolist() == [3, 4]
    assert not np.shares_memory(t.data, t.grad)


def test_grad_can_be_forgotten():
    t = leaf(1.0)
    t.grad = 3
    t.grad = None
    assert t.grad is None
    t.grad = 3
    t.zero_grad()
    assert t.grad is None


@pytest.mark.parametrize("nothing", [None, [None, 1.0], "text"])
def test_what_is_no_number_is_no_data(nothing):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="tensors hold float32"):
        x.data = nothing
    np.testing.assert_array_equal(x.data, [1, 2])
    if nothing is not None:
        with pytest.raises(TypeError, match="tensors hold float32"):
            x.grad = nothing


# Looking at one


def test_repr_of_leaves():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.], shape=(2,))"
    assert repr(leaf(3.0, name="w", dtype="float32")) == (
        "tensor(3., shape=(), dtype=float32, name='w', requires_grad=True)"
    )
    mg.set_default_dtype("float32")
    assert "dtype" not in repr(mg.tensor([1.0]))


def test_repr_is_shortened():
    text = repr(mg.tensor(np.arange(1000.0)))
    assert "..." in text
    assert len(text) < 100
    assert "shape=(1000,)" in text


def test_repr_says_which_op_made_it_and_where_its_gradient_is():
    x = leaf(2.0)
    h = x * x
    assert "op=multiply" in repr(h)
    assert "grad: not kept (backward(retain_grad=True), or trace(loss)[h].grad)" in repr(h)
    h.name = "square"
    assert "trace(loss)[square].grad" in repr(h)
    h.backward(retain_grad=True)
    assert "not kept" not in repr(h)


def test_item_numpy_detach_astype():
    t = leaf([[2.5]])
    assert t.item() == 2.5
    assert isinstance(t.item(), float)
    assert t.numpy() is t.data
    assert not t.detach().requires_grad
    assert np.shares_memory(t.detach().data, t.data)
    assert t.astype("float32").dtype == np.float32
    with pytest.raises(ValueError, match="size"):
        mg.tensor([1.0, 2.0]).item()


def test_astype_carries_the_gradient_back_in_the_old_dtype():
    t = leaf([1.0, 2.0])
    (t.astype("float32") * 3).sum().backward()
    assert t.grad.tolist() == [3, 3]
    assert t.grad.dtype == np.float64


def test_len_iteration_float_bool():
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    rows = list(t)
    assert [row.data.tolist() for row in rows] == [[1, 2], [3, 4]]
    (rows[0] * rows[1]).sum().backward()
    assert t.grad.tolist() == [[3, 4], [1, 2]]
    assert float(mg.tensor([2.5])) == 2.5
    assert bool(mg.tensor(1.0)) is True
    assert bool(mg.tensor([[0.0]])) is False
    assert int(mg.tensor([2.5])) == 2
    assert 3.0 in mg.tensor([1.0, 3.0])
    assert 3.0 in t
    assert 5.0 not in t


def test_a_single_number_is_formatted_as_one():
    loss = leaf(1.23456) * 1.0
    assert f"{loss:.3f}" == f"{mg.tensor([1.23456]):.3f}" == "1.235"
    assert f"{loss}" == str(loss)
    with pytest.raises(TypeError, match="format"):
        f"{leaf([1.0, 2.0]):.3f}"


@pytest.mark.parametrize("call", [len, list])
def test_a_single_number_has_no_length(call):
    with pytest.raises(TypeError):
        call(mg.tensor(1.0))


@pytest.mark.parametrize("call", [bool, float, int])
def test_several_elements_are_not_one_number(call):
    with pytest.raises((ValueError, TypeError)):
        call(mg.tensor([1.0, 2.0]))


def test_an_array_of_a_tensor():
    assert np.asarray(mg.tensor([1.0, 2.0])).tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"\.numpy\(\), or mg\.stack"):
        np.asarray(leaf([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"mg\.stack"):
        np.array([leaf(1.0), leaf(2.0)])


def test_tensors_hash_by_identity():
    a, b = mg.tensor([1.0]), mg.tensor([1.0])
    assert len({a, b, a}) == 2
    assert {a: "a"}.get(b) is None


def test_every_public_member_has_a_docstring():
    members = {name: getattr(mg.Tensor, name) for name in dir(mg.Tensor) if not name.startswith("_")}
    assert [name for name, member in members.items() if callable(member) and not (member.__doc__ or "").strip()] == []


@pytest.mark.parametrize("name", ["cat", "zeros", "nn"])
def test_a_name_of_another_library_is_told_whose_names_are_used(name):
    with pytest.raises(
        AttributeError, match=rf"minigrad has no '{name}': ops have NumPy's names .* in `layers` and `optim`"
    ):
        getattr(mg, name)
