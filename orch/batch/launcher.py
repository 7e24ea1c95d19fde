"""From waiting pods to accepted ones: what is asked of the master, what is matched onto an offer, what comes back.

All of it is derived from the ledger, and from what is on its way to the master.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from orch.batch.job import Job
from orch.batch.ledger import Ledger
from orch.batch.pending import Pending
from orch.batch.queue import Key, Queue, Taken, joined
from orch.batch.relations import CELLS, Relations, limits
from orch.model.ids import parent_group
from orch.model.messages import EMPTY_I64, EMPTY_U8, I32, I64, U8, Accept, Demand, OfferBatch, Payload
from orch.model.payload import take_env
from orch.model.resources import R
from orch.model.states import State
from orch.placement import POLICIES
from orch.placement import Demand as Asked
from orch.placement.attributes import Agents
from orch.placement.constraints import Limits
from orch.placement.offered import Offered, most_pods, passed, places_to_take, rows_by_group

SLICE = 65_536
"""Pods of one accept, about. More wait for the next offer, which comes at once: between them the master looks at other
events, agents start what they got, and no process of the cluster is busy for long with one piece."""


@dataclass(frozen=True, slots=True, eq=False)
class InFlight:
    """An accept that the master has not answered. ids int64[k], agents int32[k]; the pods of `parts`, in this order."""

    ids: I64
    agents: I32
    parts: list[Taken]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """One queue's share of a match: agents int32[k] for the first pods of its jobs.

    preempt: they may take the place of others; where the agent is -1, wherever that costs least.
    """

    queue: Queue
    agents: I32
    preempt: bool = False


class Launcher:
    """Queues of waiting pods, and accepts on their way."""

    def __init__(self, ledger: Ledger, framework: str, policy: str) -> None:
        self._ledger, self._policy = ledger, policy
        self._framework = framework
        self._pending: dict[int, Pending] = {}
        self._queues: dict[Key, Queue] = {}
        self._of_job: dict[int, list[Key]] = {}
        """The queues that a job is in."""
        self._relations = Relations()
        self._offered = Offered()
        self._agents: Agents | None = None
        self._in_flight: deque[InFlight] = deque()
        self._changed = True
        self._told: dict[Key, int] | None = None
        """What the master was last asked for."""

    # ---- what waits ----------------------------------------------------------------------------------------------

    def rebuild(self) -> None:
        """Start again from the ledger; nothing is on its way."""
        self._pending, self._queues, self._of_job, self._relations = {}, {}, {}, Relations()
        self._offered, self._in_flight = Offered(), deque()
        self._changed, self._told = True, None
        jobs = self._ledger.jobs
        for at, job in enumerate(self._ledger.by_number.values()):
            if not jobs["finished_ms"][at]:
                self._relations.add(job)
            if not jobs["finished_ms"][at] and not jobs["stopped"][at]:
                states = self._ledger.pods["state"][self._ledger.rows(at)]
                waiting = np.flatnonzero(states == State.SCHEDULED)
                self._pending[job.number] = Pending.of(waiting, len(states), job.gang)
        for number in self._pending:
            self._queue_up(self._ledger.by_number[number])

    def add(self, number: int) -> None:
        """A job that was just submitted: all its pods wait."""
        job = self._ledger.by_number[number]
        count = int(self._ledger.jobs["count"][self._ledger.jobs.at(number)])
        self._pending[number] = Pending(count, job.gang)
        self._apart(self._relations.add(job))
        self._queue_up(job)

    def put_back(self, number: int, indexes: I64) -> None:
        """Pods of a job that is not stopped wait (again)."""
        self._pending[number].put(indexes)
        self._queue_up(self._ledger.by_number[number])

    def withdraw(self, number: int, indexes: I64) -> None:
        """Pods of this job that wait are not launched any more."""
        self._pending[number].withdraw(indexes)
        self._queue_up(self._ledger.by_number[number])

    def drop(self, number: int) -> I64:
        """Nothing of this job is launched any more; returns the indexes int64[k] of what waited."""
        waiting = self._pending.pop(number).clear()
        for key in self._of_job.pop(number, []):
            self._set(key, number, 0)
        return waiting

    def finished(self, number: int) -> None:
        """All pods of a job have ended."""
        if number in self._pending:
            self.drop(number)
        self._apart(self._relations.drop(number))

    def on_the_way(self) -> I64:
        """int64[k]: ids in accepts that the master has not answered."""
        return joined([flight.ids for flight in self._in_flight])

    def __contains__(self, number: int) -> bool:
        return number in self._pending

    def check(self) -> None:
        """Assert that every pod that is SCHEDULED waits or is on its way, and no other; and that queues add up."""
        flying = self.on_the_way()
        totals: dict[Key, int] = {}
        jobs = self._ledger.jobs
        for at, job in enumerate(self._ledger.by_number.values()):
            scheduled = self._ledger.ids_in(at, self._ledger.pods["state"][self._ledger.rows(at)] == State.SCHEDULED)
            if job.number not in self._pending:
                assert np.all(np.isin(scheduled, flying)), f"pods of job {job.number} are forgotten"
                continue
            waiting = self._pending[job.number].indexes() + jobs["first_id"][at]
            assert not np.any(np.isin(waiting, flying)), f"pods of job {job.number} wait and are on their way"
            ours = flying[np.isin(flying, scheduled)]
            both = np.sort(np.concatenate([waiting, ours]), kind="stable")
            assert np.array_equal(both, scheduled), f"job {job.number}: not what is SCHEDULED waits"
            for size, pods in [] if job.needs else self._pending[job.number].rows():
                key = self._key(job, size)
                totals[key] = totals.get(key, 0) + pods
        assert totals == {key: queue.total for key, queue in self._queues.items()}, "queues do not add up"
        for queue in self._queues.values():
            assert queue.jobs == sorted(queue.waiting) and sum(queue.waiting.values()) == queue.total

    def _queue_up(self, job: Job) -> None:
        """Bring the queues in line with what waits of a job. A job that no agent can run is in none."""
        if job.needs:
            return
        rows = {self._key(job, size): pods for size, pods in self._pending[job.number].rows()}
        for key in self._of_job.get(job.number, []):
            if key not in rows:
                self._set(key, job.number, 0)
        for key, pods in rows.items():
            self._set(key, job.number, pods)
        self._of_job[job.number] = list(rows)

    def _key(self, job: Job, size: int) -> Key:
        alone = job.number if self._relations.alone(job) else 0
        timeout_ms = int(self._ledger.jobs["timeout_ms"][self._ledger.jobs.at(job.number)])
        return parent_group(job.path), job.request, size, job.priority, job.policy, timeout_ms, job.terms, alone

    def _apart(self, paths: list[str]) -> None:
        """Whether jobs at these paths have queues of their own has changed."""
        for path in paths:
            for number in self._ledger.by_path.get(path, []):
                if number in self._pending:
                    self._queue_up(self._ledger.by_number[number])

    def _set(self, key: Key, number: int, pods: int) -> None:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(*key)
        queue.set(number, pods)
        if not queue.total:
            del self._queues[key]
        self._changed = True

    # ---- what is asked for ---------------------------------------------------------------------------------------

    def news(self) -> Demand | None:
        """All that waits, one row a queue; None where the master was asked for just that.

        Pods that were offered, accepted and refused are no news: the master knows of them. While it owes an answer,
        nothing is said: what is on its way would have to be taken back.
        """
        if not self._changed or self._in_flight:
            return None
        self._changed = False
        asked = {key: queue.total for key, queue in self._queues.items()}
        if asked == self._told:
            return None
        self._told = asked
        queues = list(self._queues.values())
        groups = list(dict.fromkeys(queue.group for queue in queues))
        place = {group: at for at, group in enumerate(groups)}
        return Demand(
            framework=self._framework,
            groups=groups,
            group=np.array([place[queue.group] for queue in queues], dtype=np.int32),
            requests=_requests(queues),
            counts=np.array([queue.total for queue in queues], dtype=np.int64),
            gangs=np.array([queue.gang for queue in queues], dtype=np.int32),
            priorities=np.array([queue.priority for queue in queues], dtype=np.int32),
            durations=_durations(queues),
        )

    # ---- what is accepted ----------------------------------------------------------------------------------------

    def accept(self, offer: OfferBatch) -> Accept:
        """Match what waits onto an offer. What is accepted waits no more; without any it is a pass."""
        queues = [queue for queue in self._queues.values() if _is_asked(queue, offer)]
        self._offered.update(offer)
        chosen: list[Chosen] = []
        left, more = SLICE, False
        for turn, rows in rows_by_group([queue.group for queue in queues], offer.groups):
            theirs, room = [queues[row] for row in rows], offer.headroom[turn]
            if len(offer.bands):
                found, cut = self._pressing(theirs, offer, room, left, chosen)
            else:
                found, cut = self._match(theirs, offer, room, left, chosen)
            chosen += found
            left -= sum(len(share.agents) for share in found)
            more |= cut
        return self._accept_of(chosen, offer, more) if chosen else passed(self._framework)

    def _match(
        self, queues: list[Queue], offer: OfferBatch, headroom: I64, most: int, before: list[Chosen]
    ) -> tuple[list[Chosen], bool]:
        """What is placed of these queues, about `most` pods; whether that ended it, and more might fit.

        before: what was chosen of this offer already. In the very order in which one match would try them all: those
        before the slice's end first.
        """
        cluster = self._offered.cluster
        assert cluster is not None
        requests, gangs = _requests(queues), np.array([queue.gang for queue in queues], dtype=np.int32)
        totals = np.array([queue.total for queue in queues], dtype=np.int64)
        counts = most_pods(requests, totals, gangs, headroom)
        priorities = np.array([queue.priority for queue in queues], dtype=np.int32)
        policies = np.array([POLICIES[queue.policy or self._policy] for queue in queues], dtype=np.uint8)
        order = cluster.order(requests, Asked.of(np.arange(len(queues), dtype=np.int32), counts, gangs, priorities))
        found: list[Chosen] = []
        while len(order) and most > 0:
            rows, last, cut = _first_of(self._within_cells(order, queues, len(offer.names)), counts, gangs, most)
            rules, allowed = self._limits([queues[row] for row in rows.tolist()], offer, [*before, *found])
            shapes = np.arange(len(rows), dtype=np.int32)
            asked = Asked.of(shapes, cut, gangs[rows], priorities[rows], policies[rows])
            match = cluster.match(requests[rows], asked, allowed=allowed, headroom=headroom, rules=rules)
            placed = np.zeros(len(queues), dtype=np.int64)
            placed[rows] = match.placed
            found += [
                Chosen(queues[rows[at]], match.agent[asked.offset[at] : asked.offset[at] + match.placed[at]])
                for at in np.flatnonzero(match.placed).tolist()
            ]
            most -= int(match.placed.sum())
            headroom = headroom - (placed[:, None] * requests).sum(axis=0)
            order = order[len(rows) :]
            if placed[last] < counts[last] and placed[last] == cut[rows == last][0]:
                return found, True
        return found, len(order) > 0

    def _pressing(
        self, queues: list[Queue], offer: OfferBatch, room: I64, most: int, before: list[Chosen]
    ) -> tuple[list[Chosen], bool]:
        """What of these queues is to take the place of others, about `most` pods; whether that ended it.

        Of enough priority, the highest first. room: what the group may take. The master chooses where places cost
        least; whose agents matter is matched onto what could be free, as the master knows of no terms.
        """
        asking: list[Chosen] = []
        able = [one for one in queues if one.priority >= int(offer.bands[0])]
        for queue in sorted(able, key=lambda one: -one.priority):
            if most <= 0:
                return asking, True
            pods = min(queue.total, max(most, queue.gang) // queue.gang * queue.gang)
            request = _requests([queue])
            pods = int(most_pods(request, np.array([pods]), np.array([queue.gang]), room)[0])
            agents = np.full(pods, -1, dtype=np.int32)
            if pods > 0 and (queue.terms or queue.alone):
                bounds = self._limits([queue], offer, [*before, *asking])
                cluster = self._offered.cluster
                assert cluster is not None
                agents = places_to_take(offer, cluster, request, pods, queue.gang, queue.priority, bounds)
            if len(agents):
                asking.append(Chosen(queue, agents, preempt=True))
                room = room - request[0].astype(np.int64) * len(agents)
                most -= len(agents)
        return asking, False

    def _within_cells(self, order: I64, queues: list[Queue], agents: int) -> I64:
        """The first of `order` that one match may take, as what they count must stay within bounds; at least one."""
        if not any(queue.terms or queue.alone for queue in queues):
            return order
        cells = [
            self._relations.cells(self._ledger.by_number.get(queue.alone), queue.terms, agents)
            for queue in (queues[row] for row in order.tolist())
        ]
        return order[: max(int(np.searchsorted(np.cumsum(cells), CELLS, side="right")), 1)]

    def _limits(self, queues: list[Queue], offer: OfferBatch, coming: list[Chosen]) -> Limits:
        """What a match of these queues must keep to. coming: what was chosen of this offer already."""
        if not any(queue.terms or queue.alone for queue in queues):
            return None, None
        self._agents = Agents.of(offer.attributes, offer.names, self._agents)
        flying: dict[int, list[I64]] = {}
        for share in coming:
            flying.setdefault(share.queue.alone, []).append(share.agents[share.agents >= 0].astype(np.int64))
        for flight in self._in_flight:
            start = 0
            for part in flight.parts:
                stop = start + len(part.indexes)
                agents = flight.agents[start:stop]
                flying.setdefault(part.job, []).append(agents[agents >= 0].astype(np.int64))
                start = stop
        rows = [(queue.terms, queue.alone) for queue in queues]
        return limits(self._ledger, rows, self._agents, lambda number: flying.get(number, []), self._relations.pointing)

    def _accept_of(self, chosen: list[Chosen], offer: OfferBatch, more: bool) -> Accept:
        sizes = np.array([len(share.agents) for share in chosen], dtype=np.int64)
        agents = np.concatenate([share.agents for share in chosen])
        groups = list(dict.fromkeys(share.queue.group for share in chosen))
        place = {group: at for at, group in enumerate(groups)}
        parts = [part for share in chosen for part in self._take(share.queue, len(share.agents))]
        ids, attempts = self._numbers_of(parts)
        self._in_flight.append(InFlight(ids, agents, parts))
        return Accept(
            framework=self._framework,
            ids=ids,
            attempts=attempts,
            agents=agents,
            sessions=offer.sessions[agents],
            shape=np.repeat(np.arange(len(chosen), dtype=np.int32), sizes),
            requests=_requests([share.queue for share in chosen]),
            gangs=_gang_numbers(chosen),
            groups=groups,
            group=np.repeat(np.array([place[share.queue.group] for share in chosen], dtype=np.int32), sizes),
            priorities=np.repeat(np.array([share.queue.priority for share in chosen], dtype=np.int32), sizes),
            payload=self.payload(parts),
            more=more,
            preempt=_preempt(chosen),
            durations=_durations([share.queue for share in chosen]),
        )

    def _take(self, queue: Queue, pods: int) -> list[Taken]:
        parts = []
        for number, share in queue.first(pods):
            parts.append(Taken(number, self._pending[number].take(queue.gang, share)))
            self._queue_up(self._ledger.by_number[number])
        return parts

    def _numbers_of(self, parts: list[Taken]) -> tuple[I64, I32]:
        """(ids int64[k], attempts int32[k]) of the launches to come."""
        jobs = self._ledger.jobs
        ids = joined([part.indexes + jobs["first_id"][jobs.at(part.job)] for part in parts])
        _, rows = jobs.locate(ids)
        return ids, self._ledger.pods["attempt"][rows].astype(np.int32) + np.int32(1)

    def payload(self, parts: list[Taken]) -> Payload:
        """What these pods are to run; at least one."""
        jobs = [self._ledger.by_number[part.job] for part in parts]
        sizes = np.array([len(part.indexes) for part in parts], dtype=np.int64)
        offsets, blobs = [np.zeros(1, dtype=np.int64)], []
        end = 0
        for job, part in zip(jobs, parts, strict=True):
            if len(job.env_off) == 0:
                offsets.append(np.full(len(part.indexes), end, dtype=np.int64))
                continue
            off, blob = take_env(job.env_off, job.env_blob, part.indexes)
            offsets.append(off[1:] + end)
            blobs.append(blob)
            end += len(blob)
        numbers = dict.fromkeys(job.template for job in jobs)
        return Payload(
            templates={number: self._ledger.templates.wire(number) for number in numbers},
            template=np.repeat(np.array([job.template for job in jobs], dtype=np.int32), sizes),
            index=joined([part.indexes for part in parts]),
            job=np.repeat(np.array([job.number for job in jobs], dtype=np.int64), sizes),
            env_off=np.concatenate(offsets),
            env_blob=b"".join(blobs),
        )

    # ---- what the master says ------------------------------------------------------------------------------------

    def answered(self, ids: I64) -> InFlight | None:
        """The accept that a result of these ids answers: the oldest one. None for one of before a restart."""
        if not self._in_flight or not np.array_equal(self._in_flight[0].ids, ids):
            return None
        return self._in_flight.popleft()

    def refused(self, agents: I32) -> None:
        """What was accepted on these agents was not committed."""
        self._offered.refuse(agents[agents >= 0])


def _is_asked(queue: Queue, offer: OfferBatch) -> bool:
    """Whether an offer is for these pods: some are for one gang, or for those that do not run for long."""
    if offer.gang:
        return queue.gang == offer.gang and queue.request == tuple(offer.request.tolist())
    return not offer.within_ms or 0 < queue.timeout_ms <= offer.within_ms


def _durations(queues: list[Queue]) -> I64:
    """int64[Q]: ms that a pod of each runs at most, 0: it does not say; empty where none does."""
    durations = np.array([queue.timeout_ms for queue in queues], dtype=np.int64)
    return durations if durations.any() else EMPTY_I64


def _first_of(order: I64, counts: I32, gangs: I32, most: int) -> tuple[I32, int, I32]:
    """(rows int32[m] ascending, the last one in order, pods int32[m] of each): of `order` up to `most` pods in all.

    The last row may be cut, to whole gangs; at least one gang of the first row is there.
    """
    ends = np.cumsum(counts[order], dtype=np.int64)
    upto = int(np.searchsorted(ends, most))
    if upto >= len(order):
        rows = np.sort(order, kind="stable").astype(np.int32)
        return rows, int(order[-1]), counts[rows]
    last, size = int(order[upto]), max(int(gangs[order[upto]]), 1)
    whole = most - (int(ends[upto - 1]) if upto else 0)
    pods = counts.copy()
    pods[last] = min(int(counts[last]), max(whole // size, 1) * size)
    rows = np.sort(order[: upto + 1], kind="stable").astype(np.int32)
    return rows, last, pods[rows]


def _requests(queues: list[Queue]) -> I32:
    return np.array([queue.request for queue in queues], dtype=np.int32).reshape(len(queues), R)


def _preempt(chosen: list[Chosen]) -> U8:
    """uint8[k]: which pods may take the place of others; empty where none may."""
    if not any(share.preempt for share in chosen):
        return EMPTY_U8
    return np.concatenate([np.full(len(share.agents), share.preempt, dtype=np.uint8) for share in chosen])


def _gang_numbers(chosen: list[Chosen]) -> I32:
    """int32[k]: a number for each block that launches whole or not at all, -1 for pods alone."""
    numbers, first = [], 0
    for share in chosen:
        size, k = share.queue.gang, len(share.agents)
        if size == 1:
            numbers.append(np.full(k, -1, dtype=np.int32))
        else:
            numbers.append((np.arange(k) // size + first).astype(np.int32))
            first += k // size
    return np.concatenate(numbers)
