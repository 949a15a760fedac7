"""Texts and tables that a prompt or a notebook shows line by line, as `print` does.

>>> Text("two\\nlines")
two
lines
"""

from __future__ import annotations

from typing import Any


class Text(str):
    """A string that is shown without quotes, and with real line breaks."""

    __repr__ = str.__str__


class Printed:
    """A base for tables: a notebook shows `str(table)` in place of `repr(table)`."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self)}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # IPython asks a list or a dict for this one
        printer.text(str(self))
