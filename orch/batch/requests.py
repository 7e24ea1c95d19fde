"""What users ask of `batch`: submit a job, stop it, forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orch.batch import launches
from orch.batch.ledger import submit_answer
from orch.machine.commands import Reply
from orch.model import facts_batch as facts
from orch.model.columns import distinct
from orch.model.errors import (
    ConflictError,
    NotFoundError,
    OrchError,
    SpecError,
    TooLargeError,
    TooManyError,
    UnavailableError,
)
from orch.model.ids import first_id
from orch.model.messages import I64
from orch.model.ranges import to_ranges
from orch.model.reasons import Reason
from orch.model.requests import ForgetJob, StopJob, StopPods, SubmitJob, TellStory
from orch.model.resources import R
from orch.model.specs.limits import ATTEMPTS, COLUMN, GANG
from orch.model.specs.template import Template
from orch.model.states import FIRST_TERMINAL, State
from orch.model.words import number_of
from orch.placement.constraints import Terms, too_many

if TYPE_CHECKING:
    from orch.batch.machine import Batch

Request = SubmitJob | StopJob | StopPods | ForgetJob

PODS_MOST = 10_000_000
"""Pods of one job."""

ENV_BYTES_MOST = 512 * 1024 * 1024
"""The environments of one job's pods together."""

JOBS_MOST = 100_000
"""Jobs that have not finished."""

HELD_PODS_MOST = 40_000_000
"""Pods of all jobs in the tables, the finished ones included."""


def submit(machine: Batch, now_ms: int, event: SubmitJob) -> None:
    """Take a job: its pods wait from now on."""
    if machine.answered_before(event):
        return
    error = _refusal(machine, event)
    if error is not None:
        machine.refuse(now_ms, event, error)
        return
    ledger = machine.ledger
    fact = facts.JobSubmitted(
        at_ms=now_ms,
        job=ledger.next_job,
        first_id=max(ledger.next_id, first_id(machine.number)),
        path=event.template["path"],
        user=event.user,
        key=event.key,
        template=event.template,
        body=event.body,
        count=event.count,
        env_off=event.env_off,
        env_blob=event.env_blob,
        gang=event.gang,
        priority=event.priority,
        attempts=event.attempts,
        timeout_ms=event.template.get("timeout_ms", 0),
    )
    machine.emit(fact)
    machine.story_book.note(now_ms, "submitted", f"job {fact.job}", path=fact.path, count=fact.count, user=fact.user)
    machine.do(Reply(event.request, submit_answer(fact.job, fact.path, fact.count, fact.first_id)))
    machine.launcher.add(fact.job)
    machine.ask()


def stop(machine: Batch, now_ms: int, event: StopJob) -> None:
    """Launch no more of a job, and stop what runs of it. A second time does nothing more."""
    ledger = machine.ledger
    at = _job_at(machine, now_ms, event)
    if at is None:
        return
    if ledger.jobs["finished_ms"][at] or ledger.jobs["stopped"][at]:
        machine.answer(now_ms, event, {"job": event.job})
        return
    machine.emit(facts.JobStopped(at_ms=now_ms, job=event.job, user=event.user, key=event.key))
    machine.story_book.note(now_ms, "stopped", f"job {event.job}", user=event.user)
    waiting = machine.launcher.drop(event.job) + ledger.jobs["first_id"][at]
    drop_pods(machine, now_ms, waiting, Reason.STOPPED_BY_USER)
    states = ledger.pods["state"][ledger.rows(at)]
    launched = ledger.ids_in(at, (states > 0) & (states < FIRST_TERMINAL))
    launches.kill(machine, machine.stops.add(now_ms, launched), Reason.STOPPED_BY_USER)
    machine.do(Reply(event.request, {"job": event.job}))
    machine.ask()


def stop_pods(machine: Batch, now_ms: int, event: StopPods) -> None:
    """Launch these pods of a job no more, and stop those that run. What has ended already stays as it is."""
    ledger = machine.ledger
    at = _job_at(machine, now_ms, event)
    if at is None:
        return
    indexes, count = np.unique(event.indexes), int(ledger.jobs["count"][at])
    if len(indexes) and not 0 <= indexes[0] <= indexes[-1] < count:
        text = f"job {event.job} has pods 0 to {count - 1}, and was asked to stop {indexes[0]} to {indexes[-1]}"
        machine.refuse(now_ms, event, NotFoundError(text))
        return
    ids = indexes + ledger.jobs["first_id"][at]
    states = ledger.seen(ids).states
    if np.any(np.isin(ids, machine.launcher.on_the_way())):
        text = f"pods of job {event.job} are being launched in this moment; ask again"
        machine.refuse(now_ms, event, UnavailableError(text))
        return
    waiting = states == State.SCHEDULED
    launched = ids[~waiting & (states < FIRST_TERMINAL)]
    machine.story_book.note(now_ms, "stopped", ids, user=event.user)
    if len(launched):
        machine.emit(facts.PodsStopped(now_ms, event.job, *to_ranges(launched), event.user))
    if waiting.any():
        machine.launcher.withdraw(event.job, indexes[waiting])
        drop_pods(machine, now_ms, ids[waiting], Reason.STOPPED_BY_USER)
    launches.kill(machine, machine.stops.add(now_ms, launched), Reason.STOPPED_BY_USER)
    machine.answer(now_ms, event, {"job": event.job, "stopped": len(launched) + int(waiting.sum())})
    machine.ask()


def forget(machine: Batch, now_ms: int, event: ForgetJob) -> None:
    """Take a finished job out of the tables."""
    at = _job_at(machine, now_ms, event)
    if at is None:
        return
    if not machine.ledger.jobs["finished_ms"][at]:
        left = int(machine.ledger.jobs["count"][at] - machine.ledger.jobs.ended()[at])
        machine.refuse(
            now_ms,
            event,
            ConflictError(f"job {event.job} has {number_of(left, 'pod')} not ended; stop it, or wait until it is done"),
        )
        return
    forget_jobs(machine, now_ms, [event.job], event.user, event.key)
    machine.do(Reply(event.request, {"job": event.job}))


def tell_story(machine: Batch, now_ms: int, event: TellStory) -> None:
    """What happened to a pod (by id) or a job (`job 7`)."""
    machine.do(Reply(event.request, {"notes": machine.story(event.thing)}))


# ---- used by other handlers too -----------------------------------------------------------------------------------


def drop_pods(machine: Batch, now_ms: int, ids: I64, reason: Reason) -> None:
    """These waiting pods are not launched any more."""
    if len(ids) == 0:
        return
    starts, lengths = to_ranges(ids)
    machine.emit(facts.PodsDropped(at_ms=now_ms, starts=starts, lengths=lengths, reason=int(reason)))
    machine.story_book.note(now_ms, "dropped", ids, why=reason.name)
    finish_jobs(machine, now_ms, ids)


def finish_jobs(machine: Batch, now_ms: int, ids: I64) -> None:
    """Jobs of these pods of which all pods have ended are done; the oldest are forgotten when they are many."""
    jobs = machine.ledger.jobs
    at = distinct(jobs.locate(ids)[0])
    ended = jobs["counts"][at, FIRST_TERMINAL:].sum(axis=1)
    done = at[(ended == jobs["count"][at]) & (jobs["finished_ms"][at] == 0)]
    for number in jobs["number"][done].tolist():
        machine.emit(facts.JobFinished(at_ms=now_ms, job=number))
        machine.story_book.note(now_ms, "finished", f"job {number}")
        machine.launcher.finished(number)
    _forget_oldest(machine, now_ms)


def forget_jobs(machine: Batch, now_ms: int, numbers: list[int], user: str, key: str) -> None:
    """Finished jobs go."""
    machine.emit(facts.JobsForgotten(at_ms=now_ms, jobs=np.array(sorted(numbers), dtype=np.int64), user=user, key=key))
    for number in numbers:
        machine.story_book.note(now_ms, "forgotten", f"job {number}", user=user)


def _forget_oldest(machine: Batch, now_ms: int) -> None:
    """Keep within the limits; where they are passed, a twentieth more goes, so that it is not done each time."""
    ledger = machine.ledger
    jobs, pods = len(ledger.finished), ledger.finished_pods
    if jobs <= machine.kept_jobs and pods <= machine.kept_pods:
        return
    leaving = []
    for number, count in list(ledger.finished.items())[:-1]:
        if jobs <= machine.kept_jobs * 19 // 20 and pods <= machine.kept_pods * 19 // 20:
            break
        leaving.append(number)
        jobs, pods = jobs - 1, pods - count
    if leaving:
        forget_jobs(machine, now_ms, leaving, "", "")


def _job_at(machine: Batch, now_ms: int, event: StopJob | StopPods | ForgetJob) -> int | None:
    """Where the job of a request stands; None where the request is answered: by its key, or as there is no such job."""
    if machine.answered_before(event):
        return None
    at = machine.ledger.jobs.at(event.job)
    if at < 0:
        text = f"there is no job {event.job}: it was never submitted, or has been forgotten since it finished"
        machine.refuse(now_ms, event, NotFoundError(text))
        return None
    return at


def _refusal(machine: Batch, event: SubmitJob) -> OrchError | None:
    """What speaks against a submission."""
    if not machine.number:
        return UnavailableError("batch has not reached the master yet; try again in a moment")
    try:
        path = Template.from_wire(event.template).path
    except (ValueError, TypeError, AttributeError) as error:
        return SpecError(f"the job's template can't be read: {error}")
    problems = _count_problems(event) + _env_problems(event) + _request_problems(event.template)
    crowded = too_many(Terms.from_wire(event.template))
    problems += [_problem("/constraints", crowded)] if crowded else []
    if problems:
        sentence = "; ".join(f"{problem['path']}: {problem['errors'][0]}" for problem in problems)
        return SpecError(f'job "{path}": {sentence}', details=problems)
    if len(event.env_blob) > ENV_BYTES_MOST:
        return TooLargeError(
            f'job "{path}": the environments of its pods have {len(event.env_blob)} bytes together; at most '
            f"{ENV_BYTES_MOST} are taken. Put what is large into files, or split the job"
        )
    ledger = machine.ledger
    active = len(ledger.by_number) - len(ledger.finished)
    if active >= JOBS_MOST:
        return TooManyError(f"{active} jobs have not finished, and no more are taken. Wait, or submit arrays of pods")
    held = int(ledger.jobs["count"].sum())
    if held + event.count > HELD_PODS_MOST:
        return TooManyError(
            f"{held} pods are in the tables, and {HELD_PODS_MOST} fit: {event.count} more do not. Forget finished jobs"
        )
    return None


def _problem(path: str, sentence: str) -> dict[str, Any]:
    return {"path": path, "errors": [sentence]}


def _count_problems(event: SubmitJob) -> list[dict[str, Any]]:
    found = []
    if not 1 <= event.count <= PODS_MOST:
        found.append(_problem("/instances", f"is {event.count}; a job has 1 to {PODS_MOST} pods. Split a larger one"))
    if not 0 <= event.gang <= GANG:
        found.append(_problem("/gang", f"is {event.gang}; it must be 0 to {GANG}"))
    elif event.gang > 1 and event.count % event.gang:
        found.append(_problem("/gang", f"{event.count} pods can't be split into gangs of {event.gang}: take a divisor"))
    if not 1 <= event.attempts <= ATTEMPTS:
        found.append(_problem("/retries", f"a pod gets {event.attempts} launches; it must be 1 to {ATTEMPTS}"))
    if not -COLUMN <= event.priority <= COLUMN:
        found.append(_problem("/priority", f"is {event.priority}; it must fit 32 bits"))
    return found


def _env_problems(event: SubmitJob) -> list[dict[str, Any]]:
    off = event.env_off
    if len(off) == 0 and not event.env_blob:
        return []
    fits = len(off) == event.count + 1 and off[0] == 0 and off[-1] == len(event.env_blob)
    if fits and bool(np.all(off[1:] >= off[:-1])):
        return []
    size = len(event.env_blob)
    return [_problem("/each", f"the offsets of the environments do not cut {size} bytes into {event.count} pieces")]


def _request_problems(template: dict[str, Any]) -> list[dict[str, Any]]:
    request = template["request"]
    if len(request) == R and all(isinstance(amount, int) and 0 <= amount <= COLUMN for amount in request):
        return []
    return [_problem("/", f"one pod asks for {list(request)}; it must be {R} numbers from 0 to {COLUMN}")]
