"""How an agent is let in: a session of its own, durable before the agent learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orch.master import agents as table
from orch.master import links
from orch.master.agents import CONNECTED
from orch.model.facts_master import AgentRegistered
from orch.model.messages import Register, Registered
from orch.model.resources import R
from orch.model.states import AgentState

if TYPE_CHECKING:
    from orch.master.master import Master


def register(m: Master, now_ms: int, event: Register) -> None:
    """A new session, unless this start of the agent has one already (a doubled message): then the same again.

    Raises ValueError where the total is no int32[R] of amounts, or the name is empty.
    """
    _must_be_sane(event)
    agents = m.agents
    row = agents.by_name.get(event.agent)
    if row is not None and agents["state"][row] in CONNECTED and agents.nonces[row] == event.nonce:
        links.send(m, row, Registered(event.agent, event.nonce, int(agents["session"][row]), m.epoch))
        return
    if row is None:
        row, session = agents.table.next_row(), agents.session_floor + 1
    else:
        session = int(agents["session"][row]) + 1
    m.emit(AgentRegistered(row, event.agent, event.nonce, session, event.total, event.attributes))
    table.become(m, np.array([row]), AgentState.REGISTERING)
    links.open_session(m, row, now_ms)
    links.send(m, row, Registered(event.agent, event.nonce, session, m.epoch))
    m.story_book.note(now_ms, "registered", event.agent, session=session, total=event.total.tolist())


def _must_be_sane(event: Register) -> None:
    total = event.total
    if not event.agent or total.shape != (R,) or total.dtype != np.int32 or np.any(total < 0):
        raise ValueError(f"agent {event.agent!r} registers with total {total!r}; it must be int32[{R}], none negative")
