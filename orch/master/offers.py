"""The cycle: who is shown what is free, in which order, and how much of it each may take.

Frameworks in this process are asked one after the other, so that each sees what the last one took; one elsewhere is
asked at its turn and not waited for. A round asks everybody once. While groups contend, another one follows: shares
were cut in favour of groups that could not use theirs. Then all is quiet until something is freed, or somebody wants
something else.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator import Wanted, headroom
from orch.master.frameworks import Framework
from orch.model.columns import distinct
from orch.model.messages import OfferBatch

if TYPE_CHECKING:
    from orch.master.master import Master

I64 = NDArray[np.int64]

MAX_ROUNDS = 64
"""Of one cycle; what is left then waits for the next change."""
MAX_PASSES = 16
"""Offers a framework may leave unused without time going on; then it has a rest."""
REST_MS = 1_000
"""How long it rests. Who does not answer at all rests as long as it had the offer."""


class Offers:
    """The state of the cycle; all of it is of this master only."""

    def __init__(self, offer_ms: int) -> None:
        self.offer_ms = offer_ms
        self.dirty = False
        """Something was freed or wanted since the last cycle began."""
        self._again = False
        self._rounds = 0
        self._contended = False
        self._turns: deque[tuple[Framework, list[int]]] = deque()
        self._headroom: dict[int, I64] = {}
        self._used: dict[int, I64] = {}
        self._asked: dict[str, list[int]] = {}
        """Groups of the outstanding offer, by framework."""
        self._stuck: dict[tuple[str, int], bool] = {}
        """(framework, group) that took nothing in this cycle."""
        self._waiting: Framework | None = None
        self._paused = False
        """A framework had enough for one event: the next tick goes on."""

    def run(self, m: Master, now_ms: int) -> None:
        """Go on with the cycle as far as it goes without an answer."""
        while self._waiting is None and not self._paused:
            if not self._turns and not self._begin(m, now_ms):
                return
            framework, groups = self._turns.popleft()
            if framework.deadline_ms is not None:
                framework.missed = True
            elif framework.wants():
                self._offer(m, now_ms, framework, groups)

    def answered(self, now_ms: int, framework: Framework, groups: I64) -> None:
        """A framework's offer is over; `groups`: those of the pods that were launched of it."""
        asked = self._asked.pop(framework.name, None)
        if asked is None:
            return
        framework.deadline_ms = None
        if framework.missed:
            framework.missed, self.dirty = False, True
        if framework is self._waiting:
            self._waiting = None
        took = distinct(groups).tolist()
        for group in asked:
            if group not in took:
                self._stuck[framework.name, group] = True
        framework.passes = 0 if took else framework.passes + 1
        if framework.passes == MAX_PASSES:
            framework.passes, framework.rests_until_ms = 0, now_ms + REST_MS
        self._again = self._contended

    def pause(self, m: Master, now_ms: int) -> None:
        """Go on with a new cycle in an event of its own, as soon as others had their turn."""
        self._paused = True
        m.wake_by(now_ms)

    def resume(self) -> None:
        """The tick after a pause."""
        if self._paused:
            self._paused, self.dirty = False, True

    def expire(self, m: Master, now_ms: int) -> None:
        """Offers whose time is up are over; refusals end; who had a rest is asked again."""
        for framework in m.frameworks.by_name.values():
            if framework.deadline_ms is not None and framework.deadline_ms <= now_ms:
                m.story_book.note(now_ms, "offer timed out", framework.name)
                self.answered(now_ms, framework, np.zeros(0, dtype=np.int64))
                framework.rests_until_ms = now_ms + self.offer_ms
                self.dirty = True
            if len(framework.refused_until) and np.all(framework.refused_until <= now_ms):
                framework.refused_until = np.zeros(0, dtype=np.int64)
                framework.offered_version = 0
                self.dirty = True
            if 0 < framework.rests_until_ms <= now_ms:
                framework.rests_until_ms = 0
                self.dirty = True

    def deadlines(self, m: Master) -> list[int]:
        """When something of this is due: the end of offers, refusals and rests."""
        times = []
        for framework in m.frameworks.by_name.values():
            times += [] if framework.deadline_ms is None else [framework.deadline_ms]
            times += [int(framework.refused_until.max())] if len(framework.refused_until) else []
            times += [framework.rests_until_ms] if framework.rests_until_ms else []
        return times

    def groups(self) -> list[int]:
        """Numbers of groups that the cycle refers to."""
        lists = [*self._asked.values(), *(groups for _, groups in self._turns)]
        return sorted({group for groups in lists for group in groups})

    def _begin(self, m: Master, now_ms: int) -> bool:
        """Plan a round; whether there is anybody to ask."""
        if self.dirty:
            self._stuck.clear()
            self._rounds = 0
        elif not self._again or self._rounds == MAX_ROUNDS:
            return False
        self.dirty = self._again = False
        self._rounds += 1
        asked = [f for f in m.frameworks.by_name.values() if f.wants() and not self._rests(m, f)]
        if not asked:
            return False
        usable = m.agents["usable"] == 1
        capacity = m.agents["free"].sum(axis=0, dtype=np.int64, where=usable[:, None])
        wanted, whose = self._wanted(asked)
        order, room = headroom(m.tree, wanted, capacity, m.ledger.total)
        self._contended = len(np.unique(wanted.group)) > 1
        self._headroom = dict(zip(order, room, strict=True))
        self._used = {group: m.tree["used"][group].copy() for group in order}
        turns: dict[str, list[int]] = {}
        for group in order:
            for name in whose[group]:
                turns.setdefault(name, []).append(group)
        self._turns.extend((m.frameworks.by_name[name], groups) for name, groups in turns.items())
        return bool(self._turns)

    def _rests(self, m: Master, framework: Framework) -> bool:
        if framework.rests_until_ms:
            m.wake_by(framework.rests_until_ms)
        return framework.rests_until_ms > 0

    def _wanted(self, asked: list[Framework]) -> tuple[Wanted, dict[int, list[str]]]:
        """All that is wanted by who is not stuck, and by group the names of those who want it."""
        if len(asked) == 1 and not self._stuck:
            only = asked[0]
            return only.wanted, {group: [only.name] for group in np.unique(only.wanted.group).tolist()}
        parts: list[Wanted] = []
        whose: dict[int, list[str]] = {}
        for framework in asked:
            wanted = framework.wanted
            groups = np.unique(wanted.group[wanted.counts > 0])
            open_groups = [group for group in groups.tolist() if (framework.name, group) not in self._stuck]
            for group in open_groups:
                whose.setdefault(group, []).append(framework.name)
            rows = np.isin(wanted.group, open_groups)
            parts.append(Wanted(wanted.group[rows], wanted.requests[rows], wanted.counts[rows], wanted.gangs[rows]))
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Wanted.__slots__}
        return Wanted(**joined), whose

    def _offer(self, m: Master, now_ms: int, framework: Framework, groups: list[int]) -> None:
        agents = m.agents
        room = np.stack([self._headroom[g] - np.maximum(m.tree["used"][g] - self._used[g], 0) for g in groups])
        usable = agents["usable"]
        refuses = framework.refuses(now_ms, agents.table.length)
        if refuses is not None:
            usable = usable * ~refuses
        full = framework.offered_version == 0 or refuses is not None
        since = 0 if full else framework.offered_version
        batch = OfferBatch(
            generation=agents.generation,
            full=full,
            changed=np.flatnonzero(agents["version"] > since).astype(np.int32),
            free=_shown(agents["free"], framework),
            total=_shown(agents["total"], framework),
            usable=_shown(usable, framework),
            sessions=_shown(agents["session"], framework),
            attributes=agents.attributes if framework.hosted else list(agents.attributes),
            names=agents.names if framework.hosted else list(agents.names),
            groups=[m.tree.paths[group] for group in groups],
            headroom=np.maximum(room, 0),
        )
        if now_ms > framework.offered_ms:
            framework.passes = 0
        framework.offered_version = max(agents.generation, 1)
        framework.offered_ms = now_ms
        framework.deadline_ms = now_ms + self.offer_ms
        m.wake_by(framework.deadline_ms)
        self._asked[framework.name] = groups
        if framework.hosted:
            self._waiting = framework
        m.send(framework.address, batch)


def _shown(column: NDArray[Any], framework: Framework) -> NDArray[Any]:
    """The master's own column, read-only; or a copy for who reads it later."""
    if not framework.hosted:
        return column.copy()
    view = column.view()
    view.setflags(write=False)
    return view
