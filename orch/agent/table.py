"""The agent's instances as columns, found by (id, attempt)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.columns import IdIndex, Table
from orch.model.reasons import NO_EXIT_CODE
from orch.model.states import FIRST_TERMINAL, State

Ints = NDArray[np.int64]

ATTEMPT_BITS = 10
"""An instance's id and attempt make one int64 key; attempts are told apart modulo 1024."""


def keys_of(ids: NDArray[Any], attempts: NDArray[Any]) -> Ints:
    """int64[k]: one number for each (id, attempt)."""
    keys: Ints = (ids.astype(np.int64) << ATTEMPT_BITS) | (attempts.astype(np.int64) & ((1 << ATTEMPT_BITS) - 1))
    return keys


class Instances:
    """Rows of what was launched and is not forgotten."""

    def __init__(self) -> None:
        self.table = Table(
            {
                "id": np.int64, "attempt": np.int32, "state": np.uint8, "exit_code": np.int16, "reason": np.uint8,
                "started_ms": np.int64, "changed_ms": np.int64, "grace_ms": np.int64, "stop_reason": np.uint8,
                "several": np.bool_, "sent_seq": np.int64,
            }
        )  # fmt: skip
        self._index = IdIndex()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.table[column]

    def find(self, ids: NDArray[Any], attempts: NDArray[Any]) -> Ints:
        """int64[k] rows, -1 where it is not (or no longer) known."""
        return self._index.find(keys_of(ids, attempts))

    def row(self, id: int, attempt: int) -> int:
        """The row of one, or -1."""
        return int(self.find(np.array([id], dtype=np.int64), np.array([attempt], dtype=np.int32))[0])

    def add(self, ids: NDArray[Any], attempts: NDArray[Any], grace_ms: NDArray[Any], at_ms: int) -> Ints:
        """New rows in STAGING."""
        rows = self.table.add(
            len(ids), id=ids, attempt=attempts, state=int(State.STAGING), exit_code=NO_EXIT_CODE, grace_ms=grace_ms,
            changed_ms=at_ms,
        )  # fmt: skip
        self._index.insert(keys_of(ids, attempts), rows)
        return rows

    def remove(self, rows: Ints) -> None:
        """Forget rows."""
        self._index.remove(keys_of(self["id"][rows], self["attempt"][rows]))
        self.table.remove(rows)

    def rows(self) -> Ints:
        """All rows in use, by ascending (id, attempt)."""
        return self._index.find(self._index.ids())

    def alive(self, rows: Ints) -> NDArray[np.bool_]:
        """bool[k]: which of these rows are not over."""
        alive: NDArray[np.bool_] = self["state"][rows] < FIRST_TERMINAL
        return alive

    def columns(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """Copies of the columns that an `Image` and an `UpdateBatch` carry."""
        return {
            "ids": self["id"][rows].copy(), "attempts": self["attempt"][rows].copy(),
            "states": self["state"][rows].copy(), "exit_codes": self["exit_code"][rows].copy(),
            "reasons": self["reason"][rows].copy(), "started_ms": self["started_ms"][rows].copy(),
            "changed_ms": self["changed_ms"][rows].copy(),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot."""
        return self.table.to_dict()

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave."""
        self.table.restore(image)
        self._index = IdIndex()
        rows = self.table.rows()
        self._index.insert(keys_of(self["id"][rows], self["attempt"][rows]), rows)

    def check(self) -> None:
        """Assert that index and table agree, and that states are ones an agent has."""
        rows = self.table.rows()
        assert len(rows) == len(self._index) == len(self.rows())
        assert np.array_equal(np.sort(self.rows(), kind="stable"), rows)
        assert not np.any(self["state"][rows] == State.SCHEDULED)
        ended = rows[~self.alive(rows)]
        assert np.all(self["changed_ms"][ended] > 0)
