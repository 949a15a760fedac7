"""What `print(model)` and `model.summary()` show: one line per module, and notes on what looks wrong."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import numpy as np

from layers.scope import joined, watching
from minigrad import Tensor, default_dtype, no_grad
from minigrad.printed import Text


def tree(module: Any) -> str:
    """A module with its settings, and indented below it the modules that it holds, each with its name there.

    >>> from layers import Dense, Residual, Sequential
    >>> Sequential(Dense(2, 3, "tanh"), Residual(Dense(3, 3), after="relu"))
    Sequential()
      layers.0: Dense(inputs=2, outputs=3, activation='tanh')
      layers.1: Residual(after='relu')
        body.0: Dense(inputs=3, outputs=3)
    """
    inside = [f"{name}: {part!r}" for name, part in module.named_parts() if not isinstance(part, Tensor)]
    return "\n".join([settings(module), *(indent(part, "  ") for part in inside)])


def settings(module: Any) -> str:
    """The type of a module and its settings, written as a call on one line."""
    simple = {name: value for name, value in vars(module).items() if isinstance(value, (bool, int, float, str))}
    given = (f"{name}={value!r}" for name, value in simple.items() if name not in ("training", "scope"))
    return f"{type(module).__name__}({', '.join(given)})"


def summary(model: Any, example: Any = None) -> str:
    """The table of `Module.summary`; `example` is a shape, an input, or None."""
    shapes, dtype = ({}, None) if example is None else observed(model, example)
    rows: list[tuple[str, ...]] = [("layer", "", "output shape", "parameters")]
    counted: set[Tensor] = set()
    for path, module in model.named_modules():
        own = [part for _, part in module.named_parts() if isinstance(part, Tensor)]
        if own or is_leaf(module):  # no row for a module that only holds other modules
            fresh = set(own) - counted
            counted |= fresh
            rows.append((path, settings(module), shapes.get(id(module), ""), f"{sum(p.size for p in fresh):,}"))
    parameters = model.parameters()
    dtypes = sorted({str(parameter.dtype) for parameter in parameters})
    rows.append(("total", "", "", f"{sum(p.size for p in parameters):,}"))
    lines = aligned(rows)
    lines[-1] += f"  {' and '.join(dtypes)}" if dtypes else ""
    return Text("\n".join(lines + notes(model, dtype, dtypes)))


@no_grad()
def observed(model: Any, example: Any) -> tuple[dict[int, str], np.dtype]:
    """The output shape of every module called in a run in eval mode, by id, and the dtype of the input."""
    if isinstance(example, tuple) and all(isinstance(n, (int, np.integer)) for n in example):
        example = np.zeros(example, default_dtype())
    example = example if isinstance(example, Tensor) else np.asarray(example)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with watching() as seen:
            model.eval()(example)
    finally:
        for module, training in modes:
            module.training = training
    outputs = {id(module): y[0] if isinstance(y, tuple) else y for _, module, _, y in seen}
    return {key: str(np.shape(y)) for key, y in outputs.items()}, example.dtype


def is_leaf(module: Any) -> bool:
    """Whether a module holds no other module."""
    return all(isinstance(part, Tensor) for _, part in module.named_parts())


def notes(model: Any, dtype: np.dtype | None, dtypes: list[str]) -> list[str]:
    """One sentence for each thing in the model that is usually a mistake."""
    lines = []
    layers = [(path, module) for path, module in model.named_modules() if is_leaf(module)]
    for (path, module), (_, after) in zip(layers, [*layers[1:], ("", None)], strict=True):
        if type(module).__name__ == "Softmax" and type(after).__name__ in ("CrossEntropy", "NoneType"):
            lines.append(f"note: {path or 'the model'} is a Softmax; CrossEntropy takes logits and applies it itself")
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if type(value) is Tensor and value.requires_grad:
                lines.append(
                    f"note: {joined(path, name)} is a Tensor, not a Parameter: it is neither trained nor saved"
                )
    if dtype == np.float32 and "float64" in dtypes:
        lines.append("note: float32 data meets float64 parameters, so all runs in float64; try model.astype('float32')")
    return lines


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines of text with aligned columns, the last one to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])]) for row in rows]
