"""Preemption: pods that fit nowhere take the place of pods of lower priority, and start once those are gone.

Such a pod is launched at once as far as the books go: it is STAGING, and its agent owes what it does not have. So
nobody else can take what becomes free there. It is *held*: its agent is not told of it before the debt is paid. Then
its framework is asked for its payload, as if the agent had lost it. Whatever ends a held pod ends its hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master import links, reconcile, reports
from orch.master.frameworks import Framework
from orch.master.instances import launch_of
from orch.model.facts_master import Preempted, Unheld
from orch.model.messages import EMPTY_I64, I32, I64, Accept
from orch.model.reasons import Reason as Ended
from orch.model.resources import R
from orch.model.states import FIRST_TERMINAL, State
from orch.placement import Candidates, Places, Reason, take_places

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

BANDS = 8
"""Priorities of one offer from which on places may be taken: more are told as the next lower one of these."""
NOWHERE = -2
"""In a column of agents: on none, so that a gang with this row fails."""


class Preemptions:
    """Who waits for whom, by id. Kept: held int64[H], ascending; victims and by int64[V]: for whom each gave way."""

    def __init__(self) -> None:
        self.held: I64 = EMPTY_I64
        self.victims: I64 = EMPTY_I64
        self.by: I64 = EMPTY_I64
        self.moved = False
        """Something has ended since the held ones were last looked at. Of this master only."""

    def is_held(self, ids: I64) -> Bools:
        """bool[k]: which of these wait for others to go."""
        if len(self.held) == 0:
            return np.zeros(len(ids), dtype=bool)
        return np.isin(ids, self.held)

    def taker(self, number: int) -> int | None:
        """For whom a pod gave way, while it is known at all."""
        at = int(np.searchsorted(self.victims, number))
        return int(self.by[at]) if at < len(self.victims) and self.victims[at] == number else None

    def victims_of(self, number: int) -> I64:
        """int64[k]: who gave way for a pod."""
        found: I64 = self.victims[self.by == number]
        return found

    def over(self, ids: I64) -> None:
        """These have ended."""
        self.moved = True
        if len(self.held):
            self.held = self.held[~np.isin(self.held, ids)]

    def forget(self, ids: I64) -> None:
        """The rows of these go."""
        if len(self.victims):
            stay = ~np.isin(self.victims, ids)
            self.victims, self.by = self.victims[stay], self.by[stay]

    def snapshot(self) -> dict[str, Any]:
        """Everything that is kept."""
        return {"held": self.held, "victims": self.victims, "by": self.by}

    def restore(self, image: dict[str, Any]) -> None:
        """Become a snapshot."""
        self.held, self.victims, self.by = (np.array(image[name], dtype=np.int64) for name in ("held", "victims", "by"))


def preempted(m: Master, fact: Preempted) -> None:
    """Who waits, and for whom. That the others stop is a fact of its own."""
    kept = m.preemptions
    kept.held = np.sort(np.concatenate([kept.held, fact.held]), kind="stable")
    ids, by = np.concatenate([kept.victims, fact.ids]), np.concatenate([kept.by, fact.by])
    order = np.argsort(ids, kind="stable")
    kept.victims, kept.by = ids[order], by[order]


def unheld(m: Master, fact: Unheld) -> None:
    """These wait no more."""
    m.preemptions.held = np.setdiff1d(m.preemptions.held, fact.ids)


# ---- what could be freed -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """priorities int32[B], ascending; freeable int32[B, N, R]; by_group int64[G, R]: of the highest one."""

    priorities: I32
    freeable: I32
    by_group: I64

    @property
    def capacity(self) -> I64:
        """int64[R]: what the highest priority could free in all."""
        total: I64 = self.freeable[-1].sum(axis=0, dtype=np.int64)
        return total


def may_give_way(m: Master, priority: int) -> Rows:
    """Rows of what runs, is not being stopped, has a lower priority, and lies on an agent that is offered."""
    table = m.instances
    live = (table["framework"] > 0) & (table["state"] < FIRST_TERMINAL) & (table["stopping"] == 0)
    live &= table["priority"] < priority
    rows = np.flatnonzero(live)
    found: Rows = rows[m.agents["usable"][table["agent"][rows]] == 1]
    return found


def bands_of(m: Master, wanted: I64) -> Bands | None:
    """What pods of these priorities could free; None where that is nothing. wanted int64[k], in any order."""
    rows = may_give_way(m, int(wanted.max()))
    if len(rows) == 0:
        live = m.instances.holding()
        m.instances.lowest = int(m.instances["priority"][live].min()) if len(live) else None
        return None
    priority = m.instances["priority"][rows]
    chosen = np.unique(wanted[wanted > priority.min()])
    if len(chosen) > BANDS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, BANDS).astype(np.int64)]
    agents, requests = m.instances["agent"][rows], m.instances["request"][rows]
    count = m.agents.table.length
    freeable = np.zeros((len(chosen), count, R), dtype=np.int32)
    for band, least in enumerate(chosen.tolist()):
        below = priority < least
        for column in range(R):
            amounts = np.bincount(agents[below], requests[below, column], minlength=count)
            freeable[band, :, column] = np.minimum(amounts, np.iinfo(np.int32).max)
    return Bands(chosen.astype(np.int32), freeable, _by_group(m, rows))


def _by_group(m: Master, rows: Rows) -> I64:
    """int64[G, R]: what these rows hold, for each group and all above it. Zero where there are no quotas to compare."""
    held = np.zeros_like(m.tree["used"])
    if len(rows) and m.tree.has_quota:
        own = np.zeros_like(held)
        np.add.at(own, m.instances["group"][rows], m.instances["request"][rows])
        for level in (np.arange(len(own)), *m.tree["ancestors"].T):
            np.add.at(held, level[level >= 0], own[level >= 0])
    return held


# ---- the commit ----------------------------------------------------------------------------------------------------


def asks(event: Accept) -> Bools:
    """bool[k]: rows of an accept that may take others' places."""
    return event.preempt == 1 if len(event.preempt) else np.zeros(len(event.ids), dtype=bool)


def take(m: Master, event: Accept, rows: Rows, out: Bools, groups: I32) -> tuple[Places, Rows]:
    """(places for these rows of an accept, rows of the table that may give way). out: those that cannot launch now."""
    stale = event.agents[rows] >= 0
    stale &= event.sessions[rows] != m.agents["session"][np.clip(event.agents[rows], 0, m.agents.table.length - 1)]
    where = np.where(out | stale, np.int32(NOWHERE), event.agents[rows])
    candidates = may_give_way(m, int(event.priorities[rows].max()))
    table = m.instances
    stopped = np.flatnonzero((table["framework"] > 0) & (table["state"] < FIRST_TERMINAL) & (table["stopping"] == 1))
    books = replace(m.ledger.books(), group_used=m.tree["used"] - _by_group(m, stopped))
    started = table["started_ms"][candidates]
    places = take_places(
        books, _debt(m, stopped) + _held(m, event, rows), m.tree["guarantee"],
        Candidates(
            table["agent"][candidates], table["priority"][candidates],
            -np.where(started > 0, started, np.iinfo(np.int64).max), table["request"][candidates],
            table["group"][candidates],
        ),
        where, event.shape[rows], event.requests, event.priorities[rows], groups[rows], event.gangs[rows],
    )  # fmt: skip
    places.verdict[stale & ~out] = Reason.STALE_SESSION
    return places, candidates


def _debt(m: Master, stopped: Rows) -> I32:
    """int32[N, R]: what agents owe, less what they get back from those that are being stopped: below 0, it is free."""
    debt = m.agents["debt"].copy()
    agents, requests = m.instances["agent"][stopped], m.instances["request"][stopped]
    for column in range(R):
        debt[:, column] -= np.bincount(agents, requests[:, column], minlength=len(debt)).astype(np.int32)
    return debt


def _held(m: Master, event: Accept, rows: Rows) -> I32:
    """int32[N, R]: what is held for gangs, none of which has a lower priority, and not for a gang among these rows."""
    held = np.zeros((m.agents.table.length, R), dtype=np.int32)
    ganged = event.requests[event.shape[rows[event.gangs[rows] >= 0]]]
    for hold in m.holds.all:
        own = hold.framework == event.framework and bool((ganged == hold.request).all(axis=1).any())
        if not own:
            held[hold.agents] += hold.pods[:, None] * hold.request
    return held


def launch(m: Master, now_ms: int, framework: Framework, event: Accept, rows: Rows, places: Places, may: Rows) -> Rows:
    """Launch the rows that have a place, and stop who gives way; returns those of them that need not wait."""
    there = places.verdict == 0
    placed, agents = rows[there], places.agent[there]
    fact = launch_of(event, placed, agents, framework.number, now_ms)
    m.emit(fact)
    owes = m.agents["debt"][agents].any(axis=1)
    victims = may[places.taken >= 0]
    by = event.ids[rows[places.taken[places.taken >= 0]]]
    table = m.instances
    m.emit(Preempted(now_ms, fact.ids[owes], table["id"][victims], table["attempt"][victims], by))
    m.story_book.note(now_ms, "launched", fact.ids, agent=agents, attempt=fact.attempts)
    if owes.any():
        m.story_book.note(now_ms, "held", fact.ids[owes], why="it waits until those that give way for it have ended")
    if len(victims):
        m.story_book.note(now_ms, "preempted", table["id"][victims], why=WHY, by=by)
        _stop(m, now_ms, victims)
    at_once: Rows = placed[~owes]
    return at_once


def _stop(m: Master, now_ms: int, victims: Rows) -> None:
    reasons = np.full(len(victims), Ended.PREEMPTED, dtype=np.uint8)
    victims = victims[~reports.end_held(m, now_ms, victims, reasons)]
    if len(victims):
        reports.want_stopped(m, now_ms, victims, reasons[: len(victims)], -1)
        links.send_stops(m, victims)


WHY = "a pod of a higher priority takes its place"


# ---- the wait ------------------------------------------------------------------------------------------------------


def settle(m: Master, now_ms: int) -> None:
    """Those whose room is there now wait no more: the payload of each is asked for."""
    kept = m.preemptions
    if not kept.moved:
        return
    kept.moved = False
    if len(kept.held) == 0:
        return
    rows = m.instances.index.find(kept.held)
    rows = rows[m.instances["state"][rows] == State.STAGING]
    rows = rows[_have_room(m, rows)]
    if len(rows):
        ids = m.instances["id"][rows]
        m.emit(Unheld(ids))
        m.story_book.note(now_ms, "held no more", ids, agent=m.instances["agent"][rows])
        reconcile.resend(m, rows)


def _have_room(m: Master, rows: Rows) -> Bools:
    """bool[k]: whose agent owes no more than what those hold that wait there and were launched later."""
    table = m.instances
    agents, ids = table["agent"][rows], table["id"][rows]
    order = np.lexsort((ids, table["changed_ms"][rows], agents))
    sums = np.cumsum(table["request"][rows[order]], axis=0, dtype=np.int64)
    last = np.searchsorted(agents[order], agents[order], side="right") - 1
    found = np.zeros(len(rows), dtype=bool)
    found[order] = (m.agents["debt"][agents[order]] <= sums[last] - sums).all(axis=1)
    return found


def check(m: Master) -> None:
    """Assert that who waits is there and has not ended, and is on an agent that knows nothing of it."""
    kept = m.preemptions
    rows = m.instances.index.find(kept.held)
    assert np.all(rows >= 0), "an instance is held that is not there"
    states = m.instances["state"][rows]
    assert np.all((states == State.STAGING) | (states == State.UNREACHABLE)), (
        "an instance is held that is no more to start"
    )
    assert np.all(m.instances["launch_seq"][rows] == 0), "an instance is held that its agent was told of"
    assert np.all(kept.held[1:] > kept.held[:-1]) and np.all(kept.victims[1:] > kept.victims[:-1])
