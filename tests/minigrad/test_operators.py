"""Operators, comparisons and indexing: as in NumPy, with a Tensor on either side."""

import operator

import numpy as np
import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


# Operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
OTHERS = [
    2,
    2.5,
    True,
    [1.0, 2.0],
    np.array([1.0, 2.0]),
    np.float64(2),
    np.float32(2),
    np.array(2),
    mg.tensor([1.0, 2.0]),
]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_operators_with_operands_of_every_kind_on_either_side(op, other):
    t = leaf([3.0, 4.0])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(op(t, other), op(t.data, array)), (op(other, t), op(array, t.data))]:
        assert isinstance(found, mg.Tensor)
        assert found.requires_grad
        np.testing.assert_allclose(found.data, expected, rtol=1e-15)


@pytest.mark.parametrize("other", [np.eye(2), [[1.0, 2.0], [3.0, 4.0]], np.array([1.0, 2.0]), mg.tensor(np.eye(2))])
def test_matmul_on_either_side(other):
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(t @ other, t.data @ array), (other @ t, array @ t.data)]:
        assert isinstance(found, mg.Tensor)
        np.testing.assert_allclose(found.data, expected)


def test_unary_operators():
    t = leaf([-1.0, 2.0])
    assert (-t).data.tolist() == [1, -2]
    assert abs(t).data.tolist() == [1, 2]
    (abs(t) - -+t).sum().backward()
    assert t.grad.tolist() == [0, 2]


@pytest.mark.parametrize("op", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
@pytest.mark.parametrize("other", [2, 2.0, np.array([1.0, 2.0, 3.0]), mg.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]])
def test_comparisons_give_boolean_arrays(op, other):
    t = leaf([2.0, 2.0, 2.0])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(op(t, other), op(t.data, array)), (op(other, t), op(array, t.data))]:
        assert type(found) is np.ndarray
        assert found.dtype == bool
        assert found.tolist() == expected.tolist()


def test_comparisons_of_single_numbers_and_with_what_is_no_number():
    assert type(leaf(1.0) < 2) is np.ndarray
    assert operator.eq(leaf([1.0, 2.0]), None).tolist() == [False, False]
    assert (leaf([1.0, 2.0]) != "a").tolist() == [True, True]
    assert leaf(0.1) + 0.2 == pytest.approx(0.3)
    with pytest.raises(ValueError, match=r"\(2,\) \(3,\)"):
        operator.eq(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))


def test_numpys_numbers_and_tensors_have_a_dtype_and_pythons_numbers_have_none():
    t = mg.tensor([1.0, 2.0], dtype="float32")
    assert (2.0 * t).dtype == np.float32
    assert (np.float64(2) * t).dtype == np.float64
    assert (mg.tensor(2.0) * t).dtype == np.float64


@pytest.mark.parametrize("op", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow])
def test_augmented_assignment_rebinds(op):
    x = leaf([1.0, 2.0])
    y = op(x, 3.0)
    assert y is not x
    assert x.data.tolist() == [1, 2]
    array = np.array([1.0, 2.0])
    assert isinstance(array + x, mg.Tensor)
    y.sum().backward()
    assert x.grad is not None


def test_an_array_is_not_written_to_by_a_tensor():
    array = np.array([1.0, 2.0])
    before = array
    with pytest.raises(TypeError):
        array += leaf([1.0, 1.0])
    assert before.tolist() == [1, 2]


# Elements


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        (slice(None), 1),
        (..., None, 0),
        [0, 0, 1],
        np.array([1, 1]),
        np.array([True, False]),
        ([0, 1], [2, 2]),
        mg.tensor(np.array([1, 0])),
        (slice(None, None, -1), np.array([0, 0, 2])),
    ],
    ids=str,
)
def test_indexing_as_in_numpy(index):
    t = leaf(np.arange(6.0).reshape(2, 3))
    plain = index.data if isinstance(index, mg.Tensor) else index
    found = t[index]
    np.testing.assert_array_equal(found.data, t.data[plain])
    weights = np.arange(1.0, 1 + found.size).reshape(found.shape)
    (found * weights).sum().backward()
    expected = np.zeros((2, 3))
    np.add.at(expected, plain, weights)
    np.testing.assert_array_equal(t.grad, expected)


@pytest.mark.parametrize("index", [0, slice(1), np.array([True, False]), [0, 1], ...])
def test_elements_are_not_assigned(index):
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"elements of a Tensor cannot be assigned: mg\.where"):
        x[index] = 0.0
    with pytest.raises(TypeError, match=r"elements of a Tensor cannot be assigned"):
        x[index] += 1.0
    assert x.data.tolist() == [1, 2]


def test_an_index_outside_says_so():
    with pytest.raises(IndexError, match=r"getitem: .*out of bounds"):
        leaf([1.0, 2.0])[5]
