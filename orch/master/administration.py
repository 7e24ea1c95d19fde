"""What administrators ask of the master: drain an agent, remove it, tell a story. Each answered by one reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orch.machine.commands import Reply
from orch.master import agents as table
from orch.master import silence
from orch.model.errors import ConflictError, NotFoundError
from orch.model.facts_master import AgentDrained
from orch.model.requests import DrainAgent, RemoveAgent, TellStory
from orch.model.states import AgentState

if TYPE_CHECKING:
    from orch.master.master import Master


def drain(m: Master, now_ms: int, event: DrainAgent) -> None:
    """Offer an agent no more, or again; what runs on it stays. Asking twice is harmless."""
    row = m.agents.by_name.get(event.agent)
    if row is None:
        m.do(Reply(event.request, error=_unknown(m, event.agent)))
        return
    if bool(m.agents["drained"][row]) != event.drain:
        m.emit(AgentDrained(row, event.drain))
        m.story_book.note(now_ms, "drained" if event.drain else "offered again", event.agent, by=event.user)
    wanted = AgentState.DRAINING if event.drain else AgentState.READY
    if m.agents["state"][row] in (AgentState.READY, AgentState.DRAINING) and m.agents["state"][row] != wanted:
        table.become(m, np.array([row]), wanted)
        m.offers.dirty = True
    m.do(Reply(event.request, {"agent": event.agent, "state": AgentState(m.agents["state"][row]).name}))


def remove(m: Master, now_ms: int, event: RemoveAgent) -> None:
    """An agent that does not answer is gone for good."""
    row = m.agents.by_name.get(event.agent)
    if row is None:
        m.do(Reply(event.request, error=_unknown(m, event.agent)))
        return
    state = AgentState(m.agents["state"][row])
    if state not in (AgentState.ABSENT, AgentState.UNREACHABLE):
        detail = f'agent "{event.agent}" is {state.name}: it still answers. Stop it first, or drain it.'
        m.do(Reply(event.request, error=ConflictError(detail).to_dict()))
        return
    silence.lose(m, now_ms, np.array([row]))
    silence.remove(m, now_ms, row)
    m.do(Reply(event.request, {"agent": event.agent}))


def story(m: Master, now_ms: int, event: TellStory) -> None:
    """What happened to one instance, agent or framework, as far as this master remembers."""
    m.do(Reply(event.request, {"notes": m.story(event.thing)}))


def _unknown(m: Master, agent: str) -> dict[str, Any]:
    names = ", ".join(sorted(m.agents.by_name)[:10]) or "none"
    return NotFoundError(f'there is no agent "{agent}"; there are: {names}').to_dict()
