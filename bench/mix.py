"""The shapes of Kubernetes's scheduler_perf at 5,000 nodes: from a client's submission to all pods STAGING.

Real are the client, the API, the journal (durable), allocator, kernel, commit, messages and Ray; the agents are
simulated, so what comes after STAGING costs little, and it goes on meanwhile. A pod counts from the moment at which
the client sees that it was placed: STAGING, or a state after it. What orch cannot express yet is a row without a
figure, which says why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from bench.rows import Rows

AGENTS = 5_000
AGENT_CPUS, AGENT_MEM = 4, 32_768
POD = {"cpus": 0.1, "mem": 500}
"""As scheduler_perf's nodes and pods: 4 CPUs and 32 GiB; 100 milli-CPU and 500 MB."""
LOW, HIGH = {"cpus": 0.9, "mem": 500}, {"cpus": 3, "mem": 500}
"""Those that give way, and those that take their place."""
GONE_S: list[float] = []
"""Of each round: until all that took a place run, as those that gave way are gone."""
BEFORE = 1_000
"""Pods that run when a shape begins."""
ROUNDS = 5
LIMIT_S = 30.0
STOP_S = 120.0
"""An error after that: to stop a service takes time by the square of its instances."""
LOOK_S = {"job": 0.002, "service": 0.02}
"""Between two looks of the client: what it costs the gateway is part of what is measured."""
RUNS = {"ORCH_SIM_MS": "3600000"}
TOO_LARGE_CPUS = AGENT_CPUS * 2
REFERENCE = "scheduler_perf: the scheduler alone placed 464 pods/s (basic) on 2 cores; ci_floor is for other hardware"

Clients = Any
Placed = tuple[int, float, bool]
"""Pods that were placed, in seconds, and whether each lies where it may."""


@dataclass(frozen=True)
class Shape:
    """A shape of scheduler_perf: what its CI asks for in pods/s, how we run it or why we cannot, pods a round.

    alone: nothing runs when it begins.
    """

    ci_floor: int
    pods: int = 0
    run: Callable[[Clients, str, int], Placed] | None = None
    unsupported: str = ""
    alone: bool = False


def run(rows: Rows, quick: bool = False, case: str | None = None) -> None:
    """Print a row for each shape. Raises ValueError where there is no such case."""
    if case is not None and case not in SHAPES:
        raise ValueError(f"{case!r} is no case; there are {' '.join(SHAPES)}")
    chosen = {case: SHAPES[case]} if case else SHAPES
    for name, shape in chosen.items():
        if shape.run is None:
            rows.without("mix", name, "unsupported", shape.unsupported, **_reference(shape))
    if all(shape.run is None for shape in chosen.values()):
        return
    import orch

    with orch.local(agents=AGENTS, simulated=True, agent_cpus=AGENT_CPUS, agent_mem=AGENT_MEM) as cluster:
        for name, shape in chosen.items():
            if shape.run is None:
                continue
            with _running(cluster, 0 if shape.alone else BEFORE):
                _rounds(rows, cluster, name, shape, 2 if quick else ROUNDS)


@contextmanager
def _running(cluster: Clients, pods: int) -> Iterator[None]:
    """While so many pods run, which are no part of the shape."""
    if pods == 0:
        yield
        return
    before = cluster.submit("/bench/before", cmd="true", count=pods, env=RUNS, **POD)
    before.wait(timeout=60, until="running")
    yield
    before.stop(wait=True)


def _rounds(rows: Rows, cluster: Clients, name: str, shape: Shape, rounds: int) -> None:
    assert shape.run is not None
    begun = time.perf_counter()
    GONE_S.clear()
    found = [shape.run(cluster, f"/bench/{name}-{turn}", shape.pods) for turn in range(rounds)]
    rates = [placed / seconds for placed, seconds, _ in found]
    late = any(placed < shape.pods for placed, _, _ in found)
    rows.add(
        "mix", name, median(rates), "pods/s", shape.pods, verified=all(right for _, _, right in found),
        wall_s=time.perf_counter() - begun, rounds=[round(rate) for rate in rates], agents=AGENTS,
        stopped_after_s=LIMIT_S if late else None, **({"gone_s": round(median(GONE_S), 4)} if GONE_S else {}),
        **_reference(shape),
    )  # fmt: skip


def _reference(shape: Shape) -> dict[str, Any]:
    return {"ci_floor": shape.ci_floor, "reference": REFERENCE}


# ---- jobs ----------------------------------------------------------------------------------------------------------


def basic(cluster: Clients, path: str, pods: int) -> Placed:
    """One job of equal pods."""
    began = time.monotonic()
    job = cluster.submit(path, cmd="true", count=pods, env=RUNS, **POD)
    placed = _until_placed(job.status, pods, began, "job")
    seconds = time.monotonic() - began
    right = _is_right([job], placed)
    job.stop(wait=True)
    return placed, seconds, right


def churn(cluster: Clients, path: str, pods: int) -> Placed:
    """In ten jobs while a second client submits jobs of ten pods and stops them, one after the other."""
    with _meanwhile(cluster, path + "-churn") as went:
        before = went[0]
        jobs, placed, seconds = _in_ten(cluster, path, pods)
        gone = went[0] - before
    right = _is_right(jobs, placed) and gone > 0
    for job in jobs:
        job.stop(wait=True)
    return placed, seconds, right


def unschedulable(cluster: Clients, path: str, pods: int) -> Placed:
    """In ten jobs, with one before each whose pods no agent can hold; those wait until the end."""
    hopeless: list[Any] = []

    def before(turn: int) -> None:
        asked = {**POD, "cpus": TOO_LARGE_CPUS}
        hopeless.append(cluster.submit(f"{path}-never-{turn}", cmd="true", count=20, env=RUNS, **asked))

    jobs, placed, seconds = _in_ten(cluster, path, pods, before)
    right = _is_right(jobs, placed) and all(_placed(job.status()) == 0 for job in hopeless)
    for job in [*hopeless, *jobs]:
        job.stop(wait=True)
    return placed, seconds, right


def _in_ten(
    cluster: Clients, path: str, pods: int, before: Callable[[int], None] = lambda _: None
) -> tuple[list[Any], int, float]:
    """(ten jobs that were submitted one after the other, pods that were placed, in seconds)."""
    jobs = []
    began = time.monotonic()
    for turn in range(10):
        before(turn)
        jobs.append(cluster.submit(f"{path}-{turn}", cmd="true", count=pods // 10, env=RUNS, **POD))
    placed = sum(_until_placed(job.status, pods // 10, began, "job") for job in jobs)
    return jobs, placed, time.monotonic() - began


@contextmanager
def _meanwhile(cluster: Clients, path: str) -> Iterator[list[int]]:
    """While the block runs, pods come and go; yields [how many jobs of them went], once the first has."""
    import orch

    went, first, ended, failed = [0], threading.Event(), threading.Event(), []
    place = cluster._wire.place

    def come_and_go() -> None:
        from orch.client.cluster import Cluster

        try:
            with Cluster(place) as second:
                while not ended.is_set():
                    second.submit(path, cmd="true", count=10, env=RUNS, **POD).stop(wait=True)
                    went[0] += 1
                    first.set()
        except orch.OrchError as error:
            failed.append(error)
            first.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        first.wait()
        yield went
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


def _is_right(jobs: list[Any], placed: int) -> bool:
    """Whether so many pods have an agent, and no agent has more than it holds beside what ran before."""
    agents = np.concatenate([job._columns()["agents"] for job in jobs])
    agents = agents[agents >= 0]
    return len(agents) == placed and _fit(agents)


def preemption(cluster: Clients, path: str, pods: int) -> Placed:
    """Onto agents that are full of pods of a lower priority, four on each, of which three give way to each pod.

    Placed is a pod that is STAGING: then its victims are stopped, and the room is kept for it. Right is a round in
    which all of them run in the end, each on an agent of its own beside one of the four, and nobody else has ended.
    """
    low = cluster.submit(f"{path}-low", cmd="true", count=4 * AGENTS, env=RUNS, priority=0, **LOW)
    assert _until_placed(low.status, 4 * AGENTS, time.monotonic(), "job") == 4 * AGENTS
    began = time.monotonic()
    high = cluster.submit(path, cmd="true", count=pods, env=RUNS, priority=10, **HIGH)
    placed = _until_placed(high.status, pods, began, "job")
    seconds = time.monotonic() - began
    high.wait(timeout=LIMIT_S, until="running")
    GONE_S.append(time.monotonic() - began)
    left = low.status()["states"]
    agents = high._columns()["agents"]
    right = len(np.unique(agents)) == pods and high.status()["states"] == {"RUNNING": pods}
    right &= sum(left.values()) == 4 * AGENTS and left.get("SCHEDULED", 0) == 3 * pods
    kept = low._columns()
    per_agent = np.bincount(kept["agents"][kept["states"] != 0], minlength=AGENTS)
    right &= bool((per_agent[agents] == 1).all())
    for job in (low, high):
        job.stop(wait=True)
    return placed, seconds, right


# ---- services ------------------------------------------------------------------------------------------------------


def node_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """Agents whose attribute is like a pattern; all are, as all of its nodes are in the zone that its pods ask for."""
    return _service(cluster, path, pods, ["node", "LIKE", ".*"])


def anti_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """No two on one agent."""
    return _service(cluster, path, pods, ["hostname", "UNIQUE"])


def pod_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """All where the first one is, by an attribute that all agents share, as its nodes share a zone."""
    return _service(cluster, path, pods, ["node", "CLUSTER"])


def _service(cluster: Clients, path: str, pods: int, constraint: list[str]) -> Placed:
    spec = {"id": path, "cmd": "true", "instances": pods, "constraints": [constraint], **POD}
    began = time.monotonic()
    service = cluster.run(spec)
    placed = _until_placed(service.status, pods, began, "service")
    seconds = time.monotonic() - began
    rows = [row["agent"] for row in service.instances() if row["agent"] is not None]
    _, each = np.unique(np.array(rows), return_inverse=True)
    right = len(rows) >= placed and _fit(each) and not (constraint[1] == "UNIQUE" and len(set(rows)) < len(rows))
    service.stop(timeout=STOP_S)
    return placed, seconds, right


# ---- both ----------------------------------------------------------------------------------------------------------


def _until_placed(status: Callable[[], dict[str, Any]], pods: int, began: float, kind: str) -> int:
    """Look until all are placed, or it takes too long; how many are."""
    while True:
        placed = _placed(status())
        if placed >= pods or time.monotonic() - began > LIMIT_S:
            return placed
        time.sleep(LOOK_S[kind])


def _placed(status: dict[str, Any]) -> int:
    """Pods of a job, or instances of a service, that are in a state after SCHEDULED."""
    return sum(count for state, count in status["states"].items() if state != "SCHEDULED")


def _fit(agents: np.ndarray) -> bool:
    """Whether no agent has more of these pods than it could hold if it were empty. agents: int[P], numbers from 0."""
    most = min(AGENT_CPUS / POD["cpus"], AGENT_MEM / POD["mem"])
    return int(np.bincount(agents).max(initial=0)) <= round(most, 6)


NO_PREFERENCE = "a constraint of orch is a condition; none is only preferred"
SHAPES = {
    "basic": Shape(810, 10_000, basic),
    "node-affinity": Shape(220, 2_000, node_affinity),
    "anti-affinity": Shape(60, 1_000, anti_affinity),
    "preferred-affinity": Shape(90, unsupported=NO_PREFERENCE),
    "pod-affinity": Shape(35, 2_000, pod_affinity),
    "mixed": Shape(140, unsupported=f"a fifth of its pods have a preferred affinity: {NO_PREFERENCE}"),
    "preemption": Shape(570, 5_000, preemption, alone=True),
    "churn": Shape(710, 10_000, churn),
    "unschedulable": Shape(590, 10_000, unschedulable),
}
