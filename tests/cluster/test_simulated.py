"""Simulated machines behind the real messages, with the real runner and journal, in one process without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from orch.batch import Batch
from orch.batch import views as batch_views
from orch.cluster.machine import plan_agents
from orch.cluster.simulated import SimulatedMachine
from orch.machine.host import Host
from orch.master import Master
from orch.master import views as master_views
from orch.model.codec import decode, encode
from orch.model.requests import StopJob, SubmitJob
from orch.model.specs.template import ContainerTemplate, Template
from orch.model.states import State
from orch.runtime.clock import Clock
from orch.runtime.runner import Runner, replay_all
from orch.store import SqliteStore


class World:
    """A runner and its simulated machines, joined by loop callbacks, so that every message takes a turn of the loop."""

    def __init__(self, folder: Path, count: int = 0, fleet: int = 0) -> None:
        self.fatal: list[Exception] = []
        self.store = SqliteStore(folder)
        self.runner = Runner(
            lambda: [Master(), Batch()], self.store, self._to_agent, folder / "aside", "t", self.fatal.append
        )
        self.machines: dict[str, SimulatedMachine] = {}
        self._loop = asyncio.get_running_loop()
        self.runner.start()
        for plan in plan_agents(count, {}, "a", 4.0, 4096, "head", simulated=True) if count else ():
            self.machines[plan["name"]] = SimulatedMachine(plan, Clock(), self._to_master)
        if fleet:
            [model] = plan_agents(1, {}, "a", 4.0, 4096, "head", simulated=True)
            plan = {**model, "name": "fleet", "fleet": [0, fleet]}
            self.machines["fleet"] = SimulatedMachine(plan, Clock(), self._to_master)
        for machine in self.machines.values():
            machine.start()

    def adopt(self, other: World) -> None:
        """Take over the machines of a world whose master is gone."""
        self.machines = other.machines
        for machine in self.machines.values():
            machine._send = self._to_master

    def _to_agent(self, to: str, message: Any) -> None:
        body = encode(message)
        self._loop.call_soon(lambda: self.machines[to.removeprefix("agent/")].take(body))

    def _to_master(self, agent: str, body: bytes) -> None:
        self._loop.call_soon(self.runner.from_agents, [(agent, body)])

    @property
    def master(self) -> Master:
        machine = self.runner.host.machines["master"]
        assert isinstance(machine, Master)
        return machine

    @property
    def batch(self) -> Batch:
        machine = self.runner.host.machines["batch"]
        assert isinstance(machine, Batch)
        return machine

    def ready(self) -> bool:
        rows = master_views.agents(self.master)
        return bool(rows) and {row["state"] for row in rows} == {"READY"}

    def states(self, job: int) -> dict[State, int]:
        found = batch_views.job(self.batch, job)
        assert found is not None
        columns = batch_views.columns(self.batch, job)
        assert columns is not None
        states, counts = np.unique(columns.states, return_counts=True)
        return {State(state): int(count) for state, count in zip(states, counts, strict=True)}

    async def submit(self, count: int, run_ms: int = 0, key: str = "") -> int:
        container = ContainerTemplate("main", shell="true", cpus_milli=100, mem_mib=16)
        template = Template(
            "/demo/job", "job", (container,), "/demo", (100, 16, 0, 0, 0), env=(("ORCH_SIM_MS", str(run_ms)),)
        )
        empty = np.zeros(count + 1, dtype=np.int64)
        request = SubmitJob("r1", key, "admin", 0, template.to_wire(), {}, count, empty, b"")
        answer = await self.runner.call("batch", request)
        assert answer["error"] is None, answer
        return int(answer["body"]["job"])


async def eventually(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_job_runs_on_simulated_machines_and_a_follower_sees_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, 5)
        await eventually(world.ready)
        start = decode(await world.runner.image())
        replica = Host([Master(), Batch()])
        replica.restore(start["image"])
        job = await world.submit(2_000)
        await eventually(lambda: world.states(job) == {State.FINISHED: 2_000})
        follower = replica.machines["batch"]
        assert isinstance(follower, Batch)
        after = start["after"]
        while not (batch_views.job(follower, job) or {}).get("done"):
            found = decode(await world.runner.follow(start["life"], after, 30_000))
            assert found["records"], "nothing came"
            after += len(replay_all(replica, found["records"]))
        assert batch_views.job(follower, job) == batch_views.job(world.batch, job)
        world.runner.host.check()
        assert world.fatal == []
        await world.runner.stop()

    run(test)


def test_a_master_that_is_replaced_in_the_middle_of_a_batch_ends_it(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, 3)
        await eventually(world.ready)
        job = await world.submit(1_000, run_ms=40, key="k")
        await eventually(lambda: world.states(job).get(State.FINISHED, 0) > 100)
        await world.runner.stop()
        again = World(tmp_path)
        again.adopt(world)
        assert again.states(job).get(State.FINISHED, 0) > 100
        await eventually(lambda: again.states(job) == {State.FINISHED: 1_000})
        assert await again.submit(1_000, run_ms=40, key="k") == job
        attempts = batch_views.columns(again.batch, job).attempts
        assert int(attempts.max()) == 1, "an instance ran twice"
        again.runner.host.check()
        await again.runner.stop()

    run(test)


def test_a_job_that_is_stopped_ends(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, 2)
        await eventually(world.ready)
        job = await world.submit(500, run_ms=60_000)
        await eventually(lambda: world.states(job).get(State.RUNNING, 0) == 80)
        answer = await world.runner.call("batch", StopJob("r2", "", "admin", 0, job))
        assert answer["error"] is None
        await eventually(lambda: world.states(job) == {State.KILLED: 500})
        assert all(machine.running == 0 for machine in world.machines.values())
        await world.runner.stop()

    run(test)


def test_a_fleet_runs_a_job_on_all_of_its_machines_and_none_has_more_than_it_holds(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, fleet=100)
        await eventually(world.ready)
        assert sorted(world.master.agents.by_name) == sorted(f"a{number}" for number in range(1, 101))
        job = await world.submit(5_000, run_ms=60_000)
        await eventually(lambda: world.states(job) == {State.RUNNING: 4_000, State.SCHEDULED: 1_000})
        columns = batch_views.columns(world.batch, job)
        assert columns is not None
        assert set(np.bincount(columns.agents[columns.agents >= 0]).tolist()) == {40}, "4 CPUs hold 40 pods of 0.1"
        assert world.machines["fleet"].running == 4_000
        await world.runner.call("batch", StopJob("r2", "", "admin", 0, job))
        await eventually(lambda: world.states(job) == {State.KILLED: 5_000})
        await eventually(lambda: world.machines["fleet"].running == 0)
        world.runner.host.check()
        await world.runner.stop()

    run(test)


def test_a_fleet_whose_master_is_replaced_keeps_what_it_runs(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, fleet=10)
        await eventually(world.ready)
        job = await world.submit(400, run_ms=60_000)
        await eventually(lambda: world.states(job) == {State.RUNNING: 400})
        await world.runner.stop()
        again = World(tmp_path)
        again.adopt(world)
        await eventually(lambda: again.ready() and again.states(job) == {State.RUNNING: 400})
        attempts = batch_views.columns(again.batch, job)
        assert attempts is not None and int(attempts.attempts.max()) == 1
        again.runner.host.check()
        await again.runner.stop()

    run(test)
