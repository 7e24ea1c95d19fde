"""How agents and fleets are let in: a session of their own, durable before they learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.master import agents as table
from orch.master import links
from orch.master.agents import CONNECTED
from orch.master.fleets import Fleet, Rows
from orch.model.facts_master import AgentRegistered, FleetRegistered
from orch.model.messages import FleetRegister, Register, Registered
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
    links.open_session(m, np.array([row], dtype=np.int64), now_ms)
    links.send(m, row, Registered(event.agent, event.nonce, session, m.epoch))
    m.story_book.note(now_ms, "registered", event.agent, session=session, total=event.total.tolist())


def register_fleet(m: Master, now_ms: int, event: FleetRegister) -> None:
    """A new session for all agents of a fleet, unless this start of it has one already (a doubled message).

    Raises ValueError where the totals are no int32[n, R] of amounts, or names are missing or doubled.
    """
    _fleet_must_be_sane(event)
    agents = m.agents
    lead = m.fleets.by_name.get(event.fleet)
    if lead is not None and agents["state"][lead] in CONNECTED and m.fleets.by_lead[lead].nonce == event.nonce:
        links.send(m, lead, Registered(event.fleet, event.nonce, int(agents["session"][lead]), m.epoch))
        return
    rows, known = _rows_of(m, event.names)
    session = 1 + max(int(agents["session"][rows[known]].max(initial=0)), agents.session_floor)
    m.emit(
        FleetRegistered(
            event.fleet, rows.astype(np.int32), event.names, event.nonce, session, event.totals, event.attributes
        )
    )
    table.become(m, rows, AgentState.REGISTERING)
    m.fleets.add(Fleet(event.fleet, event.nonce, rows))
    agents["lead"][rows] = rows[0]
    agents["place"][rows] = np.arange(len(rows), dtype=np.int32)
    links.open_session(m, rows, now_ms)
    links.send(m, int(rows[0]), Registered(event.fleet, event.nonce, session, m.epoch))
    m.story_book.note(now_ms, "registered", event.fleet, session=session, agents=len(rows))


def _rows_of(m: Master, names: list[str]) -> tuple[Rows, NDArray[np.bool_]]:
    """(int64[n] rows that the agents of these names have, or will get in this order; bool[n] whether they have one)."""
    rows = np.array([m.agents.by_name.get(name, -1) for name in names], dtype=np.int64)
    known = rows >= 0
    rows[~known] = m.agents.table.next_rows(int((~known).sum()))
    return rows, known


def _must_be_sane(event: Register) -> None:
    total = event.total
    if not event.agent or total.shape != (R,) or total.dtype != np.int32 or np.any(total < 0):
        raise ValueError(f"agent {event.agent!r} registers with total {total!r}; it must be int32[{R}], none negative")


def _fleet_must_be_sane(event: FleetRegister) -> None:
    totals, count = event.totals, len(event.names)
    if totals.shape != (count, R) or totals.dtype != np.int32 or np.any(totals < 0) or not event.fleet:
        raise ValueError(f"fleet {event.fleet!r} registers {count} agents with totals {totals.shape} {totals.dtype}")
    if not count or not all(event.names) or len(dict.fromkeys(event.names)) != count:
        raise ValueError(f"fleet {event.fleet!r} registers no agents, or agents without a name of their own")
