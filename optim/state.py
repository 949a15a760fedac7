"""Stop training and resume it later: an optimizer's state, as numbers and arrays with flat names.

- `saved(optimizer)` → `{"steps": 3, "lr": 0.1, "0.steps": 3, "0.velocity": array, …}`.
- `restore(optimizer, state)`: later steps are the same, bit for bit, as if training had never stopped.

A parameter is known by its position, never by its name. `np.savez(path, **optimizer.state_dict())` saves to a file and
`optimizer.load_state_dict(np.load(path))` loads from it. A rate that is a function of the step needs only the number of
steps; a schedule that depends on training (`ReduceOnPlateau`) has state of its own, saved here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Tensor
from optim.schedule import Schedule

if TYPE_CHECKING:
    from optim.optimizer import Optimizer


def holders(optimizer: Optimizer) -> dict[str, dict]:
    """The dicts that hold a learning rate, by the rate's name in a saved state."""
    own = {f"groups.{i}.lr": group for i, group in enumerate(optimizer.groups) if "lr" in group}
    return {"lr": optimizer.common, **own}


def saved(optimizer: Optimizer) -> dict[str, Any]:
    """The number of steps, the rates and the state of each parameter, as one flat dict; arrays are copies."""
    state: dict[str, Any] = {"steps": optimizer.steps}
    for key, holder in holders(optimizer).items():
        lr = holder["lr"]
        if isinstance(lr, Schedule):
            state |= {f"{key}.{name}": value for name, value in lr.state.items()}
        elif not callable(lr):
            state[key] = lr
    for i, p in enumerate(optimizer.params):
        state |= {f"{i}.{name}": np.array(value) for name, value in optimizer.state[p].items()}
    return state


def restore(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load a saved state; ValueError, with nothing changed, if it does not fit."""
    what = f"{optimizer.kind}.load_state_dict"
    arrays = {f"{i}.{name}": (p, name) for i, p in enumerate(optimizer.params) for name in optimizer.remembers}
    needed = set(saved(optimizer)) - set(arrays)
    if wrong := (needed - set(state)) | (set(state) - needed - set(arrays)):
        raise ValueError(f"{what}: missing or unexpected: {', '.join(sorted(wrong))}")
    numbers = {name: float(state[name]) for name in needed}  # everything that can fail comes before the first change
    fresh: dict[Tensor, dict[str, Any]] = {}
    for i, p in enumerate(optimizer.params):
        fresh[p] = {"steps": int(numbers[f"{i}.steps"])}
    for key, (p, name) in arrays.items():
        if key in state:
            fresh[p][name] = value = np.array(state[key], dtype=p.dtype)
            if value.shape != p.shape:
                raise ValueError(f"{what}: {key} has shape {value.shape}, its parameter {p.shape}")
    for key, holder in holders(optimizer).items():
        lr = holder["lr"]
        if isinstance(lr, Schedule):
            for name in lr.state:
                lr.state[name] = numbers[f"{key}.{name}"]
        elif not callable(lr):
            holder["lr"] = numbers[key]
    optimizer.state, optimizer.steps = fresh, int(numbers["steps"])
