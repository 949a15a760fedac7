"""Stop training and resume it later: an optimizer's state, as numbers and arrays with flat names.

- `optimizer.state_dict()` is `saved(optimizer)` → `{"steps": 3, "lr": 0.1, "0.steps": 3, "0.velocity": array, …}`.
- `optimizer.load_state_dict(state)` is `restore`: later steps are the same, bit for bit, as if training had never
  stopped.

A parameter is known by its position, never by its name. `np.savez(path, **optimizer.state_dict())` saves to a file and
`optimizer.load_state_dict(np.load(path))` loads from it. A rate that is a function of the step needs only the number of
steps; a schedule that depends on training (`ReduceOnPlateau`) has state of its own, saved here, too.

What is loaded takes the dtype of its parameter. `model.astype("float32")` does not convert what an optimizer remembers:
call `optimizer.load_state_dict(optimizer.state_dict())` after it, or make the optimizer afterwards.

Random numbers are not part of it: give Dropout and `batches` one generator, `rng = np.random.default_rng(0)`, and save
and set `rng.bit_generator.state` as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Tensor
from optim.schedule import Schedule

if TYPE_CHECKING:
    from optim.optimizer import Optimizer


def rates(optimizer: Optimizer) -> dict[str, tuple[dict, str]]:
    """The dict and the key that hold each number of the learning rates, by its name in a saved state."""
    own = {f"groups.{i}.lr": group for i, group in enumerate(optimizer.groups) if "lr" in group}
    places: dict[str, tuple[dict, str]] = {}
    for rate, holder in {"lr": optimizer.common, **own}.items():
        lr = holder["lr"]
        if isinstance(lr, Schedule):
            places |= {f"{rate}.{name}": (lr.state, name) for name in lr.state}
        elif not callable(lr):
            places[rate] = holder, "lr"
    return places


def saved(optimizer: Optimizer) -> dict[str, Any]:
    """What is needed to resume, except the parameters: numbers of steps, rates, and copies of arrays, in one dict."""
    state: dict[str, Any] = {"steps": optimizer.steps}
    state |= {key: holder[name] for key, (holder, name) in rates(optimizer).items()}
    what, kept = f"{optimizer.kind}.state_dict: change keeps", set(optimizer.remembers)
    for i, p in enumerate(optimizer.params):
        for name, value in optimizer.state[p].items():
            if np.shape(value) != p.shape and name != "steps":
                raise ValueError(f"{what} {name}, which has not the parameter's shape; state['steps'] counts steps")
            kept |= {name} - {"steps"}
            state[f"{i}.{name}"] = np.array(value)
    if kept != set(optimizer.remembers):
        raise ValueError(f"{what} {sorted(kept)}: the class needs remembers = {tuple(sorted(kept))}")
    return state


def restore(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Resume from a saved state; ValueError, with nothing changed, if it does not fit these parameters."""
    what = f"{optimizer.kind}.load_state_dict"
    arrays = {f"{i}.{name}": (p, name) for i, p in enumerate(optimizer.params) for name in optimizer.remembers}
    needed = set(saved(optimizer)) - set(arrays)
    if wrong := (needed - set(state)) | (set(state) - needed - set(arrays)):
        raise ValueError(f"{what}: missing or unexpected: {', '.join(sorted(wrong))}")
    numbers = {name: float(state[name]) for name in needed}  # everything that can fail comes before the first change
    fresh: dict[Tensor, dict] = {p: {"steps": int(numbers[f"{i}.steps"])} for i, p in enumerate(optimizer.params)}
    for key, (p, name) in arrays.items():
        if key in state:
            fresh[p][name] = value = np.array(state[key], dtype=p.dtype)
            if value.shape != p.shape:
                raise ValueError(f"{what}: {key} has shape {value.shape}, its parameter {p.shape}")
    for key, (holder, name) in rates(optimizer).items():
        holder[name] = numbers[key]
    optimizer.state, optimizer.steps = fresh, int(numbers["steps"])
