"""An agent's image against the master's table: what is missing on either side, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.master import agents as table
from orch.master import fleets, links, reports
from orch.master.frameworks import Framework
from orch.model.facts_master import StatesChanged
from orch.model.messages import Image, ResendRequest
from orch.model.reasons import Reason
from orch.model.states import FIRST_TERMINAL, AgentState, State

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]


def image(m: Master, now_ms: int, event: Image) -> None:
    """Everything an agent has. Then it may be offered; what it lacks is sent again, what it has too much is stopped."""
    agent = links.fenced(m, now_ms, event)
    if agent is None:
        return
    report = reports.report_of(agent, event)
    line = fleets.members(m, agent)
    drained = m.agents["drained"][line] == 1
    for wanted, rows in ((AgentState.DRAINING, line[drained]), (AgentState.READY, line[~drained])):
        rows = rows[m.agents["state"][rows] != wanted]
        if len(rows):
            table.become(m, rows, wanted)
            m.offers.dirty = True
    m.agents["asked_ms"][agent] = now_ms
    held = m.instances.on_agents(line)
    # By attempt: an agent that still tells of the end of the last one may never have got this one.
    found = m.instances.find(report.ids, report.attempts)
    has = held[np.isin(held, found)]
    reports.take(m, now_ms, _as_started(m, report), event.details)
    _missing(m, now_ms, np.setdiff1d(held, has), event.received_seq)
    still = has[(m.instances["state"][has] < FIRST_TERMINAL) & (m.instances["stopping"][has] == 1)]
    _stop_again(m, now_ms, still)
    m.story_book.note(now_ms, "reconciled", event.agent, instances=len(report.ids), missing=len(held) - len(has))


def _as_started(m: Master, report: reports.Report) -> reports.Report:
    """An UNREACHABLE instance that its agent has but not begun with is on its way again: STARTING."""
    rows = m.instances.find(report.ids, report.attempts)
    back = (rows >= 0) & (m.instances["state"][rows] == State.UNREACHABLE) & (report.states == State.STAGING)
    states = np.where(back, np.uint8(State.STARTING), report.states)
    return reports.Report(
        report.agent, report.ids, report.attempts, states, report.exit_codes, report.reasons,
        report.started_ms, report.changed_ms,
    )  # fmt: skip


def _missing(m: Master, now_ms: int, rows: Rows, received_seq: int) -> None:
    """Rows that the agent does not have. An image that is older than their launch says nothing of them."""
    instances = m.instances
    rows = rows[instances["launch_seq"][rows] <= received_seq]
    rows = rows[(instances["state"][rows] != State.STAGING) | ~m.preemptions.is_held(instances["id"][rows])]
    state, ran = instances["state"][rows], instances["started_ms"][rows] > 0
    begun = ran | (instances["starting"][rows] == 1)
    never = ~begun & (state != State.RUNNING)
    stopping = instances["stopping"][rows] == 1
    reports.end(m, now_ms, rows[~never], State.LOST, Reason.NO_EXIT_RECORD)
    unborn = rows[never & stopping]
    reports.end(m, now_ms, unborn, State.KILLED, instances["stop_reason"][unborn])
    reports.end(m, now_ms, rows[never & ~stopping & (state != State.STAGING)], State.DROPPED, Reason.AGENT_LOST)
    resend(m, rows[never & ~stopping & (state == State.STAGING)])


def resend(m: Master, rows: Rows) -> None:
    """Ask the frameworks for the payload of launches that an agent lacks."""
    instances = m.instances
    instances["resend"][rows] = 1
    of = instances["framework"][rows]
    for number in np.unique(of).tolist():
        framework: Framework = m.frameworks.numbered(number)
        if framework.subscribed:
            at = rows[of == number]
            m.send(framework.address, ResendRequest(instances["id"][at], instances["attempt"][at]))


def _stop_again(m: Master, now_ms: int, rows: Rows) -> None:
    """The agent still has them and they are to stop: they are KILLING, and it is told (again)."""
    back = rows[m.instances["state"][rows] != State.KILLING]
    if len(back):
        instances, count = m.instances, len(back)
        m.emit(
            StatesChanged(
                ids=instances["id"][back],
                attempts=instances["attempt"][back],
                states=np.full(count, State.KILLING, dtype=np.uint8),
                exit_codes=instances["exit_code"][back],
                reasons=instances["reason"][back],
                started_ms=instances["started_ms"][back],
                changed_ms=np.full(count, now_ms, dtype=np.int64),
            )
        )
        reports.tell(m, back)
    links.send_stops(m, rows)
