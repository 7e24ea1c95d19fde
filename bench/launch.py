"""Launches a second: pods of one short command by the ordinary path, beside bare spawning, Ray tasks and HyperQueue.

Each pod has its own process, sandbox, log and exit record, and passes API, journal, kernel, agent and back. Nothing is
retried; every output and exit code is checked. The machine may be noisy: the ceilings are measured before and after.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from bench.peers import bare, hyperqueue_tasks, ray_tasks
from bench.peers.work import COMMAND, exit_code, output
from bench.processes import cpu_s, with_environment
from bench.rows import Rows, package_version

PODS = 10_000
BARE = 2_000
ROUNDS = 3


def run(rows: Rows, quick: bool = False) -> None:
    """Measure all cases in turn, in rounds, and print a row for each."""
    pods, rounds = (1_000, 1) if quick else (PODS, ROUNDS)
    figures: dict[str, list[float]] = {"orch": [], "bare1": [], "bare2": []}
    right = dict.fromkeys(figures, True)
    begun = time.perf_counter()
    import orch

    with orch.local(agents=2) as cluster:
        _orch(cluster, 200)
        used = _cpu(cluster)
        for _ in range(rounds):
            for case, measured in (
                ("bare1", bare.run(BARE, 1)), ("bare2", bare.run(BARE, 2)), ("orch", _orch(cluster, pods))
            ):  # fmt: skip
                figures[case].append(measured[0])
                right[case] &= measured[1]
        used = _cpu(cluster) - used
    took = time.perf_counter() - begun
    own = median(figures["orch"])
    best = "bare1" if median(figures["bare1"]) > median(figures["bare2"]) else "bare2"
    for case in ("bare1", "bare2"):
        _add(rows, case, median(figures[case]), BARE * rounds, right[case], own, took)
    for case, module, package in (("ray_tasks", ray_tasks, "ray"), ("hyperqueue", hyperqueue_tasks, "hyperqueue")):
        begun = time.perf_counter()
        measured = [module.run(pods) for _ in range(rounds)]  # as many as ours: what a peer costs grows with the job
        per_s, well = median(run[0] for run in measured), all(run[1] for run in measured)
        _add(rows, case, per_s, pods * rounds, well, own, time.perf_counter() - begun, package_version(package))
    rows.add(
        "launch", "orch", own, "pods/s", pods * rounds, verified=right["orch"], wall_s=took, cpu_s=used,
        ratio=own / median(figures[best]), peer=best, rounds=[round(x) for x in figures["orch"]],
    )  # fmt: skip


def _orch(cluster, pods: int) -> tuple[float, bool]:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    job = cluster.submit("/bench/launch", cmd=COMMAND, count=pods, cpus=0.02, mem=4)
    job.wait(timeout=600)
    took = time.perf_counter() - begun
    codes = np.array([exit_code(index) for index in range(pods)])
    right = np.array_equal(job.exit_codes, codes) and all(
        printed == output(index) for index, printed in enumerate(job.outputs())
    )
    return pods / took, bool(right)


def _add(
    rows: Rows, case: str, per_s: float, n: int, right: bool, own: float, wall: float, of: str | None = None
) -> None:
    rows.add("launch", case, per_s, "pods/s", n, verified=right, wall_s=wall, ratio=own / per_s, peer=case,
             peer_version=of)  # fmt: skip


def _cpu(cluster) -> float:  # type: ignore[no-untyped-def]
    return cpu_s(with_environment(f"ORCH_CLUSTER={cluster.info()['cluster']}"))
