"""Time: agents that are not heard of become UNREACHABLE, later what they ran is LOST, and at last they are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.machine.machine import Tick
from orch.master import agents as table
from orch.master import fleets, links, reports
from orch.model.facts_master import AgentRemoved
from orch.model.messages import Goodbye
from orch.model.reasons import Reason
from orch.model.states import AgentState, State

if TYPE_CHECKING:
    from orch.master.master import Master

LATE_MS = 1_000
"""A tick that comes so late says that this process stood still: what agents sent meanwhile waits behind it. They have
the time that it stood, and so much more."""


def tick(m: Master, now_ms: int, event: Tick) -> None:
    """See whose time is up, and say when to look again."""
    late_ms = 0 if m.next_wake_ms is None else now_ms - m.next_wake_ms
    if late_ms > LATE_MS:
        m.agents["heard_ms"][:] = np.minimum(m.agents["heard_ms"] + late_ms + LATE_MS, now_ms)
    m.next_wake_ms = None
    _unreachable(m, now_ms)
    _gone(m, now_ms)
    m.offers.resume()
    m.offers.expire(m, now_ms)
    plan(m, now_ms)


def plan(m: Master, now_ms: int) -> None:
    """Set the next wake from everything that has a deadline."""
    agents = m.agents
    there, silent = _there(m)
    if there.any():
        m.wake_by(int(np.where(there, agents["heard_ms"], now_ms).min()) + m.unreachable_ms)
    since = agents["silent_ms"][silent]
    for deadline in (since + m.gone_ms, since + m.remove_ms):
        ahead = deadline[deadline > now_ms]
        if len(ahead):
            m.wake_by(int(ahead.min()))
    for due_ms in m.offers.deadlines(m):
        m.wake_by(due_ms)


def _there(m: Master) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(bool[N] of agents that are not removed and not UNREACHABLE, rows of those that are UNREACHABLE).

    Masks, no gathers: this is looked at on every tick, and there may be a million agents. A removed one has no session.
    """
    present = m.agents["session"] > 0
    silent = m.agents["state"] == AgentState.UNREACHABLE
    if not silent.any():
        return present, np.empty(0, dtype=np.int64)
    return present & ~silent, np.flatnonzero(present & silent)


def _unreachable(m: Master, now_ms: int) -> None:
    agents = m.agents
    there, _ = _there(m)
    _fall_silent(m, now_ms, np.flatnonzero(there & (agents["heard_ms"] <= now_ms - m.unreachable_ms)))


def goodbye(m: Master, now_ms: int, event: Goodbye) -> None:
    """The agent (or the fleet) leaves in order: it is UNREACHABLE at once, as if its time of silence were over."""
    row = links.fenced(m, now_ms, event)
    if row is None:
        return
    m.story_book.note(now_ms, "left", event.agent)
    _fall_silent(m, now_ms, fleets.members(m, row))
    plan(m, now_ms)


def _fall_silent(m: Master, now_ms: int, rows: NDArray[Any]) -> None:
    agents = m.agents
    if len(rows) == 0:
        return
    table.become(m, rows, AgentState.UNREACHABLE)
    agents["silent_ms"][rows] = now_ms
    for lead in np.unique(agents["lead"][rows]).tolist():
        fleet = m.fleets.by_lead.get(lead)
        name = agents.names[lead] if fleet is None else fleet.name
        m.story_book.note(now_ms, "unreachable", name, heard_ms=int(agents["heard_ms"][lead]))
    on_them = m.instances.on_agents(rows)
    on_them = on_them[m.instances["state"][on_them] != State.UNREACHABLE]
    reports.end(m, now_ms, on_them, State.UNREACHABLE, Reason.AGENT_LOST)


def _gone(m: Master, now_ms: int) -> None:
    agents = m.agents
    rows = _there(m)[1]
    if len(rows) == 0:
        return
    silent_ms = now_ms - agents["silent_ms"][rows]
    lose(m, now_ms, rows[silent_ms >= m.gone_ms])
    for row in rows[silent_ms >= m.remove_ms].tolist():
        remove(m, now_ms, row)


def lose(m: Master, now_ms: int, rows: NDArray[Any]) -> None:
    """What runs on these agents is given up."""
    if len(rows):
        reports.end(m, now_ms, m.instances.on_agents(rows), State.LOST, Reason.AGENT_LOST)


def remove(m: Master, now_ms: int, row: int) -> None:
    """An agent is gone for good; nothing that it ran is left but ends that no framework has acknowledged yet."""
    m.story_book.note(now_ms, "removed", m.agents.names[row])
    m.emit(AgentRemoved(row))
