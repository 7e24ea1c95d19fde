"""Accepts: the commit, row by row in compiled code, and the launches that follow from it, a slice for each agent.

Frameworks elsewhere were shown the same at once, so their accepts of a round may conflict. They are committed in the
order of turns, lowest share first, not as they arrive: an accept waits for those whose turn was before, for a while.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.master import links, preemption
from orch.master.frameworks import Framework, prints
from orch.master.instances import launch_of
from orch.model import ids as numbers
from orch.model import payload as payloads
from orch.model.facts_master import Forgotten
from orch.model.messages import EMPTY_I32, I32, I64, U8, Accept, AcceptResult, LaunchBatch, Payload, Relaunch
from orch.model.resources import R
from orch.model.states import FIRST_TERMINAL, State
from orch.placement import Reason

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]


def accept(m: Master, now_ms: int, event: Accept) -> None:
    """Commit what a framework accepted, or keep it until those before it have answered (see `settle`).

    Raises ValueError for an accept that makes no sense: an id twice, or of another framework.
    """
    framework = m.frameworks.named(event.framework)
    if len(event.ids) == 0:
        m.offers.answered(now_ms, framework, np.zeros(0, dtype=np.int64))
        return
    _must_be_sane(framework, event)
    until_ms = m.offers.waits_until(m, now_ms, framework) if _is_whole(event) else None
    if until_ms is None:
        _commit(m, now_ms, framework, event)
    else:
        m.offers.early[framework.name] = event


def settle(m: Master, now_ms: int) -> None:
    """Commit the accepts that wait for nobody any more, in the order of turns."""
    for name in m.offers.in_turn():
        until_ms = m.offers.waits_until(m, now_ms, m.frameworks.by_name[name])
        if until_ms is not None:
            m.wake_by(until_ms)
            return
        commit_early(m, now_ms, name)


def commit_early(m: Master, now_ms: int, name: str) -> None:
    """Commit the accept that is kept of a framework, if there is one."""
    event = m.offers.early.pop(name, None)
    if event is not None:
        _commit(m, now_ms, m.frameworks.by_name[name], event)


def _is_whole(event: Accept) -> bool:
    """Whether the columns belong together. If not, the commit says what is wrong, and is not put off."""
    count = len(event.ids)
    columns = (event.attempts, event.agents, event.sessions, event.shape, event.gangs, event.group, event.priorities)
    return (
        all(len(column) == count for column in columns)
        and len(event.preempt) in (0, count)
        and len(event.durations) in (0, len(event.requests))
        and payloads.rows_of(event.payload) == count
        and event.requests.shape[1:] == (R,)
        and bool((event.requests >= 0).all() and (event.gangs >= -1).all())
        and bool(((event.shape >= 0) & (event.shape < len(event.requests))).all())
        and bool(((event.group >= 0) & (event.group < len(event.groups))).all())
    )


def _commit(m: Master, now_ms: int, framework: Framework, event: Accept) -> None:
    """Commit an accept, tell which rows launched, and send the launches to their agents."""
    there, busy = _already_there(m, event)
    groups = np.array([m.tree.number(path) for path in event.groups], dtype=np.int32)[event.group]
    out, asks = there | busy, preemption.asks(event)
    agents = np.where(out | asks, np.int32(-1), event.agents)
    verdicts = m.ledger.commit(agents, event.shape, event.requests, event.sessions, event.gangs, groups)
    rows = np.flatnonzero(verdicts == 0)
    if len(rows):
        _launch(m, now_ms, framework, event, rows)
    agents = EMPTY_I32
    if asks.any():
        agents = _take_places(m, now_ms, framework, event, groups, out, verdicts)
        rows = np.flatnonzero(verdicts == 0)
    verdicts[busy] = Reason.STILL_THERE
    if len(rows):
        first, pods = _runs(groups[rows], event.shape[rows], event.priorities[rows], event.gangs[rows] >= 0)
        kind = rows[first]
        requests = event.requests[event.shape[kind]]
        priorities = event.priorities[kind].astype(np.int64)
        if len(event.durations):
            priorities += event.durations[event.shape[kind]] << 32
        framework.got(prints(groups[kind], requests, priorities, event.gangs[kind] >= 0), pods)
    if len(rows) < len(verdicts):
        refused = np.flatnonzero((verdicts != 0) & ~there)
        m.story_book.note(now_ms, "not committed", event.ids[refused], verdict=verdicts[refused])
        if not asks[refused].all():
            m.offers.again_for(framework)
    verdicts[there] = Reason.PLACED
    m.send(framework.address, AcceptResult(framework.name, event.ids, event.attempts, verdicts, agents))
    m.offers.answered(now_ms, framework, groups[rows].astype(np.int64))
    if event.more and len(rows):
        m.offers.pause(m, now_ms)


def _take_places(
    m: Master, now_ms: int, framework: Framework, event: Accept, groups: I32, out: Bools, verdicts: U8
) -> I32:
    """Commit the rows that ask to preempt; their verdicts are written. int32[k]: where each row of the accept lies."""
    rows = np.flatnonzero(preemption.asks(event))
    places, may = preemption.take(m, event, rows, out[rows], groups)
    verdicts[rows] = places.verdict
    agents = event.agents.copy()
    agents[rows] = places.agent
    found = m.instances.find(event.ids, event.attempts)
    agents[found >= 0] = m.instances["agent"][found[found >= 0]]
    if (places.verdict == 0).any():
        now = preemption.launch(m, now_ms, framework, event, rows, places, may)
        if len(now):
            send_launches(m, event.ids[now], event.attempts[now], agents[now], payloads.take(event.payload, now))
    return agents


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
    fact = launch_of(event, rows, event.agents[rows], framework.number, now_ms)
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
    waits &= ~m.preemptions.is_held(event.ids)
    chosen = np.flatnonzero(waits)
    chosen = chosen[links.connected(m, instances["agent"][rows[chosen]])]
    if len(chosen) == 0:
        return
    at = rows[chosen]
    instances["resend"][at] = 0
    payload = payloads.take(event.payload, chosen)
    m.story_book.note(now_ms, "launched again", event.ids[chosen], agent=instances["agent"][at])
    send_launches(m, event.ids[chosen], event.attempts[chosen], instances["agent"][at], payload)
