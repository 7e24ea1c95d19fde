"""Runs that visit most agents, and whys over more agents than are asked at once: the kernel against the plain scan."""

from __future__ import annotations

import numpy as np
import pytest

from orch import _placement as kernel
from orch.placement.reference_rules import Counter, Preference, Rule, RuleBook
from tests.placement.cases import Case
from tests.placement.test_rules import Ruled, check

DIMS = 5


def agents(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """(free, total, usable): many of them equal, some full, some not usable or draining, a few tombstones."""
    total = draw.choice([1, 2, 4], (count, 1)) * np.array([[40, 60, 100, 8, 20]])
    total[draw.random(count) < 0.05] = 0
    free = (total * draw.choice([0.0, 0.4, 1.0, 1.0], (count, DIMS))).astype(int)
    state = [1] * 12 + [0, 2] if draw.random() < 0.6 else [1]
    return free, total, draw.choice(state, count).tolist()


def book(draw: np.random.Generator, count: int, shapes: int) -> RuleBook:
    """Mostly at most one or two pods of a shape on an agent, or in a zone; some without, some with preferences."""
    hosts, zones = list(range(count)), (np.arange(count) % 5).tolist()
    counters, counted, rules, preferences = [Counter(zones, [0] * 5)], [], [], []
    for _ in range(shapes):
        counters.append(Counter(hosts, draw.choice([0, 0, 0, 1], count).tolist()))
        own = len(counters) - 1
        kind = draw.choice(["unique", "unique", "few", "few", "zone", "none", "other"])
        counted.append([own] if kind in ("unique", "few") else [0] if kind == "zone" else [])
        by_kind = {
            "unique": [Rule(own, "MAX", 1, "unique")], "few": [Rule(own, "MAX", 2, "few"), Rule(0, "MAX", 9, "zones")],
            "zone": [Rule(0, "LEAST", 0, "zone")], "none": [], "other": [Rule(own, "MAX", 1, "other")],
        }  # fmt: skip
        rules.append(by_kind[str(kind)])
        preferences.append([Preference(own, bool(draw.random() < 0.5))] if draw.random() < 0.2 else [])
    return RuleBook(counters, counted, rules, preferences)


def many(draw: np.random.Generator) -> Ruled:
    """A hundred agents or more, rows of a few pods and of more than there are agents, in turns."""
    count, shapes = int(draw.integers(60, 200)), 8
    free, total, usable = agents(draw, count)
    requests = draw.integers(0, 9, (shapes, DIMS)) * (draw.random((shapes, DIMS)) < 0.7)
    requests[-1] = [30, 45, 0, 6, 0]
    allowed = [(draw.random(count) < 0.5).astype(int).tolist() if draw.random() < 0.3 else None for _ in range(shapes)]
    demand = []
    for shape in range(shapes):
        gang = int(draw.choice([1, 1, 1, 3]))
        pods = int(draw.choice([2, count // 20, count // 4, count, count * 2]))
        demand.append((shape, pods // gang * gang, gang, int(draw.integers(0, 2))))
    held = {}
    if draw.random() < 0.5:
        rows = draw.choice(count, draw.integers(1, count), replace=False).tolist()
        held = {row: draw.integers(0, 9, DIMS).tolist() for row in rows}
    policy = ["best-fit"] * shapes if draw.random() < 0.7 else draw.choice(["best-fit", "spread"], shapes).tolist()
    lists = free.tolist(), total.tolist(), usable, requests.tolist()
    return Ruled(Case(*lists, allowed, demand, None, policy), book(draw, count, shapes), held)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", sorted({kernel.choose_scan(kind) for kind in range(kernel.SCAN_MOST + 1)}))
def test_runs_over_many_agents_equal_the_sequential_scan(kind: int, seed: int) -> None:
    """In every part: agents, reasons, whys, counters, what is free; and again after a rollback."""
    kernel.choose_scan(kind)
    try:
        one = many(np.random.default_rng([kind, seed]))
        before = [list(counter.counts) for counter in one.book.counters]
        match, cluster, rules = check(one)
        cluster.rollback(match)
        assert cluster.columns()[0].tolist() == one.case.free
        assert [rules.counts(c).tolist() for c in range(len(before))] == before
        assert one.match(cluster, rules).agent.tolist() == match.agent.tolist()
    finally:
        kernel.choose_scan(kernel.SCAN_MOST)
