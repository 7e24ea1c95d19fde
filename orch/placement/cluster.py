"""The index over the agents' free columns that pods are matched against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from orch import _placement as kernel
from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt8
from orch.placement.demand import POLICIES, Demand
from orch.placement.errors import ShapeError
from orch.placement.match import Match
from orch.placement.rules import Rules
from orch.placement.shapes import Shapes
from orch.placement.why import Why, why_of

Policy = Literal["best-fit", "first-fit", "spread"]
DRAINING = 2
"""A state in `usable`: the agent keeps what it runs, and takes no more."""
_NONE = np.empty((0, columns.LANES), np.int32)


class Cluster:
    """A private copy of the agents' columns, charged with what its own matches placed. Derived: never snapshotted.

    Rows are agents. A row whose total is all 0 holds no agent (a tombstone, free to be used again). Answers equal those
    of a fresh build over the same columns. Not for use by two threads at once.
    """

    def __init__(self, free: Any, total: Any, usable: Any) -> None:
        """free, total: int32[N, R] (R from 4 to 8), 0 <= free <= total.
        usable: uint8[N], 0 = drained or unreachable, 1 = usable, DRAINING (2) = keeps what it runs, takes no more.

        Raises ShapeError where dimensions differ or a value is out of range.
        """
        whole = columns.column("total", total, np.int32, None, None)
        self.dims = whole.shape[1]
        columns.resources(self.dims)
        self._index = kernel.Index(self.dims)
        self.update(np.arange(len(whole), dtype=np.int32), free, usable, whole)

    def __len__(self) -> int:
        """Rows, tombstones among them."""
        return self._index.rows

    def update(self, rows: Any, free: Any, usable: Any, total: Any = None) -> None:
        """What the master says of agents: replaces their columns, and forgets what matches charged to them.

        rows: int32[k]; a row past the end adds agents. free: int32[k, R]. usable: uint8[k].
        total: int32[k, R]; without it the totals stay as they are. Raises ShapeError, and then nothing has changed.
        """
        row = columns.column("rows", rows, np.int32, None)
        columns.at_least("rows", row, 0)
        give = columns.column("free", free, np.int32, len(row), self.dims)
        can = columns.column("usable", usable, np.uint8, len(row))
        columns.at_least("free", give, 0)
        columns.below("usable", can, DRAINING + 1, "states")
        if total is None:
            columns.below("rows", row, len(self), "agents; a new one needs its total")
            whole, limit = _NONE[:, : self.dims], self._index.totals(row)
        else:
            whole = limit = columns.column("total", total, np.int32, len(row), self.dims)
        if np.any(give > limit):
            bad = int(np.flatnonzero((give > limit).any(axis=1))[0])
            raise ShapeError(
                f"agent {row[bad]} has {give[bad].tolist()} free of {limit[bad].tolist()}: free is at most total"
            )
        if len(row):
            self._index.grow(int(row.max()) + 1)
            self._index.put(row, give, np.ascontiguousarray(whole), can)

    def remove(self, rows: Any) -> None:
        """Agents that are gone: their rows become tombstones. rows: int32[k]."""
        row = columns.column("rows", rows, np.int32, None)
        columns.below("rows", row, len(self), "agents")
        nothing = np.zeros((len(row), self.dims), np.int32)
        self.update(row, nothing, np.zeros(len(row), np.uint8), nothing)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the kernel's index takes, its copies of the columns included."""
        return self._index.nbytes

    def free_of(self, rows: Any) -> Int32:
        """int32[k, R]: what matches see as free on some agents. rows: int32[k]. Raises ShapeError."""
        row = columns.column("rows", rows, np.int32, None)
        columns.at_least("rows", row, 0)
        columns.below("rows", row, len(self), "agents")
        free: Int32 = self._index.frees(row)
        return free

    def columns(self) -> tuple[Int32, Int32, UInt8]:
        """Copies of (free int32[N, R], total int32[N, R], usable uint8[N]) as matches see them now."""
        free, total, state = self._index.columns()
        return free, total, np.where(state == 0, 0, state - 1).astype(np.uint8)

    def match(
        self,
        shapes: Any,
        demand: Demand,
        allowed: Any = None,
        policy: Policy = "best-fit",
        headroom: Any = None,
        rules: Rules | None = None,
        held: tuple[Any, Any] | None = None,
    ) -> Match:
        """Place a demand, and charge what was placed here until `update` or `rollback`.

        shapes: a `Shapes`, or int32[S, R].  allowed: uint8[K, N], 0 = a constraint says no; row s for shape s of an
        array, row `selector` for a `Shapes` (selector 0: any agent, its row is not read).
        policy: of rows for which the demand names none; see `POLICIES`.
        headroom: int64[R], what may be placed in all; None = no limit.
        rules: of these shapes; its counters count what is placed here until `rollback`.
        held: (rows int32[k], distinct; amounts int32[k, R]), set aside for others during this match; O(k).
        Raises ShapeError. Best fit: O(N) a demand row at worst, and O(1) a pod.
        """
        requests, selectors = (shapes.requests, shapes.selectors) if isinstance(shapes, Shapes) else (shapes, None)
        request = columns.requests(requests, self.dims)
        columns.below("demand.shape", demand.shape, len(request), "shapes")
        if policy not in POLICIES:
            raise ShapeError(f"policy is {policy!r}, and must be one of {', '.join(POLICIES)}")
        policies = np.full(len(demand), POLICIES[policy], np.uint8) if demand.policy is None else demand.policy
        mask, mask_row = self._masks(allowed, selectors, len(request))
        limit = None
        if headroom is not None:
            limit = np.zeros(columns.LANES, np.int64)
            limit[: self.dims] = columns.column("headroom", headroom, np.int64, self.dims)
        wide = columns.padded(request)
        agent = np.empty(demand.pods, np.int32)
        placed = np.zeros(len(demand), np.int64)
        why = np.empty((len(demand), kernel.WHY_WIDTH), np.int32)
        sequence = self._index.sequence(demand.shape, demand.priority, wide)
        table = None if rules is None else rules.table(len(request), len(self), demand.pods)
        with self._holding(held) as (held_rows, taken):
            whys = self._index.match(
                sequence, demand.shape, demand.count, demand.gang, demand.offset, wide, mask_row, mask,
                policies, limit, agent, placed, why, table, held_rows, taken,
            )  # fmt: skip
        why = why[np.argsort(why[:whys, kernel.WHY_ROW], kind="stable")]
        return Match(demand, wide, self.dims, agent, placed, why, self._index.clock, rules)

    def assign(
        self,
        shapes: Any,
        shape: Any,
        allowed: Any = None,
        policy: Policy = "best-fit",
        headroom: Any = None,
        rules: Rules | None = None,
        held: tuple[Any, Any] | None = None,
    ) -> tuple[Int32, Match]:
        """Place one pod for each shape id: (agent int32[P] in the pods' own order, the match of a row a shape).

        shape: int32[P], ids within `shapes`. Larger shapes go first; of pods of one shape those that come first here.
        All else as in `match`. Raises ShapeError.
        """
        ids = columns.column("shape", shape, np.int32, None)
        count = len(shapes)
        pods = kernel.count(ids, count)
        if pods is None:
            columns.at_least("shape", ids, 0)
            columns.below("shape", ids, count, "shapes")
            raise AssertionError("an id was out of range, and is not")
        rows = Demand.of(np.arange(count, dtype=np.int32), pods)
        match = self.match(shapes, rows, allowed, policy, headroom, rules, held)
        agent = np.empty(len(ids), np.int32)
        kernel.deal(ids, match.demand.offset, match.agent, agent)
        return agent, match

    def order(self, requests: Any, demand: Demand) -> Int64:
        """int64[D]: the demand's rows in the order in which `match` tries them. requests: int32[S, R]."""
        wide = columns.padded(columns.requests(requests, self.dims))
        rows: Int64 = self._index.sequence(demand.shape, demand.priority, wide)
        return rows

    def rollback(self, match: Match) -> None:
        """Give back what a match placed, except on agents that an `update` has told of since. Once per match.

        The counters of its rules forget all of it.

        Raises ShapeError for a match that was rolled back before.
        """
        if match.rolled_back:
            raise ShapeError("this match was rolled back before")
        match.rolled_back = True
        demand = match.demand
        self._index.give_back(match.agent, demand.offset, match.placed, demand.shape, match.requests, match.clock)
        if match.rules is not None:
            match.rules.uncount(demand.shape, match.agent, demand.offset, match.placed)

    def explain(
        self,
        request: Any,
        allowed: Any = None,
        gang: int = 1,
        rules: Rules | None = None,
        shape: int = 0,
        held: tuple[Any, Any] | None = None,
    ) -> Why:
        """Why a pod (or gang) of this request does not fit now, or that it does (`Reason.PLACED`). O(N).

        request: int32[R].  allowed: uint8[N], 0 = a constraint says no.  rules: those of `shape` are asked.
        held: as in `match`.  Raises ShapeError.
        """
        row = columns.column("request", request, np.int32, self.dims)
        columns.at_least("request", row, 0)
        mask = None if allowed is None else columns.column("allowed", allowed, np.uint8, len(self))
        why = np.empty(kernel.WHY_WIDTH, np.int32)
        table = None if rules is None else rules.table(None, len(self), max(gang, 1), shape)
        with self._holding(held) as (held_rows, taken):
            request_row = columns.padded(row[None, :])[0]
            self._index.explain(request_row, mask, max(gang, 1), why, table, shape, held_rows, taken)
        return why_of(why, row, gang, () if rules is None else rules.names(shape))

    @contextmanager
    def _holding(self, held: tuple[Any, Any] | None) -> Iterator[tuple[Int32 | None, Int32 | None]]:
        """Sets amounts aside, and gives them back whatever happens: (rows ascending, what was there to take)."""
        if held is None:
            yield None, None
            return
        rows = columns.column("held rows", held[0], np.int32, None)
        amounts = columns.column("held amounts", held[1], np.int32, len(rows), self.dims)
        columns.at_least("held rows", rows, 0)
        columns.below("held rows", rows, len(self), "agents")
        columns.at_least("held amounts", amounts, 0)
        turn = np.argsort(rows, kind="stable")
        rows = rows[turn]
        if (rows[1:] == rows[:-1]).any():
            raise ShapeError("held names an agent twice: add up what is set aside on it")
        taken = self._index.hold(rows, columns.padded(amounts[turn]), 1)
        try:
            yield rows, taken
        finally:
            self._index.hold(rows, taken, -1)

    def _masks(self, allowed: Any, selectors: Int32 | None, shapes: int) -> tuple[UInt8, Int32]:
        """(allowed uint8[K, N], for each shape its row in it or -1)."""
        if allowed is None:
            if selectors is not None and selectors.any():
                raise ShapeError("shapes have selectors, but no allowed agents were given")
            return np.empty((0, len(self)), np.uint8), np.full(shapes, -1, np.int32)
        if selectors is None:
            return columns.column("allowed", allowed, np.uint8, shapes, len(self)), np.arange(shapes, dtype=np.int32)
        mask = columns.column("allowed", allowed, np.uint8, None, len(self))
        columns.below("selector", selectors, len(mask), "rows of allowed")
        return mask, np.where(selectors == 0, np.int32(-1), selectors)


def explain(
    request: Any, free: Any, total: Any, usable: Any, allowed: Any = None, gang: int = 1, rules: Rules | None = None,
    held: tuple[Any, Any] | None = None,
) -> Why:  # fmt: skip
    """`Cluster.explain` over columns, for a single question; rules: those of shape 0. See `Cluster` for the rest."""
    return Cluster(free, total, usable).explain(request, allowed, gang, rules, held=held)
