"""Products: NumPy's rules for matrices, batches and vectors, and Einstein's notation in all its forms."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg

rng = np.random.default_rng(4)


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((1, 3), (3, 1)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (1, 4, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2, 3), (3, 2)),
    ((3, 2, 3), (3,)),
]
DOT = [((), (3,)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 3), (5, 3, 4))]
DOT += [((2, 1, 3), (3,)), ((3,), (2, 3, 4)), ((2, 2, 3), (3, 2)), ((2, 2, 3), (4, 3, 2)), ((0,), (0,))]


@pytest.mark.parametrize("shapes", MATMUL, ids=str)
def test_matmul_agrees_with_numpy(agrees, shapes):
    a, b = (rng.normal(size=shape) for shape in shapes)
    agrees(mg.matmul, np.matmul, a, b)
    assert np.array_equal((leaf(a) @ b).data, a @ b)
    assert np.array_equal((a @ leaf(b)).data, a @ b)
    assert np.array_equal(np.matmul(leaf(a), b).data, a @ b)


@pytest.mark.parametrize("shapes", DOT, ids=str)
def test_dot_agrees_with_numpy(agrees, shapes):
    a, b = (rng.normal(size=shape) for shape in shapes)
    agrees(mg.dot, np.dot, a, b)
    assert np.allclose(leaf(a).dot(b).data, np.dot(a, b), rtol=1e-14)
    assert np.allclose(np.dot(a, leaf(b)).data, np.dot(a, b), rtol=1e-14)


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((), (3,)), ((2, 2), (3,)), ((0,), (2,)), ((1,), (1, 2, 1))], ids=str)
def test_outer_agrees_with_numpy(agrees, shapes):
    agrees(mg.outer, np.outer, *(rng.normal(size=shape) for shape in shapes))


TENSORDOT = [
    ((2, 3), (3, 4), 1),
    ((2, 3), (2, 3), 2),
    ((2, 3), (4,), 0),
    ((), (2,), 0),
    ((2, 3, 4), (3, 4), 2),
    ((2, 3, 4), (4, 3, 5), ([1, 2], [1, 0])),
    ((2, 3, 4), (4, 3, 5), ((-2, -1), (-2, -3))),
    ((2, 3), (5, 2), (0, 1)),
    ((2, 3), (5, 2), (0, -1)),
    ((2, 3), (4,), ([], [])),
    ((0, 3), (3, 2), 1),
    ((2, 0), (0, 2), 1),
]


@pytest.mark.parametrize(("a", "b", "axes"), TENSORDOT, ids=str)
def test_tensordot_agrees_with_numpy(agrees, a, b, axes):
    a, b = rng.normal(size=a), rng.normal(size=b)
    agrees(lambda a, b: mg.tensordot(a, b, axes), lambda a, b: np.tensordot(a, b, axes), a, b)
    assert np.allclose(np.tensordot(leaf(a), b, axes).data, np.tensordot(a, b, axes), rtol=1e-14)


EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ij->ij", (2, 3)),
    ("i->i", (0,)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ij", (2, 2, 3)),
    ("iii->i", (2, 2, 2)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("iji->j", (2, 3, 2)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("i,j->ji", (2,), (3,)),
    ("i,j->i", (2,), (3,)),
    ("ij,kl->", (2, 3), (2, 2)),
    (",i->i", (), (3,)),
    (",->", (), ()),
    ("ii,i->i", (3, 3), (3,)),
    ("ii,jj->ij", (2, 2), (3, 3)),
    ("ijk,ilm,njm,nlk->", (2, 3, 2), (2, 2, 3), (2, 3, 3), (2, 2, 2)),
    ("i,ij,j->", (2,), (2, 3), (3,)),
    ("ijk,lji,lli->lki", (3, 4, 4), (4, 4, 3), (4, 4, 3)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)),
    ("...jk,...lj->...lk", (3, 2, 2), (3, 2, 2)),
    ("...,...->...", (2, 3), (2, 3)),
    ("...,...", (2, 3), (3,)),
    ("i...->...i", (2, 3, 2)),
    ("i...,...", (2, 3), (3,)),
    ("...i->...", (2, 3)),
    ("i...i->...", (2, 3, 2)),
    ("...i,i->...i", (2, 3), (3,)),
    ("ij,j->i", (2, 1), (3,)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("i,i->i", (1,), (3,)),
    ("ij, jk -> ik", (2, 3), (3, 2)),
    ("Ab,bC->AC", (2, 3), (3, 2)),
    ("ij,ij->ij", (0, 3), (0, 3)),
]


@pytest.mark.parametrize("case", EINSUM, ids=lambda case: case[0])
def test_einsum_agrees_with_numpy(agrees, case):
    subscripts, *shapes = case
    xs = [rng.normal(size=shape) for shape in shapes]
    agrees(lambda *xs: mg.einsum(subscripts, *xs), lambda *xs: np.einsum(subscripts, *xs), *xs)
    through_numpy = np.einsum(subscripts, leaf(xs[0]), *xs[1:], out=None, dtype=None)
    assert np.allclose(through_numpy.data, np.einsum(subscripts, *xs), rtol=1e-12)


def test_einsum_with_one_operand_several_times(agrees):
    agrees(lambda x: mg.einsum("ij,jk,kl->il", x, x, x), lambda x: x @ x @ x, rng.normal(size=(2, 2)))


def test_einsum_by_lists_of_axes(agrees):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    agrees(lambda a, b: mg.einsum(a, [0, 1], b, [1, 2], [0, 2]), lambda a, b: a @ b, a, b)
    agrees(lambda a, b: mg.einsum(a, [0, 1], b, [1, 2]), lambda a, b: a @ b, a, b)
    agrees(lambda a: mg.einsum(a, [..., 1], [1, ...]), lambda a: a.T, a)
    assert np.array_equal(np.einsum(leaf(a), [0, 1], [1]).data, a.sum(axis=0))
    assert np.array_equal(np.einsum(leaf(a), [0, 26]).data, a)  # 26 is a letter, and comes after 0
    assert np.array_equal(np.einsum(leaf(a), [26, 0]).data, a.T)


def test_a_large_einsum_takes_matrix_products():
    xs = [mg.tensor(rng.normal(size=shape), requires_grad=True) for shape in [(3, 40, 30), (3, 50, 30)]]
    found, plain = (mg.einsum("bij,bkj->bik", *xs, optimize=optimize) for optimize in (None, False))
    assert [found.node.params["optimize"], plain.node.params["optimize"]] == [True, False]
    assert mg.einsum("ij,kj->ik", xs[0][0], xs[1][0]).node.params["optimize"] is False  # 60,000 products
    np.testing.assert_allclose(found.data, plain.data, atol=1e-12)
    g = rng.normal(size=found.shape)
    for by_found, by_plain in zip(*(mg.grad(y, xs, g) for y in (found, plain)), strict=True):
        np.testing.assert_allclose(by_found.data, by_plain.data, atol=1e-12)


@pytest.mark.parametrize("optimize", [True, "greedy", "optimal"])
def test_an_optimized_einsum_agrees_with_numpy(agrees, optimize):
    xs = [rng.normal(size=shape) for shape in ((2, 3), (3, 4), (4, 2))]
    agrees(
        lambda *xs: mg.einsum("ij,jk,kl->il", *xs, optimize=optimize),
        lambda *xs: np.einsum("ij,jk,kl->il", *xs),
        *xs,
    )


def test_products_with_lists_and_python_numbers(dtype):
    x = leaf(np.ones((2, 2)), dtype)
    assert (x @ np.eye(2, dtype=dtype)).dtype == dtype
    assert mg.dot(x, 2.0).dtype == dtype
    assert np.array_equal((x @ [1.0, 2.0]).data, [3, 3])
    assert np.array_equal(mg.matmul([[1.0, 2.0]], [3.0, 4.0]), [11])
    assert np.array_equal(mg.dot([[1.0, 2.0]], [3.0, 4.0]), [11])
    assert np.array_equal(mg.tensordot([[1.0, 2.0]], [3.0, 4.0], 1), [11])
    assert np.array_equal(mg.outer([1.0, 2.0], [3.0, 4.0]), [[3, 4], [6, 8]])


def test_the_gradient_of_a_matrix_is_not_copied_into_its_grad():
    x, w = np.ones((2, 400)), mg.tensor(np.ones((400, 400)), requires_grad=True)
    with mg.kernels.use("numpy"):  # to load a kernel takes memory, too
        y = (x @ w).sum()
        tracemalloc.start()
        y.backward()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1.1 * w.data.nbytes


def test_float32_times_float64_is_float64_with_gradients_of_each():
    a, b = leaf(np.ones((2, 3)), "float32"), leaf(np.ones((3, 2)), "float64")
    y = a @ b
    by_a, by_b = mg.grad(y.sum(), [a, b])
    assert [y.dtype, by_a.dtype, by_b.dtype] == ["float64", "float32", "float64"]


WRONG = [
    (
        lambda: mg.matmul(np.ones((32, 64)), np.ones((32, 10))),
        "matmul: (32, 64) @ (32, 10): inner sizes 64 and 32 differ",
    ),
    (lambda: leaf(np.ones(3)) @ np.ones((2, 3)), "matmul: (3,) @ (2, 3): inner sizes 3 and 2 differ"),
    (lambda: leaf(np.ones(3)) @ 2.0, "matmul: (3,) @ (): a single number has no axis to sum over, multiply with *"),
    (lambda: 2.0 @ leaf(np.ones(3)), "matmul: () @ (3,): a single number has no axis to sum over, multiply with *"),
    (
        lambda: mg.matmul(np.ones((2, 3, 4)), np.ones((5, 4, 3))),
        "matmul: shapes (2, 3, 4) and (5, 4, 3) do not broadcast",
    ),
    (lambda: mg.dot(np.ones((2, 3)), leaf(np.ones((2, 3)))), "dot: (2, 3) @ (2, 3): inner sizes 3 and 2 differ"),
    (
        lambda: mg.dot(np.ones((2, 2, 3)), leaf(np.ones((2, 3)))),
        "dot: shapes (2, 2, 3) and (2, 3): sizes along axes (2,) and (0,) differ",
    ),
    (
        lambda: mg.tensordot(np.ones((2, 3)), leaf(np.ones((2, 3))), 1),
        "tensordot: shapes (2, 3) and (2, 3): sizes along axes (1,) and (0,) differ",
    ),
    (
        lambda: mg.tensordot(np.ones((2, 3)), np.ones((2, 3)), ([0, 5], [0, 1])),
        "tensordot: shapes (2, 3) and (2, 3): axis 5 is out of bounds for array of dimension 2",
    ),
    (
        lambda: mg.einsum("ij,jk->ik", np.ones((2, 3)), leaf(np.ones((4, 5)))),
        "einsum: 'ij,jk->ik' of (2, 3), (4, 5): j has sizes [3, 4]",
    ),
    (lambda: mg.einsum("ij,jk->ik", np.ones((2, 3))), "einsum: 'ij,jk->ik' names 2 operands, 1 were given"),
    (lambda: np.einsum(leaf(np.ones((2, 3)))), 'einsum: there are no operands; call it as einsum("ij,j->i", a, b)'),
    (lambda: np.einsum(leaf(np.eye(2)), [0, -1]), "einsum: shape (2, 2): -1 is not in range"),
    (lambda: np.einsum(leaf(np.eye(2)), [0, 52]), "einsum: shape (2, 2): 52 is not in range"),
    (
        lambda: mg.einsum("ijk->i", leaf(np.ones((2, 3)))),
        "einsum: shape (2, 3): einstein sum subscripts string contains too many",
    ),
    (
        lambda: mg.einsum("i->i", leaf(np.ones((2, 3)))),
        "einsum: shape (2, 3): operand has more dimensions than subscripts",
    ),
    (
        lambda: mg.einsum("ij->k", leaf(np.ones((2, 3)))),
        "einsum: shape (2, 3): einstein sum subscripts string included output",
    ),
    (lambda: mg.matmul(np.ones((2, 2), np.float16), np.ones((2, 2))), "matmul: shapes (2, 2) and (2, 2): tensors hold"),
    (lambda: mg.outer(np.ones(2), np.ones(2, complex)), "outer: shape (2,): tensors hold"),
]


@pytest.mark.parametrize(("call", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_the_sentence_of_a_wrong_call(call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(sentence)
