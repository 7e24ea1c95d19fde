"""Offers and accepts: how a waiting pod becomes a launched one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.batch import requests
from orch.batch.launcher import InFlight
from orch.batch.queue import Taken
from orch.model import facts_batch as facts
from orch.model.messages import I32, I64, AcceptResult, Kill, OfferBatch, Relaunch, ResendRequest
from orch.model.ranges import to_ranges
from orch.model.reasons import Reason
from orch.model.states import State

if TYPE_CHECKING:
    from orch.batch.machine import Batch


def offered(machine: Batch, now_ms: int, event: OfferBatch) -> None:
    """Answer an offer with one accept; one without rows is a pass."""
    machine.send("master", machine.launcher.accept(event))


def answered(machine: Batch, now_ms: int, event: AcceptResult) -> None:
    """What was committed is STAGING; what was not waits again."""
    flight = machine.launcher.answered(event.ids)
    if flight is None:
        return
    committed = event.verdicts == 0
    agents = event.agents if len(event.agents) else flight.agents
    launched(machine, now_ms, flight.ids[committed], agents[committed])
    if not committed.all():
        machine.launcher.refused(flight.agents[~committed])
        machine.story_book.note(
            now_ms, "not committed", flight.ids[~committed], why="conflict", verdict=event.verdicts[~committed]
        )
        _wait_again(machine, now_ms, flight, ~committed)
    machine.ask()


def launched(machine: Batch, now_ms: int, ids: I64, agents: I32) -> None:
    """The master has taken these. Those of a job that was stopped meanwhile are stopped at once."""
    if len(ids) == 0:
        return
    starts, lengths = to_ranges(ids)
    machine.emit(facts.PodsLaunched(at_ms=now_ms, starts=starts, lengths=lengths, agents=agents))
    machine.story_book.note(now_ms, "launched", ids, agent=agents)
    at, _ = machine.ledger.jobs.locate(ids)
    kill(machine, ids[machine.ledger.jobs["stopped"][at] > 0], Reason.STOPPED_BY_USER)


def resend(machine: Batch, now_ms: int, event: ResendRequest) -> None:
    """Give the master once more what an agent never got. What is not ours, or has ended, is to be stopped."""
    seen = machine.ledger.seen(event.ids)
    live = (seen.states == State.STAGING) & (seen.attempts == event.attempts)
    order = np.argsort(event.ids[live], kind="stable")
    ids, attempts = event.ids[live][order], event.attempts[live][order]
    if len(ids):
        payload = machine.launcher.payload(by_job(machine, ids))
        machine.send("master", Relaunch(machine.name, ids, attempts, payload))
    kill(machine, event.ids[~seen.known], Reason.UNKNOWN_TO_MASTER)


def by_job(machine: Batch, ids: I64) -> list[Taken]:
    """Ascending ids as indexes within their jobs."""
    jobs = machine.ledger.jobs
    at, _ = jobs.locate(ids)
    cuts = [0, *(np.flatnonzero(np.diff(at)) + 1).tolist(), len(ids)]
    return [
        Taken(int(jobs["number"][at[start]]), ids[start:stop] - jobs["first_id"][at[start]])
        for start, stop in pairwise(cuts)
        if stop > start
    ]


def kill(machine: Batch, ids: I64, reason: Reason) -> None:
    """Ask the master to stop these."""
    if len(ids):
        machine.send("master", Kill(machine.name, ids, np.full(len(ids), reason, dtype=np.uint8)))


def _wait_again(machine: Batch, now_ms: int, flight: InFlight, refused: NDArray[np.bool_]) -> None:
    start = 0
    for part in flight.parts:
        stop = start + len(part.indexes)
        back = refused[start:stop]
        if part.job in machine.launcher:
            machine.launcher.put_back(part.job, part.indexes[back])
        else:
            requests.drop_pods(machine, now_ms, flight.ids[start:stop][back], Reason.STOPPED_BY_USER)
        start = stop
