"""Where in a model something happens: the path of the module that is being called.

- `run(module, path, forward, …)`: a forward pass whose nodes carry the module's path and whose errors start with it.
- `watching()`: a list of all calls that end within a block.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minigrad import GraphError
from minigrad.settings import state


class Place:
    """Where a module is below another: by attributes, and by keys of the lists, tuples and dicts in them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: list[Any] = [int(key) if key.isdecimal() else key for key in name.split(".")]

    def holds(self, caller: Any, module: Any) -> bool:
        """Whether the module is there now, below the caller."""
        found = caller
        try:
            for key in self.keys:
                found = found[key] if isinstance(found, (list, tuple, dict)) else vars(found)[key]
        except (LookupError, TypeError):
            return False
        return found is module


class Call:
    """A module that is being called, and the names of the modules below it."""

    def __init__(self, module: Any, path: str) -> None:
        self.module, self.path = module, path
        self.names: dict[int, str] | None = None

    def name_of(self, module: Any) -> str | None:
        """The name of a module below this one, None if it is not below; mostly it is where it was the last time."""
        place = getattr(module, "_place", None)
        if place and place.holds(self.module, module):
            return place.name
        if self.names is None:
            parts = [*self.module.named_parts(), *self.module.named_modules()]  # the first of several names counts
            self.names = {id(part): name for name, part in reversed(parts)}
        name = self.names.get(id(module))
        if name is not None:
            module._place = Place(name)
        return name


class Calls(threading.local):
    """The calls in progress in this thread, outermost first, and the lists that record finished calls."""

    def __init__(self) -> None:
        self.stack: list[Call] = []
        self.watchers: list[list] = []


calls = Calls()


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def path_of(module: Any) -> str:
    """The path of a module that is about to be called: the path of the caller that holds it, and its name there."""
    stack = calls.stack
    for call in reversed(stack):
        name = call.name_of(module)
        if name is not None:
            return joined(call.path, name)
    return joined(state.scope, type(module).__name__) if stack else state.scope


class Given(str):
    """The name that a module gave to a parameter, and how many modules it held if it was the outermost one."""

    modules = 0


def enter(module: Any, path: str) -> None:
    """Give a module its path, and name its parameters by it unless they have names of their own."""
    modules = 0 if calls.stack else len(module.modules())
    for name, parameter in module.named_parameters():
        if parameter.name in (None, name) or getattr(parameter.name, "modules", modules) < modules:
            parameter.name = Given(joined(path, name))  # in place of one that a part such as model[1:] gave
            parameter.name.modules = modules
    module.scope = path


def run(module: Any, path: str, forward: Callable, xs: tuple, keywords: dict) -> Any:
    """Call `forward`, with the module's path as the scope of its nodes and at the start of its error messages."""
    if module.scope is None or path not in ("", module.scope):  # called alone, a layer still belongs to its model
        enter(module, path)
    outside, state.scope = state.scope, path
    calls.stack.append(Call(module, path))
    try:
        y = forward(*xs, **keywords)
    except (ValueError, TypeError, IndexError, ArithmeticError, GraphError) as error:
        prepend(path, error)
        raise
    finally:
        calls.stack.pop()
        state.scope = outside
    for watcher in calls.watchers:
        watcher.append((path, module, xs, y))
    return y


def prepend(path: str, error: Exception) -> None:
    """Start the error's message with the path of the innermost module it passes through, once."""
    if not hasattr(error, "scope"):
        vars(error)["scope"] = path
        if path and error.args and isinstance(error.args[0], str):
            error.args = (f"{path}: {error.args[0]}", *error.args[1:])


@contextmanager
def watching() -> Iterator[list[tuple[str, Any, tuple, Any]]]:
    """A list that receives (path, module, inputs, output) for every call that ends within the block."""
    watcher: list = []
    calls.watchers.append(watcher)
    try:
        yield watcher
    finally:
        calls.watchers[:] = [other for other in calls.watchers if other is not watcher]
