"""Module: parameters and a forward pass, with a path that errors, traces and files use as its name.

- Assign parameters and modules to attributes, also within lists, tuples and dicts; the module finds them.
- `model(x)` runs `forward(x)`; nodes and errors made in it carry the module's path, such as "blocks.3.dense".
- `model.save(path)` writes parameters and buffers to a file, `model.load(path)` reads them back.

The usual loop over all parameters, to print their gradients after a backward pass:

>>> import numpy as np
>>> from layers import CrossEntropy, Dense, Sequential
>>> model = Sequential(Dense(1, 2, init=np.ones((1, 2))))
>>> loss = CrossEntropy()(model(np.array([[1.0]])), [1])
>>> loss.backward()
>>> for name, param in model.named_parameters():
...     if param.requires_grad:
...         print(name, param.grad)
layers.0.weight [[ 0.5 -0.5]]
layers.0.bias [ 0.5 -0.5]
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from reprlib import recursive_repr
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from layers import files, table
from layers.scope import joined, path_of, run
from minigrad import Tensor


class Parameter(Tensor):
    """A tensor that training changes: a leaf that requires a gradient.

    >>> Parameter([1.0, 2.0], name="scale")
    tensor([1., 2.], shape=(2,), name='scale', requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, name: str | None = None) -> None:
        super().__init__(data, requires_grad=True, name=name)

    def convert(self, dtype: np.dtype) -> None:
        """Convert data and gradient to `dtype`, in place."""
        if dtype != self.dtype:
            self._array = self._array.astype(dtype)
            self._grad = None if self._grad is None else self._grad.astype(dtype)
            self.written()  # so that older graphs raise, instead of giving gradients of the old dtype


class Module:
    """Base of layers and models. It needs no `__init__` of its own: calling `super().__init__()` is optional.

    Attributes
    ----------
    training : bool
        Set by `train()` and `eval()`; BatchNorm and Dropout read it.
    scope : str or None
        The path under which a model called the module last, "" if it was only called alone.

    Notes
    -----
    An array in an attribute is a buffer: part of the state, but not trained; one whose name starts with _ is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import Dense, Module
    >>> class Twice(Module):
    ...     def __init__(self):
    ...         self.dense = Dense(3, 3)
    ...     def forward(self, x):
    ...         return self.dense(self.dense(x))
    >>> model = Twice()
    >>> model(np.ones((5, 3))).shape
    (5, 3)
    >>> [name for name, _ in model.named_parameters()]
    ['dense.weight', 'dense.bias']
    """

    training: bool = True
    scope: str | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter):
            if not (isinstance(value, Tensor | None) or parts("", value)):
                raise TypeError(f"{type(self).__name__}: {name} is a Parameter; numbers go into {name}.data")
            self.scope = None  # so that the next call names the new one
        object.__setattr__(self, name, value)  # super() takes twice as long: BatchNorm writes here in every step

    def forward(self, *xs: Any, **keywords: Any) -> Any:
        """What the module computes. Subclasses define it; users call the module itself."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, x)")

    def __call__(self, *xs: Any, **keywords: Any) -> Any:
        return run(self, path_of(self), self.forward, xs, keywords)

    def named_parts(self) -> list[tuple[str, Parameter | Module]]:
        """(name, part) for the parameters and modules that this module holds directly."""
        return parts("", vars(self))

    def modules(self) -> list[Module]:
        """This module and all modules below it, each once, parents first."""
        return [module for _, module in self.named_modules()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """(path, module) for this module (path "") and all modules below it, each once, parents first."""
        found: dict[int, tuple[str, Module]] = {}
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if id(module) not in found:
                found[id(module)] = path, module
                children = [(name, part) for name, part in module.named_parts() if isinstance(part, Module)]
                stack.extend((joined(path, name), child) for name, child in reversed(children))
        return list(found.values())

    def parameters(self) -> list[Parameter]:
        """All parameters, each once, in the order of `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """(path, parameter), a module's own before its children's, in the order of assignment, each once."""
        found: dict[int, tuple[str, Parameter]] = {}
        for path, module in self.named_modules():
            for name, part in module.named_parts():
                if isinstance(part, Parameter):
                    found.setdefault(id(part), (joined(path, name), part))
        return list(found.values())

    def train(self, mode: bool = True) -> Module:
        """Switch to training mode, or with False to evaluation mode; returns the module itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation mode: no dropout, running statistics; returns the module itself."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set all gradients to None."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def astype(self, dtype: DTypeLike) -> Module:
        """Convert parameters and buffers to float32 or float64, in place; returns the module itself."""
        if (dtype := np.dtype(dtype)) not in (np.float32, np.float64):
            raise TypeError(f"astype: float32 or float64 is needed, not {dtype}")
        for _, owner, attribute in self._state():
            if isinstance(owner, Parameter):
                owner.convert(dtype)
            elif getattr(owner, attribute).dtype.kind == "f":
                setattr(owner, attribute, getattr(owner, attribute).astype(dtype))
        return self

    def _state(self) -> list[tuple[str, Parameter | Module, str]]:
        """(path, owner, attribute) for every array of the state: parameters first, then buffers."""
        places: list = [(name, parameter, "data") for name, parameter in self.named_parameters()]
        for path, module in self.named_modules():
            public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
            places += [(joined(path, name), module, name) for name, x in public.items() if isinstance(x, np.ndarray)]
        return places

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by path."""
        state = {path: getattr(owner, attribute).copy() for path, owner, attribute in self._state()}
        if len(state) < len(self._state()):
            raise ValueError("state_dict: two arrays have the same path; the keys of a dict must differ as text")
        return state

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Copy parameters and buffers from a `state_dict()`, cast to the dtypes of this module.

        With `strict`, missing and unexpected keys are errors; a wrong shape always is.

        Raises
        ------
        ValueError
            Names every key that is missing, unexpected or has a wrong shape. The module is then unchanged.
        """
        arrays = files.checked(state, self.state_dict(), strict)
        for path, owner, attribute in self._state():
            if path in arrays:
                setattr(owner, attribute, arrays[path])

    def save(self, path: str | PathLike) -> None:
        """Write parameters and buffers to an .npz file; if writing fails, an older file at `path` stays as it was."""
        files.write(path, self.state_dict())

    def load(self, path: str | PathLike) -> None:
        """Read what `save` wrote, in this or another process, bit for bit. Errors as in `load_state_dict`."""
        self.load_state_dict(files.read(path))

    def summary(self, input_shape: tuple[int, ...] | ArrayLike | Tensor | None = None) -> str:
        """A table of the layers, their output shapes and numbers of parameters, with notes on what looks wrong.

        `input_shape` is the shape of an input, batch axis included, or an input itself (models that take integers
        need one); the model runs on it once, in eval mode. Without it, the table has no output shapes.
        """
        return table.summary(self, input_shape)

    @recursive_repr("…")
    def __repr__(self) -> str:
        return table.tree(self)


def parts(name: str, value: Any) -> list[tuple[str, Parameter | Module]]:
    """(name, part) for `value` if it is a parameter or a module, or for those within a list, tuple or dict."""
    if isinstance(value, (Parameter, Module)):
        return [(name, value)]
    if not isinstance(value, (list, tuple, dict)):
        return []
    within = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, part in within for found in parts(joined(name, str(key)), part)]
