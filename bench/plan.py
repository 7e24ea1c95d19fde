"""What a plan shows beside what happens: clusters of every seed, one request each, twice.

A cluster is the simulator's: the real machines, agents and messages, on a clock that makes nobody late and nothing
fail. It is filled with services and jobs; then one more request is planned from what a follower of it knows, and
asked for. Same: the very instances are started on the very agents, and the very ones are stopped, for the same reasons.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.rows import Rows
from orch.machine.commands import Reply
from orch.machine.host import Record
from orch.model import requests as ask
from orch.model.codec import decode, encode
from orch.model.messages import EMPTY_I64
from orch.model.specs.template import ConstraintTemplate, ContainerTemplate, HealthTemplate, Template
from orch.plan import Effect, Future, effect_of
from orch.plan.future import PATIENT
from orch.sim.disk import Disk
from orch.sim.head import Head, machines
from orch.sim.node import Node
from orch.sim.world import World

CLUSTERS = 200
QUIET_MS = 5_000
"""So long after the last request everything has happened."""
BEFORE = 6
"""Requests that fill a cluster, at most."""


class Steady:
    """Dice of a world in which nothing takes longer than anything else, and what may go wrong does not."""

    def random(self) -> float:
        """Never below a chance."""
        return 1.0

    def randrange(self, most: int) -> int:
        """The least."""
        return 0


def run(rows: Rows, quick: bool = False, seed: int = 1) -> None:
    """One row: of how many clusters a plan showed what happened."""
    clusters = CLUSTERS // 10 if quick else CLUSTERS
    begun, cpu = time.perf_counter(), time.process_time()
    same, first = 0, ""
    started = stopped = 0
    for number in range(clusters):
        planned, happened = compared(seed * 1_000_003 + number)
        started, stopped = started + len(happened.started), stopped + len(happened.stopped)
        if told(planned) == told(happened):
            same += 1
        elif not first:
            first = f"cluster {number}: planned {told(planned)}, happened {told(happened)}"
    rows.add(
        "plan", f"{clusters} clusters", same, "same", clusters, verified=same == clusters and started > 0 < stopped,
        wall_s=time.perf_counter() - begun, cpu_s=time.process_time() - cpu, seed=seed, clusters=clusters, same=same,
        started=started, stopped=stopped, **({"differs": first} if first else {}),
    )  # fmt: skip


def told(effect: Effect) -> list[list[Any]]:
    """An effect as sets that compare."""
    return [
        sorted(zip(effect.started.tolist(), effect.agents.tolist(), strict=True)),
        sorted(zip(effect.stopped.tolist(), effect.reasons.tolist(), strict=True)),
    ]


def compared(seed: int) -> tuple[Effect, Effect]:
    """(what the plan of a cluster's last request shows, what happened)."""
    cluster = Cluster(seed)
    for _ in range(int(cluster.draw.integers(1, BEFORE + 1))):
        cluster.take(*cluster.request())
    machine, request = cluster.request()
    future = Future(machines(**PATIENT), cluster.image(), cluster.world.now_ms)
    _, planned = future.ask(machine, decode(encode(request)))
    return effect_of(planned), effect_of(cluster.take(machine, request))


class Cluster:
    """A few agents of several sizes and zones, behind the real machines, on a virtual clock."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.world = World(seed)
        self.world.dice = Steady()  # type: ignore[assignment]
        self.records: list[Record] = []
        self.head = Watched(self.world, self.records, self._to_agent)
        self.nodes = {}
        for number in range(int(self.draw.integers(2, 13))):
            total = np.array([self.draw.choice([2000, 4000, 8000]), 8192, 10_000, 0, 100], dtype=np.int32)
            self.nodes[f"a{number}"] = Node(self.world, f"a{number}", total, self._to_master, lambda *_: None)
        self.services: dict[str, int] = {}
        self._count = 0
        self._pass()

    def _to_agent(self, to: str, message: Any) -> None:
        copy = decode(encode(message))
        self.world.after(1, lambda: self.nodes[to.removeprefix("agent/")].take(copy))

    def _to_master(self, name: str, message: Any) -> None:
        copy = decode(encode(message))
        self.world.after(1, lambda: self.head.take("master", copy))

    def _pass(self) -> None:
        end = self.world.now_ms + QUIET_MS
        while self.world.step(end):
            pass

    def image(self) -> Any:
        """What a follower of the cluster is given."""
        assert self.head.host is not None
        return decode(encode(self.head.host.snapshot(soft=True)))

    def take(self, machine: str, request: Any) -> list[Record]:
        """One request and all that follows; the records of it."""
        self.records.clear()
        self.head.take(machine, request)
        self._pass()
        return list(self.records)

    def request(self) -> tuple[str, Any]:
        """The next thing that somebody asks for."""
        self._count += 1
        stamp = {"request": f"r{self._count}", "key": "", "user": "user", "at_ms": self.world.now_ms}
        ways: list[Callable[[dict[str, Any]], tuple[str, Any]]] = [self._put, self._put, self._job]
        if self.services:
            ways += [self._put, self._scale, self._delete]
        return ways[int(self.draw.integers(len(ways)))](stamp)

    def _put(self, stamp: dict[str, Any]) -> tuple[str, Any]:
        draw = self.draw
        path = f"/web/{'abcd'[int(draw.integers(4))]}"
        cpus = int(draw.choice([300, 700, 1100, 1900]))
        checks = (HealthTemplate("tcp", 0, grace_ms=2_000, interval_ms=1_000, delay_ms=100),)
        container = ContainerTemplate(
            "app", shell="sim run=0", cpus_milli=cpus, mem_mib=64, grace_ms=200,
            health=checks if draw.random() < 0.3 else (),
        )  # fmt: skip
        rules = ((), (ConstraintTemplate("hostname", "UNIQUE"),), (ConstraintTemplate("hostname", "MAX_PER", "2"),))
        template = Template(
            path, "pod", (container,), group="/web", request=(cpus, 64, 0, 0, 0), backoff_ms=200,
            constraints=rules[int(draw.choice([0, 0, 1, 2]))], priority=int(draw.choice([0, 0, 0, 3])),
            minimum_health_micro=int(draw.choice([0, 500_000, 1_000_000])),
            maximum_over_micro=int(draw.choice([0, 500_000, 1_000_000])),
        )  # fmt: skip
        self.services[path] = int(draw.integers(1, 9))
        return "services", ask.PutService(**stamp, template=template.to_wire(), body={"id": path},
                                          instances=self.services[path], replace=True)  # fmt: skip

    def _path(self) -> str:
        paths = sorted(self.services)
        return paths[int(self.draw.integers(len(paths)))]

    def _scale(self, stamp: dict[str, Any]) -> tuple[str, Any]:
        path = self._path()
        return "services", ask.ScaleService(**stamp, path=path, instances=int(self.draw.integers(10)))

    def _delete(self, stamp: dict[str, Any]) -> tuple[str, Any]:
        path = self._path()
        del self.services[path]
        return "services", ask.DeleteService(**stamp, path=path)

    def _job(self, stamp: dict[str, Any]) -> tuple[str, Any]:
        draw = self.draw
        cpus, gang = int(draw.choice([200, 500, 1500])), int(draw.choice([0, 0, 2]))
        template = Template(
            f"/jobs/j{self._count}", "job",
            (ContainerTemplate("main", shell="sim run=0", cpus_milli=cpus, mem_mib=16),), group="/jobs",
            request=(cpus, 16, 0, 0, 0),
        )  # fmt: skip
        return "batch", ask.SubmitJob(
            **stamp, template=template.to_wire(), body={}, count=2 * int(draw.integers(1, 11)), env_off=EMPTY_I64,
            env_blob=b"", gang=gang, priority=int(draw.choice([0, 5])), attempts=1,
        )  # fmt: skip


class Watched(Head):
    """A head whose records are kept as they are made."""

    def __init__(self, world: World, kept: list[Record], send: Callable[[str, Any], None]) -> None:
        self._kept = kept
        super().__init__(world, Disk(world, 1), send, self._replied)

    def _replied(self, reply: Reply) -> None:
        """Nobody waits."""

    def _settle(self) -> None:
        known = len(self._waiting)
        super()._settle()
        self._kept.extend(self._waiting[known:])
