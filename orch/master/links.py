"""The link to each agent: what is fenced, numbered, noticed as lost, and answered."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master import fleets
from orch.master.agents import CONNECTED
from orch.model.facts_master import UsageSeen
from orch.model.messages import Goodbye, Heartbeat, HeartbeatAck, Image, ImageRequest, StopBatch, UpdateAck, UpdateBatch
from orch.model.states import AgentState

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]

LAG_MS = 3_000
"""An agent that has not taken what was sent so long ago, or not sent its image, is asked for one."""
USAGE_MS = 5_000
"""Followers are shown what a machine uses at most so often."""


def send(m: Master, lead: int, message: Any) -> None:
    """A message to the agent at a row, or to the fleet that it leads."""
    fleet = m.fleets.by_lead.get(lead)
    m.send(f"agent/{m.agents.names[lead] if fleet is None else fleet.name}", message)


def next_seq(m: Master, row: int) -> int:
    """The number of the next message of work to this agent in its session."""
    m.agents["out_seq"][row] += 1
    return int(m.agents["out_seq"][row])


def connected(m: Master, rows: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[k]: agents whose image has come, so that what is sent now reaches them and is not in that image."""
    state = m.agents["state"][rows]
    there: NDArray[np.bool_] = (state == AgentState.READY) | (state == AgentState.DRAINING)
    return there


def fenced(m: Master, now_ms: int, event: Image | UpdateBatch | Heartbeat | Goodbye) -> int | None:
    """The sender's row, a fleet's lead; None if it is not of this epoch and session. Then it registers again.

    Whoever was given up as UNREACHABLE is not of its session any more: what was sent to it before must not reach it.
    """
    row = m.fleets.by_name.get(event.agent)
    row = m.agents.by_name.get(event.agent) if row is None else row
    session = 0 if row is None or m.agents["state"][row] not in CONNECTED else int(m.agents["session"][row])
    if row is None or session == 0 or session != event.session or m.epoch != event.epoch:
        sent_ms = event.sent_ms if isinstance(event, Heartbeat) else 0
        m.send(f"agent/{event.agent}", HeartbeatAck(m.epoch, session, sent_ms))
        return None
    m.agents["heard_ms"][fleets.members(m, row)] = now_ms
    return row


def open_session(m: Master, rows: Rows, now_ms: int) -> None:
    """Both directions of one line, to the agents at these rows, count from 1 again."""
    agents = m.agents
    for column in ("in_seq", "out_seq", "lag_seq", "usage_ms"):
        agents[column][rows] = 0
    agents["heard_ms"][rows] = agents["asked_ms"][rows] = now_ms
    theirs = np.zeros(agents.table.length, dtype=bool)
    theirs[rows] = True
    m.instances["launch_seq"][theirs[m.instances["agent"]]] = 0
    m.wake_by(now_ms + m.unreachable_ms)


def take_seq(m: Master, row: int, seq: int) -> bool:
    """Whether the message brings news. One out of order does too; but only those without a gap are acknowledged."""
    last = int(m.agents["in_seq"][row])
    if seq == last + 1:
        m.agents["in_seq"][row] = seq
    return seq > last


def acknowledge(m: Master, row: int) -> None:
    """All updates up to the last one without a gap: leaves once their facts are durable."""
    seq = int(m.agents["in_seq"][row])
    if seq:
        send(m, row, UpdateAck(m.epoch, int(m.agents["session"][row]), seq))


def heartbeat(m: Master, now_ms: int, event: Heartbeat) -> None:
    """The agent lives. Work that it did not take for long, or an image that did not come, is asked after."""
    row = fenced(m, now_ms, event)
    if row is None:
        return
    agents = m.agents
    if event.usage and now_ms >= agents["usage_ms"][row] + USAGE_MS * bool(agents.usage[row]):
        agents["usage_ms"][row] = now_ms
        m.publish(UsageSeen(row, event.usage))
    send(m, row, HeartbeatAck(m.epoch, event.session, event.sent_ms))
    waits = agents["state"][row] == AgentState.REGISTERING
    if not waits and event.received_seq >= agents["lag_seq"][row]:
        agents["lag_seq"][row] = agents["out_seq"][row]
        agents["asked_ms"][row] = now_ms
    elif now_ms >= agents["asked_ms"][row] + LAG_MS:
        ask_image(m, row, now_ms)


def ask_image(m: Master, row: int, now_ms: int) -> None:
    """Ask the agent for all that it has."""
    m.agents["asked_ms"][row] = now_ms
    send(m, row, ImageRequest(m.epoch, int(m.agents["session"][row])))


def send_stops(m: Master, rows: Rows) -> None:
    """Tell the agents of these instances, as far as they are connected, to stop them: a message a line and grace."""
    instances = m.instances
    rows = rows[connected(m, instances["agent"][rows])]
    leads = m.agents["lead"][instances["agent"][rows]]
    at = np.lexsort((instances["grace_ms"][rows], leads))
    order, agents, graces = rows[at], leads[at], instances["grace_ms"][rows[at]]
    new = np.flatnonzero((np.diff(agents) != 0) | (np.diff(graces) != 0)) + 1
    bounds = [0, *new.tolist(), len(order)] if len(order) else [0]
    for start, stop in pairwise(bounds):
        part = order[start:stop]
        stop_at(m, int(agents[start]), instances["id"][part], instances["attempt"][part],
                instances["stop_reason"][part], int(graces[start]))  # fmt: skip


def stop_at(m: Master, row: int, ids: Any, attempts: Any, reasons: Any, grace_ms: int = -1) -> None:
    """One `StopBatch` to one agent, or to the fleet that it leads."""
    session = int(m.agents["session"][row])
    send(m, row, StopBatch(m.epoch, session, next_seq(m, row), ids, attempts, reasons, grace_ms))
