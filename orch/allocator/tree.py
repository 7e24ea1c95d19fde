"""The tree of groups: weight, guarantee, limit and use of each path, as columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.columns import Table
from orch.model.resources import R

Ints = NDArray[np.int64]

MAX_DEPTH = 8
"""Levels of groups. A deeper path counts as its first eight segments, so that a commit charges at most eight groups."""

UNLIMITED = -1
PRUNE_LEAST = 1_000
"""So many groups are no burden."""


class Tree:
    """Groups by number; a group is made, with those above it, when its path is first asked for, and pruned when unused.

    Columns: parent int32 (-1 at the top), ancestors int32[8] (those above it, nearest first, then -1), weight int64,
    guarantee and limit int64[R] (limit -1: none), used int64[R]: what the instances of the group and of all below hold.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._numbers: dict[str, int] = {}
        self._table = Table(
            {
                "parent": np.int32,
                "ancestors": (np.int32, (MAX_DEPTH,)),
                "weight": np.int64,
                "guarantee": (np.int64, (R,)),
                "limit": (np.int64, (R,)),
                "used": (np.int64, (R,)),
            }
        )
        self.has_quota = False
        """Whether any group has a guarantee or a limit; the usual tree has none."""
        self._set: dict[int, bool] = {}
        self._prune_at = PRUNE_LEAST

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._table)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, one row per group: a view until the next group is made."""
        return self._table[name]

    def number(self, path: str) -> int:
        """The group's number; makes it if need be. `/` is a group of its own, not above the others."""
        found = self._numbers.get(path)
        if found is not None:
            return found
        segments = _segments(path)
        short = "/" + "/".join(segments)
        found = self._numbers.get(short)
        if found is None:
            parent = self.number("/" + "/".join(segments[:-1])) if len(segments) > 1 else -1
            found = self._add(short, parent)
        return found

    def find(self, path: str) -> int:
        """The number of a group, -1 if nobody has asked for it."""
        return self._numbers.get(path, self._numbers.get("/" + "/".join(_segments(path)), -1))

    @property
    def crowded(self) -> bool:
        """Whether there are so many groups that it is worth while to `prune`."""
        return len(self._table) >= self._prune_at

    def prune(self, keep: Iterable[int]) -> None:
        """Forget groups, but not these, those above them, and those that were `set`. The others keep their numbers."""
        unused = np.zeros(len(self.paths), dtype=bool)
        unused[self._table.rows()] = True
        for group in (*keep, *self._set):
            unused[self.lineage(group)] = False
        gone = np.flatnonzero(unused)
        assert not self["used"][gone].any(), "a group that is used was to be forgotten"
        for group in gone.tolist():
            del self._numbers[self.paths[group]]
            self.paths[group] = ""
        self._table.remove(gone)
        self._prune_at = max(PRUNE_LEAST, 2 * len(self._table))

    def set(self, path: str, weight: int = 1, guarantee: Any = 0, limit: Any = UNLIMITED) -> None:
        """Give a group its weight (1 or more) and quota, each int64[R] or one number for all resources.

        Raises ValueError where a weight is below 1 or a guarantee is above the limit.
        """
        least, most = np.broadcast_to(np.int64(guarantee), R), np.broadcast_to(np.int64(limit), R)
        if weight < 1:
            raise ValueError(f"the weight of {path} is {weight}, and must be at least 1")
        if np.any(least < 0) or np.any((most >= 0) & (least > most)):
            raise ValueError(f"{path} is guaranteed {least.tolist()} within a limit of {most.tolist()}")
        group = self.number(path)
        self["weight"][group], self["guarantee"][group], self["limit"][group] = weight, least, most
        self._set[group] = True
        self.has_quota = bool(np.any(self["guarantee"] > 0) or np.any(self["limit"] >= 0))

    def charge(self, groups: NDArray[np.int32], amounts: Ints) -> None:
        """Add amounts int64[k, R] (negative to give back) to what groups int32[k] and all above them use."""
        used = self["used"]
        for level in (groups, *self["ancestors"][groups].T):
            within = level >= 0
            for column in range(R):
                np.add.at(used[:, column], level[within], amounts[within, column])

    def room(self, freed: Ints | None = None) -> Ints:
        """int64[G, R]: how much more each group may use by its own limit; a very large number where it has none.

        freed: int64[G, R], as if each group used so much less.
        """
        limit, used = self["limit"], self["used"] if freed is None else self["used"] - freed
        return np.where(limit < 0, np.iinfo(np.int64).max, np.maximum(limit - used, 0))

    def lineage(self, group: int) -> list[int]:
        """The group and those above it, the top one first."""
        above = [int(number) for number in self["ancestors"][group] if number >= 0]
        return [*reversed(above), group]

    def lines(self, groups: Ints) -> NDArray[np.int32]:
        """int32[n, 8]: the lineage of each of the groups int64[n], then -1."""
        above = self["ancestors"][groups]
        depth = (above >= 0).sum(axis=1)
        back = depth[:, None] - 1 - np.arange(MAX_DEPTH)
        lines: NDArray[np.int32] = np.where(back >= 0, np.take_along_axis(above, np.maximum(back, 0), axis=1), -1)
        lines[np.arange(len(groups)), depth] = groups
        return lines

    def _add(self, path: str, parent: int) -> int:
        ancestors = np.full(MAX_DEPTH, -1, dtype=np.int32)
        if parent >= 0:
            ancestors[0] = parent
            ancestors[1:] = self["ancestors"][parent][:-1]
        number = int(self._table.add(1, parent=parent, ancestors=ancestors, weight=1, limit=UNLIMITED)[0])
        if number == len(self.paths):
            self.paths.append("")
        self.paths[number] = path
        self._numbers[path] = number
        return number


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment][:MAX_DEPTH]
