"""The order of agents in blocks: whatever has happened to it, it answers as the plain scan does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch import _placement as kernel
from orch.placement import Cluster, Demand
from tests.placement.cases import INT32_MOST

DIMS = 5
KINDS = sorted({kernel.choose_scan(kind) for kind in range(kernel.SCAN_MOST + 1)})


@pytest.fixture(params=KINDS, ids=[("plain", "sse2", "avx2", "avx512")[kind] for kind in KINDS])
def scan(request: pytest.FixtureRequest) -> Iterator[int]:
    """Every kind of scan that this processor has, and afterwards the best one again."""
    yield kernel.choose_scan(request.param)
    kernel.choose_scan(kernel.SCAN_MOST)


def agents(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(free, total): three sizes of machine, many of them equal, some full."""
    total = draw.choice([1, 2, 5], (count, 1)) * np.array([[8000, 16384, 100_000, 0, 20]])
    total[draw.random(count) < 0.2, 3] = 2000
    part = draw.choice([0.0, 0.3, 1.0, 1.0], (count, DIMS)) * draw.choice([1.0, 1.0, 0.9], (count, 1))
    return (total * part).astype(np.int32), total.astype(np.int32)


def requests(draw: np.random.Generator, count: int) -> np.ndarray:
    """Most are small, some ask for nothing of a resource, one for nothing at all."""
    made = (draw.lognormal(0, 1, (count, DIMS)) * [300, 600, 900, 0, 1]).astype(np.int32)
    made[draw.random((count, DIMS)) < 0.3] = 0
    made[draw.random(count) < 0.1, 3] = 500
    return made


def by_scan(columns: tuple[np.ndarray, ...], demand: Demand, asked: np.ndarray) -> list[int]:
    """Agents by looking at every agent for every pod, in the order that the demand states."""
    free, total, usable = columns
    largest = total.max(axis=0).astype(np.int64)
    weight = (kernel.SCORE_MOST << kernel.SCORE_BITS) // np.maximum(largest, 1)
    size = (np.minimum(asked, largest) * weight).sum(axis=1) >> kernel.SCORE_BITS
    free = free.astype(np.int64)
    agent = np.full(demand.pods, -1)
    for row in sorted(range(len(demand)), key=lambda r: (-demand.priority[r], -size[demand.shape[r]], r)):
        request = asked[demand.shape[row]]
        for pod in range(demand.offset[row], demand.offset[row + 1]):
            able = np.flatnonzero((free >= request).all(axis=1) & (usable > 0))
            if len(able) == 0:
                break
            best = able[np.argmin((free[able] * weight).sum(axis=1) >> kernel.SCORE_BITS)]
            free[best] -= request
            agent[pod] = best
    return agent.tolist()


def demand_of(draw: np.random.Generator, shapes: int, rows: int, most: int) -> Demand:
    return Demand.of(draw.integers(0, shapes, rows), draw.integers(0, most, rows), None, draw.integers(0, 2, rows))


def changed(draw: np.random.Generator, cluster: Cluster) -> None:
    """Some agents are told anew, some leave, one comes."""
    total = cluster.columns()[1]
    rows = draw.choice(len(cluster), draw.integers(1, 1 + len(cluster) // 3), replace=False).astype(np.int32)
    again = (total[rows] * draw.random((len(rows), 1))).astype(np.int32)
    cluster.update(rows, again, draw.random(len(rows)) < 0.9)
    cluster.remove(draw.choice(len(cluster), 2).astype(np.int32))
    new, whole = agents(draw, 1)
    cluster.update([int(draw.integers(len(cluster) + 3))], new, [1], whole)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_the_order_answers_as_the_scan_and_as_a_fresh_build(scan: int, seed: int) -> None:
    draw = np.random.default_rng([scan, seed])
    free, total = agents(draw, int(draw.integers(1, 900)))
    cluster = Cluster(free, total, np.ones(len(free), np.uint8))
    for _ in range(6):
        asked = requests(draw, 12)
        before = cluster.columns()
        demand = demand_of(draw, 12, 20, 25)
        match = cluster.match(asked, demand)
        assert match.agent.tolist() == by_scan(before, demand, asked)
        fresh = Cluster(before[0], before[1], before[2])
        assert fresh.match(asked, demand).agent.tolist() == match.agent.tolist()
        if draw.random() < 0.5:
            cluster.rollback(match)
            assert np.array_equal(cluster.columns()[0], before[0])
        changed(draw, cluster)


def test_agents_that_fill_up_and_empty_again_leave_no_trace(scan: int) -> None:
    """Blocks are split, emptied and taken out of the directory, many times over."""
    draw = np.random.default_rng(scan)
    total = np.tile(np.array([[4000, 8000, 1000, 0, 10]], np.int32), (3000, 1))
    cluster = Cluster(total, total, np.ones(3000, np.uint8))
    for _ in range(20):
        asked = requests(draw, 6)
        demand = demand_of(draw, 6, 6, 4000)
        match = cluster.match(asked, demand)
        fresh = Cluster(total, total, np.ones(3000, np.uint8)).match(asked, demand)
        assert np.array_equal(match.agent, fresh.agent)
        cluster.rollback(match)
    assert np.array_equal(cluster.columns()[0], total)


def test_after_a_full_match_the_index_takes_a_hundred_bytes_an_agent(scan: int) -> None:
    """Blocks that have lost most of their agents are joined before more are made."""
    draw = np.random.default_rng([scan, 7])
    total = draw.choice([1, 2, 5], (20_000, 1)) * np.array([[8000, 16384, 100_000, 2000, 200, 1000]], np.int32)
    asked = (draw.lognormal(0, 0.6, (40, 6)) * [300, 600, 900, 20, 2, 9]).astype(np.int32)
    cluster = Cluster(total, total, np.ones(len(total), np.uint8))
    demand = Demand.of(np.arange(40), draw.integers(1000, 60_000, 40))
    match = cluster.match(asked, demand)
    assert 0 < (match.agent < 0).sum() < demand.pods // 2
    assert cluster.nbytes / len(total) <= 100
    more = demand_of(draw, 40, 40, 30)
    rows = draw.choice(20_000, 3000, replace=False)
    cluster.update(rows, cluster.columns()[1][rows], np.ones(3000, np.uint8))
    again = Cluster(*cluster.columns())
    assert np.array_equal(cluster.match(asked, more).agent, again.match(asked, more).agent)


@given(st.lists(st.integers(0, INT32_MOST), min_size=2, max_size=40))
@settings(max_examples=200)
def test_an_amount_that_is_free_never_hides_behind_its_level(amounts: list[int]) -> None:
    """Agents are sifted by coarse levels: who has just enough must not be lost, at any size."""
    free = np.array([[amount, 1, 1, 1] for amount in amounts], np.int32)
    for amount in amounts:
        cluster = Cluster(free, free, np.ones(len(free), np.uint8))
        match = cluster.match([[amount, 1, 1, 1]], Demand.of([0], [1]))
        assert match.agent[0] >= 0 and free[match.agent[0], 0] >= amount
