"""The numbers of a long training run in a fixed amount of memory, and the files they can be written to.

- `History`: key → one value per row; `history["update_ratio/layers.0.weight"]`, `history["step"]`.
- `to_csv(path)`, `to_tensorboard(folder)`.

A table has a fixed number of rows. When it is full, neighbouring rows are merged in pairs, and from then on a row
stands for twice as many steps: after 10,000 steps there are 625 rows of 16, and never more than 1,024.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minigrad.files import replacing
from minigrad.inspection import text


class Rows:
    """Which steps the rows of some tables stand for; a subclass says which arrays these are."""

    def __init__(self, capacity: int) -> None:
        self.steps = np.zeros(capacity, np.int64)  # the first step of each row
        self.stride = 1  # how many recorded steps make a row
        self.recorded = 0  # how many steps there are so far
        self.step = 0  # the last of them

    @property
    def length(self) -> int:
        """How many rows there are; the last one may still be filling."""
        return -(-self.recorded // self.stride)

    def tables(self) -> Iterable[np.ndarray]:
        """Arrays of sums with a row for each entry of `steps`."""
        raise NotImplementedError

    def begin(self, step: int) -> None:
        """Begin a step: the values that follow belong to it."""
        if self.recorded == len(self.steps) * self.stride:
            self.halve()
        if self.recorded % self.stride == 0:
            self.steps[self.recorded // self.stride] = step
        self.recorded += 1
        self.step = step

    def halve(self) -> None:
        """Merge row 1 into row 0, row 3 into row 2 and so on, and leave the second half empty."""
        half = len(self.steps) // 2
        for table in self.tables():
            table[:half] = table[::2] + table[1::2]
            table[half:] = 0
        self.steps[:half] = self.steps[::2]
        self.stride *= 2


class History(Rows, Mapping):
    """Key → array with one value per row: the mean over the steps of the row that have one.

    NaN means that nothing was computed, and infinity that the result was not finite. The key "step" has the first
    step of each row.

    Examples
    --------
    >>> history = History(capacity=4)
    >>> for step in range(6):
    ...     history.begin(step)
    ...     history.put("loss", 10.0 * step)
    >>> history["step"], history["loss"]
    (array([0, 2, 4]), array([ 5., 25., 45.]))
    """

    def __init__(self, capacity: int = 1024) -> None:
        super().__init__(capacity)
        self.columns: dict[str, int] = {}
        self.sums: np.ndarray = np.zeros((capacity, 16))
        self.counts: np.ndarray = np.zeros((capacity, 16), np.uint32)
        self.recent: deque[dict[str, float]] = deque(maxlen=3)  # the last steps by themselves
        self.noted: list[tuple[int, dict[str, float]]] = []  # (row, values) of steps that are not yet in the table

    def begin(self, step: int) -> None:
        if len(self.noted) == 64:  # the table is not in the processor's cache: it is cheaper to go there seldom
            self.enter()
        super().begin(step)
        self.recent.append({})
        self.noted.append((self.length - 1, self.recent[-1]))

    def put(self, key: str, value: float) -> None:
        """Note the value of a key in this step."""
        self.recent[-1][key] = value
        if key not in self.columns:
            self.columns[key] = len(self.columns)
            if len(self.columns) > self.sums.shape[1]:
                self.sums, self.counts = (np.hstack([x, np.zeros_like(x)]) for x in (self.sums, self.counts))

    def enter(self) -> None:
        """Add the noted values to the table."""
        for row, values in self.noted:
            places = [self.columns[key] for key in values]
            self.sums[row, places] += list(values.values())
            self.counts[row, places] += 1
        self.noted = []

    def tables(self) -> Iterable[np.ndarray]:
        self.enter()
        return self.sums, self.counts

    def __getitem__(self, key: str) -> np.ndarray:
        if key == "step":
            return self.steps[: self.length].copy()
        if key not in self.columns:
            raise KeyError(f"nothing is recorded as {key!r}; {text.near(key, self.columns)}")
        sums, counts = (table[: self.length, self.columns[key]].copy() for table in (self.sums, self.counts))
        for row, values in self.noted:
            if key in values:
                sums[row] += values[key]
                counts[row] += 1
        return np.divide(sums, counts, out=np.full(self.length, np.nan), where=counts > 0)

    def __iter__(self) -> Iterator[str]:
        return iter(["step", *self.columns])

    def __len__(self) -> int:
        return 1 + len(self.columns)

    def of(self, quantity: str) -> dict[str, np.ndarray]:
        """Name → values of all keys `quantity/name`."""
        return {key.partition("/")[2]: self[key] for key in self if key.startswith(f"{quantity}/")}

    def __repr__(self) -> str:
        steps = "recorded step" if self.stride == 1 else f"{self.stride} recorded steps"
        return f"<History of {len(self) - 1} quantities: {self.length} rows, one per {steps}>"

    def to_csv(self, path: str | os.PathLike) -> None:
        """A line per row; a cell is empty where nothing was computed."""
        with replacing(path) as file:
            writer = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
            writer.writerow(self)
            writer.writerows(["" if np.isnan(x) else x for x in row] for row in zip(*self.values(), strict=True))

    def to_tensorboard(self, folder: str | os.PathLike, histograms: Any = None) -> None:
        """Event files for TensorBoard: a curve per key, and `histograms` if there are any.

        Raises
        ------
        ModuleNotFoundError
            Without the package tensorboardX.
        """
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError as error:
            message = "to_tensorboard writes with the package tensorboardX: pip install tensorboardX"
            raise ModuleNotFoundError(message, name=error.name) from error
        with SummaryWriter(os.fspath(folder)) as writer:
            for key in list(self)[1:]:
                for step, value in zip(self["step"], self[key], strict=True):
                    if not np.isnan(value):
                        writer.add_scalar(key, value, int(step))
            if histograms is not None:
                histograms.write_to(writer)
