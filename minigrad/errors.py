"""The error messages of ops: the op's name, the shapes it was given, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

INSTEAD = {  # NumPy's message about code for a single number → what to write for an array
    "The truth value of an array with": "np.where(x > 0, …, …) chooses element by element, `if` does not",
    "can be converted to Python scalars": "np.tanh takes an array, math.tanh does not",
}


def explained(name: str, error: Exception, xs: Iterable) -> Exception:
    """`error`, raised by NumPy or by an op inside, as one sentence about the function `name` called with `xs`."""
    kinds = (np.exceptions.AxisError, np.linalg.LinAlgError, IndexError, ValueError, TypeError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), TypeError)  # AttributeError: None has no shape
    message = reason(error)
    if message.startswith("None is not an array"):  # the shapes of the other inputs do not matter
        return kind(f"{name}: {message}")
    if re.match(rf"{name}\(\) ", message):  # Python's own sentence about missing and unknown arguments
        return kind(message)
    sentence = re.match(r"(?!axis|source|destination)\w+: (?!Input operand)", message)
    if sentence:  # an op inside has explained it: only the name changes
        return kind(f"{name}: {message[sentence.end() :]}")
    if message.startswith("operands could not be broadcast together"):
        if requested := re.search(r"\]: \([\d,]*\)  and requested shape (\(.*\))", message):  # broadcast_to
            return kind(f"{name}: {listed(xs)} does not broadcast to {requested[1]}")
        if listed(xs).startswith("shapes"):  # else it failed on arrays that it made itself
            return kind(f"{name}: {listed(xs)} do not broadcast")
    return kind(f"{name}: {listed(xs)}: {message}" if listed(xs) else f"{name}: {message}")


def reason(error: Exception) -> str:
    """The message of the error, and what to write instead if that is known."""
    said = str(error)
    advice = (f"; {instead}" for fault, instead in INSTEAD.items() if fault in said and instead not in said)
    return said + next(advice, "")


def listed(xs: Iterable) -> str:
    """The shapes of `xs`, and of the arrays in lists among them, as in "shapes (2, 3) and (4,)"."""
    found = [str(shape) for x in xs for shape in shapes(x)]
    if len(found) > 6:
        found[3:-1] = ["…"]
    text = ", ".join(found[:-1]) + " and " * (len(found) > 1) + "".join(found[-1:])
    return f"{'shapes' if len(found) > 1 else 'shape'} {text}" if found else ""


def shapes(x: Any) -> list[tuple[int, ...]]:
    if isinstance(x, (list, tuple)) and any(hasattr(part, "shape") for part in x):
        return [np.shape(part) for part in x]
    return [np.shape(x)] if hasattr(x, "shape") else []
