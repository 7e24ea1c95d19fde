"""The pods of all jobs as columns: 20 bytes each, whether they wait, run or have ended."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I64
from orch.model.reasons import NO_EXIT_CODE

NO_TIME = -(2**31)
"""In a column of times: there is none."""

TIME_MOST = 2**31 - 1

COLUMNS: dict[str, tuple[type[np.integer[Any]], int]] = {
    "state": (np.uint8, 0),
    "exit_code": (np.int16, NO_EXIT_CODE),
    "reason": (np.uint8, 0),
    "attempt": (np.uint16, 0),
    "spared": (np.uint16, 0),
    "agent": (np.int32, -1),
    "started": (np.int32, NO_TIME),
    "ended": (np.int32, NO_TIME),
}
"""dtype and first value. attempt: launches so far; spared: those of them in which it gave way to another pod, which are
no failure of its own. agent: row at the master, -1 before the first launch. started, ended: of the last attempt, since
the submission of the job, in its unit."""


class Instances:
    """Columns of equal length; the pods of one job are neighbours. Grows by doubling."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype=kind) for name, (kind, _) in COLUMNS.items()}
        self.length = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The column in use: a view, valid until the next `add` or `keep`."""
        return self._columns[name][: self.length]

    def add(self, count: int) -> int:
        """Append pods that are SCHEDULED and were never launched; returns the first one's row."""
        first = self.length
        self._reserve(first + count)
        self.length += count
        for name, (_, value) in COLUMNS.items():
            self._columns[name][first : self.length] = value
        return first

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Close the gaps: only rows with True stay, in their order."""
        for name in COLUMNS:
            self._columns[name] = self[name][rows]
        self.length = len(self._columns["state"])

    def to_dict(self) -> dict[str, Any]:
        """Everything, for a snapshot."""
        return {name: self[name].copy() for name in COLUMNS}

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave."""
        for name, (kind, _) in COLUMNS.items():
            column = image[name] if name in image else np.zeros(len(image["state"]))  # of an older snapshot
            self._columns[name] = np.array(column, dtype=kind)
        self.length = len(self._columns["state"])

    def _reserve(self, need: int) -> None:
        capacity = len(self._columns["state"])
        if need <= capacity:
            return
        for name, (kind, _) in COLUMNS.items():
            bigger = np.empty(max(need, capacity * 2, 64), dtype=kind)
            bigger[: self.length] = self[name]
            self._columns[name] = bigger


def span(first: int, count: int) -> I64:
    """int64[count]: rows or ids from `first` on."""
    return np.arange(first, first + count, dtype=np.int64)
