"""Runnable lessons: `python -m demos` lists them, `python -m demos NAME` runs one.

Each lesson is one file to read as an example, and a function to call: `demos.mechanics.run()`.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Import a lesson when it is first used."""
    if name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"there is no lesson {name!r}; python -m demos lists them")
    return import_module(f"{__name__}.{name}")
