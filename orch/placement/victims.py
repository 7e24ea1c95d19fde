"""Preemption: rows that fit nowhere take the place of pods of lower priority; which ones is worked out in columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch import _victims as kernel
from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt8
from orch.placement.commit import Books, by_agent
from orch.placement.reason import Reason


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pods that may have to give way, V rows.

    agent, priority, group int32[V] (group: a row of the books); age int64[V]: of equal priority the lowest goes first;
    request int32[V, R].
    """

    agent: Int32
    priority: Int32
    age: Int64
    request: Int32
    group: Int32


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """agent int32[k]: where each row lies then, -1: nowhere. verdict uint8[k] of `Reason`, 0 = it has a place.

    taken int32[V]: the row for which each candidate gives way, -1: it stays.
    """

    agent: Int32
    verdict: UInt8
    taken: Int32


def take_places(
    books: Books, debt: Any, guarantee: Any, candidates: Candidates, agent: Any, shape: Any, requests: Any,
    priority: Any, group: Any, gang: Any = None,
) -> Places:  # fmt: skip
    """Find a place for each row, one after the other, and who gives way for it. The books are not changed.

    books: group_used without what is being stopped already. debt int32[N, R]: what agents owe beyond what is free, less
    what they get back of that (below 0: so much more than `free` there will be).
    guarantee int64[G, R]: below it no group is brought by a row of another group; above that row's own group it does
    not bind, as there only the priorities count.
    agent int32[k]: -1: any usable one. shape int32[k]: rows of requests int32[S, R]. priority int32[k]. group int32[k].
    gang int32[k]: -1 = none; rows of one gang get places all or none.
    A candidate gives way only to a higher priority. Of all agents that one is taken whose victims' highest priority is
    the lowest, then the one with the fewest victims, then the lowest row; on it the fewest, and of several such sets
    the first in the order of the candidates (priority, age, row). An agent where it fits without victims comes first.
    Within the limits of its group and those above; where they bind, victims within that group make room.
    Exact for agents with up to eight candidates, and mostly for others: where 256 steps do not settle whether so many
    are enough, those that give most go first, and then those that were not needed stay. Raises ShapeError.
    """
    _, usable, _, ancestors, limit = books.checked()
    agents, dims = books.free.shape
    owed = columns.column("debt", debt, np.int32, agents, dims)
    sure = columns.column("guarantee", guarantee, np.int64, len(ancestors), dims)
    wide = columns.requests(requests, dims)
    where = columns.column("agent", agent, np.int32, None).copy()
    rows = len(where)
    what = columns.column("shape", shape, np.int32, rows)
    who = columns.column("group", group, np.int32, rows)
    for name, values, most, things in (("shape", what, len(wide), "shapes"), ("group", who, len(sure), "groups")):
        columns.at_least(name, values, 0)
        columns.below(name, values, most, things)
    which = np.full(rows, -1, np.int32) if gang is None else columns.column("gang", gang, np.int32, rows)
    columns.at_least("gang", which, -1)
    if rows and int(which.max()) >= rows:
        numbers = np.unique(which[which >= 0])
        which = np.where(which < 0, -1, np.searchsorted(numbers, which)).astype(np.int32)
    verdict = np.zeros(rows, np.uint8)
    verdict[(where < -1) | (where >= agents)] = Reason.UNKNOWN_AGENT
    named = (where >= 0) & (where < agents)
    verdict[named] = np.where(usable[where[named]] == 1, 0, Reason.NOT_USABLE)
    stage = _stage(books, usable, ancestors, limit, owed, sure, candidates)
    taken = kernel.take_places(
        stage, where, what, wide, columns.column("priority", priority, np.int32, rows), who, which, verdict,
        Reason.NO_VICTIMS, Reason.GANG,
    )  # fmt: skip
    return Places(np.where(verdict == 0, where, np.int32(-1)), verdict, taken)


def _stage(
    books: Books, usable: UInt8, ancestors: Int32, limit: Int64, debt: Int32, guarantee: Int64, candidates: Candidates
) -> kernel.Stage:
    agents, dims = books.free.shape
    lies = columns.column("candidates.agent", candidates.agent, np.int32, None)
    many = len(lies)
    columns.at_least("candidates.agent", lies, 0)
    row, start = by_agent(lies, agents)
    group = columns.column("candidates.group", candidates.group, np.int32, many)
    columns.at_least("candidates.group", group, 0)
    columns.below("candidates.group", group, len(ancestors), "groups")
    return kernel.Stage(
        books.free.astype(np.int64) - debt, usable, start, row,
        columns.column("candidates.priority", candidates.priority, np.int32, many),
        columns.column("candidates.age", candidates.age, np.int64, many),
        columns.column("candidates.request", candidates.request, np.int32, many, dims),
        group, ancestors, books.group_used.copy(), guarantee, limit,
    )  # fmt: skip
