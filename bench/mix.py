"""The shapes of Kubernetes's scheduler_perf at 5,000 nodes: from a client's submission to all pods STAGING.

Real are the client, the API, the journal (durable), allocator, kernel, commit, messages and Ray; the agents are
simulated, so what comes after STAGING costs little, and it goes on meanwhile. A pod counts from the moment at which
the client sees that it was placed: STAGING, or a state after it. A shape is jobs, with constraints and affinity where
it is about them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
LOOK_S = 0.002
"""Between two looks of the client: what it costs the gateway is part of what is measured."""
HOLDS = 40
"""Pods of one agent: CPUs bind."""
RUNS = {"ORCH_SIM_MS": "3600000"}
TOO_LARGE_CPUS = AGENT_CPUS * 2
REFERENCE = "scheduler_perf: the scheduler alone placed 464 pods/s (basic) on 2 cores; ci_floor is for other hardware"

Clients = Any
Placed = tuple[int, float, bool]
"""Pods that were placed, in seconds, and whether each lies where it may."""


@dataclass(frozen=True)
class Shape:
    """A shape of scheduler_perf: what its CI asks for in pods/s, pods a round, and how we run it.

    alone: nothing runs when it begins.
    """

    ci_floor: int
    pods: int
    run: Callable[[Clients, str, int], Placed]
    alone: bool = False


def run(rows: Rows, quick: bool = False, case: str | None = None) -> None:
    """Print a row for each shape. Raises ValueError where there is no such case."""
    if case is not None and case not in SHAPES:
        raise ValueError(f"{case!r} is no case; there are {' '.join(SHAPES)}")
    chosen = {case: SHAPES[case]} if case else SHAPES
    import orch

    with orch.local(agents=AGENTS, simulated=True, agent_cpus=AGENT_CPUS, agent_mem=AGENT_MEM) as cluster:
        for name, shape in chosen.items():
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
    placed = _until_placed(job.status, pods, began)
    seconds = time.monotonic() - began
    right = _is_right([job], placed)
    job.stop(wait=True)
    return placed, seconds, right


def churn(cluster: Clients, path: str, pods: int) -> Placed:
    """In ten jobs while a second client submits jobs of ten pods and stops them, one after the other."""
    with _meanwhile(cluster, path + "-churn") as went:
        before = went[0]
        jobs, placed, seconds = _in_ten(cluster, path, pods)
        steps = went[0] - before
    right = _is_right(jobs, placed) and steps > 0
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
    placed = sum(_until_placed(job.status, pods // 10, began) for job in jobs)
    return jobs, placed, time.monotonic() - began


@contextmanager
def _meanwhile(cluster: Clients, path: str) -> Iterator[list[int]]:
    """While the block runs, pods come and go; yields [how many jobs of them came or went], once the first went.

    Both count: the block may be over before one has come and gone.
    """
    import orch

    went, first, ended, failed = [0], threading.Event(), threading.Event(), []
    place = cluster._wire.place

    def come_and_go() -> None:
        from orch.client.cluster import Cluster

        try:
            with Cluster(place) as second:
                while not ended.is_set():
                    job = second.submit(path, cmd="true", count=10, env=RUNS, **POD)
                    went[0] += 1
                    job.stop(wait=True)
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
    agents = np.concatenate([_agents(job) for job in jobs])
    return len(agents) == placed and _fit(agents)


def preemption(cluster: Clients, path: str, pods: int) -> Placed:
    """Onto agents that are full of pods of a lower priority, four on each, of which three give way to each pod.

    Placed is a pod that is STAGING: then its victims are stopped, and the room is kept for it. Right is a round in
    which all of them run in the end, each on an agent of its own beside one of the four, and nobody else has ended.
    """
    low = cluster.submit(f"{path}-low", cmd="true", count=4 * AGENTS, env=RUNS, priority=0, **LOW)
    assert _until_placed(low.status, 4 * AGENTS, time.monotonic()) == 4 * AGENTS
    began = time.monotonic()
    high = cluster.submit(path, cmd="true", count=pods, env=RUNS, priority=10, **HIGH)
    placed = _until_placed(high.status, pods, began)
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


# ---- where others are ----------------------------------------------------------------------------------------------

Asked = dict[str, Any]
"""Options of a submission."""


def node_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """Agents whose attribute is like a pattern; all are, as all of its nodes are in the zone that its pods ask for."""
    return _jobs(cluster, path, pods, [{"constraints": [["node", "LIKE", ".+"]]}], [_anywhere])


def anti_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """No two on one agent. Pods that ran before fill some agents, so that fewer can be asked for."""
    return _jobs(cluster, path, pods, [APART], [_unique])


def pod_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """All where the first one is, by an attribute that all agents share, as its nodes share a zone."""
    return _jobs(cluster, path, pods, [NEAR], [_anywhere])


def preferred_affinity(cluster: Clients, path: str, pods: int) -> Placed:
    """Agents that have pods of the job come first. The policy is to spread, so that nothing else would pack them."""
    return _jobs(cluster, path, pods, [PREFER_NEAR], [_packed])


def mixed(cluster: Clients, path: str, pods: int) -> Placed:
    """A fifth each: without a condition, near, apart, near and apart if possible; one job after the other."""
    asked: list[Asked] = [{}, NEAR, APART, PREFER_NEAR, PREFER_APART]
    return _jobs(cluster, path, pods, asked, [_anywhere, _anywhere, _unique, _packed, _unique])


def _affinity(operator: str, on: str, required: bool) -> Asked:
    return {"affinity": [{"operator": operator, "on": on, "required": required}]}


NEAR = _affinity("near", "node", True)
APART = _affinity("apart", "@hostname", True)
PREFER_NEAR = {**_affinity("near", "@hostname", False), "policy": "spread"}
PREFER_APART = _affinity("apart", "@hostname", False)

Verdict = Callable[[np.ndarray], bool]
"""Whether pods lie where they were asked to be. agents: int[P], a job's."""


def _anywhere(agents: np.ndarray) -> bool:
    return True


def _unique(agents: np.ndarray) -> bool:
    return len(np.unique(agents)) == len(agents)


def _packed(agents: np.ndarray) -> bool:
    """On as few agents as hold them, one more at most for those that have some pods already."""
    return len(np.unique(agents)) <= -(-len(agents) // HOLDS) + 1


def _jobs(cluster: Clients, path: str, pods: int, asked: Sequence[Asked], verdicts: Sequence[Verdict]) -> Placed:
    """As many pods of each in a job of its own."""
    began = time.monotonic()
    count = pods // len(asked)
    jobs = [
        cluster.submit(f"{path}-{turn}", cmd="true", count=count, env=RUNS, **POD, **one)
        for turn, one in enumerate(asked)
    ]
    placed = sum(_until_placed(job.status, count, began) for job in jobs)
    seconds = time.monotonic() - began
    right = all(verdict(_agents(job)) for job, verdict in zip(jobs, verdicts, strict=True)) and _is_right(jobs, placed)
    for job in jobs:
        job.stop(wait=True)
    return placed, seconds, right


def _agents(job: Any) -> np.ndarray:
    """int[k]: the agents of a job's pods that were placed."""
    agents = job._columns()["agents"]
    return agents[agents >= 0]


# ---- of all --------------------------------------------------------------------------------------------------------


def _until_placed(status: Callable[[], dict[str, Any]], pods: int, began: float) -> int:
    """Look until all are placed, or it takes too long; how many are."""
    while True:
        placed = _placed(status())
        if placed >= pods or time.monotonic() - began > LIMIT_S:
            return placed
        time.sleep(LOOK_S)


def _placed(status: dict[str, Any]) -> int:
    """Pods of a job that are in a state after SCHEDULED."""
    return sum(count for state, count in status["states"].items() if state != "SCHEDULED")


def _fit(agents: np.ndarray) -> bool:
    """Whether no agent has more of these pods than it could hold if it were empty. agents: int[P], numbers from 0."""
    return int(np.bincount(agents).max(initial=0)) <= HOLDS


SHAPES = {
    "basic": Shape(810, 10_000, basic),
    "node-affinity": Shape(220, 10_000, node_affinity),
    "anti-affinity": Shape(60, 4_000, anti_affinity),
    "preferred-affinity": Shape(90, 10_000, preferred_affinity),
    "pod-affinity": Shape(35, 10_000, pod_affinity),
    "mixed": Shape(140, 10_000, mixed),
    "preemption": Shape(570, 5_000, preemption, alone=True),
    "churn": Shape(710, 10_000, churn),
    "unschedulable": Shape(590, 10_000, unschedulable),
}
