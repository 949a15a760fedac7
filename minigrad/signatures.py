"""The arguments of ops and of their rules, read from the functions; `help` and notebooks show them.

>>> import inspect
>>> import minigrad as mg
>>> inspect.signature(mg.sum)
<Signature (x, axis=None, keepdims=False)>
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

import numpy as np


def arguments(forward: Callable, arity: int | None) -> tuple[list[str], dict[str, Any]]:
    """The names of a forward's arguments, inputs first, and the defaults of its parameters."""
    try:
        given = {} if isinstance(forward, np.ufunc) else inspect.signature(forward).parameters
    except ValueError:  # some of NumPy's C functions have no signature
        given = {}
    inputs = forward.nin if isinstance(forward, np.ufunc) else arity or 0
    named = [p for p in given.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [p.name for p in named] or {1: ["x"], 2: ["a", "b"]}.get(inputs, [f"x{i + 1}" for i in range(inputs)])
    return names, {p.name: p.default for p in named if p.default is not p.empty}


def misfit(rule: Callable, inputs: Sequence[str], parameters: Sequence[str]) -> str:
    """The arguments that a rule is handed and, in Python's words, why it cannot take them; "" if it can, or may."""
    code, names = getattr(rule, "__code__", None), [*inputs, *parameters]
    if code and code.co_argcount == len(names) and list(code.co_varnames[len(inputs) : len(names)]) == [*parameters]:
        return ""  # quick check: reading a signature takes longer than the rest of a definition
    try:
        inspect.signature(rule).bind(*inputs, **dict.fromkeys(parameters))
    except TypeError as error:
        return f"({', '.join(names)}): {error}"
    except ValueError:  # some of NumPy's C functions
        pass
    return ""


def signature(arity: int | None, names: Sequence[str], defaults: Mapping[str, Any]) -> Signature:
    """An op's arguments as Python's Signature; an op of any number of inputs takes its parameters by name."""
    kind = Parameter.KEYWORD_ONLY if arity is None else Parameter.POSITIONAL_OR_KEYWORD
    inputs = [Parameter("xs", Parameter.VAR_POSITIONAL)] if arity is None else []
    return Signature(inputs + [Parameter(name, kind, default=defaults.get(name, Parameter.empty)) for name in names])
