"""Holds: what is free is set aside for a gang that does not fit yet, until it does; a group's oldest first.

Without one, small pods would take whatever becomes free for ever. Others are shown what is left; pods that declare how
long they run at most may use what is held, if they end before the gang could start at the earliest: by the declared
ends of what runs now. Holds are of this master only: a new one finds them anew. Frameworks elsewhere are not bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master.frameworks import Framework
from orch.model.facts_master import HoldsSeen
from orch.model.messages import EMPTY_I32, I32, I64
from orch.model.resources import R

if TYPE_CHECKING:
    from orch.master.master import Master

Waiting = dict[tuple[str, int], tuple[Framework, int]]
"""Gangs that wait: (framework, kind) -> the framework, and the row of its demand."""
NEVER_MS = 1 << 62
"""When a gang could start, if nothing that runs says when it ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """For one gang of `size` pods that ask for int32[R] each, of a framework's demand (`kind`) in a group (a number).

    agents int32[h], pods int32[h]: so many of its pods have room there. until_ms: it could start then, at the earliest.
    """

    framework: str
    group: int
    kind: int
    size: int
    request: I32
    priority: int
    since_ms: int
    agents: I32
    pods: I32
    until_ms: int

    @property
    def complete(self) -> bool:
        """Whether all of the gang has room."""
        return int(self.pods.sum()) >= self.size


class Holds:
    """All holds, the oldest first; and since when each gang that waits does."""

    def __init__(self) -> None:
        self.all: list[Hold] = []
        self.seen = HoldsSeen([], EMPTY_I32, np.empty((0, R), dtype=np.int32))
        """What followers are shown."""
        self._since: dict[tuple[str, int], int] = {}
        self._vain: dict[tuple[str, int], bool] = {}
        """Gangs that were offered all that was held for them, and took nothing: something else is in their way."""

    def amounts(self, agents: int) -> I32:
        """int32[N, R]: what is held on each agent."""
        held = np.zeros((agents, R), dtype=np.int32)
        for hold in self.all:
            held[hold.agents] += hold.pods[:, None] * hold.request
        return held

    def in_vain(self, hold: Hold) -> None:
        """It took nothing of what was held for it."""
        self._vain[hold.framework, hold.kind] = True
        self.all = [one for one in self.all if (one.framework, one.kind) != (hold.framework, hold.kind)]

    def refresh(self, m: Master, now_ms: int, new: bool) -> None:
        """Hold for those that still wait, what is free now. new: all that is wanted was offered all else: it waits.

        Nothing is held against pods of a higher priority: while some are wanted, only for gangs of the highest.
        """
        waiting = _waiting(m)
        if not waiting and not self.seen.holds:  # as it mostly is: nothing of what follows grows with the agents
            self.all, self._since, self._vain = [], {}, {}
            return
        self._vain = {key: True for key in self._vain if key in waiting}
        since = self._since or self._seen_since(m, waiting)
        self._since = {
            key: since.get(key, now_ms) for key in waiting if (new or key in since) and key not in self._vain
        }
        free = np.where(m.agents["usable"][:, None] == 1, m.agents["free"], 0).astype(np.int64)
        self.all = []
        taken: dict[int, bool] = {}
        highest = max((top for one in m.frameworks.by_name.values() if (top := one.highest()) is not None), default=0)
        for key, since_ms in sorted(self._since.items(), key=lambda item: item[1]):
            framework, row = waiting[key]
            group = int(framework.wanted.group[row])
            if group not in taken and int(framework.priorities[row]) >= highest:
                hold = _hold(m, now_ms, framework, row, since_ms, free)
                if hold is not None:
                    taken[group] = True
                    free[hold.agents] -= hold.pods[:, None] * hold.request.astype(np.int64)
                    self.all.append(hold)
        self._publish(m)

    def _seen_since(self, m: Master, waiting: Waiting) -> dict[tuple[str, int], int]:
        """Since when those wait for which something was held, of machines that go on from a follower's image."""
        shown = {_identity(hold): hold["since_ms"] for hold in self.seen.holds}
        found = {}
        for key, (framework, row) in waiting.items():
            wanted = framework.wanted
            identity = (
                framework.name, m.tree.paths[wanted.group[row]], tuple(wanted.requests[row].tolist()),
                int(wanted.gangs[row]), int(framework.priorities[row]),
            )  # fmt: skip
            if identity in shown:
                found[key] = shown[identity]
        return found

    def _publish(self, m: Master) -> None:
        held = self.amounts(m.agents.table.length)
        rows = np.flatnonzero(held.any(axis=1)).astype(np.int32)
        fact = HoldsSeen([_shown(m, hold) for hold in self.all], rows, held[rows])
        same = fact.holds == self.seen.holds and np.array_equal(fact.agents, self.seen.agents)
        if not (same and np.array_equal(fact.amounts, self.seen.amounts)):
            m.publish(fact)

    def snapshot(self) -> list[Any]:
        """What followers are shown."""
        return [self.seen.holds, self.seen.agents, self.seen.amounts]

    def restore(self, image: list[Any]) -> None:
        """Become a follower's snapshot."""
        self.seen = HoldsSeen(*image)


def seen(m: Master, fact: HoldsSeen) -> None:
    """What is held now."""
    m.holds.seen = fact


def _waiting(m: Master) -> Waiting:
    """Gangs that are wanted by frameworks in this process: (name, kind) -> (framework, row of its demand)."""
    found: dict[tuple[str, int], tuple[Framework, int]] = {}
    for framework in m.frameworks.by_name.values():
        if framework.hosted and framework.wants():
            rows = np.flatnonzero((framework.wanted.gangs > 1) & (framework.wanted.counts > 0))
            for row in rows.tolist():
                found.setdefault((framework.name, int(framework.kinds[row])), (framework, row))
    return found


def _hold(m: Master, now_ms: int, framework: Framework, row: int, since_ms: int, free: I64) -> Hold | None:
    """What of `free` int64[N, R] one gang gets; None where its quota, or the size of the agents, is in its way."""
    wanted = framework.wanted
    request, size, group = wanted.requests[row], int(wanted.gangs[row]), int(wanted.group[row])
    usable = m.agents["usable"] == 1
    ever = times(m.agents["total"].astype(np.int64), request)[usable].sum()
    room = m.tree.room()
    if ever < size or any((request * size > room[above]).any() for above in m.tree.lineage(group)):
        return None
    pods = times(free, request)
    before = np.cumsum(pods) - pods
    pods = np.clip(size - before, 0, pods)
    agents = np.flatnonzero(pods).astype(np.int32)
    until_ms = now_ms if pods.sum() >= size else _earliest(m, now_ms, request, size, free)
    return Hold(
        framework.name, group, int(framework.kinds[row]), size, request.astype(np.int32),
        int(framework.priorities[row]), since_ms, agents, pods[agents].astype(np.int32), until_ms,
    )  # fmt: skip


def times(free: I64, request: I64) -> I64:
    """int64[N]: how many pods of a request each row of int64[N, R] holds; one that asks for nothing fits often."""
    asked = request > 0
    if not asked.any():
        return np.full(len(free), 1 << 30, dtype=np.int64)
    found: I64 = (free[:, asked] // request[asked]).min(axis=1)
    return found


def _earliest(m: Master, now_ms: int, request: I64, size: int, free: I64) -> int:
    """When so many pods have room at the latest, by the declared ends of what runs; NEVER_MS where those do not do."""
    table = m.instances
    rows = m.instances.holding()
    rows = rows[(table["limit_ms"][rows] > 0) & (m.agents["usable"][table["agent"][rows]] == 1)]
    started = table["started_ms"][rows]
    ends = np.where(started > 0, started, now_ms) + table["limit_ms"][rows]
    order = np.argsort(ends, kind="stable")
    rows, ends = rows[order], ends[order]

    def room_after(count: int) -> bool:
        later = free.copy()
        np.add.at(later, table["agent"][rows[:count]], table["request"][rows[:count]])
        return bool(times(later, request).sum() >= size)

    if not room_after(len(rows)):
        return NEVER_MS
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if room_after(middle) else (middle + 1, high)
    return max(int(ends[low - 1]), now_ms) if low else now_ms


def within_ms(holds: list[Hold], now_ms: int) -> int:
    """How long a pod may run at most in what is held, so that no gang waits for it."""
    return min((hold.until_ms for hold in holds), default=now_ms) - now_ms


def rows_within(framework: Framework, most_ms: int, holds: list[Hold]) -> NDArray[np.bool_]:
    """bool[D]: rows of a demand that declare to run no longer, and for which nothing is held."""
    own = [hold.kind for hold in holds if hold.framework == framework.name]
    rows: NDArray[np.bool_] = (framework.durations > 0) & (framework.durations <= most_ms)
    rows &= (framework.wanted.counts > 0) & ~np.isin(framework.kinds, np.array(own, dtype=np.uint64))
    return rows


def _identity(shown: dict[str, Any]) -> tuple[Any, ...]:
    return shown["framework"], shown["group"], tuple(shown["request"]), shown["gang"], shown["priority"]


def _shown(m: Master, hold: Hold) -> dict[str, Any]:
    return {
        "framework": hold.framework,
        "group": m.tree.paths[hold.group],
        "request": hold.request.tolist(),
        "gang": hold.size,
        "priority": hold.priority,
        "since_ms": hold.since_ms,
        "pods": int(hold.pods.sum()),
        "agents": len(hold.agents),
        "until_ms": 0 if hold.until_ms == NEVER_MS else hold.until_ms,
    }
