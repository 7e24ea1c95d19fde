"""What people and programs read of jobs: pure questions to the machine, or to a follower's copy of it.

Times are ms since 1970. Agents are rows of the master's table. Instances of jobs are their pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.batch import relations
from orch.batch.job import Job
from orch.batch.machine import Batch
from orch.model.codec import decode
from orch.model.ids import instance_name, parent_group
from orch.model.messages import I16, I32, I64, U8
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import FIRST_TERMINAL, State
from orch.model.words import needs_sentence
from orch.placement.attributes import Agents
from orch.placement.constraints import Limits

PAGE_MOST = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Pods of one job from `start` on, one row each. started_ms, ended_ms: 0 = not yet; agents: -1 = none; copies."""

    start: int
    states: U8
    exit_codes: I16
    reasons: U8
    attempts: I32
    agents: I32
    started_ms: I64
    ended_ms: I64


def jobs(machine: Batch, after: int = 0, limit: int | None = None, path: str | None = None) -> list[dict[str, Any]]:
    """Summaries, the oldest job first. after: only jobs with higher numbers. path: only jobs of that path."""
    numbers = machine.ledger.jobs["number"]
    if path is not None:
        chosen = [number for number in machine.ledger.by_path.get(path, []) if number > after][:limit]
        return [_summary(machine, machine.ledger.jobs.at(number)) for number in chosen]
    start = int(np.searchsorted(numbers, after, side="right"))
    stop = len(numbers) if limit is None else min(start + limit, len(numbers))
    return [_summary(machine, at) for at in range(start, stop)]


def job(machine: Batch, number: int) -> dict[str, Any] | None:
    """A summary with the spec (`body`) as it was sent; None where there is no such job."""
    at = machine.ledger.jobs.at(number)
    if at < 0:
        return None
    return {**_summary(machine, at), "body": decode(machine.ledger.by_number[number].body)}


def find(machine: Batch, path: str) -> int | None:
    """The number of the latest job at a path."""
    numbers = machine.ledger.by_path.get(path)
    return numbers[-1] if numbers else None


def job_of(machine: Batch, instance: int) -> int | None:
    """The number of the job that an instance id belongs to."""
    at = int(machine.ledger.jobs.locate(np.array([instance], dtype=np.int64))[0][0])
    return None if at < 0 else int(machine.ledger.jobs["number"][at])


def outcome(machine: Batch, number: int) -> dict[str, NDArray[Any]] | None:
    """What programs read of all pods of a job, the first five columns of `Columns`; None where there is no such job.

    A million of them keep others waiting for some ms, and their times would cost three times as much.
    """
    ledger = machine.ledger
    at = ledger.jobs.at(number)
    if at < 0:
        return None
    rows, pods = ledger.rows(at), ledger.pods
    return {
        "states": pods["state"][rows].copy(),
        "exit_codes": pods["exit_code"][rows].copy(),
        "reasons": pods["reason"][rows].copy(),
        "attempts": pods["attempt"][rows].astype(np.int32),
        "agents": pods["agent"][rows].copy(),
    }


def columns(machine: Batch, number: int, start: int = 0, stop: int | None = None) -> Columns | None:
    """States and more of pods `start` to `stop - 1` (all, if not given); None where there is no such job."""
    ledger = machine.ledger
    at = ledger.jobs.at(number)
    if at < 0:
        return None
    whole = ledger.rows(at)
    count = whole.stop - whole.start
    start, stop, _ = slice(start, stop).indices(count)
    rows = np.arange(whole.start + start, whole.start + max(start, stop), dtype=np.int64)
    pods, where = ledger.pods, np.full(len(rows), at, dtype=np.int64)
    return Columns(
        start=start,
        states=pods["state"][rows],
        exit_codes=pods["exit_code"][rows],
        reasons=pods["reason"][rows],
        attempts=pods["attempt"][rows].astype(np.int32),
        agents=pods["agent"][rows],
        started_ms=ledger.times_ms("started", where, rows),
        ended_ms=ledger.times_ms("ended", where, rows),
    )


def states(machine: Batch, number: int) -> NDArray[np.uint8] | None:
    """uint8[n] of `State`."""
    at = machine.ledger.jobs.at(number)
    return None if at < 0 else machine.ledger.pods["state"][machine.ledger.rows(at)].copy()


def exit_codes(machine: Batch, number: int) -> NDArray[np.int16] | None:
    """int16[n]: 0..255, minus the signal, or -32768 for none."""
    at = machine.ledger.jobs.at(number)
    return None if at < 0 else machine.ledger.pods["exit_code"][machine.ledger.rows(at)].copy()


def instance(machine: Batch, instance_id: int) -> dict[str, Any] | None:
    """One pod by id."""
    number = job_of(machine, instance_id)
    if number is None:
        return None
    index = instance_id - int(machine.ledger.jobs["first_id"][machine.ledger.jobs.at(number)])
    return instances(machine, number, index, 1)[0]


def instances(
    machine: Batch, number: int, offset: int = 0, limit: int = 100, state: int | None = None
) -> list[dict[str, Any]]:
    """A page of a job's pods by index; `state`: only those in it. Empty if there is no such job."""
    ledger = machine.ledger
    at = ledger.jobs.at(number)
    if at < 0:
        return []
    limit = min(max(limit, 0), PAGE_MOST)
    if state is None:
        part = columns(machine, number, offset, offset + limit)
        assert part is not None
        return [_instance(machine, at, part, row) for row in range(len(part.states))]
    found = np.flatnonzero(ledger.pods["state"][ledger.rows(at)] == state)[offset : offset + limit].tolist()
    page = []
    for index in found:
        part = columns(machine, number, index, index + 1)
        assert part is not None
        page.append(_instance(machine, at, part, 0))
    return page


def failures(machine: Batch, number: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The first pods of a job that ended and not well, at most `limit`, and how many there are."""
    ledger = machine.ledger
    at = ledger.jobs.at(number)
    if at < 0:
        return [], 0
    counts = ledger.jobs["counts"][at]
    total = int(counts[FIRST_TERMINAL:].sum() - counts[State.FINISHED])
    if total == 0:
        return [], 0
    states = ledger.pods["state"][ledger.rows(at)]
    first = np.flatnonzero((states >= FIRST_TERMINAL) & (states != State.FINISHED))[:limit].tolist()
    return [instances(machine, number, index, 1)[0] for index in first], total


def waiting(machine: Batch, number: int) -> list[dict[str, Any]]:
    """What waits of a job, by shape: `[{path, group, request, count, gang, priority, needs, sentence, first}]`.

    request: a list by resource column. gang: pods that start together. needs, sentence: what no agent can do: it is
    never launched. first: the lowest index. Empty where nothing waits, or there is no such job.
    """
    ledger = machine.ledger
    at = ledger.jobs.at(number)
    if at < 0 or ledger.jobs["stopped"][at]:
        return []
    job = ledger.by_number[number]
    indexes = np.flatnonzero(ledger.pods["state"][ledger.rows(at)] == State.SCHEDULED)
    if len(indexes) == 0:
        return []
    if job.gang == 1:
        return [_shape(job, 1, len(indexes), int(indexes[0]))]
    sizes = np.bincount(indexes // job.gang)
    of_each = sizes[indexes // job.gang]
    return [
        _shape(job, size, int(np.count_nonzero(of_each == size)), int(indexes[of_each == size][0]))
        for size in np.unique(of_each)[::-1].tolist()
    ]


def limits(machine: Batch, number: int, attributes: Sequence[dict[str, str]], names: Sequence[str]) -> Limits:
    """(rules, uint8[1, N]) of what a job asks of agents, for `placement.explain` of one more pod: its shape is 0.

    What is on its way to the master is not counted. None and None where nothing is asked, or there is no such job.
    """
    job = machine.ledger.by_number.get(number)
    if job is None:
        return None, None
    at = partial(relations.pointing, machine.ledger)
    rows = [(job.terms, number)]
    return relations.limits(machine.ledger, rows, Agents(attributes, names), relations.nothing_flies, at)


def template_limits(machine: Batch, template: Template, agents: Agents) -> Limits:
    """As `limits`, for a job that is not submitted."""
    return relations.unborn_limits(machine.ledger, template, agents)


def _shape(job: Job, gang: int, count: int, first: int) -> dict[str, Any]:
    return {
        "path": job.path,
        "group": parent_group(job.path),
        "request": list(job.request),
        "count": count,
        "gang": gang,
        "priority": job.priority,
        "needs": list(job.needs),
        "sentence": needs_sentence(job.path, job.needs),
        "first": first,
    }


def _summary(machine: Batch, at: int) -> dict[str, Any]:
    columns = machine.ledger.jobs
    number = int(columns["number"][at])
    job = machine.ledger.by_number[number]
    finished_ms = int(columns["finished_ms"][at])
    counts = columns["counts"][at].tolist()
    return {
        "number": number,
        "job": number,
        "path": job.path,
        "user": job.user,
        "count": int(columns["count"][at]),
        "first_id": int(columns["first_id"][at]),
        "states": {State(state).name: pods for state, pods in enumerate(counts) if pods},
        "submitted_ms": int(columns["submitted_ms"][at]),
        "finished_ms": finished_ms or None,
        "done": finished_ms > 0,
        "stopped": bool(columns["stopped"][at]),
        "gang": job.gang,
        "priority": job.priority,
        "attempts": int(columns["attempts"][at]),
        "timeout_ms": int(columns["timeout_ms"][at]),
        "request": list(job.request),
    }


def _instance(machine: Batch, at: int, part: Columns, row: int) -> dict[str, Any]:
    number = int(machine.ledger.jobs["number"][at])
    index = part.start + row
    exit_code, agent = int(part.exit_codes[row]), int(part.agents[row])
    return {
        "id": int(machine.ledger.jobs["first_id"][at]) + index,
        "name": instance_name(machine.ledger.by_number[number].path, index, number),
        "job": number,
        "index": index,
        "state": State(part.states[row]).name,
        "exit_code": None if exit_code == NO_EXIT_CODE else exit_code,
        "reason": Reason(part.reasons[row]).name,
        "attempt": int(part.attempts[row]),
        "agent": None if agent < 0 else agent,
        "started_ms": int(part.started_ms[row]) or None,
        "ended_ms": int(part.ended_ms[row]) or None,
    }
