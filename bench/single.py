"""Single decisions: one pod at a time on a cluster at 90% load; release and place; a gang of 64.

A decision is timed in the kernel, many in one call; the others by the call of its wrapper: what a Python caller waits.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.rows import Rows
from bench.workloads import Case, workload
from orch.placement import Cluster, Demand

AGENTS = (10_000, 100_000)
SAMPLES = 20_000
GANG = 64
SHAPES = 1000
BATCH = 20
"""Decisions in one call where the kernel alone is timed: each call is one sample."""
REPEATS = 5
"""Of a sample that can be undone. Its median counts: percentiles are of decisions, not of the machine's noise."""


def run(rows: Rows, quick: bool = False, case: str | None = None, seed: int = 1) -> None:
    """Print p50, p99 and p99.9 of each kind, in microseconds, for each number of agents (`case`: one number)."""
    samples = SAMPLES // 10 if quick else SAMPLES
    for agents in [int(case)] if case else AGENTS:
        made = workload(Case(20 * agents, agents, SHAPES), seed)
        cluster = Cluster(made.total, made.total, np.ones(agents, np.uint8))
        placed, _ = cluster.assign(made.requests, made.shape)
        draw = np.random.default_rng([seed, agents])
        fitting = that_fit(cluster, made.requests)
        _show(rows, f"decision {agents}", decisions(cluster, made.requests[fitting], draw, samples), seed)
        running = np.flatnonzero(placed >= 0)
        taken = release_and_place(cluster, made.requests, made.shape, placed, running, draw, samples)
        _show(rows, f"release and place {agents}", taken, seed)
        _show(rows, f"gang of {GANG} {agents}", gangs(cluster, made.requests[fitting], draw, samples // 20), seed)


def that_fit(cluster: Cluster, requests: NDArray[np.int32]) -> NDArray[np.int64]:
    """int64[k]: shapes of which one more pod has a place. The others are answered by a why, which is another figure."""
    match = cluster.match(requests, Demand.of(np.arange(len(requests)), np.ones(len(requests), np.int32)))
    cluster.rollback(match)
    return np.flatnonzero(match.agent >= 0)


def decisions(cluster: Cluster, requests: NDArray[np.int32], draw: np.random.Generator, samples: int) -> list[float]:
    """Seconds of each decision: BATCH pods of different shapes in one call, undone outside of the timing."""
    took = []
    for _ in range(samples // BATCH):
        shapes = draw.choice(len(requests), BATCH).astype(np.int32)
        demand = Demand.of(shapes, np.ones(BATCH, np.int32))
        empty = Demand.of(shapes, np.zeros(BATCH, np.int32))
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            cluster.match(requests, empty)
            middle = time.perf_counter()
            match = cluster.match(requests, demand)
            times.append(time.perf_counter() - middle - (middle - begun))
            cluster.rollback(match)
        took.append(max(median(times), 0.0) / BATCH)
    return took


def release_and_place(
    cluster: Cluster, requests: NDArray[np.int32], shape: NDArray[np.int32], agent: NDArray[np.int32],
    running: NDArray[np.int64], draw: np.random.Generator, samples: int,
) -> list[float]:  # fmt: skip
    """Seconds of one pod's end and another's start, told to the index and asked of it as the master does."""
    took = []
    victims = draw.choice(running, samples, replace=False)
    one = np.ones(1, np.uint8)
    for victim in victims.tolist():
        row = agent[victim : victim + 1]
        demand = Demand.of(shape[victim : victim + 1], [1])
        after = cluster.free_of(row) + requests[shape[victim]]
        begun = time.perf_counter()
        cluster.update(row, after, one)
        cluster.match(requests, demand)
        took.append(time.perf_counter() - begun)
    return took


def gangs(cluster: Cluster, requests: NDArray[np.int32], draw: np.random.Generator, samples: int) -> list[float]:
    """Seconds of one gang: all of it or nothing."""
    took = []
    for shape in draw.choice(len(requests), samples).tolist():
        demand = Demand.of([shape], [GANG], [GANG])
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            match = cluster.match(requests, demand)
            times.append(time.perf_counter() - begun)
            cluster.rollback(match)
        took.append(median(times))
    return took


def _show(rows: Rows, what: str, took: list[float], seed: int) -> None:
    us = 1e6 * np.sort(np.array(took))
    for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        rows.add(
            "single", f"{what} {name}", float(us[min(int(part * len(us)), len(us) - 1)]), "us", len(us), verified=True,
            wall_s=sum(took), seed=seed,
        )  # fmt: skip
