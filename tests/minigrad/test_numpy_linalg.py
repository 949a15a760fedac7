"""Systems of linear equations: NumPy's numbers, both orders of derivative, one matrix or many."""

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("minigrad.numpy_linalg")

rng = np.random.default_rng(3)


def matrices(*shape):
    """Invertible matrices, with determinants of both signs."""
    return rng.normal(size=shape) + 3 * rng.choice([-1, 1], (*shape[:-1], 1)) * np.eye(shape[-1])


def R(*shape):
    return rng.normal(size=shape)


def positive_definite(*shape):
    a = rng.normal(size=shape)
    return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])


CASES = {
    "inv": (np.linalg.inv, matrices(3, 3)),
    "inv of many": (np.linalg.inv, matrices(2, 1, 3, 3)),
    "det": (np.linalg.det, matrices(3, 3)),
    "det of many": (np.linalg.det, matrices(4, 2, 2)),
    "log of |det|": (lambda a: np.linalg.slogdet(a)[1], matrices(3, 3)),
    "log of |det| of many": (lambda a: np.linalg.slogdet(a).logabsdet, matrices(2, 3, 3)),
    "solve a vector": (np.linalg.solve, matrices(3, 3), R(3)),
    "solve a matrix": (np.linalg.solve, matrices(3, 3), R(3, 2)),
    "solve many": (np.linalg.solve, matrices(2, 3, 3), R(2, 3, 4)),
    "solve one matrix for many": (np.linalg.solve, matrices(3, 3), R(2, 3, 1)),
    "solve many for one vector": (np.linalg.solve, matrices(2, 3, 3), R(3)),
    "cholesky": (np.linalg.cholesky, positive_definite(4, 4)),
    "cholesky of many": (np.linalg.cholesky, positive_definite(2, 3, 3)),
    "cholesky of a number": (np.linalg.cholesky, positive_definite(1, 1)),
    "solve none": (np.linalg.solve, matrices(3, 3), R(3, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_call_as_in_numpy(agrees, case):
    function, *xs = CASES[case]
    agrees(function, function, *xs)


def test_least_squares_by_the_normal_equations():
    x, y = R(20, 3), R(20)

    def weights(x):
        return np.linalg.solve(x.T @ x, x.T @ y)

    expected = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(weights(mg.tensor(x)).data, expected)
    assert mg.gradcheck(weights, x)


def test_the_likelihood_of_a_gaussian_process():
    x, y = R(6, 1), R(6)

    def covariance(scale):
        return np.exp(-((x - x.T) ** 2) / scale) + 0.1 * np.eye(6)

    def by_cholesky(scale):
        factor = np.linalg.cholesky(covariance(scale))
        return np.sum(np.linalg.solve(factor, y) ** 2) / 2 + np.sum(np.log(np.diag(factor)))

    def by_inverse(scale):
        return y @ np.linalg.solve(covariance(scale), y) / 2 + np.linalg.slogdet(covariance(scale))[1] / 2

    scale = mg.tensor(0.7, requires_grad=True)
    one, other = by_cholesky(scale), by_inverse(scale)
    np.testing.assert_allclose(one.data, other.data, rtol=1e-12)
    np.testing.assert_allclose(mg.grad(one, scale)[0].data, mg.grad(other, scale)[0].data, rtol=1e-10)
    assert mg.gradcheck(by_cholesky, scale, order=2)


def test_a_failed_decomposition_is_caught_as_numpys_own_error_is():
    indefinite = np.diag([1.0, -1.0])
    for matrix in (indefinite, mg.tensor(indefinite, requires_grad=True)):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            np.linalg.cholesky(matrix)


def test_the_sign_of_a_determinant_is_a_plain_array():
    a = matrices(4, 3, 3)
    found, expected = np.linalg.slogdet(mg.tensor(a, requires_grad=True)), np.linalg.slogdet(a)
    assert isinstance(found.sign, np.ndarray)
    np.testing.assert_array_equal(found.sign, expected.sign)
    assert set(expected.sign) == {-1, 1}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: np.linalg.inv(mg.tensor(np.ones((2, 2)))), r"inv: shape \(2, 2\): Singular matrix"),
        (lambda: np.linalg.det(mg.tensor(np.ones((2, 3)))), r"det: shape \(2, 3\): .* square"),
        (lambda: np.linalg.cholesky(mg.tensor(-np.eye(2))), r"cholesky: shape \(2, 2\): .* positive definite"),
        (lambda: np.linalg.solve(mg.tensor(np.eye(2)), np.ones(3)), r"solve: shapes \(2, 2\) and \(3, 1\): .*"),
    ],
)
def test_what_has_no_solution_is_said(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_determinant_of_zero_has_no_gradient():
    y = np.linalg.det(mg.tensor(np.ones((2, 2)), requires_grad=True))
    with pytest.raises(mg.GraphError, match=r"det: .* Singular matrix"):
        y.backward()
