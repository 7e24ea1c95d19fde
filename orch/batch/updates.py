"""What the master tells of launched pods, and what follows: another attempt, a finished job, a stop for time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.batch import launches, requests
from orch.machine.machine import Tick
from orch.model import facts_batch as facts
from orch.model.messages import I16, I32, I64, U8, Acknowledge, InstanceUpdates, Subscribed
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import ALLOWED, FIRST_TERMINAL, State

if TYPE_CHECKING:
    from orch.batch.machine import Batch

FREE_ATTEMPTS = 10
"""Launches beyond a pod's own that it gets for attempts that ended before its command ran."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Columns of k pods that the master tells of; ids without doubles."""

    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64

    @staticmethod
    def of(event: InstanceUpdates | Subscribed) -> Told:
        """Of an id that comes twice, the last."""
        told = Told(
            event.ids, event.attempts, event.states, event.exit_codes, event.reasons, event.started_ms, event.changed_ms
        )
        if bool((told.ids[1:] > told.ids[:-1]).all()):
            return told
        order = np.argsort(told.ids, kind="stable")
        sorted_ids = told.ids[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = sorted_ids[1:] != sorted_ids[:-1]
        return told if last.all() else told.pick(order[last])

    def pick(self, rows: I64 | NDArray[np.bool_]) -> Told:
        """Some of the rows."""
        if rows.dtype == bool and rows.all():
            return self
        return Told(
            self.ids[rows],
            self.attempts[rows],
            self.states[rows],
            self.exit_codes[rows],
            self.reasons[rows],
            self.started_ms[rows],
            self.changed_ms[rows],
        )


def updated(machine: Batch, now_ms: int, event: InstanceUpdates) -> None:
    """New states of launched pods."""
    _take(machine, now_ms, Told.of(event))
    machine.ask()


def subscribed(machine: Batch, now_ms: int, event: Subscribed) -> None:
    """The master says what it holds: bring the ledger in line with it, then ask for what waits."""
    machine.number = event.number
    machine.launcher.rebuild()
    told = Told.of(event)
    _adopt(machine, now_ms, told, event)
    _give_up_unknown(machine, now_ms, told.ids)
    machine.launcher.rebuild()
    _take(machine, now_ms, told)
    _stop_again(machine, now_ms, told)
    machine.deadlines.rebuild(now_ms)
    machine.ask()


def ticked(machine: Batch, now_ms: int, event: Tick) -> None:
    """Stop attempts that have run for too long, and more of a large job that was stopped."""
    if machine.stops.wake_ms is not None and machine.stops.wake_ms <= now_ms:
        launches.kill(machine, machine.stops.take(now_ms), Reason.STOPPED_BY_USER)
    overdue = machine.deadlines.overdue(now_ms)
    if len(overdue):
        machine.story_book.note(now_ms, "too long", overdue, why=Reason.TIMEOUT.name)
    launches.kill(machine, overdue, Reason.TIMEOUT)


def _take(machine: Batch, now_ms: int, told: Told) -> None:
    """Apply what is news, acknowledge every end."""
    seen = machine.ledger.seen(told.ids)
    launched = (seen.states != State.SCHEDULED) & (seen.attempts == told.attempts)
    news = launched & ALLOWED[seen.states, told.states]
    if news.any():
        _apply(machine, now_ms, told.pick(news), seen.at[news], seen.rows[news])
    terminal = told.states >= FIRST_TERMINAL
    ended = terminal & ~(seen.known & (told.attempts > seen.attempts))
    if ended.any():
        machine.send("master", Acknowledge(machine.name, told.ids[ended], told.attempts[ended]))
    launches.kill(machine, told.ids[~terminal & ~seen.known], Reason.UNKNOWN_TO_MASTER)


def _apply(machine: Batch, now_ms: int, told: Told, at: I64, rows: I64) -> None:
    again = _again(machine, told, at, rows)
    started_ms = _plausible(machine, now_ms, told.started_ms, at)
    machine.emit(
        facts.PodsUpdated(
            at_ms=now_ms,
            ids=told.ids,
            states=np.where(again, np.uint8(State.SCHEDULED), told.states),
            exit_codes=told.exit_codes,
            reasons=told.reasons,
            started_ms=started_ms,
            changed_ms=told.changed_ms,
        )
    )
    machine.story_book.note(
        now_ms, "updated", told.ids, state=told.states, exit_code=told.exit_codes, reason=told.reasons, again=again
    )
    if again.any():
        for part in launches.by_job(machine, np.sort(told.ids[again], kind="stable")):
            machine.launcher.put_back(part.job, part.indexes)
    runs = (told.states < FIRST_TERMINAL) & (started_ms > 0)
    if runs.any():
        machine.deadlines.started(at[runs], started_ms[runs])
    ended = (told.states >= FIRST_TERMINAL) & ~again
    if ended.any():
        requests.finish_jobs(machine, now_ms, told.ids[ended])


def _again(machine: Batch, told: Told, at: I64, rows: I64) -> NDArray[np.bool_]:
    """bool[k]: which of these get another attempt.

    What ended badly does, while it has attempts left and nobody stopped it. An attempt whose command never ran, because
    the launch was dropped or lost a race, does not count; nor does one that gave way to a pod of a higher priority.
    """
    jobs = machine.ledger.jobs
    bad = told.states > State.FINISHED
    if not bad.any():
        return bad
    bad &= ~((told.states == State.KILLED) & (told.reasons == Reason.STOPPED_BY_USER))
    bad &= machine.ledger.pods["reason"][rows] != Reason.STOPPED_BY_USER
    attempts = machine.ledger.pods["attempt"][rows].astype(np.int64)
    never_ran = (told.states == State.DROPPED) | (told.reasons == Reason.PORT_TAKEN) | (told.reasons == Reason.CONFLICT)
    attempts -= machine.ledger.pods["spared"][rows]
    gave_way = told.reasons == Reason.PREEMPTED
    most = jobs["attempts"][at] + np.where(never_ran, FREE_ATTEMPTS, 0)
    again: NDArray[np.bool_] = bad & (gave_way | (attempts < most)) & (jobs["stopped"][at] == 0)
    return again


def _plausible(machine: Batch, now_ms: int, started_ms: I64, at: I64) -> I64:
    """Starts between submission and now: an agent's clock may be wrong, and deadlines count from these."""
    return np.where(started_ms > 0, np.clip(started_ms, machine.ledger.jobs["submitted_ms"][at], now_ms), 0)


def _adopt(machine: Batch, now_ms: int, told: Told, event: Subscribed) -> None:
    """Launches that the master committed and that we were not told of: the next attempt of pods that wait."""
    seen = machine.ledger.seen(told.ids)
    found = seen.known & (seen.states == State.SCHEDULED) & (seen.attempts + 1 == told.attempts)
    if not found.any():
        return
    order = np.argsort(event.ids, kind="stable")
    ids = np.sort(told.ids[found], kind="stable")
    agents = event.agents[order][np.searchsorted(event.ids[order], ids, side="right") - 1]
    launches.launched(machine, now_ms, ids, agents)


def _give_up_unknown(machine: Batch, now_ms: int, held: I64) -> None:
    """Pods that we think are launched and that the master does not hold are lost."""
    ledger = machine.ledger
    for at in np.flatnonzero(ledger.jobs["finished_ms"] == 0).tolist():
        states = ledger.pods["state"][ledger.rows(at)]
        launched = (states != State.SCHEDULED) & (states < FIRST_TERMINAL)
        ids = ledger.ids_in(at, launched)
        lost = ids[~np.isin(ids, held)]
        if len(lost) == 0:
            continue
        k = len(lost)
        _, rows = ledger.jobs.locate(lost)
        told = Told(
            ids=lost,
            attempts=ledger.pods["attempt"][rows].astype(np.int32),
            states=np.full(k, State.LOST, dtype=np.uint8),
            exit_codes=np.full(k, NO_EXIT_CODE, dtype=np.int16),
            reasons=np.full(k, Reason.UNKNOWN_TO_MASTER, dtype=np.uint8),
            started_ms=np.zeros(k, dtype=np.int64),
            changed_ms=np.full(k, now_ms, dtype=np.int64),
        )
        _apply(machine, now_ms, told, np.full(k, at, dtype=np.int64), rows)


def _stop_again(machine: Batch, now_ms: int, told: Told) -> None:
    """What should be stopped, and is not being stopped, is to be."""
    seen = machine.ledger.seen(told.ids)
    live = (seen.states != State.SCHEDULED) & (seen.states < FIRST_TERMINAL) & (seen.states != State.KILLING)
    stopped = machine.ledger.jobs["stopped"][seen.at[live]] > 0
    stopped |= machine.ledger.pods["reason"][seen.rows[live]] == Reason.STOPPED_BY_USER
    machine.stops.reset()
    piece = machine.stops.add(now_ms, told.ids[live][stopped])
    launches.kill(machine, piece, Reason.STOPPED_BY_USER)
