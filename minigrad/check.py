"""Is an op right? `check_op(op, x, …)` tests everything that an op must do and reports one line per property.

>>> import numpy as np, minigrad as mg
>>> bump = mg.elementwise("bump", lambda x: np.exp(-x * x), [lambda y, x: -2 * x * y], ["−2x·y"])
>>> print(mg.check_op(bump))
bump: every property holds
  ok    forward leaves inputs alone
  ok    gradients against finite differences: 12 elements
  –     broadcasting: does not apply
  ok    float32 and float64 kept
  ok    second derivative: 24 elements
  ok    upstream not written to
  ok    zero-size, 0-d and non-contiguous inputs
  –     kernel equals definition: does not apply

With a slip in the rule, the report shows one number at which it goes wrong:

>>> slip = mg.elementwise("slip", lambda x: np.exp(-x * x), [lambda y, x: 2 * x * y], ["2x·y"])
>>> print(mg.check_op(slip).failures[0])
FAIL  gradients against finite differences: 12 of 12 elements differ; the sign is wrong
        derivative by x: expected -1.18678 (numeric), got 1.18678 (analytic), relative error 2
        where x = 0.55, upstream gradient = 1.46
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minigrad.differences import Case, case_of, compare, cotangent, in_dtype, shown, slope
from minigrad.functional import pulled, recorded
from minigrad.graph import order, walk
from minigrad.op import Elementwise
from minigrad.tensor import Tensor

DOMAINS = [(-2.0, 2.0), (0.2, 3.0), (-0.9, 0.9), (1.1, 3.0)]  # log needs x > 0, arcsin |x| < 1, arccosh x > 1


def check_op(op: Callable, *examples: Any, **params: Any) -> Report:
    """Call `op(*examples, **params)` in every way that an op must support, and report which properties hold.

    Without examples, an elementwise op is tried where it is finite. Small arrays without symmetry reveal most; labels
    and masks are integers or booleans. An op whose gradient is deliberately not its derivative, such as
    a straight-through estimator, fails the line on finite differences and no other.

    Returns
    -------
    Report
        With `ok`, `failures`, `notes` and `to_json()`; `print` it to read it.
    """
    case = case_of(op, examples or examples_for(op, params), params)
    case.value()  # a wrong call is an error, not a failed property
    with np.errstate(all="ignore"):
        verdicts = [verdict(name, test, case) for name, test in PROPERTIES.items()]
        notes = [*without_rule(case, kinds="f" if examples else "fb")]
    return Report(getattr(op, "__name__", repr(op)), verdicts, notes)


@dataclass
class Verdict:
    """One line of a report; `ok` is None where the property does not apply."""

    property: str
    ok: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "–   "}[self.ok]
        return f"{mark}  {self.property}{': ' if self.detail else ''}{self.detail}".replace("\n", "\n        ")


@dataclass
class Report:
    """What `check_op` found."""

    op: str
    verdicts: list[Verdict]
    notes: list[str]  # what is right only if it is intended

    @property
    def failures(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.ok is False]

    @property
    def ok(self) -> bool:
        return not self.failures

    def __repr__(self) -> str:
        wrong, tests = len(self.failures), len(self.verdicts)
        head = f"{wrong} of {tests} properties fail" if wrong else "every property holds"
        lines, said = [f"{self.op}: {head}"], set()
        for verdict in self.verdicts:  # a rule that always fails says why once
            lines.append(str(replace(verdict, detail="as above") if verdict.detail in said else verdict))
            said |= {verdict.detail} if verdict.ok is False else set()
        return "\n".join([*lines, *(f"note  {note}" for note in self.notes)]).replace("\n", "\n  ")

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"ok": self.ok}, ensure_ascii=False)


def examples_for(op: Any, params: dict) -> list[np.ndarray]:
    """Inputs of an elementwise op at which it is finite; an input without a derivative is a condition."""
    if not isinstance(op, Elementwise):
        name = getattr(op, "__name__", type(op).__name__)
        raise ValueError(f"check_op: {name} needs example inputs: check_op(op, x, …)")
    if missing := set(op.names[op.arity :]) - op.defaults.keys() - params.keys():
        raise TypeError(f"check_op: {op.name} has no rule for {', '.join(sorted(missing))}: write one, or pass a value")
    rng = np.random.default_rng(0)
    for low, high in DOMAINS:
        xs: list = [np.round(rng.uniform(low, high, (3, 4)), 2) for _ in op.rules]
        xs[1:] = np.sort(xs[1:], axis=0)  # bounds such as those of clip come in ascending order
        xs = [x if rule is not None else x > np.median(x) for x, rule in zip(xs, op.rules, strict=True)]
        with np.errstate(all="ignore"):
            if np.all(np.isfinite(op(*map(np.copy, xs), **params))):
                return xs
    raise ValueError(f"check_op: {op.name} is finite on none of {DOMAINS}; pass example inputs")


def without_rule(case: Case, kinds: str) -> Iterator[str]:
    """A note on each input of these kinds that has no rule, though a small step in it changes the output."""
    for i, (name, x) in enumerate(zip(case.names, case.inputs, strict=True)):
        if i in case.places or x is None or x.dtype.kind not in kinds:
            continue
        x = x + 0.5 if x.dtype == bool else x  # a condition as numbers that all count as true
        ends = (x, x + 1e-6 * cotangent(x.shape) * np.maximum(1, np.abs(x)))
        try:
            before, after = (case.with_input(i, end)(*case.xs) for end in ends)
        except Exception:  # it takes conditions only
            continue
        if not np.array_equal(before, after, equal_nan=True):
            yield f"input {i} ({name}) has no rule though the output changes with it: declared as not differentiable"


def written_out(case: Case) -> Case:
    """The case with every array broadcast to the shape of the result."""
    shape = np.broadcast_shapes(*(x.shape for x in case.inputs if x is not None))
    return case.mapped(lambda x: np.broadcast_to(x, shape))


# What an op must do: a test raises AssertionError, or returns a remark; NotImplemented where it does not apply


def leaves_inputs_alone(case: Case) -> None:
    given = case.mapped(np.copy)
    given(*given.xs)
    for name, x, before in zip(case.names, given.inputs, case.inputs, strict=True):
        if x is not None and not np.array_equal(x, before, equal_nan=True):
            raise AssertionError(f"{name}: the call changed it from {shown(before)} to {shown(x)}")


def broadcasts(case: Case) -> Any:
    """A small input gets the gradient of the same input written out in full, summed over the copies."""
    if not isinstance(case.f, Elementwise):
        return NotImplemented
    full = written_out(case)
    if (shape := full.value().shape) != full.xs[0].shape:
        raise AssertionError(f"inputs of shape {full.xs[0].shape} give shape {shape}: that is not elementwise")
    if len(case.inputs) == 1:
        return NotImplemented
    for place, (i, x) in enumerate(zip(full.places, full.xs, strict=True), start=1):
        for small in (x[:1], x[0], x.ravel()[0]) if x.ndim else ():
            two = (full.with_input(i, value) for value in (small, np.broadcast_to(small, x.shape)))
            found, expected = (one.results(cotangent(x.shape)) for one in two)
            expected[place] = expected[place].reshape(-1, *small.shape).sum(axis=0)
            case.agree(f"with {case.names[i]} of shape {small.shape}", found, expected)


def narrowed(x: np.ndarray) -> np.ndarray:
    """Floats rounded to float32, in float64; integers as int16: beside wider ones NumPy makes float32 float64."""
    return x.astype(np.int16) if x.dtype.kind in "iu" else in_dtype(in_dtype(x, np.float32), np.float64)


def keeps_dtype(case: Case) -> None:
    """Value and gradients are the same in both dtypes, and each rule returns its dtype before the engine casts."""
    case = case.mapped(narrowed)
    u = cotangent(case.value().shape)
    right, low, high = (case.results(u, factor) for factor in (1, 1 - 1e-6, 1 + 1e-6))
    steady = [np.isclose(a, b, rtol=1e-3) for a, b in zip(low, high, strict=True)]  # no jump here
    for dtype in (np.float32, np.float64):
        cast = case.mapped(partial(in_dtype, dtype=dtype))
        y, leaves = recorded("check", cast, cast.xs)
        found = [y.data, *(g.data for g in pulled(y, leaves, u))]
        expected = [np.where(s, x, got).astype(dtype) for s, x, got in zip(steady, right, found, strict=True)]
        case.agree(f"for {np.dtype(dtype)}", found, expected)
        if y.node is not None and y.node.op is case.f:  # not a function made of several ops
            rules = copy.copy(case.f)
            rules.fitted = lambda contribution, *rest: contribution
            contributions = rules.pull(y.node, u.astype(dtype), y.data, y.node.arrays)
            found[1:] = [np.asarray(contributions[i]) for i in case.places]
            case.agree(f"as its rule returns it for {np.dtype(dtype)}", found, [x.astype(dtype) for x in found])


def leaves_upstream_alone(case: Case) -> None:
    """Neither a walk nor another call changes the upstream gradient, the values or what a second walk needs."""
    y, leaves = recorded("check", case, case.xs)
    u = cotangent(y.shape)
    watched = [u, y.data, *(x.data for x in leaves)]
    before = [x.copy() for x in watched]
    found = {x: np.zeros_like(x.data) for x in leaves} | walk(order(y.node) if y.node else [], {y.node or y: u})
    fresh = y.node is not None and y.node.op is case.f and y.node.op.fresh
    for x in leaves if fresh else ():
        found[x] += 1  # a fresh gradient shares memory with nothing: no other result may change
    names = ["upstream gradient", "output", *(f"input {case.names[i]}" for i in case.places)]
    for name, was, x in zip(names, before, watched, strict=True):
        if not np.array_equal(was, x, equal_nan=True):
            raise AssertionError(f"the {name} was {shown(was)} before the rules ran, and {shown(x)} after")
    right = case.results(u)
    case.results(u, 0.999)  # what this call leaves behind must not count
    case.agree("on a second walk, after another call", [y.data, *(d.data / 2 for d in pulled(y, leaves, 2 * u))], right)
    case.agree(f"kept from before{', declared fresh' * fresh}", [y.data, *(found[x] - fresh for x in leaves)], right)


LAYOUTS: dict[str, Callable[[np.ndarray], Tensor]] = {
    "strided views": lambda x: Tensor(np.stack([x, x], axis=-1), requires_grad=True)[..., 0],
    "arrays stored column by column": lambda x: Tensor(x.T.copy(), requires_grad=True).T,
}


def takes_any_layout(case: Case) -> None:
    """Views with a transposed upstream; for an elementwise op also 0-d and empty arrays."""
    u = cotangent(case.value().shape)
    for note, view in LAYOUTS.items():
        views = [view(x) for x in case.xs]
        y = case(*views)
        gradients = pulled(y.T, views, u.T.copy())
        case.agree(f"for {note}", [y.data, *(g.data for g in gradients)], case.results(u))
    if isinstance(case.f, Elementwise):
        full = written_out(case)
        for shape in [(), (0,)] if u.size else [(0,)]:
            cut = partial(np.resize, new_shape=shape)
            case.agree(f"of shape {shape}", full.mapped(cut).results(cut(u)), [cut(x) for x in full.results(u)])


def equals_definition(case: Case) -> Any:
    if getattr(case.f, "definition", None) is None:
        return NotImplemented
    u = cotangent(case.value().shape)
    case.agree("of the kernel", case.results(u), replace(case, f=case.f.definition).results(u))


PROPERTIES: dict[str, Callable[[Case], Any]] = {
    "forward leaves inputs alone": leaves_inputs_alone,
    "gradients against finite differences": compare,
    "broadcasting": broadcasts,
    "float32 and float64 kept": keeps_dtype,
    "second derivative": lambda case: compare(slope(case)),
    "upstream not written to": leaves_upstream_alone,
    "zero-size, 0-d and non-contiguous inputs": takes_any_layout,
    "kernel equals definition": equals_definition,
}


def cuts(case: Case) -> Iterator[Case]:
    """Smaller cases: for an elementwise op single numbers, for every op axes cut to length 1."""
    if isinstance(case.f, Elementwise):
        full = written_out(case)
        for k in range(full.xs[0].size):
            yield full.mapped(partial(np.take, indices=k))
    lengths = {n for x in case.xs for n in x.shape}
    for some in (lengths, *({n} for n in sorted(lengths))):
        yield case.mapped(partial(first_along, lengths=some))


def first_along(x: np.ndarray, lengths: set[int]) -> np.ndarray:
    """The first element along every axis that has one of these lengths."""
    return x[tuple(slice(1 if n in lengths else n) for n in x.shape)]


def verdict(name: str, test: Callable, case: Case) -> Verdict:
    """The report's line for a test; if that fails, with the smallest cut of the inputs at which it still fails."""
    try:
        remark = test(case)
        return Verdict(name, None, "does not apply") if remark is NotImplemented else Verdict(name, True, remark or "")
    except AssertionError as error:
        sentence, *summary = error.args or ("an assertion in it fails",)
    except Exception as error:
        return Verdict(name, False, f"{type(error).__name__}: {error}")  # it may name shapes: they stay as given
    for cut in cuts(case):
        try:
            cut.value()
        except Exception:  # not an input of this op
            continue
        try:
            test(cut)
        except Exception as error:
            if isinstance(error, AssertionError):  # not another fault than the one to be shown
                sentence, case = error.args[0] if error.args else sentence, cut
                break
    given = [shown(x, f"{what} = ") for what, x in zip(case.names, case.inputs, strict=True) if x is not None]
    if summary:
        given.append(shown(cotangent(case.value().shape), "upstream gradient = "))
    together = ", ".join(given)
    where = [f"where {together}"] if len(together) < 90 else ["where", *given]
    return Verdict(name, False, "\n".join([*summary, sentence, *where]))
