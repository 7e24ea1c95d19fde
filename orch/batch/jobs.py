"""What the ledger counts of jobs, as columns: from ids of pods to jobs and rows for a whole message at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I64
from orch.model.states import FIRST_TERMINAL, State

COLUMNS: dict[str, Any] = {
    "number": np.int64,
    "first_id": np.int64,
    "count": np.int64,
    "row": np.int64,
    "submitted_ms": np.int64,
    "finished_ms": np.int64,
    "unit_ms": np.int64,
    "attempts": np.int64,
    "timeout_ms": np.int64,
    "stopped": np.uint8,
    "counts": (np.int64, len(State)),
}
"""row: of the first pod in `Instances`. unit_ms: of its columns of times. attempts: launches that a pod gets.
counts: pods by state."""


class JobColumns:
    """One row a job, ascending by number and so by first id too. Positions change when jobs are forgotten."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(16, dtype=kind) for name, kind in COLUMNS.items()}
        self.length = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The column in use: a view, valid until the next `add` or `keep`."""
        return self._columns[name][: self.length]

    def add(self, **values: int) -> int:
        """Append a job whose pods are all SCHEDULED; returns its position."""
        at = self.length
        assert at == 0 or values["number"] > self["number"][-1], "jobs are numbered upwards"
        if at == len(self._columns["number"]):
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros_like(column)])
        for name, column in self._columns.items():
            column[at] = values.get(name, 0)
        self._columns["counts"][at, State.SCHEDULED] = values["count"]
        self.length += 1
        return at

    def at(self, number: int) -> int:
        """The position of a job, -1 where there is none of that number."""
        at = int(np.searchsorted(self["number"], number))
        return at if at < self.length and self["number"][at] == number else -1

    def locate(self, ids: I64) -> tuple[I64, I64]:
        """(positions int64[k], rows int64[k] in `Instances`) of pods by id; -1 in both where a pod is not known."""
        if self.length == 0:
            nowhere = np.full(len(ids), -1, dtype=np.int64)
            return nowhere, nowhere.copy()
        if len(ids) > 1:
            low, high = int(ids.min()), int(ids.max())
            one = int(np.searchsorted(self["first_id"], low, side="right")) - 1
            if one >= 0 and high < self["first_id"][one] + self["count"][one]:  # all of one job, as they mostly come
                return np.full(len(ids), one, dtype=np.int64), ids + (self["row"][one] - self["first_id"][one])
        at = np.searchsorted(self["first_id"], ids, side="right") - 1
        index = ids - self["first_id"][at]
        known = (at >= 0) & (index < self["count"][at])
        return np.where(known, at, -1), np.where(known, self["row"][at] + index, -1)

    def keep(self, at: NDArray[np.bool_]) -> None:
        """Close the gaps: only positions with True stay."""
        for name in COLUMNS:
            self._columns[name] = self[name][at]
        self.length = len(self._columns["number"])
        if self.length == 0:
            self._columns = {name: np.zeros(16, dtype=kind) for name, kind in COLUMNS.items()}

    def ended(self) -> I64:
        """int64[J]: pods of each job that are in a terminal state."""
        total: I64 = self["counts"][:, FIRST_TERMINAL:].sum(axis=1)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Everything, for a snapshot."""
        return {name: self[name].copy() for name in COLUMNS}

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave."""
        self.length = len(image["number"])
        for name, kind in COLUMNS.items():
            column = np.zeros(max(16, self.length), dtype=kind)
            column[: self.length] = image[name]
            self._columns[name] = column
