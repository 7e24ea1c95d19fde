"""The index: whatever was done to it, it answers as a fresh build over the same columns would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import Cluster, Demand, Match, ShapeError
from tests.placement.cases import agent_rows, amounts, small_amounts

UNIT = [1000, 1024, 4096, 1000, 10]
DIMS = 5


Change = tuple[str, list[tuple[int, tuple[list[int], list[int], bool]]], tuple[list[list[int]], list[int], str]]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One operation: its kind, the agents it is about, and the pods (requests, counts, policy) of a match."""
    kind = draw(st.sampled_from(["set", "told", "remove", "match", "match", "match", "rollback"]))
    values = draw(st.sampled_from([small_amounts, small_amounts, amounts]))
    rows = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=kind != "set"))
    agents = [(row, draw(agent_rows(DIMS, values))) for row in rows] if kind in ("set", "told", "remove") else []
    wanted = draw(st.lists(st.tuples(*[st.integers(0, 3)] * DIMS), min_size=1, max_size=3)) if kind == "match" else []
    counts = [draw(st.integers(0, 4)) for _ in wanted]
    policy = draw(st.sampled_from(["best-fit", "best-fit", "best-fit", "spread", "first-fit"]))
    return kind, agents, ([list(request) for request in wanted], counts, policy)


@given(st.lists(agent_rows(DIMS, small_amounts), min_size=4, max_size=10), st.lists(changes(), min_size=2, max_size=14))
@settings(max_examples=300)
def test_the_index_answers_as_a_fresh_build_would(start: list, operations: list[Change]) -> None:
    cluster = Cluster([a[0] for a in start], [a[1] for a in start], [a[2] for a in start])
    matches: list[Match] = []
    for kind, agents, pods in operations:
        known = [(row, agent) for row, agent in agents if row < len(cluster)]
        if kind == "set":
            rows, values = [row for row, _ in agents], [agent for _, agent in agents]
            cluster.update(rows, [v[0] for v in values], [v[2] for v in values], [v[1] for v in values])
        elif kind == "told" and known:
            rows = [row for row, _ in known]
            free = np.minimum(np.array([agent[0] for _, agent in known]), cluster.columns()[1][rows])
            cluster.update(rows, free, [agent[2] for _, agent in known])
        elif kind == "remove":
            cluster.remove([row for row, _ in known])
        elif kind == "rollback" and matches:
            cluster.rollback(matches.pop())
        elif kind == "match":
            matches.append(match_as_a_fresh_build_would(cluster, *pods))


def match_as_a_fresh_build_would(cluster: Cluster, requests: list[list[int]], counts: list[int], policy: str) -> Match:
    demand = Demand.of(np.arange(len(requests)), counts)
    fresh = Cluster(*cluster.columns())
    match, expected = (c.match(requests, demand, policy=policy) for c in (cluster, fresh))
    assert np.array_equal(match.agent, expected.agent)
    assert np.array_equal(match.reason, expected.reason)
    assert np.array_equal(match.why_columns, expected.why_columns)
    for ours, theirs in zip(cluster.columns(), fresh.columns(), strict=True):
        assert np.array_equal(ours, theirs)
    return match


def test_a_larger_agent_changes_what_is_the_best_fit() -> None:
    """It changes the weights of the resources, and so the order of agents that did not change."""
    idle = [[1000, 1000, 0, 0, 0]] * 2
    cluster = Cluster([[600, 300, 0, 0, 0], [400, 450, 0, 0, 0]], idle, [1, 1])
    pod = [[1, 1, 0, 0, 0]]
    assert cluster.match(pod, Demand.of([0], [1])).agent.tolist() == [1]
    cluster.update([2], [[0, 0, 0, 0, 0]], [1], [[100_000, 0, 0, 0, 0]])
    assert cluster.match(pod, Demand.of([0], [1])).agent.tolist() == [0]


@pytest.mark.parametrize("policy", ["spread", "first-fit"])
def test_policies_may_take_turns(policy: str) -> None:
    """What one policy charged is seen by the next: agent 1 is the fuller one by then."""
    cluster = Cluster([[800, 0, 0, 0, 0], [1000, 0, 0, 0, 0]], [[1000, 0, 0, 0, 0]] * 2, [1, 1])
    first = [[900, 0, 0, 0, 0], [100, 0, 0, 0, 0]]
    assert cluster.match(first, Demand.of([1], [1])).agent.tolist() == [0]
    assert cluster.match(first, Demand.of([0], [1]), policy=policy).agent.tolist() == [1]
    assert cluster.match(first, Demand.of([1], [1])).agent.tolist() == [1]


def test_many_changes_at_once_answer_as_a_fresh_build_would() -> None:
    """More than are spliced one by one."""
    free = np.tile(np.array([UNIT], np.int32), (200, 1))
    cluster = Cluster(free, free, np.ones(200, np.uint8))
    demand = Demand.of([0], [300])
    request = [[300, 100, 0, 0, 1]]
    first = cluster.match(request, demand)
    cluster.update(np.arange(100), free[:100] // 2, np.arange(100) % 3 > 0)
    fresh = Cluster(*cluster.columns())
    assert np.array_equal(cluster.match(request, demand).agent, fresh.match(request, demand).agent)
    cluster.rollback(first)
    assert cluster.columns()[0][100:].sum() > 0


def test_agents_come_go_and_their_rows_are_used_again() -> None:
    cluster = Cluster([UNIT], [UNIT], [1])
    cluster.update([1, 2], [UNIT, UNIT], [1, 1], [UNIT, UNIT])
    assert len(cluster) == 3
    cluster.remove([1])
    assert cluster.explain(UNIT).agents == 2
    assert cluster.match([UNIT], Demand.of([0], [3])).agent.tolist() == [0, 2, -1]
    cluster.update([1], [[2000, 1024, 4096, 1000, 10]], [1], [[2000, 1024, 4096, 1000, 10]])
    assert cluster.match([UNIT], Demand.of([0], [1])).agent.tolist() == [1]


def test_a_drained_agent_gets_nothing_and_comes_back() -> None:
    cluster = Cluster([UNIT], [UNIT], [1])
    cluster.update([0], [UNIT], [0])
    assert cluster.match([UNIT], Demand.of([0], [1])).agent.tolist() == [-1]
    assert cluster.columns()[2].tolist() == [0]
    cluster.update([0], [UNIT], [1])
    assert cluster.match([UNIT], Demand.of([0], [1])).agent.tolist() == [0]


def test_an_update_of_nothing_changes_nothing() -> None:
    cluster = Cluster([UNIT], [UNIT], [1])
    cluster.update([], np.empty((0, 5), np.int32), [])
    cluster.remove([])
    assert cluster.columns()[0].tolist() == [UNIT]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [UNIT], [1]), "rows holds 1, but there are only 1 agents; a new one needs its total"),
        (([-1], [UNIT], [1], [UNIT]), "rows holds -1"),
        (([0], [[2000, 0, 0, 0, 0]], [1]), r"agent 0 has \[2000, 0, 0, 0, 0\] free of \[1000"),
        (([0], [UNIT, UNIT], [1]), r"free has shape \[2, 5\]"),
        (([0], [UNIT], [1], [[1] * 4]), r"total has shape \[1, 4\]"),
    ],
)
def test_a_bad_update_is_refused_and_changes_nothing(arguments: tuple, message: str) -> None:
    cluster = Cluster([UNIT], [UNIT], [1])
    with pytest.raises(ShapeError, match=message):
        cluster.update(*arguments)
    assert len(cluster) == 1
    assert cluster.columns()[0].tolist() == [UNIT]


def test_only_known_agents_are_removed() -> None:
    with pytest.raises(ShapeError, match="only 1 agents"):
        Cluster([UNIT], [UNIT], [1]).remove([1])


def test_what_is_free_of_some_agents_is_read_as_matches_see_it() -> None:
    cluster = Cluster([UNIT, UNIT], [UNIT, UNIT], [1, 1])
    cluster.match([[100, 0, 0, 0, 0]], Demand.of([0], [3]))
    assert cluster.free_of([1, 0]).tolist() == [UNIT, [700, *UNIT[1:]]]
    for rows in ([2], [-1]):
        with pytest.raises(ShapeError, match="rows"):
            cluster.free_of(rows)


def test_what_an_agent_was_told_is_known_when_the_clock_has_run_far() -> None:
    """The clock counts past what the index keeps of it: of what is long ago it is only known that it was long ago."""
    cluster = Cluster([UNIT] * 2, [UNIT] * 2, [1, 1])
    old = cluster.match([[1000, 0, 0, 0, 0]], Demand.of([0], [1]))
    cluster._index.clock += 2**32 + 7
    cluster.update([1], [UNIT], [1])
    match = cluster.match([[1000, 0, 0, 0, 0]], Demand.of([0], [1]))
    assert match.agent.tolist() == [1]
    cluster.update([1], [[500, 1024, 4096, 1000, 10]], [1])
    cluster.rollback(match)
    assert cluster.columns()[0][:, 0].tolist() == [0, 500]
    again = cluster.match([[400, 0, 0, 0, 0]], Demand.of([0], [1]))
    cluster.rollback(again)
    assert cluster.columns()[0][:, 0].tolist() == [0, 500]
    cluster.rollback(old)  # older than anything that is kept: as if all agents had been told since
    assert cluster.columns()[0][:, 0].tolist() == [0, 500]
