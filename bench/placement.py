"""The kernel: a batch of pods onto empty agents, best fit, beside the scans that one would write first.

Timed: shape ids in to assignment out; building the index is a row of its own. Checked outside of the timing: no agent
is overcommitted, nothing is unplaced that still fits, and up to 10^7 pairs of pod and agent it equals the plain scan.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench import constraints, verify
from bench.peers import cp_sat, scans
from bench.rows import Rows, package_version
from bench.workloads import Case, Workload, workload
from orch.placement import Cluster

CASES = (
    "1k,100,10", "10k,1k,10", "10k,1k,all", "100k,1k,100", "100k,10k,100", "100k,10k,all", "1M,1k,100", "1M,10k,1",
    "1M,10k,10", "1M,10k,100", "1M,10k,1000", "1M,10k,all", "1M,100k,100", "1M,100k,1000", "1M,100k,all", "1M,1M,100",
)  # fmt: skip
QUICK = ("10k,1k,10", "100k,10k,100", "100k,10k,all", "1M,10k,100")
ROUNDS = 5
PEER_S = 30.0
PEER_PODS = 2_000
"""A peer's rate is measured on so many pods of the case at the most: it places one pod after the other anyway."""


@dataclass(frozen=True)
class Timed:
    """One round: seconds of wall and of processor; of the index the seconds it took to build and its bytes an agent."""

    wall_s: float
    cpu_s: float
    build_s: float
    agent_bytes: float


def run(rows: Rows, quick: bool = False, case: str | None = None, seed: int = 1) -> None:
    """Print a row for each case: milliseconds of a match; the index; the peers."""
    for text in [case] if case else QUICK if quick else CASES:
        one(rows, Case.parse(text), seed, 3 if quick else ROUNDS)


def one(rows: Rows, case: Case, seed: int, rounds: int) -> None:
    """All rows of one case."""
    made = workload(case, seed)
    agent, timed = measured(made, rounds)
    wrong = verify.problems(made, agent)
    if case.pods * case.agents <= verify.EXACT_PAIRS:
        scanned, reached, _ = scans.by_numpy(made.total, made.requests, made.shape, 600.0)
        if reached < case.pods or not np.array_equal(scanned, agent):
            wrong.append("the plain scan gives another assignment")
    took = median(t.wall_s for t in timed)
    cpu = median(t.cpu_s for t in timed)
    numpy_s = peer(rows, case, seed, made, took / case.pods, "numpy scan")
    peer(rows, case, seed, made, took / case.pods, "python scan")
    if case.shapes * case.agents <= cp_sat.MOST_VARIABLES:
        solver(rows, case, seed, made, agent)
    rows.add(
        "placement", f"{case} index", 1000 * median(t.build_s for t in timed), "ms", rounds, verified=not wrong,
        wall_s=sum(t.build_s for t in timed), seed=seed, bytes_an_agent=round(max(t.agent_bytes for t in timed), 1),
        bytes_a_pod=round(bytes_a_pod(made), 1),
    )  # fmt: skip
    rows.add(
        "placement", str(case), 1000 * took, "ms", rounds, verified=not wrong, wall_s=took, cpu_s=cpu,
        ratio=numpy_s * case.pods / took, peer="numpy scan", peer_version=package_version("numpy"), seed=seed,
        ns_a_pod=round(1e9 * took / case.pods, 2), agents_used=len(np.unique(agent[agent >= 0])),
        lower_bound=verify.lower_bound(made, agent), unplaced=int((agent < 0).sum()), wrong=wrong,
        rounds=[round(1000 * t.wall_s, 3) for t in timed],
    )  # fmt: skip
    if case.shapes < case.pods:
        constraints.run(rows, case, seed, made, rounds)


def measured(made: Workload, rounds: int) -> tuple[np.ndarray, list[Timed]]:
    """(the assignment, which is the same in every round; the times)."""
    usable = np.ones(len(made.total), np.uint8)
    nothing = np.zeros((1, made.total.shape[1]), np.int32)
    timed = []
    first: np.ndarray | None = None
    for _ in range(rounds):
        begun = time.perf_counter()
        cluster = Cluster(made.total, made.total, usable)
        cluster.assign(nothing, [0])  # the order is built at the first match
        built = time.perf_counter()
        cpu = time.process_time()
        agent, _ = cluster.assign(made.requests, made.shape)
        cpu = time.process_time() - cpu
        timed.append(Timed(time.perf_counter() - built, cpu, built - begun, cluster.nbytes / len(made.total)))
        assert first is None or np.array_equal(first, agent), "two runs of one input differ"
        first = agent
    assert first is not None
    return first, timed


def bytes_a_pod(made: Workload) -> float:
    """The most that a match holds in arrays at any instant, ids that it is given left out, for each pod."""
    usable = np.ones(len(made.total), np.uint8)
    cluster = Cluster(made.total, made.total, usable)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    cluster.assign(made.requests, made.shape)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (most - before) / len(made.shape)


def peer(rows: Rows, case: Case, seed: int, made: Workload, own_s: float, name: str) -> float:
    """Seconds a pod of a plain scan over the same agents, on a part of the pods; printed as a row."""
    scan = scans.by_numpy if name == "numpy scan" else scans.by_python
    part = made.shape[:: max(1, case.pods // PEER_PODS)][:PEER_PODS]
    _, reached, took = scan(made.total, made.requests, part, PEER_S)
    each = took / max(reached, 1)
    rows.add(
        "placement", f"{case} {name}", 1e6 * each, "us/pod", reached, verified=reached > 0, wall_s=took,
        ratio=each / own_s, peer=name, peer_version=package_version("numpy") if scan is scans.by_numpy else None,
        seed=seed, stopped_after_s=PEER_S if reached < len(part) else None,
    )  # fmt: skip
    return each


def solver(rows: Rows, case: Case, seed: int, made: Workload, agent: np.ndarray) -> None:
    """How few agents CP-SAT needs for as many pods of each shape, beside ours; printed as a row."""
    name = f"{case} CP-SAT"
    if not cp_sat.installed():
        rows.without("placement", name, "not_installed", f"python -m pip install {cp_sat.PACKAGE}", seed=seed)
        return
    total, requests = made.total.astype(np.int64), made.requests.astype(np.int64)
    wanted = np.bincount(made.shape[agent >= 0], minlength=case.shapes)
    own = len(np.unique(agent[agent >= 0]))
    found = cp_sat.fewest_agents(total, requests, wanted, PEER_S)
    if found.counts is None:
        said = f"no assignment in {PEER_S:g} s"
        rows.without("placement", name, "stopped", said, seed=seed, agents_used=own, least_agents=found.bound)
        return
    used = int((found.counts.sum(axis=0) > 0).sum())
    rows.add(
        "placement", name, used, "agents", int(wanted.sum()), wall_s=found.wall_s, ratio=own / used, peer="CP-SAT",
        verified=cp_sat.is_right(total, requests, wanted, found.counts), seed=seed, agents_used=own,
        least_agents=found.bound, peer_version=package_version(cp_sat.PACKAGE),
        stopped_after_s=PEER_S if found.stopped else None,
    )  # fmt: skip
