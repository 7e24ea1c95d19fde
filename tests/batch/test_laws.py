"""Random lives of jobs against a record in plain Python, with invariants checked after every event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.batch import Batch, views
from orch.model.reasons import Reason
from orch.model.requests import ForgetJob, StopJob, SubmitJob
from orch.model.states import FIRST_TERMINAL, State
from tests.batch.plain import Change, Rig
from tests.batch.test_batch import job, template

AGENTS = [[1000, 4096, 0, 0, 10], [600, 4096, 0, 0, 10], [300, 4096, 0, 0, 10]]
LIVE = (State.STAGING, State.STARTING, State.RUNNING, State.KILLING, State.UNREACHABLE)
ENDS = [
    (State.FINISHED, 0, Reason.NONE),
    (State.FAILED, 1, Reason.EXITED),
    (State.FAILED, 1, Reason.PORT_TAKEN),
    (State.DROPPED, 0, Reason.NONE),
    (State.LOST, 0, Reason.AGENT_LOST),
    (State.KILLED, -15, Reason.STOPPED_BY_USER),
    (State.KILLED, -15, Reason.SHUTDOWN),
    (State.ERROR, 0, Reason.COMMAND_NOT_FOUND),
]


class Life:
    """What happens to a rig, drawn from data; and what should have become of each pod."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.rig = Rig(Batch, AGENTS)
        self.jobs: dict[int, dict[str, Any]] = {}
        self.pods: dict[int, State] = {}
        """id -> how it ended for good, as this record has it."""
        self.stopped: set[int] = set()

    def submit(self) -> None:
        gang = self.draw(st.sampled_from([0, 0, 2, 3]))
        count = self.draw(st.integers(1, 8)) * max(gang, 1)
        attempts = self.draw(st.integers(1, 3))
        fields = job(
            count,
            gang=gang,
            attempts=attempts,
            priority=self.draw(st.integers(-1, 1)),
            template=template(
                path=self.draw(st.sampled_from(["/a/x", "/a/y", "/b"])),
                cpus_milli=self.draw(st.sampled_from([100, 250] if gang else [100, 250, 600])),
                timeout_ms=self.draw(st.sampled_from([0, 0, 500])),
                needs=self.draw(st.sampled_from([(), (), (), ("image",)])),
            ),
        )
        answer = self.rig.ask(SubmitJob, **fields)
        first = answer["first_id"]
        self.jobs[answer["job"]] = {**fields, "ids": range(first, first + count)}

    def job_of(self, pod: int) -> int:
        return next(number for number, fields in self.jobs.items() if pod in fields["ids"])

    def some_live(self, *states: State) -> list[int]:
        live = self.rig.master.of("batch", *(states or LIVE))
        return self.draw(st.lists(st.sampled_from(live), unique=True, max_size=6)) if live else []

    def run(self) -> None:
        for state in (State.STARTING, State.RUNNING):
            self.rig.say(self.some_live(State.STAGING), state)

    def lose_sight(self) -> None:
        self.rig.say(self.some_live(State.STAGING, State.RUNNING), State.UNREACHABLE)

    def see_again(self) -> None:
        self.rig.say(self.some_live(State.UNREACHABLE), State.RUNNING)

    def end(self) -> None:
        state, code, reason = self.draw(st.sampled_from(ENDS))
        pods = self.some_live()
        for pod in pods:
            self._ended(pod, state, reason)
        self.rig.say(pods, state, code, reason=reason)

    def _ended(self, pod: int, state: State, reason: Reason) -> None:
        number = self.job_of(pod)
        attempt = self.rig.master.instances[pod]["attempt"]
        most = self.jobs[number]["attempts"]
        if state == State.DROPPED or reason == Reason.PORT_TAKEN:
            most += 10
        user = state == State.KILLED and reason == Reason.STOPPED_BY_USER
        if state == State.FINISHED or user or number in self.stopped or attempt >= most:
            self.pods[pod] = state

    def stop(self) -> None:
        if self.jobs:
            number = self.draw(st.sampled_from(sorted(self.jobs)))
            waiting = [
                pod
                for pod in self.jobs[number]["ids"]
                if pod not in self.pods and self.rig.master.instances.get(pod) is None
            ]
            self.rig.ask(StopJob, job=number)
            if number not in self.stopped:
                self.pods.update(dict.fromkeys(waiting, State.KILLED))
            self.stopped.add(number)

    def forget(self) -> None:
        done = [one["job"] for one in views.jobs(self.rig.machine) if one["done"]]
        if done:
            number = self.draw(st.sampled_from(done))
            self.judge(number)
            self.rig.ask(ForgetJob, job=number)
            del self.jobs[number]

    def refuse(self) -> None:
        remainder = self.draw(st.integers(0, 3))
        self.rig.master.refuse = (lambda pod: pod % 3 == remainder) if remainder < 3 else (lambda pod: False)
        self.rig.send(Change(), "master")

    def drain(self) -> None:
        row = self.draw(st.integers(0, len(AGENTS) - 1))
        self.rig.master.usable[row] ^= 1
        self.rig.master._touch(row)
        self.rig.send(Change(), "master")

    def wait(self) -> None:
        self.rig.wait(self.draw(st.sampled_from([1, 100, 700, 20_000])))

    def restart(self) -> None:
        self.rig.restart(self.draw(st.booleans()))

    def finish(self) -> None:
        """Let everything that can run run to its end."""
        self.rig.master.refuse = lambda pod: False
        self.rig.master.usable = [1] * len(AGENTS)
        for row in range(len(AGENTS)):
            self.rig.master._touch(row)
        self.rig.send(Change(), "master")
        for _ in range(200):
            live = self.rig.master.of("batch", *LIVE)
            if not live:
                return
            for pod in live:
                self._ended(pod, State.FINISHED, Reason.NONE)
            self.rig.say(live, State.FINISHED, 0)
        raise AssertionError("jobs never end")

    def judge(self, number: int) -> None:
        for at, pod in enumerate(self.jobs[number]["ids"]):
            expected = self.pods.get(pod, State.SCHEDULED)
            assert State(views.states(self.rig.machine, number)[at]) == expected, (number, at)

    def judge_all(self) -> None:
        for number, fields in self.jobs.items():
            self.judge(number)
            runs = not fields["template"]["needs"] or number in self.stopped
            assert views.job(self.rig.machine, number)["done"] == runs
        launches = [launch[:2] for launch in self.rig.master.launches]
        assert len(set(launches)) == len(launches), "an attempt was launched twice"
        self.rig.same()


ACTS = [
    Life.submit, Life.submit, Life.run, Life.end, Life.end, Life.stop, Life.forget, Life.refuse, Life.drain, Life.wait,
    Life.restart, Life.lose_sight, Life.see_again,
]  # fmt: skip


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_whatever_happens_every_pod_ends_as_it_should(data: st.DataObject) -> None:
    life = Life(data.draw)
    life.submit()
    for act in data.draw(st.lists(st.sampled_from(ACTS), max_size=25)):
        act(life)
    life.finish()
    life.judge_all()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_gang_launches_all_that_waits_of_a_block_or_nothing(data: st.DataObject) -> None:
    life = Life(data.draw)
    rig, accepts = life.rig, 0
    gang = data.draw(st.integers(2, 4))
    first = rig.ask(SubmitJob, **job(gang * 4, gang=gang, attempts=3, template=template(cpus_milli=250)))["first_id"]
    for _ in range(12):
        waited = [views.states(rig.machine, 1)[at] == State.SCHEDULED for at in range(gang * 4)]
        state, code, reason = data.draw(st.sampled_from(ENDS[:2]))
        pods = life.some_live()
        states = views.states(rig.machine, 1)
        before = len(rig.master.launches)
        rig.say(pods, state, code, reason=reason)
        again = [pod - first for pod in pods if state == State.FAILED and _attempt(rig, first, pod) < 3]
        waited = [(states[at] == State.SCHEDULED) or at in again for at in range(gang * 4)]
        launched = [launch[0] - first for launch in rig.master.launches[before:]]
        accepts += len(launched)
        for block in range(4):
            members = [at for at in range(block * gang, block * gang + gang) if waited[at]]
            started = [at for at in members if at in launched]
            assert started in ([], members)


def _attempt(rig: Rig, first: int, pod: int) -> int:
    """The attempt that has just ended: launches so far, less one if it runs again."""
    launches = [attempt for each, attempt, _ in rig.master.launches if each == pod]
    row = rig.master.instances.get(pod)
    return launches[-1] - (1 if row is not None and row["state"] < FIRST_TERMINAL else 0)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_times_survive_in_their_columns(data: st.DataObject) -> None:
    rig = Rig(Batch, [AGENTS[0]], start_ms=1_700_000_000_000)
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    ran_ms = data.draw(st.sampled_from([0, 1, 999, 2**31 - 1, 2**31, 40 * 86_400_000, 400 * 86_400_000]))
    started_ms = rig.now_ms
    rig.say([first], State.RUNNING)
    rig.now_ms += ran_ms
    rig.say([first], State.FINISHED, 0)
    one = views.instance(rig.machine, first)
    assert one["started_ms"] == started_ms
    assert 0 <= started_ms + ran_ms - one["ended_ms"] < (1 if ran_ms < 2**31 else 1000)
    two = views.instance(rig.machine, first + 1)
    assert two["started_ms"] is None and two["ended_ms"] is None
    rig.same()


@given(st.lists(st.booleans(), min_size=1, max_size=24), st.sampled_from([1, 2, 3]))
def test_waiting_pods_are_taken_in_order_and_put_back(waits: list[bool], gang: int) -> None:
    from orch.batch.pending import Pending

    count = len(waits) * gang
    waiting = np.array([at for at in range(count) if waits[at // gang] or at % gang], dtype=np.int64)
    pending = Pending.of(waiting, count, gang)
    assert pending.indexes().tolist() == waiting.tolist() and len(pending) == len(waiting)
    taken: list[int] = []
    for size, pods in pending.rows():
        assert pods % size == 0
        half = pods // size // 2 * size
        part = pending.take(size, half).tolist()
        assert len(part) == half
        taken += part
    rest = pending.indexes()
    assert sorted([*taken, *rest.tolist()]) == waiting.tolist()
    pending.put(np.array(taken, dtype=np.int64))
    assert pending.indexes().tolist() == waiting.tolist()
    assert pending.clear().tolist() == waiting.tolist() and len(pending) == 0
