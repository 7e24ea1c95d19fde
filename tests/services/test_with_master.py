"""Both frameworks behind the real master, in one host, as they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from orch.batch import Batch
from orch.batch import views as batch_views
from orch.machine.commands import Reply
from orch.machine.host import Host, Record
from orch.master import Master
from orch.model import messages as m
from orch.model.codec import decode, encode
from orch.model.reasons import NO_EXIT_CODE
from orch.model.requests import DeleteService, PutService, ScaleService, StopJob, SubmitJob
from orch.model.states import FIRST_TERMINAL, State
from orch.services import Services, views
from tests.batch.test_batch import job
from tests.services.test_services import spec

TOTAL = np.array([1000, 4096, 0, 0, 10], dtype=np.int32)


class PlainAgent:
    """An agent that does at once what it is told, and tells nothing by itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session = self.epoch = self.seq = 0
        self.runs: dict[int, tuple[int, State]] = {}
        self.launched: list[tuple[int, int]] = []

    def report(self, ids: Sequence[int], state: State, code: int = NO_EXIT_CODE, now_ms: int = 0) -> m.UpdateBatch:
        self.seq += 1
        attempts = [self.runs[each][0] for each in ids]
        for each in ids:
            self.runs[each] = (self.runs[each][0], state)
        return m.UpdateBatch(
            self.name, self.session, self.epoch, self.seq, *columns(ids, attempts, state, code, now_ms)
        )

    def image(self, now_ms: int) -> m.Image:
        live = {each: run for each, run in self.runs.items() if run[1] < FIRST_TERMINAL}
        rows = columns(list(live), [run[0] for run in live.values()], State.RUNNING, NO_EXIT_CODE, now_ms)
        rows[2][:] = [run[1] for run in live.values()]
        return m.Image(self.name, self.session, self.epoch, 10_000, *rows)

    def of(self, framework: int, *states: State) -> list[int]:
        return sorted(each for each, run in self.runs.items() if each >> 44 == framework and run[1] in states)


def columns(ids: Sequence[int], attempts: Sequence[int], state: State, code: int, now_ms: int) -> list[Any]:
    k = len(ids)
    return [
        np.array(ids, dtype=np.int64),
        np.array(attempts, dtype=np.int32),
        np.full(k, state, dtype=np.uint8),
        np.full(k, code, dtype=np.int16),
        np.zeros(k, dtype=np.uint8),
        np.full(k, now_ms, dtype=np.int64),
        np.full(k, now_ms, dtype=np.int64),
    ]


class Cluster:
    """A host of the three machines, with plain agents and a follower."""

    def __init__(self, agents: int) -> None:
        self.now_ms = 1_700_000_000_000
        self.agents = {f"agent/a{row}": PlainAgent(f"a{row}") for row in range(agents)}
        self.replies: list[Reply] = []
        self.records: list[Record] = []
        self.follower = machines()
        self.host = machines()
        self.host.start(self.now_ms)
        self.settle()
        self.join()

    def join(self) -> None:
        for agent in self.agents.values():
            self.send(
                "master", m.Register(agent.name, f"{agent.name}-{agent.session}", TOTAL, {"hostname": agent.name})
            )

    def send(self, to: str, event: Any) -> None:
        self.host.handle(self.now_ms, to, event)
        self.settle()

    def settle(self) -> None:
        for record in self.host.take_records():
            self.records.append(decode(encode(record)))
            self.follower.replay(self.records[-1])
        self.host.durable(self.host.index)
        self.host.check()
        for outgoing in self.host.take_commands():
            if isinstance(outgoing.command, Reply):
                self.replies.append(outgoing.command)
            else:
                self.deliver(self.agents[outgoing.command.to], outgoing.command.message)

    def deliver(self, agent: PlainAgent, message: Any) -> None:
        if isinstance(message, m.Registered):
            agent.session, agent.epoch, agent.seq = message.session, message.epoch, 0
            self.send("master", agent.image(self.now_ms))
        elif isinstance(message, m.LaunchBatch):
            for each, attempt in zip(message.ids.tolist(), message.attempts.tolist(), strict=True):
                assert (each, attempt) not in agent.launched
                agent.launched.append((each, attempt))
                agent.runs[each] = (attempt, State.STAGING)
        elif isinstance(message, m.StopBatch):
            live = [each for each in message.ids.tolist() if agent.runs[each][1] < FIRST_TERMINAL]
            self.send("master", agent.report(live, State.KILLED, -15, self.now_ms))

    def ask(self, to: str, kind: type, **fields: Any) -> Any:
        self.send(to, kind(**{"request": "r", "key": "", "user": "ada", "at_ms": self.now_ms, **fields}))
        reply = self.replies.pop()
        assert reply.error is None, reply.error
        return reply.body

    def run(self, framework: int) -> None:
        for agent in self.agents.values():
            ids = agent.of(framework, State.STAGING)
            if ids:
                self.send("master", agent.report(ids, State.RUNNING, now_ms=self.now_ms))

    def end(self, framework: int, code: int = 0) -> None:
        for agent in self.agents.values():
            ids = agent.of(framework, State.STAGING, State.RUNNING)
            if ids:
                state = State.FAILED if code else State.FINISHED
                self.send("master", agent.report(ids, state, code, now_ms=self.now_ms))

    def restart(self) -> None:
        """The head dies: snapshot, all records since, a new epoch; the agents register again."""
        image = decode(encode(self.host.snapshot()))
        self.host = machines()
        self.host.restore(image)
        self.host.start(self.now_ms)
        self.settle()
        self.join()

    def same(self) -> None:
        """The follower knows what the live machines know."""
        live, follower = self.host.snapshot(soft=True), self.follower.snapshot(soft=True)
        for name in ("services", "batch"):
            assert encode(live["machines"][name]) == encode(follower["machines"][name])
        assert live["index"] == follower["index"]


def machines() -> Host:
    return Host([Master(), Services(), Batch()])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(3)


def test_a_submission_is_one_record_from_the_request_to_the_launch(cluster: Cluster) -> None:
    before = len(cluster.records)
    cluster.ask("services", PutService, **spec(2))
    cluster.ask("batch", SubmitJob, **job(4))
    durable = [record for record in cluster.records[before:] if not record.soft]
    assert len(durable) == 2
    kinds = [[type(fact).__name__ for _, fact in record.facts] for record in durable]
    assert kinds[0] == ["ServicePut", "Launched", "InstancesLaunched"]
    assert kinds[1] == ["JobSubmitted", "Launched", "PodsLaunched"]
    assert sum(len(agent.launched) for agent in cluster.agents.values()) == 6


def test_services_and_jobs_share_the_agents_and_end(cluster: Cluster) -> None:
    cluster.ask("services", PutService, **spec(5, cpus_milli=200))
    cluster.run(1)
    number = cluster.ask("batch", SubmitJob, **job(100, attempts=2))["job"]
    for _ in range(20):
        cluster.run(2)
        cluster.end(2)
    summary = batch_views.job(cluster.host.machines["batch"], number)
    assert summary["states"] == {"FINISHED": 100} and summary["done"]
    assert views.service(cluster.host.machines["services"], "/demo/web")["settled"]
    cluster.same()


def test_a_restart_of_the_head_changes_nothing_for_what_runs(cluster: Cluster) -> None:
    cluster.ask("services", PutService, **spec(3))
    cluster.run(1)
    number = cluster.ask("batch", SubmitJob, **job(50, attempts=2))["job"]
    cluster.run(2)
    for _ in range(3):
        cluster.restart()
        assert views.service(cluster.host.machines["services"], "/demo/web")["settled"]
    cluster.end(2, code=1)
    cluster.restart()
    for _ in range(10):
        cluster.run(2)
        cluster.end(2)
    summary = batch_views.job(cluster.host.machines["batch"], number)
    assert summary["done"] and summary["states"].get("FINISHED") == 50
    cluster.same()


def test_what_fails_is_replaced_after_its_delay_and_what_is_stopped_ends(cluster: Cluster) -> None:
    cluster.ask("services", PutService, **spec(2))
    cluster.run(1)
    cluster.end(1, code=3)
    services = cluster.host.machines["services"]
    assert views.waiting(services, "/demo/web")["kind"] == "backoff"
    cluster.now_ms += 1_000
    cluster.host.tick(cluster.now_ms)
    cluster.settle()
    cluster.run(1)
    assert views.service(services, "/demo/web")["settled"]
    cluster.ask("services", ScaleService, path="/demo/web", instances=1)
    assert len(views.instances(services, "/demo/web")) == 1
    cluster.ask("services", DeleteService, path="/demo/web")
    assert views.service(services, "/demo/web") is None
    number = cluster.ask("batch", SubmitJob, **job(40))["job"]
    cluster.ask("batch", StopJob, job=number)
    assert batch_views.job(cluster.host.machines["batch"], number)["states"] == {"KILLED": 40}
    assert len(cluster.host.machines["master"].instances) == 0
    cluster.same()


def test_what_does_not_fit_waits_quietly(cluster: Cluster) -> None:
    cluster.ask("batch", SubmitJob, **job(3, gang=3, template=job(1)["template"] | {"request": [900, 16, 0, 0, 0]}))
    cluster.ask("batch", SubmitJob, **job(1, template=job(1)["template"] | {"request": [2000, 16, 0, 0, 0]}))
    before = len(cluster.records)
    for _ in range(5):
        cluster.now_ms += 10_000
        for agent in cluster.agents.values():
            cluster.send("master", m.Heartbeat(agent.name, agent.session, agent.epoch, 10_000, cluster.now_ms))
        cluster.host.tick(cluster.now_ms)
        cluster.settle()
    assert len([record for record in cluster.records[before:] if not record.soft]) == 0
    batch = cluster.host.machines["batch"]
    assert batch_views.job(batch, 1)["states"] == {"STAGING": 3}
    assert batch_views.job(batch, 2)["states"] == {"SCHEDULED": 1}


def test_a_share_that_was_cut_by_proportion_is_offered_again(cluster: Cluster) -> None:
    """What a quota's group asks for in vain makes its small pods no less welcome in what is left."""
    master = cluster.host.machines["master"]
    assert isinstance(master, Master)
    master.tree.set("/jobs", guarantee=(600, 0, 0, 0, 0))
    for path, count, cpus in (("/jobs/filling", 3, 700), ("/jobs/wide", 2, 500), ("/jobs/small", 9, 100)):
        template = job(1)["template"] | {"path": path, "request": [cpus, 16, 0, 0, 0]}
        cluster.ask("batch", SubmitJob, **job(count, template=template))
    batch = cluster.host.machines["batch"]
    states = [batch_views.job(batch, number)["states"] for number in (1, 2, 3)]
    assert states == [{"STAGING": 3}, {"SCHEDULED": 2}, {"STAGING": 9}]
