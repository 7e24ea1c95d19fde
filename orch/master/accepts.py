"""Accepts: the commit, row by row in compiled code, and the launches that follow from it, a slice for each agent."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master import links
from orch.master.frameworks import Framework, prints
from orch.model import ids as numbers
from orch.model import payload as payloads
from orch.model.facts_master import Forgotten, Launched
from orch.model.messages import EMPTY_I32, I32, I64, Accept, AcceptResult, LaunchBatch, Payload, Relaunch
from orch.model.states import FIRST_TERMINAL, State
from orch.placement import Reason

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]


def accept(m: Master, now_ms: int, event: Accept) -> None:
    """Commit what a framework accepted, tell it which rows launched, and send the launches to their agents.

    Raises ValueError for an accept that makes no sense: an id twice, or of another framework.
    """
    framework = m.frameworks.named(event.framework)
    if len(event.ids) == 0:
        m.offers.answered(now_ms, framework, np.zeros(0, dtype=np.int64))
        return
    _must_be_sane(framework, event)
    there, busy = _already_there(m, event)
    groups = np.array([m.tree.number(path) for path in event.groups], dtype=np.int32)[event.group]
    out = there | busy
    agents = np.where(out, np.int32(-1), event.agents)
    verdicts = m.ledger.commit(agents, event.shape, event.requests, event.sessions, event.gangs, groups)
    verdicts[busy] = Reason.STILL_THERE
    rows = np.flatnonzero(verdicts == 0)
    if len(rows):
        _launch(m, now_ms, framework, event, rows)
        first, pods = _runs(groups[rows], event.shape[rows], event.priorities[rows], event.gangs[rows] >= 0)
        kind = rows[first]
        requests = event.requests[event.shape[kind]]
        framework.got(prints(groups[kind], requests, event.priorities[kind], event.gangs[kind] >= 0), pods)
    if len(rows) < len(verdicts):
        refused = np.flatnonzero((verdicts != 0) & ~there)
        m.story_book.note(now_ms, "not committed", event.ids[refused], verdict=verdicts[refused])
        m.offers.again_for(framework)
    verdicts[there] = Reason.PLACED
    m.send(framework.address, AcceptResult(framework.name, event.ids, event.attempts, verdicts))
    m.offers.answered(now_ms, framework, groups[rows].astype(np.int64))
    if event.more and len(rows):
        m.offers.pause(m, now_ms)


def _runs(*columns: NDArray[Any]) -> tuple[Rows, Rows]:
    """(first int64[m], length int64[m]) of the runs of rows that are equal in all columns."""
    changes = np.zeros(len(columns[0]), dtype=bool)
    changes[0] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    first = np.flatnonzero(changes)
    return first, np.diff(first, append=len(changes))


def _must_be_sane(framework: Framework, event: Accept) -> None:
    ids = event.ids
    ordered = ids if bool((ids[1:] > ids[:-1]).all()) else np.sort(ids, kind="stable")
    if np.any(ordered[1:] == ordered[:-1]):
        raise ValueError(f"framework {framework.name} accepted for one instance twice in one message")
    of = event.ids >> numbers.FRAMEWORK_SHIFT
    if np.any(of != framework.number):
        raise ValueError(f"framework {framework.name} has number {framework.number}, and accepted ids of {of.max()}")


def _already_there(m: Master, event: Accept) -> tuple[Bools, Bools]:
    """Rows of this very attempt (a doubled accept), and rows whose earlier attempt is in the way.

    An earlier attempt that has ended is not: whoever launches the next one has seen its end.
    """
    instances = m.instances
    at = instances.index.find(event.ids)
    if not np.any(at >= 0):
        none = np.zeros(len(at), dtype=bool)
        return none, none
    found = at >= 0
    attempts = instances["attempt"][at]
    there = found & (attempts == event.attempts)
    over = found & (attempts < event.attempts) & (instances["state"][at] >= FIRST_TERMINAL)
    if over.any():
        m.emit(Forgotten(event.ids[over], attempts[over]))
    return there, found & ~there & ~over


def _launch(m: Master, now_ms: int, framework: Framework, event: Accept, rows: Rows) -> None:
    everything = len(rows) == len(event.ids)
    fact = Launched(
        framework=framework.number,
        at_ms=now_ms,
        ids=event.ids[rows],
        attempts=event.attempts[rows],
        agents=event.agents[rows],
        shape=event.shape[rows],
        requests=event.requests,
        groups=event.groups,
        group=event.group[rows],
        priorities=event.priorities[rows],
    )
    m.committed = fact
    m.emit(fact)
    m.story_book.note(now_ms, "launched", fact.ids, agent=fact.agents, attempt=fact.attempts)
    payload = event.payload if everything else payloads.take(event.payload, rows)
    send_launches(m, fact.ids, fact.attempts, fact.agents, payload)


def send_launches(m: Master, ids: I64, attempts: I32, agents: I32, payload: Payload) -> None:
    """One `LaunchBatch` for each line, cut from the columns. The loop goes over the touched lines, not over rows."""
    leads, places = m.agents["lead"][agents], m.agents["place"][agents]
    if np.any(leads[1:] < leads[:-1]):
        order = np.argsort(leads, kind="stable")
        ids, attempts, leads, places = ids[order], attempts[order], leads[order], places[order]
        payload = payloads.take(payload, order)
    rows = m.instances.index.find(ids)
    bounds = [0, *(np.flatnonzero(leads[1:] != leads[:-1]) + 1).tolist(), len(leads)]
    for start, stop in pairwise(bounds):
        lead = int(leads[start])
        seq = links.next_seq(m, lead)
        m.instances["launch_seq"][rows[start:stop]] = seq
        links.send(
            m,
            lead,
            LaunchBatch(
                epoch=m.epoch,
                session=int(m.agents["session"][lead]),
                seq=seq,
                ids=ids[start:stop],
                attempts=attempts[start:stop],
                payload=payloads.cut(payload, start, stop),
                places=places[start:stop] if lead in m.fleets.by_lead else EMPTY_I32,
            ),
        )


def relaunch(m: Master, now_ms: int, event: Relaunch) -> None:
    """The payload of instances that their agent lacks: sent again, as far as they still wait for it there."""
    framework = m.frameworks.named(event.framework)
    instances = m.instances
    rows = instances.find(event.ids, event.attempts)
    waits = rows >= 0
    waits &= (instances["state"][rows] == State.STAGING) & (instances["framework"][rows] == framework.number)
    chosen = np.flatnonzero(waits)
    chosen = chosen[links.connected(m, instances["agent"][rows[chosen]])]
    if len(chosen) == 0:
        return
    at = rows[chosen]
    instances["resend"][at] = 0
    payload = payloads.take(event.payload, chosen)
    m.story_book.note(now_ms, "launched again", event.ids[chosen], agent=instances["agent"][at])
    send_launches(m, event.ids[chosen], event.attempts[chosen], instances["agent"][at], payload)
