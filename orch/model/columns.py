"""Tables as a struct of arrays: what keeps a million instances from being a million objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def distinct(numbers: NDArray[Any]) -> Ints:
    """int64[m]: the different values of a column of small numbers, none negative, ascending. O(k + the largest)."""
    if len(numbers) == 0:
        return np.empty(0, dtype=np.int64)
    if numbers[0] == numbers[-1] and (numbers == numbers[0]).all():
        return numbers[:1].astype(np.int64)
    return np.flatnonzero(np.bincount(numbers))


def tally(numbers: NDArray[Any], into: NDArray[Any], weight: int = 1) -> None:
    """Add `weight` to `into[n]` for each n of `numbers`, doubled ones included. O(k + the largest), or O(k) for few."""
    if len(numbers) * 8 < len(into):
        np.add.at(into, numbers, weight)
        return
    counts = np.bincount(numbers)
    into[: len(counts)] += (counts * weight).astype(into.dtype)


def as_slice(rows: Ints) -> slice | Ints:
    """Consecutive rows as a slice, by which numpy reads and writes without a gather; any others as they are.

    Row -1 (not there) is the last one for numpy, but no beginning of a slice.
    """
    if len(rows) and rows[0] >= 0 and rows[-1] - rows[0] == len(rows) - 1 and bool((rows[1:] - rows[:-1] == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


_LARGE, _STRIDE = 65_536, 16
"""Rows from which tables grow by so much: what was not written takes no memory, and each copy keeps others waiting."""


class Table:
    """Named numpy columns of one length that grow by doubling; rows are reused through a free list.

    `table["state"]` is the live part of a column (a view: valid until the next `add`).
    A column's dtype may have a shape: `("request", (np.int32, 5))` gives int32[n, 5].
    """

    def __init__(self, columns: dict[str, Any], capacity: int = 16) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in columns.items()}
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.zeros(capacity, dtype=dtype) for name, dtype in self._dtypes.items()
        }
        self._capacity = capacity
        self.length = 0
        self._free: Ints = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        """Rows in use: all ever added, less those removed."""
        return self.length - len(self._free)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name][: self.length]

    def add(self, count: int, **values: Any) -> Ints:
        """Add `count` rows with the given column values (scalars or arrays of `count`), 0 in the other columns.

        Returns int64[count] rows. Raises KeyError for a column that is not there.
        Rows freed before are used first, lowest first, so that the same calls give the same rows everywhere.
        """
        reused = self._free[:count]
        fresh = count - len(reused)
        self._reserve(self.length + fresh)
        rows = np.arange(self.length, self.length + fresh, dtype=np.int64)
        if len(reused):
            rows = np.concatenate([reused, rows])
            self._free = self._free[count:]
        self.length += fresh
        where = rows if len(reused) else slice(self.length - fresh, self.length)
        for name, value in values.items():
            self._arrays[name][where] = value
        return rows

    def remove(self, rows: Ints) -> None:
        """Give rows back. Their columns become 0. Removing a row twice is a bug."""
        if len(rows) == 0:
            return
        where = as_slice(rows)
        for array in self._arrays.values():
            array[where] = 0
        merged = np.sort(np.concatenate([self._free, rows]), kind="stable")
        assert not (merged[1:] == merged[:-1]).any(), "a row was removed twice"
        self._free = merged

    def rows(self) -> Ints:
        """int64[len(self)]: the rows in use, ascending."""
        used = np.ones(self.length, dtype=bool)
        used[self._free] = False
        return np.flatnonzero(used)

    def next_row(self) -> int:
        """The row that the next `add` of one row will give."""
        return int(self.next_rows(1)[0])

    def next_rows(self, count: int) -> Ints:
        """int64[count]: the rows that the next `add` of so many will give."""
        reused = self._free[:count]
        return np.concatenate([reused, np.arange(self.length, self.length + count - len(reused), dtype=np.int64)])

    def to_dict(self, columns: Iterable[str] | None = None) -> dict[str, Any]:
        """Everything, or the named columns, for a snapshot."""
        return {
            "length": self.length,
            "free": self._free.copy(),
            "columns": {name: self[name].copy() for name in columns or self._arrays},
        }

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave. Columns that the image lacks (an older version) become 0."""
        self.length = int(image["length"])
        self._capacity = max(16, self.length)
        self._free = np.array(image["free"], dtype=np.int64)
        for name, dtype in self._dtypes.items():
            array = np.zeros(self._capacity, dtype=dtype)
            if name in image["columns"]:
                array[: self.length] = image["columns"][name]
            self._arrays[name] = array

    def _reserve(self, need: int) -> None:
        if need <= self._capacity:
            return
        while self._capacity < need:
            self._capacity *= 2 if self._capacity < _LARGE else _STRIDE
        for name, array in self._arrays.items():
            self._arrays[name] = _longer(array[: self.length], self._capacity)


def _longer(array: NDArray[Any], room: int) -> NDArray[Any]:
    """The same with zeros up to `room` rows, which take no memory before they are written."""
    longer = np.zeros((room, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


class IdIndex:
    """From int64 ids to rows, for whole columns at once: sorted arrays and a binary search, no hashing.

    Ids mostly come in ascending order, and are appended. A removed id stays, without a row, until half of all are such.
    """

    def __init__(self) -> None:
        self._ids: Ints = np.empty(0, dtype=np.int64)
        self._rows: Ints = np.empty(0, dtype=np.int64)
        self._length = 0
        self._dead = 0

    def __len__(self) -> int:
        return self._length - self._dead

    def find(self, ids: Ints) -> Ints:
        """int64[k] rows of the ids, -1 where an id is not there. O(k log n)."""
        if self._length == 0:
            return np.full(len(ids), -1, dtype=np.int64)
        known = self._ids[: self._length]
        if len(ids) > 1:
            start = int(known.searchsorted(ids[0]))
            if np.array_equal(known[start : start + len(ids)], ids):  # a run of all that there are, as ids mostly come
                return self._rows[start : start + len(ids)].copy()
        at = np.minimum(known.searchsorted(ids), self._length - 1)
        return np.where(known[at] == ids, self._rows[at], -1)

    def insert(self, ids: Ints, rows: Ints) -> None:
        """Add ids that are not there yet, with their rows. O(k log k) if all are above the others, else O(n) more."""
        if len(ids) == 0:
            return
        ids, rows = np.asarray(ids, dtype=np.int64), np.asarray(rows, dtype=np.int64)
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, rows = ids[order], rows[order]
        assert not (ids[1:] == ids[:-1]).any(), "an id was inserted twice"
        if self._length and ids[0] <= self._ids[self._length - 1]:
            ids, rows = self._revive(ids, rows)
            if len(ids):
                self._merge(ids, rows)
            return
        end = self._length + len(ids)
        if end > len(self._ids):
            room = max(16, end * (2 if end < _LARGE else _STRIDE))
            self._ids = _longer(self._ids[: self._length], room)
            self._rows = _longer(self._rows[: self._length], room)
        self._ids[self._length : end], self._rows[self._length : end] = ids, rows
        self._length = end

    def remove(self, ids: Ints) -> None:
        """Forget ids; those not there are a bug. O(k log n), now and then O(n)."""
        if len(ids) == 0:
            return
        known = self._ids[: self._length]
        at = np.minimum(known.searchsorted(ids), self._length - 1)
        assert (known[at] == ids).all() and (self._rows[at] >= 0).all(), "an id is not in the index"
        self._rows[at] = -1
        self._dead += len(ids)
        if self._dead * 2 > self._length:
            self._compact()

    def ids(self) -> Ints:
        """All ids, ascending."""
        return self._ids[: self._length][self._rows[: self._length] >= 0]

    def _revive(self, ids: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Give ids that were removed their new rows in place; returns the others."""
        at = np.minimum(self._ids[: self._length].searchsorted(ids), self._length - 1)
        known = self._ids[at] == ids
        assert not (self._rows[at[known]] >= 0).any(), "an id was inserted twice"
        self._rows[at[known]] = rows[known]
        self._dead -= int(known.sum())
        return ids[~known], rows[~known]

    def _merge(self, ids: Ints, rows: Ints) -> None:
        """Insert ids among the others, where they belong."""
        at = self._ids[: self._length].searchsorted(ids)
        self._ids = np.insert(self._ids[: self._length], at, ids)
        self._rows = np.insert(self._rows[: self._length], at, rows)
        self._length = len(self._ids)

    def _compact(self) -> None:
        """Close the gaps. The room stays: to grow again keeps others waiting, and what lies idle takes no memory."""
        keep, room = self._rows[: self._length] >= 0, len(self._ids)
        self._ids = _longer(self._ids[: self._length][keep], room)
        self._rows = _longer(self._rows[: self._length][keep], room)
        self._length, self._dead = int(keep.sum()), 0
