"""What agents say of instances: checked against the table of ways, kept, passed on to frameworks; all by columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master import links
from orch.model.columns import distinct
from orch.model.facts_master import DetailsSeen, Forgotten, StartingSeen, StatesChanged, StopWanted
from orch.model.messages import U8, Acknowledge, Image, Kill, UpdateBatch
from orch.model.reasons import Reason
from orch.model.states import ALLOWED, FIRST_TERMINAL, State

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Columns of an update or an image, of one agent or fleet (by its lead), each instance once."""

    agent: int
    ids: NDArray[np.int64]
    attempts: NDArray[np.int32]
    states: NDArray[np.uint8]
    exit_codes: NDArray[np.int16]
    reasons: NDArray[np.uint8]
    started_ms: NDArray[np.int64]
    changed_ms: NDArray[np.int64]

    def pick(self, which: Bools) -> Report:
        """The rows where `which`."""
        if which.all():
            return self
        return Report(self.agent, *(getattr(self, name)[which] for name in _COLUMNS))


_COLUMNS = ("ids", "attempts", "states", "exit_codes", "reasons", "started_ms", "changed_ms")


def report_of(agent: int, event: UpdateBatch | Image) -> Report:
    """The columns of a message. Raises ValueError where they differ in length or hold an unknown state."""
    columns = [getattr(event, name) for name in _COLUMNS]
    if len({len(column) for column in columns}) != 1 or np.any(event.states >= len(State)):
        raise ValueError(f"agent {event.agent} sent columns of {[len(c) for c in columns]} rows, or an unknown state")
    return Report(agent, *columns)


def update(m: Master, now_ms: int, event: UpdateBatch) -> None:
    """A batch of new states; acknowledged once they are durable, also those that were not news."""
    agent = links.fenced(m, now_ms, event)
    if agent is None:
        return
    if links.take_seq(m, agent, event.seq):
        take(m, now_ms, report_of(agent, event), event.details)
    links.acknowledge(m, agent)


def take(m: Master, now_ms: int, report: Report, details: dict[int, dict[str, Any]]) -> None:
    """Keep what is new of a report and tell the frameworks; stop what runs and should not."""
    once = _first_of_each(report.ids)
    if not once.all():
        take(m, now_ms, report.pick(once), details)
        take(m, now_ms, report.pick(~once), {})
        return
    instances = m.instances
    rows = instances.find(report.ids, report.attempts)
    mine = rows >= 0
    mine &= m.agents["lead"][instances["agent"][rows]] == report.agent
    rows = np.where(mine, rows, -1)
    moved = np.zeros(len(rows), dtype=bool)
    moved[mine] = ALLOWED[instances.shown(rows[mine]), report.states[mine]]
    moved &= report.states != State.UNREACHABLE
    _keep(m, now_ms, report.pick(moved), rows[moved])
    detailed = _take_details(m, report, rows, details) if details else {}
    told = moved | np.isin(report.ids, list(detailed)) if detailed else moved
    tell(m, rows[told], detailed)
    _stop_ghosts(m, now_ms, report, rows)


def _first_of_each(ids: NDArray[np.int64]) -> Bools:
    first = np.ones(len(ids), dtype=bool)
    if bool((ids[1:] > ids[:-1]).all()):
        return first
    order = np.argsort(ids, kind="stable")
    first[order[1:]] = ids[order[1:]] != ids[order[:-1]]
    return first


def _keep(m: Master, now_ms: int, report: Report, rows: Rows) -> None:
    """Facts of what moved: STARTING of a STAGING instance is only shown, all else is kept."""
    if len(rows) == 0:
        return
    soft = (report.states == State.STARTING) & (m.instances["state"][rows] == State.STAGING)
    if soft.any():
        m.publish(StartingSeen(report.ids[soft], report.attempts[soft]))
        report, rows = report.pick(~soft), rows[~soft]
    if len(rows) == 0:
        return
    m.emit(
        StatesChanged(
            ids=report.ids,
            attempts=report.attempts,
            states=report.states,
            exit_codes=report.exit_codes,
            reasons=report.reasons,
            started_ms=np.maximum(report.started_ms, m.instances["started_ms"][rows]),
            changed_ms=report.changed_ms,
        )
    )
    note_states(m, now_ms, rows)
    if np.any(report.states >= FIRST_TERMINAL):
        m.offers.dirty = True


def _take_details(
    m: Master, report: Report, rows: Rows, details: dict[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Endpoints and health of the rows that are ours; services only, so one by one. Returns those that are new."""
    known = m.instances.details
    at = {number: place for place, number in enumerate(report.ids.tolist()) if rows[place] >= 0}
    new = {number: detail for number, detail in details.items() if number in at and known.get(number) != detail}
    if new:
        places = np.array([at[number] for number in new], dtype=np.int64)
        m.publish(DetailsSeen(report.ids[places], report.attempts[places], list(new.values())))
    return new


def tell(m: Master, rows: Rows, details: dict[int, dict[str, Any]] | None = None) -> None:
    """Tell each framework of its rows."""
    if len(rows) == 0:
        return
    of = m.instances["framework"][rows]
    for number in distinct(of).tolist():
        mine = rows[of == number] if of.min() != of.max() else rows
        ids = m.instances["id"][mine].tolist() if details else []
        own = {number: details[number] for number in ids if details and number in details}
        m.send(m.frameworks.numbered(number).address, m.instances.updates(mine, own))


def note_states(m: Master, now_ms: int, rows: Rows) -> None:
    """Write the states of these rows into the story, one note a state."""
    states = m.instances["state"][rows]
    for state in distinct(states).tolist():
        at = rows[states == state] if states.min() != states.max() else rows
        m.story_book.note(
            now_ms,
            State(state).name,
            m.instances["id"][at],
            agent=m.instances["agent"][at],
            attempt=m.instances["attempt"][at],
            reason=m.instances["reason"][at],
        )


def _stop_ghosts(m: Master, now_ms: int, report: Report, rows: Rows) -> None:
    """What runs at the agent and is not, or no longer, to run there is stopped."""
    over = rows < 0
    over[rows >= 0] = m.instances["state"][rows[rows >= 0]] >= FIRST_TERMINAL
    ghost = over & (report.states < FIRST_TERMINAL)
    if not ghost.any():
        return
    at = m.instances.index.find(report.ids[ghost])
    replaced = (at >= 0) & (m.instances["attempt"][at] > report.attempts[ghost])
    reasons = np.where(replaced, np.uint8(Reason.REPLACED), np.uint8(Reason.UNKNOWN_TO_MASTER))
    m.story_book.note(now_ms, "stopped as unknown", report.ids[ghost], agent=report.agent)
    links.stop_at(m, report.agent, report.ids[ghost], report.attempts[ghost], reasons)


def end(m: Master, now_ms: int, rows: Rows, state: State, reasons: Reason | U8) -> None:
    """Within an event: bring rows that have not ended into a state that the master decides; tell their frameworks.

    reasons: one for all, or uint8[k].
    """
    if len(rows) == 0:
        return
    instances, count = m.instances, len(rows)
    assert np.all(ALLOWED[instances.shown(rows), state]), f"an instance can not become {state.name}"
    m.emit(
        StatesChanged(
            ids=instances["id"][rows],
            attempts=instances["attempt"][rows],
            states=np.full(count, state, dtype=np.uint8),
            exit_codes=instances["exit_code"][rows],
            reasons=np.broadcast_to(np.asarray(reasons, dtype=np.uint8), count),
            started_ms=instances["started_ms"][rows],
            changed_ms=np.full(count, now_ms, dtype=np.int64),
        )
    )
    note_states(m, now_ms, rows)
    tell(m, rows)
    if state >= FIRST_TERMINAL:
        m.offers.dirty = True


def kill(m: Master, now_ms: int, event: Kill) -> None:
    """A framework wants instances stopped: kept until they end, and said again whenever their agent reconciles."""
    framework = m.frameworks.named(event.framework)
    instances = m.instances
    rows = instances.index.find(event.ids)
    lives = rows >= 0
    lives &= (instances["state"][rows] < FIRST_TERMINAL) & (instances["framework"][rows] == framework.number)
    rows, reasons = rows[lives], event.reasons[lives]
    lives = ~end_held(m, now_ms, rows, reasons)
    rows, reasons = rows[lives], reasons[lives]
    if len(rows) == 0:
        return
    news = (instances["stopping"][rows] == 0) | (instances["grace_ms"][rows] != event.grace_ms)
    if news.any():
        want_stopped(m, now_ms, rows[news], reasons[news], event.grace_ms)
    links.send_stops(m, rows)


def end_held(m: Master, now_ms: int, rows: Rows, reasons: U8) -> Bools:
    """Within an event: of these, which are to stop, those whose agent was never told of them end; bool[k]: which."""
    held = m.preemptions.is_held(m.instances["id"][rows])
    end(m, now_ms, rows[held], State.KILLED, reasons[held])
    return held


def want_stopped(m: Master, now_ms: int, rows: Rows, reasons: U8, grace_ms: int) -> None:
    """Within an event: it is kept that these are to stop, and their frameworks are told."""
    instances = m.instances
    m.emit(StopWanted(now_ms, instances["id"][rows], instances["attempt"][rows], reasons, grace_ms))
    m.story_book.note(now_ms, "stop wanted", instances["id"][rows], reason=reasons)
    tell(m, rows)


def acknowledge(m: Master, now_ms: int, event: Acknowledge) -> None:
    """A framework has made ends durable: their rows go. Anything else that it acknowledges is left alone."""
    framework = m.frameworks.named(event.framework)
    instances = m.instances
    rows = instances.find(event.ids, event.attempts)
    done = rows >= 0
    done &= (instances["state"][rows] >= FIRST_TERMINAL) & (instances["framework"][rows] == framework.number)
    done &= _first_of_each(event.ids)
    if done.any():
        m.emit(Forgotten(event.ids[done], event.attempts[done]))
