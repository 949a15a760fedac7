"""Is a gradient right? `gradcheck(f, x, …)` compares it with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.functional import pulled, recorded
from minigrad.op import Elementwise, Op, Primitive
from minigrad.tensor import Tensor


def gradcheck(
    f: Callable[..., Tensor], *inputs: Any, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7, order: int = 1
) -> bool:
    """Compare the gradients of f, for a random upstream gradient, with central differences in float64.

    Parameters
    ----------
    f : callable
        A function of Tensors that returns a Tensor, with the same values at every call.
    inputs : array_like or None
        Where to check. Floating inputs are varied; integers, booleans and None are passed on.
    eps : float
        Step of the differences, times |x| where |x| > 1.
    rtol, atol : float
        Analytic and numeric derivative may differ by atol + rtol·|numeric|. Elements where f has a
        kink within the step, or bends too strongly for it, are left out.
    order : int
        Check the derivatives up to this order, 1 or more.

    Raises
    ------
    AssertionError
        With input, element, analytic and numeric derivative, relative error, and how many differ or were left out.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> mg.gradcheck(lambda x, w: np.tanh(x @ w), np.eye(2), [[1.0, 2.0], [3.0, 4.0]], order=2)
    True
    """
    if order < 1:
        raise ValueError(f"gradcheck: order={order} checks nothing; give 1 or more")
    case = case_of(f, inputs, {})
    for n in range(1, order + 1):
        try:
            compare(case, eps, rtol, atol)
        except AssertionError as error:
            raise AssertionError(f"gradcheck, order {n}: {'; '.join(error.args)}") from None
        case = slope(case)
    return True


@dataclass
class Case:
    """A function and inputs to try it on; a call replaces those in `places`, which are varied."""

    f: Any
    inputs: list
    params: dict
    names: list[str]
    places: list[int]

    def __call__(self, *xs: Any) -> Tensor:
        varied = dict(zip(self.places, xs, strict=True))
        return self.f(*(varied.get(i, x) for i, x in enumerate(self.inputs)), **self.params)

    @property
    def xs(self) -> list[np.ndarray]:
        return [self.inputs[i] for i in self.places]

    def with_input(self, i: int, x: np.ndarray) -> Case:
        return replace(self, inputs=[*self.inputs[:i], x, *self.inputs[i + 1 :]])

    def mapped(self, change: Callable[[np.ndarray], Any]) -> Case:
        """The same case with `change` applied to every array."""
        return replace(self, inputs=[None if x is None else np.asarray(change(x)) for x in self.inputs])

    def value(self, xs: Sequence[np.ndarray] | None = None) -> np.ndarray:
        return recorded("check", self, self.xs if xs is None else xs)[0].data.copy()

    def results(self, u: np.ndarray, factor: float = 1.0) -> list[np.ndarray]:
        """The value, and the gradients for the upstream gradient u, where the inputs are `factor` times as large."""
        y, leaves = recorded("check", self, [factor * x for x in self.xs])
        return [y.data.copy(), *(g.data for g in pulled(y, leaves, u))]

    def agree(self, note: str, found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
        """AssertionError unless two lists of value and gradients are the same."""
        labels = ["value", *(f"gradient of {self.names[i]}" for i in self.places)]
        for label, got, right in zip(labels, found, expected, strict=True):
            for what, a, b in (("shape", got.shape, right.shape), ("dtype", got.dtype, right.dtype)):
                if a != b:
                    raise AssertionError(f"{label} {note}: expected {what} {b}, got {a}")
            rtol, atol = (1e-3, 1e-5) if right.dtype == np.float32 else (1e-7, 1e-12)
            largest = np.max(np.abs(right), initial=1, where=np.isfinite(right))
            if not np.allclose(got, right, rtol, atol * largest, equal_nan=True):
                raise AssertionError(f"{label} {note}: expected {shown(right)}, got {shown(got)}")


def shown(x: np.ndarray, name: str = "") -> str:
    return name + np.array2string(x, precision=6, separator=", ", threshold=20, prefix=name)


def in_dtype(x: np.ndarray, dtype: Any) -> np.ndarray:
    return x.astype(dtype) if x.dtype.kind == "f" else x


def case_of(f: Callable, inputs: Sequence, params: dict) -> Case:
    """f at `inputs` in float64, varied in the floating ones that have a rule."""
    arrays = [None if x is None else in_dtype(Tensor(x).data, np.float64) for x in inputs]
    rules = f.rules if isinstance(f, (Elementwise, Primitive)) and f.arity else arrays
    pairs = zip(arrays, rules, strict=False)  # the op itself reports a wrong number of inputs
    places = [i for i, (x, rule) in enumerate(pairs) if x is not None and rule is not None and x.dtype.kind == "f"]
    if not places:
        raise ValueError("check: there is no floating input to differentiate by, or none that has a rule")
    names = f.names if isinstance(f, Op) and f.arity else [f"input {i}" for i in range(len(inputs))]
    return Case(f, arrays, params, names[: len(inputs)], places)


def cotangent(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """An upstream gradient without zeros or symmetry: all ones would say nothing about a softmax."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.round(rng.uniform(0.5, 2, shape), 2) * rng.choice([-1, 1], shape))


@np.errstate(all="ignore")
def compare(case: Case, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7) -> str:
    """How many elements of the gradient of u·f were compared; AssertionError with the worst if some are wrong."""
    y = case.value()
    u = cotangent(y.shape)
    if not np.all(np.isfinite(y) & (y == case.value())):
        raise ValueError("check: the function is not finite at these inputs, or draws random numbers")
    gradients, measured = case.results(u)[1:], [np.empty(x.shape) for x in case.xs]
    wrong: list[tuple[float, int, tuple[int, ...]]] = []
    kinks = 0
    elements = [(place, index) for place, x in enumerate(case.xs) for index in np.ndindex(x.shape)]
    for place, index in elements:
        change, h = changes(case, y, place, index, u), eps * max(1.0, float(abs(case.xs[place][index])))
        analytic, numeric = float(gradients[place][index]), central(change, h)
        measured[place][index] = numeric
        if not abs(analytic - numeric) <= atol + rtol * abs(numeric):  # NaN is wrong, too
            if at_kink(change, h, analytic):
                kinks += 1
            else:
                error = np.abs(analytic - numeric) / max(abs(analytic), abs(numeric))
                wrong.append((float(np.nan_to_num(error, nan=np.inf)), place, index))
    count, left_out = len(elements) - kinks, f", {kinks} at a kink left out" if kinks else ""
    if not wrong:
        return f"{count} elements{left_out}"
    error, place, index = max(wrong)
    raise AssertionError(
        f"derivative by {case.names[case.places[place]]}{list(index) or ''}: "
        f"expected {measured[place][index]:.6g} (numeric), got {gradients[place][index]:.6g} (analytic), "
        f"relative error {error:.2g}",
        f"{len(wrong)} of {count} elements differ{left_out}{hint(case, gradients[place], measured, place, u)}",
    )


def changes(case: Case, y: np.ndarray, place: int, index: tuple, u: np.ndarray) -> Callable[[float], np.ndarray]:
    """step ↦ the change in every element of u·f(x) when one element of an input moves by that step."""

    def change(step):
        moved = [x.copy() for x in case.xs]
        moved[place][index] += step
        return u * (case.value(moved) - y)

    return change


def central(change: Callable[[float], np.ndarray], h: float) -> float:
    return float(np.sum(change(h) - change(-h)) / (2 * h))


def at_kink(change: Callable, h: float, analytic: float) -> bool:
    """Whether a kink, a jump, the edge of the domain or a strong curve within h explains why the two slopes differ.

    Where f is smooth, half the step gives a quarter of the bend f(x+h) − 2f(x) + f(x−h). Where it does not, the slopes
    on the two sides differ by bend/h. At a jump, half the step gives twice the central slope. On a strong curve the
    central slopes converge; Aitken's formula (1926) gives their limit, which must be roughly the analytic slope.
    """
    steps = (h, h / 2, h / 4)
    bends = [np.abs(change(step) + change(-step)) for step in steps]
    rough = [np.abs(half - whole / 4) > whole / 20 for whole, half in pairwise(bends)]
    slopes = [central(change, step) for step in steps]
    difference = abs(analytic - slopes[0])
    first, second = np.diff(slopes)
    apart = np.sum(bends[0] * np.any(rough, axis=0)) / h
    jumps = abs(second - 2 * first) < 1e-3 * abs(first) and difference <= 4 * abs(first)
    limit = slopes[0] - first**2 / (second - first)
    curved = abs(second) < abs(first) and abs(analytic - limit) <= abs(first) / 2
    return bool(not np.all(np.isfinite(bends)) or difference <= apart or jumps or curved)


def hint(case: Case, got: np.ndarray, measured: Sequence[np.ndarray], place: int, u: np.ndarray) -> str:
    """The common slip that explains a wrong gradient, if there is one."""
    right = measured[place]
    slips = {
        "the sign is wrong": -right,
        "it is transposed": right.T,
        "it is 0, as behind .data or a rule that fills an array: write it as an expression": 0 * right,
        "it is the upstream gradient: the local derivative is missing": u,
        "the upstream gradient is missing": right / (u if u.shape == right.shape else u.flat[0]),
        **{f"it is the derivative by {case.names[i]}": m for i, m in zip(case.places, measured, strict=True)},
    }
    if len(case.inputs) == 1 and u.shape == right.shape:
        at_y = case.mapped(lambda x: case.value())
        y = at_y.value()
        slopes = [central(changes(at_y, y, 0, index, u), 1e-6) for index in np.ndindex(u.shape)]
        slips["it is the derivative at y, not at x"] = np.reshape(slopes, u.shape)
    factor = np.vdot(right, got) / np.vdot(right, right)
    slips[f"it is {factor:.4g} times as large as it should be"] = factor * right
    fits = [text for text, slip in slips.items() if slip.shape == got.shape and np.allclose(got, slip, 1e-4)]
    slight = np.allclose(got, right, 1e-4)  # then any slip that changes nothing would fit
    return f"; {fits[0]}" if fits and not slight else ""


def slope(case: Case) -> Case:
    """x, u ↦ w·∂(u·f)/∂x of each element, not summed: beside a large one, the digits of a small one would be lost."""

    def f(*inputs):
        *xs, u = inputs
        gradients = pulled(case(*xs), xs, u, create_graph=True)
        return np.concatenate([np.ravel(cotangent(g.shape, seed=i) * g) for i, g in enumerate(gradients, start=1)])

    names = [*(case.names[i] for i in case.places), "upstream gradient"]
    return Case(f, [*case.xs, cotangent(case.value().shape)], {}, names, list(range(len(names))))
