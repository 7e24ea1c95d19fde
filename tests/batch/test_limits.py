"""Bounds on everything, and what is kept of the finished."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from orch.batch import Batch, launcher, ledger, requests, views
from orch.machine.host import Host
from orch.master import Master
from orch.model import messages as say
from orch.model.requests import ForgetJob, StopJob, SubmitJob
from orch.model.specs.template import ContainerTemplate, Template
from orch.model.states import State
from tests.batch.plain import Rig
from tests.batch.test_batch import AGENT, envs, job, template


def run_one(rig: Rig, count: int = 1) -> int:
    """A job of so many pods, to its end."""
    answer = rig.ask(SubmitJob, **job(count))
    while not views.job(rig.machine, answer["job"])["done"]:
        rig.say(rig.master.of("batch", State.STAGING), State.FINISHED, 0)
    return answer["job"]


def test_finished_jobs_beyond_the_kept_number_are_forgotten_the_oldest_first() -> None:
    rig = Rig(lambda: Batch(kept_jobs=20), [AGENT])
    for _ in range(21):
        run_one(rig)
    assert [one["job"] for one in views.jobs(rig.machine)] == [3, *range(4, 22)]
    assert rig.facts(ledger.facts.JobsForgotten)[0].jobs.tolist() == [1, 2]
    rig.same()


def test_finished_pods_beyond_the_kept_number_are_forgotten_with_their_jobs() -> None:
    rig = Rig(lambda: Batch(kept_pods=20), [AGENT])
    for count in (5, 8, 8):
        run_one(rig, count)
    assert [one["job"] for one in views.jobs(rig.machine)] == [2, 3]
    running = rig.ask(SubmitJob, **job(100))["job"]
    assert views.job(rig.machine, running) is not None
    rig.same()


def test_the_last_job_that_finished_stays_however_large_it_is() -> None:
    rig = Rig(lambda: Batch(kept_pods=5), [AGENT])
    for count in (8, 9):
        run_one(rig, count)
        assert [one["count"] for one in views.jobs(rig.machine)] == [count]


def test_gaps_that_forgotten_jobs_leave_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "GAP_ROWS", 10)
    rig = Rig(Batch, [AGENT])
    for count in (10, 3, 10, 3):
        run_one(rig, count)
    rig.ask(ForgetJob, job=1)
    assert rig.machine.ledger.pods.length == 26
    rig.ask(ForgetJob, job=3)
    assert rig.machine.ledger.pods.length == 6
    assert views.states(rig.machine, 2).tolist() == views.states(rig.machine, 4).tolist() == [State.FINISHED] * 3
    rig.ask(ForgetJob, job=2)
    rig.ask(ForgetJob, job=4)
    assert views.jobs(rig.machine) == []
    rig.same()
    assert views.job(rig.machine, run_one(rig, 5))["done"]
    rig.same()


def test_a_finished_job_costs_20_bytes_a_pod_and_no_payload() -> None:
    rig = Rig(Batch, [AGENT])
    number = rig.ask(SubmitJob, **job(10, **envs(*[b"A=1\0"] * 10)))["job"]
    rig.say(rig.master.of("batch"), State.FINISHED, 0)
    found = rig.machine.ledger
    assert sum(column.itemsize for column in found.pods.to_dict().values()) == 20
    assert found.by_number[number].env_blob == b"" and len(found.templates) == 0


def test_too_much_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(Batch, [AGENT])
    monkeypatch.setattr(requests, "ENV_BYTES_MOST", 10)
    error = rig.refused(SubmitJob, **job(2, **envs(b"A=12345\0", b"A=12345\0")))
    assert error["status"] == 413 and "split the job" in error["detail"]
    monkeypatch.setattr(requests, "HELD_PODS_MOST", 10)
    error = rig.refused(SubmitJob, **job(11))
    assert error["status"] == 429 and "Forget finished jobs" in error["detail"]
    monkeypatch.setattr(requests, "JOBS_MOST", 1)
    rig.ask(SubmitJob, **job(1))
    assert rig.refused(SubmitJob, **job(1))["status"] == 429


@pytest.mark.parametrize("broken", [{}, {"v": 99}, {**template(), "nonsense": 1}, {**template(), "containers": 3}])
def test_a_template_that_cannot_be_read_is_refused(broken: dict[str, object]) -> None:
    rig = Rig(Batch, [AGENT])
    error = rig.refused(SubmitJob, **{**job(1), "template": broken})
    assert error["status"] == 422 and "can't be read" in error["detail"]


def test_what_is_not_there_is_not_found_and_the_key_remembers_it() -> None:
    rig = Rig(Batch, [AGENT])
    for kind in (StopJob, ForgetJob):
        first = rig.refused(kind, job=1, key=f"k{kind.__name__}")
        assert first["status"] == 404
    run_one(rig)
    assert rig.refused(ForgetJob, job=1, key="kForgetJob") == first
    assert rig.ask(StopJob, job=1, key="late") == {"job": 1}
    rig.ask(ForgetJob, job=1)
    assert rig.ask(StopJob, job=1, key="late") == {"job": 1}
    rig.same()


def test_a_million_pods_are_one_submission() -> None:
    rig = Rig(Batch, [[100 * 2_000, 1_000_000, 0, 0, 0]])
    first = rig.ask(SubmitJob, **job(1_000_000))["first_id"]
    assert len(rig.master.launches) == 2_000
    rig.say(range(first, first + 2_000), State.FINISHED, 0)
    assert len(rig.master.launches) == 4_000
    assert views.job(rig.machine, 1)["states"] == {"SCHEDULED": 996_000, "STAGING": 2_000, "FINISHED": 2_000}
    rig.ask(StopJob, job=1)
    assert views.job(rig.machine, 1)["states"]["KILLED"] == 996_000
    assert len(rig.facts(ledger.facts.PodsDropped)[0].starts) == 1
    assert np.count_nonzero(views.exit_codes(rig.machine, 1) == 0) == 2_000


def test_a_large_demand_is_accepted_in_slices_in_the_order_and_with_the_result_of_one_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, accepts = [], []
    for size in (1_000, 7):
        monkeypatch.setattr(launcher, "SLICE", size)
        world = Together([(4000, 4096, 10_000, 0, 100)] * 4)
        for number, (count, cpus, priority) in enumerate([(11, 500, 0), (9, 300, 5), (6, 700, 0), (5, 9000, 9)]):
            world.submit(number, count, cpus, priority)
        found.append(world.placed())
        accepts.append(world.accepts)
    assert found[0] == found[1] and len(found[0]) == 26
    assert accepts[1] > accepts[0] + 2


def test_a_gang_larger_than_a_slice_starts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "SLICE", 7)
    world = Together([(4000, 4096, 10_000, 0, 100)] * 4)
    world.submit(0, 30, 500, 0, gang=15)
    assert len(world.placed()) == 30


class Together:
    """The master and batch behind one host, and agents that only register."""

    def __init__(self, totals: list[tuple[int, ...]]) -> None:
        self.master, self.batch = Master(hosted=("batch",)), Batch()
        self.host = Host([self.master, self.batch])
        self.host.start(1_000)
        self.accepts = 0
        nothing = np.zeros(0, dtype=np.int64)
        for at, total in enumerate(totals):
            self.host.handle(1_000, "master", say.Register(f"a{at}", "n", np.array(total, dtype=np.int32), {}))
            columns = (nothing, nothing, nothing, nothing, nothing, nothing, nothing)
            self.host.handle(1_000, "master", say.Image(f"a{at}", 1, 1, 0, *columns))
        self.host.watch = self._watch

    def _watch(self, what: str) -> contextlib.AbstractContextManager[None]:
        self.accepts += what == "master.Accept"
        return contextlib.nullcontext()

    def submit(self, number: int, count: int, cpus: int, priority: int, gang: int = 0) -> None:
        """All jobs are there before the first tick goes on with what a slice left."""
        container = ContainerTemplate("main", shell="true", cpus_milli=cpus)
        one = Template(f"/demo/j{number}", "job", (container,), "/demo", (cpus, 16, 0, 0, 0))
        env = np.zeros(0, dtype=np.int64)
        request = SubmitJob(f"r{number}", "", "ann", 1_000, one.to_wire(), {}, count, env, b"", gang, priority)
        self.master.offers.pause(self.master, 1_000)
        self.host.handle(1_000, "batch", request)

    def placed(self) -> list[tuple[int, int]]:
        """(id, agent) of all that is launched once all is quiet."""
        while (wake := self.host.wake_ms()) is not None and wake <= 1_000:
            self.host.tick(1_000)
        self.host.check()
        rows = self.master.instances.table.rows()
        ids, agents = self.master.instances["id"][rows], self.master.instances["agent"][rows]
        return sorted(zip(ids.tolist(), agents.tolist(), strict=True))
