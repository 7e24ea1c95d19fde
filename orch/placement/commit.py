"""The commit: accepted rows against the master's own books, one after the other, in compiled code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch import _placement as kernel
from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Books:
    """The master's columns that a commit reads and changes. `free` and `group_used` are changed in place.

    free, total: int32[N, R], 0 <= free <= total.  usable: uint8[N].  session: int64[N], the agents' present sessions.
    ancestors: int32[G, A], the groups above each group, -1 after the last (the group itself may be among them).
    group_used, group_limit: int64[G, R]; a limit of -1 is none. What a group uses counts for all its ancestors.
    """

    free: Int32
    total: Int32
    usable: UInt8
    session: Int64
    ancestors: Int32
    group_used: Int64
    group_limit: Int64

    def checked(self) -> tuple[Int32, UInt8, Int64, Int32, Int64]:
        """(total, usable, session, ancestors, group_limit), contiguous. Raises ShapeError where dimensions differ."""
        agents, dims = self.free.shape if self.free.ndim == 2 else (0, 0)
        columns.resources(dims)
        columns.writable("free", self.free, np.int32, agents, dims)
        groups = len(self.ancestors)
        columns.writable("group_used", self.group_used, np.int64, groups, dims)
        above = columns.column("ancestors", self.ancestors, np.int32, groups, None)
        columns.below("ancestors", above, groups, "groups")
        return (
            columns.column("total", self.total, np.int32, agents, dims),
            columns.column("usable", self.usable, np.uint8, agents),
            columns.column("session", self.session, np.int64, agents),
            above,
            columns.column("group_limit", self.group_limit, np.int64, groups, dims),
        )


def commit(
    books: Books, agent: Any, shape: Any, requests: Any, session: Any, gang: Any = None, group: Any = None
) -> UInt8:
    """Charge accepted rows to the books, in row order; returns the verdict uint8[k] of `Reason`, 0 = committed.

    agent: int32[k].  shape: int32[k], rows of requests int32[S, R].
    session: int64[k], the agent's session when it was offered.
    gang: int32[k], -1 = none; rows of one gang are committed all or none.  group: int32[k], who pays, -1 = none.
    A row is checked for UNKNOWN_AGENT, STALE_SESSION, NOT_USABLE, TOO_FEW_x, QUOTA, in this order. When a row of a gang
    fails, the gang's rows before it are undone and get GANG, and so do those after it that would have passed.
    Raises ShapeError, and then nothing has changed. O(k (R + ancestors)).
    """
    total, usable, current, ancestors, limit = books.checked()
    del total
    where, what, request, who = _rows(books, agent, shape, requests, group)
    k = len(where)
    which = np.full(k, -1, np.int32) if gang is None else columns.column("gang", gang, np.int32, k)
    columns.at_least("gang", which, -1)
    if k and int(which.max()) >= k:  # gang numbers are small for the kernel's tables
        numbers = np.unique(which[which >= 0])
        which = np.where(which < 0, -1, np.searchsorted(numbers, which)).astype(np.int32)
    verdict = np.zeros(k, np.uint8)
    kernel.commit(
        where, what, request, columns.column("session", session, np.int64, k), which, who,
        books.free, usable, current, ancestors, books.group_used, limit, verdict,
    )  # fmt: skip
    return verdict


def release(books: Books, agent: Any, shape: Any, requests: Any, group: Any = None) -> None:
    """Give back what rows hold: the reverse of `commit`, with the same columns. Rows with agent -1 hold nothing.

    An agent whose total shrank may have less than nothing free: it is paid back as any other.
    Raises ShapeError for bad columns; AssertionError where a row gives back more than was taken (an agent would have
    more free than its total, or a group use less than nothing). In both cases nothing has changed.
    """
    total, _, _, ancestors, _ = books.checked()
    where, what, request, who = _rows(books, agent, shape, requests, group)
    columns.below("agent", where, len(books.free), "agents")
    bad = kernel.release(where, what, request, who, books.free, total, ancestors, books.group_used)
    assert bad < 0, f"row {bad} gives back {request[what[bad]].tolist()} to agent {where[bad]}, which did not hold it"


def _rows(books: Books, agent: Any, shape: Any, requests: Any, group: Any) -> tuple[Int32, Int32, Int32, Int32]:
    where = columns.column("agent", agent, np.int32, None)
    k = len(where)
    request = columns.requests(requests, books.free.shape[1])
    what = columns.column("shape", shape, np.int32, k)
    columns.at_least("shape", what, 0)
    columns.below("shape", what, len(request), "shapes")
    who = np.full(k, -1, np.int32) if group is None else columns.column("group", group, np.int32, k)
    columns.below("group", who, len(books.ancestors), "groups")
    return where, what, request, who


def by_agent(agent: Any, agents: int) -> tuple[Int64, Int64]:
    """Rows by agent: (order int64[placed], start int64[agents + 1]). Agent a has order[start[a]:start[a + 1]].

    Ascending within an agent. agent: int32[P], -1 = left out. A counting sort: O(P + agents).
    Raises ShapeError for a row past the end.
    """
    where = columns.column("agent", agent, np.int32, None)
    columns.below("agent", where, agents, "agents")
    order, start = kernel.bucket(where, agents)
    return order, start
