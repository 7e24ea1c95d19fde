"""What `batch` knows for good: jobs and the states of their pods. Changed by facts only, live and on replay.

A finished pod costs 20 bytes (`Instances`); the template and the environments of a finished job are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.batch.instances import NO_TIME, TIME_MOST, Instances
from orch.batch.job import Job
from orch.batch.jobs import JobColumns
from orch.batch.templates import Templates
from orch.machine.keys import Keys
from orch.model import facts_batch as facts
from orch.model.codec import encode
from orch.model.columns import as_slice
from orch.model.messages import I32, I64, U8
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import FIRST_TERMINAL, State
from orch.placement.constraints import Terms

GAP_ROWS = 65_536
"""Rows of forgotten jobs are closed up once there are more than this, and more than rows in use."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Pods by id, columns of k. at: the position of their job. Unknown ones have at and row -1, state and attempt 0."""

    at: I64
    rows: I64
    known: NDArray[np.bool_]
    states: U8
    attempts: I32


class Ledger:
    """Tables of jobs, pods, templates and idempotency keys."""

    def __init__(self) -> None:
        self.jobs = JobColumns()
        self.pods = Instances()
        self.by_number: dict[int, Job] = {}
        self.by_path: dict[str, list[int]] = {}
        """Numbers of the jobs at each path, ascending."""
        self.templates = Templates()
        self.keys = Keys()
        self.next_job = 1
        self.next_id = 0
        """Ids below were given out; 0 before the first job."""
        self.finished: dict[int, int] = {}
        """Job -> pods, of finished jobs in the order in which they finished."""
        self.finished_pods = 0

    # ---- facts -------------------------------------------------------------------------------------------------

    def submitted(self, fact: facts.JobSubmitted) -> None:
        """A new job with its pods SCHEDULED."""
        template = fact.template
        self.by_number[fact.job] = Job(
            number=fact.job,
            path=fact.path,
            user=fact.user,
            template=self.templates.intern(template),
            request=tuple(template["request"]),
            needs=tuple(template["needs"]),
            body=encode(fact.body),
            gang=max(fact.gang, 1),
            priority=fact.priority,
            env_off=np.asarray(fact.env_off, dtype=np.int64),
            env_blob=fact.env_blob,
            policy=template.get("policy", ""),
            terms=Terms.from_wire(template),
        )
        self.by_path.setdefault(fact.path, []).append(fact.job)
        self.jobs.add(
            number=fact.job,
            first_id=fact.first_id,
            count=fact.count,
            row=self.pods.add(fact.count),
            submitted_ms=fact.at_ms,
            unit_ms=1,
            attempts=fact.attempts,
            timeout_ms=fact.timeout_ms,
        )
        self.next_job = fact.job + 1
        self.next_id = fact.first_id + fact.count
        self.keys.put(fact.user, fact.key, submit_answer(fact.job, fact.path, fact.count, fact.first_id))

    def launched(self, fact: facts.PodsLaunched) -> None:
        """SCHEDULED -> STAGING, one attempt more."""
        at, rows = self._locate(fact.ids)
        pods, where = self.pods, as_slice(rows)
        assert np.all(pods["state"][where] == State.SCHEDULED), "a pod was launched that does not wait"
        pods["attempt"][where] += 1
        pods["agent"][where] = fact.agents
        pods["exit_code"][where] = NO_EXIT_CODE
        pods["reason"][where] = Reason.NONE
        pods["started"][where] = NO_TIME
        pods["ended"][where] = NO_TIME
        self._set_states(at, rows, np.full(len(rows), State.STAGING, dtype=np.uint8))

    def updated(self, fact: facts.PodsUpdated) -> None:
        """New states as the master told them; SCHEDULED where a pod gets another attempt."""
        at, rows = self._locate(fact.ids)
        self._set_states(at, rows, fact.states)
        where = as_slice(rows)
        self.pods["exit_code"][where] = fact.exit_codes
        self.pods["reason"][where] = self._reasons(where, fact)
        gave_way = (fact.states == State.SCHEDULED) & (fact.reasons == Reason.PREEMPTED)
        if gave_way.any():
            self.pods["spared"][rows[gave_way]] += 1
        self._set_times("started", at, rows, fact.started_ms)
        over = (fact.states >= FIRST_TERMINAL) | (fact.states == State.SCHEDULED)
        if over.any():
            self._set_times("ended", at[over], rows[over], fact.changed_ms[over])

    def dropped(self, fact: facts.PodsDropped) -> None:
        """SCHEDULED -> KILLED: never launched, or not again."""
        at, rows = self._locate(fact.ids)
        assert np.all(self.pods["state"][rows] == State.SCHEDULED), "a launched pod was dropped"
        self._set_states(at, rows, np.full(len(rows), State.KILLED, dtype=np.uint8))
        self.pods["exit_code"][rows] = NO_EXIT_CODE
        self.pods["reason"][rows] = fact.reason
        self._set_times("ended", at, rows, np.full(len(rows), fact.at_ms, dtype=np.int64))

    def stopped(self, fact: facts.JobStopped) -> None:
        """The goal of the job is to end."""
        self.jobs["stopped"][self.jobs.at(fact.job)] = 1
        self.keys.put(fact.user, fact.key, {"job": fact.job})

    def pods_stopped(self, fact: facts.PodsStopped) -> None:
        """The reason of what has not ended says so from now on, whatever its agent says meanwhile."""
        _, rows = self._locate(fact.ids)
        self.pods["reason"][rows] = Reason.STOPPED_BY_USER

    def finished_job(self, fact: facts.JobFinished) -> None:
        """All pods have ended: drop what only launches need."""
        at = self.jobs.at(fact.job)
        job = self.by_number[fact.job]
        self.jobs["finished_ms"][at] = fact.at_ms
        self.templates.release(job.template)
        job.drop_payload()
        self.finished[fact.job] = int(self.jobs["count"][at])
        self.finished_pods += self.finished[fact.job]

    def forgotten(self, fact: facts.JobsForgotten) -> None:
        """Out of the tables. Rows stay as gaps until there are many."""
        leaving = np.isin(self.jobs["number"], fact.jobs)
        for number in fact.jobs.tolist():
            job = self.by_number.pop(number)
            self.by_path[job.path].remove(number)
            if not self.by_path[job.path]:
                del self.by_path[job.path]
            self.finished_pods -= self.finished.pop(number)
        self.jobs.keep(~leaving)
        self.keys.put(fact.user, fact.key, {"job": int(fact.jobs[0])})
        used = int(self.jobs["count"].sum())
        if self.pods.length - used > max(GAP_ROWS, used):
            self._close_gaps()

    def answered(self, fact: facts.JobRequestAnswered) -> None:
        """The same key gets the same answer."""
        self.keys.put(fact.user, fact.key, fact.body, fact.error)

    # ---- questions ---------------------------------------------------------------------------------------------

    def seen(self, ids: I64) -> Seen:
        """What is known of pods that somebody else tells of, some of which may not be known at all."""
        at, rows = self.jobs.locate(ids)
        known = rows >= 0
        if known.all():
            where = as_slice(rows)
            return Seen(at, rows, known, self.pods["state"][where].copy(), self.pods["attempt"][where].astype(np.int32))
        states, attempts = np.zeros(len(ids), dtype=np.uint8), np.zeros(len(ids), dtype=np.int32)
        states[known] = self.pods["state"][rows[known]]
        attempts[known] = self.pods["attempt"][rows[known]]
        return Seen(at, rows, known, states, attempts)

    def rows(self, at: int) -> slice:
        """The rows of the job at a position."""
        first = int(self.jobs["row"][at])
        return slice(first, first + int(self.jobs["count"][at]))

    def agents_of(self, number: int) -> I32:
        """int32[k]: for each pod of a job that was launched and has not ended, the row of its agent."""
        rows = self.rows(self.jobs.at(number))
        states = self.pods["state"][rows]
        agents: I32 = self.pods["agent"][rows][(states > State.SCHEDULED) & (states < FIRST_TERMINAL)]
        return agents

    def ids_in(self, at: int, mask: Any) -> I64:
        """Ids of the job's pods where `mask` bool[count] is True."""
        found: I64 = np.flatnonzero(mask) + self.jobs["first_id"][at]
        return found

    def times_ms(self, name: str, at: I64, rows: I64) -> I64:
        """int64[k] ms since 1970 of a column of times; 0 where there is none."""
        stored = self.pods[name][rows].astype(np.int64)
        absolute: I64 = stored * self.jobs["unit_ms"][at] + self.jobs["submitted_ms"][at]
        return np.where(stored == NO_TIME, 0, absolute)

    # ---- snapshots ---------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything, for a snapshot."""
        return {
            "jobs": self.jobs.to_dict(),
            "pods": self.pods.to_dict(),
            "specs": [job.to_list() for job in self.by_number.values()],
            "templates": self.templates.to_list(),
            "keys": self.keys.to_list(),
            "next_job": self.next_job,
            "next_id": self.next_id,
            "finished": list(self.finished),
        }

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave."""
        self.jobs.restore(image["jobs"])
        self.pods.restore(image["pods"])
        self.by_number, self.by_path = {}, {}
        for spec in image["specs"]:
            job = Job.from_list(spec)
            self.by_number[job.number] = job
            self.by_path.setdefault(job.path, []).append(job.number)
        self.templates.restore(image["templates"])
        self.keys.restore(image["keys"])
        self.next_job, self.next_id = image["next_job"], image["next_id"]
        self.finished = {number: int(self.jobs["count"][self.jobs.at(number)]) for number in image["finished"]}
        self.finished_pods = sum(self.finished.values())

    def check(self) -> None:
        """Assert what always holds between the tables."""
        jobs, states = self.jobs, self.pods["state"]
        assert jobs["number"].tolist() == list(self.by_number), "the tables of jobs differ"
        assert sorted(n for numbers in self.by_path.values() for n in numbers) == list(self.by_number)
        ends = jobs["first_id"] + jobs["count"]
        assert np.all(ends[:-1] <= jobs["first_id"][1:]), "two jobs share ids"
        assert jobs.length == 0 or ends[-1] <= self.next_id
        uses: dict[int, int] = {}
        for at, job in enumerate(self.by_number.values()):
            counted = np.bincount(states[self.rows(at)], minlength=len(State))
            assert np.array_equal(counted, jobs["counts"][at]), f"job {job.number}: pods by state are counted wrong"
            done = int(counted[FIRST_TERMINAL:].sum()) == int(jobs["count"][at])
            assert (jobs["finished_ms"][at] > 0) == done, f"job {job.number}: done is {done}"
            assert done == (job.number in self.finished), f"job {job.number}: not among the finished"
            if job.template >= 0:
                uses[job.template] = uses.get(job.template, 0) + 1
            assert (job.template < 0) == done and not (done and len(job.env_blob)), "a finished job keeps its payload"
        assert uses == self.templates.uses(), "templates are counted wrong"
        assert self.finished_pods == sum(self.finished.values())

    # ---- helpers -----------------------------------------------------------------------------------------------

    def _locate(self, ids: I64) -> tuple[I64, I64]:
        at, rows = self.jobs.locate(ids)
        assert len(rows) == 0 or rows.min() >= 0, "a fact about a pod that is not known"
        return at, rows

    def _reasons(self, where: slice | I64, fact: facts.PodsUpdated) -> U8:
        """As told; but a pod that a user stopped keeps that until it has ended."""
        stays = (self.pods["reason"][where] == Reason.STOPPED_BY_USER) & (fact.states < FIRST_TERMINAL)
        return np.where(stays, np.uint8(Reason.STOPPED_BY_USER), fact.reasons) if stays.any() else fact.reasons

    def _set_states(self, at: I64, rows: I64, new: U8) -> None:
        states, counts, where = self.pods["state"], self.jobs["counts"], as_slice(rows)
        if len(at) and at.min() == at.max():
            counts[at[0]] += np.bincount(new, minlength=len(State)) - np.bincount(states[where], minlength=len(State))
        else:
            np.subtract.at(counts, (at, states[rows]), 1)
            np.add.at(counts, (at, new), 1)
        states[where] = new

    def _set_times(self, name: str, at: I64, rows: I64, times_ms: I64) -> None:
        """Store where a time is not 0. A job that lasts longer than its unit can say gets one 1000 times as large."""
        told = times_ms != 0
        if not told.all():
            at, rows, times_ms = at[told], rows[told], times_ms[told]
        of = at[0] if len(at) and at.min() == at.max() else at
        since = times_ms - self.jobs["submitted_ms"][of]
        stored = _in_units(since, self.jobs["unit_ms"][of])
        over = stored > TIME_MOST
        if over.any():
            for late in np.unique(at[over]).tolist():
                self._coarser(late)
            stored = since // self.jobs["unit_ms"][at]
        self.pods[name][as_slice(rows)] = np.clip(stored, -TIME_MOST, TIME_MOST)

    def _coarser(self, at: int) -> None:
        rows = self.rows(at)
        self.jobs["unit_ms"][at] *= 1000
        for name in ("started", "ended"):
            times = self.pods[name][rows]
            times[:] = np.where(times == NO_TIME, NO_TIME, times // 1000)

    def _close_gaps(self) -> None:
        jobs = self.jobs
        used = np.zeros(self.pods.length, dtype=bool)
        for at in range(jobs.length):
            used[self.rows(at)] = True
        self.pods.keep(used)
        jobs["row"][:] = np.cumsum(jobs["count"]) - jobs["count"]


def _in_units(since_ms: I64, unit_ms: I64) -> I64:
    """Divided by their units; most units are 1 ms."""
    return since_ms if np.all(unit_ms == 1) else since_ms // unit_ms


def submit_answer(job: int, path: str, count: int, first_id: int) -> dict[str, Any]:
    """The reply to `SubmitJob`."""
    return {"job": job, "path": path, "count": count, "first_id": first_id}
