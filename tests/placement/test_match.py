"""The kernel against the plain scan, and the edges of what a match takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from orch.placement import Cluster, Demand, Reason, ShapeError, Shapes, Why, reference
from tests.placement.cases import INT32_MOST, Case, cases

UNIT = [1000, 1024, 4096, 1000, 10]


def cluster_of(*agents: list[int]) -> Cluster:
    """Agents with nothing running on them."""
    rows = np.array(agents, np.int32).reshape(-1, 5)
    return Cluster(rows, rows, np.ones(len(rows), np.uint8))


@given(cases())
@settings(max_examples=600)
def test_a_match_equals_the_sequential_scan(case: Case) -> None:
    cluster, agents = case.cluster(), case.agents()
    match, expected = case.match(cluster), case.by_reference(agents)
    assert match.agent.tolist() == expected.agent
    assert match.reason.tolist() == expected.reason
    assert cluster.columns()[0].tolist() == agents.free
    assert match.unplaced_rows.tolist() == sorted(expected.whys)
    for row in range(len(case.demand)):
        assert match.why(row) == expected.whys.get(row)
        start, stop = match.demand.offset[row : row + 2]
        assert match.placed[row] == (match.agent[start:stop] >= 0).sum()


@given(cases(most_agents=40, most_pods=60))
@settings(max_examples=40)
def test_a_match_of_more_agents_equals_the_sequential_scan(case: Case) -> None:
    match, expected = case.match(case.cluster()), case.by_reference(case.agents())
    assert (match.agent.tolist(), match.reason.tolist()) == (expected.agent, expected.reason)


@pytest.mark.parametrize("policy", ["best-fit", "first-fit", "spread"])
def test_a_crowd_of_agents_and_shapes_equals_the_sequential_scan(policy: str) -> None:
    """Enough agents that the radix sort and the merges of the order do the work."""
    rng = np.random.default_rng(7)
    total = rng.choice([8, 16, 32], size=(120, 1)) * np.array([[1000, 1024, 8, 0, 4]])
    free = (total * rng.random((120, 5))).astype(np.int64)
    requests = [[int(x) for x in rng.integers(0, 1500, 3)] + [0, int(rng.integers(0, 2))] for _ in range(25)]
    for request in requests:
        request[2] %= 5
    demand = [(int(rng.integers(25)), int(rng.integers(0, 40)), 1, int(rng.integers(2))) for _ in range(60)]
    usable = rng.random(120) < 0.9
    case = Case(free.tolist(), total.tolist(), usable.tolist(), requests, [None] * 25, demand, None, policy)
    match, expected = case.match(case.cluster()), case.by_reference(case.agents())
    assert match.agent.tolist() == expected.agent
    assert match.reason.tolist() == expected.reason
    assert {row: match.why(row) for row in match.unplaced_rows.tolist()} == expected.whys
    assert 0 < (match.agent >= 0).sum() < len(match.agent)


@given(cases())
def test_a_rollback_gives_back_what_the_match_took(case: Case) -> None:
    cluster = case.cluster()
    first = case.match(cluster)
    between = cluster.columns()[0]
    second = case.match(cluster)
    cluster.rollback(second)
    assert np.array_equal(cluster.columns()[0], between)
    again = case.match(cluster)
    assert np.array_equal(again.agent, second.agent)
    cluster.rollback(again)
    cluster.rollback(first)
    assert cluster.columns()[0].tolist() == case.free


def test_a_match_is_rolled_back_once() -> None:
    cluster = cluster_of(UNIT)
    match = cluster.match([[100, 0, 0, 0, 0]], Demand.of([0], [2]))
    cluster.rollback(match)
    with pytest.raises(ShapeError, match="rolled back before"):
        cluster.rollback(match)


def test_a_rollback_leaves_agents_alone_that_were_told_of_since() -> None:
    cluster = cluster_of(UNIT, UNIT)
    match = cluster.match([[600, 0, 0, 0, 0]], Demand.of([0], [2]))
    cluster.update([0], [[500, 0, 0, 0, 0]], [1])
    cluster.rollback(match)
    assert cluster.columns()[0][:, 0].tolist() == [500, 1000]


def test_what_a_match_placed_stays_charged_until_an_update() -> None:
    cluster = cluster_of(UNIT)
    whole = Demand.of([0], [1])
    assert cluster.match([UNIT], whole).agent.tolist() == [0]
    assert cluster.match([UNIT], whole).reason.tolist() == [Reason.TOO_FEW_CPUS]
    cluster.update([0], [UNIT], [1])
    assert cluster.match([UNIT], whole).agent.tolist() == [0]


def test_best_fit_fills_the_fullest_agent_first_fit_the_lowest_and_spread_the_emptiest() -> None:
    total = [[4000, 0, 0, 0, 0]] * 3
    free = [[3000, 0, 0, 0, 0], [2000, 0, 0, 0, 0], [4000, 0, 0, 0, 0]]
    found = {
        policy: Cluster(free, total, [1, 1, 1])
        .match([[1000, 0, 0, 0, 0]], Demand.of([0], [4]), policy=policy)
        .agent.tolist()
        for policy in ("best-fit", "first-fit", "spread")
    }
    assert found == {"best-fit": [1, 1, 0, 0], "first-fit": [0, 0, 0, 1], "spread": [2, 0, 2, 0]}


def test_spread_compares_agents_by_the_part_of_their_own_total_that_is_used() -> None:
    cluster = cluster_of([16000, 0, 0, 0, 0], [4000, 0, 0, 0, 0])
    match = cluster.match([[1000, 0, 0, 0, 0]], Demand.of([0], [5]), policy="spread")
    assert match.agent.tolist() == [0, 1, 0, 0, 0]


def test_higher_priority_goes_first_then_the_larger_shape_then_the_lower_row() -> None:
    requests = [[400, 0, 0, 0, 0], [600, 0, 0, 0, 0]]
    urgent = cluster_of(UNIT).match(requests, Demand.of([1, 0, 0], [1, 2, 2], priority=[0, 0, 1]))
    assert urgent.agent.tolist() == [-1, -1, -1, 0, 0]
    larger = cluster_of(UNIT).match(requests, Demand.of([0, 0, 1], [1, 1, 1]))
    assert larger.agent.tolist() == [0, -1, 0]


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    cluster = cluster_of(UNIT, UNIT)
    match = cluster.match([[400, 0, 0, 0, 0]], Demand.of([0], [6], gang=[3]))
    assert match.agent.tolist() == [0, 0, 1, -1, -1, -1]
    assert match.reason.tolist() == [0, 0, 0, Reason.GANG, Reason.GANG, Reason.GANG]
    why = match.why(0)
    assert why is not None
    assert (why.feasible, why.room, why.gang) == (1, 1, 3)


def test_a_gang_does_not_take_the_last_of_the_headroom_in_part() -> None:
    cluster = cluster_of(UNIT, UNIT)
    match = cluster.match([[100, 0, 0, 0, 0]], Demand.of([0], [6], gang=[3]), headroom=[500, 0, 0, 0, 0])
    assert match.reason.tolist() == [0, 0, 0] + [Reason.HEADROOM] * 3
    why = match.why(0)
    assert why is not None
    assert (why.short, why.left) == ("cpus", 200)


def test_headroom_limits_only_what_is_asked_for() -> None:
    match = cluster_of(UNIT).match([[100, 0, 0, 0, 0]], Demand.of([0], [3]), headroom=[10**12, -5, 0, 0, 0])
    assert match.agent.tolist() == [0, 0, 0]


def test_shapes_with_selectors_go_where_their_selector_allows() -> None:
    shapes = Shapes(5)
    anywhere = shapes.intern([100, 0, 0, 0, 0])
    second = shapes.intern([100, 0, 0, 0, 0], selector=1)
    allowed = np.array([[0, 0], [0, 1]], np.uint8)
    match = cluster_of(UNIT, UNIT).match(shapes, Demand.of([anywhere, second], [1, 1]), allowed)
    assert match.agent.tolist() == [0, 1]


def test_selectors_without_allowed_agents_are_refused() -> None:
    shapes = Shapes(5)
    shapes.intern([100, 0, 0, 0, 0], selector=2)
    with pytest.raises(ShapeError, match="no allowed agents"):
        cluster_of(UNIT).match(shapes, Demand.of([0], [1]))
    with pytest.raises(ShapeError, match="only 2 rows of allowed"):
        cluster_of(UNIT).match(shapes, Demand.of([0], [1]), np.ones((2, 1), np.uint8))


def test_no_pods_no_agents_and_no_request_are_fine() -> None:
    none = cluster_of(UNIT).match([UNIT], Demand.of([], []))
    assert (none.agent.tolist(), none.unplaced_rows.tolist(), none.why(0)) == ([], [], None)
    empty = cluster_of().match([UNIT], Demand.of([0, 0], [2, 0]))
    assert empty.reason.tolist() == [Reason.NO_AGENTS] * 2
    free = cluster_of([0, 0, 0, 0, 1]).match([[0] * 5], Demand.of([0], [1000]))
    assert free.agent.tolist() == [0] * 1000


def test_zero_size_pods_fit_a_full_agent_and_no_tombstone() -> None:
    cluster = Cluster([[0] * 5, [0] * 5], [[0] * 5, UNIT], [1, 1])
    assert cluster.match([[0] * 5], Demand.of([0], [2])).agent.tolist() == [1, 1]


def test_the_ends_of_int32_do_not_wrap_around() -> None:
    vast = [INT32_MOST] * 5
    cluster = cluster_of(vast, vast)
    match = cluster.match([vast, [1] * 5], Demand.of([0, 1], [3, 1]))
    assert match.agent.tolist() == [0, 1, -1, -1]
    assert cluster.columns()[0].tolist() == [[0] * 5] * 2
    many = cluster_of(vast).match([[2**30, 0, 0, 0, 0]], Demand.of([0], [5], gang=[5]), headroom=[2**62] * 5)
    assert many.reason.tolist() == [Reason.GANG] * 5


def test_arrays_may_be_read_only_and_strided() -> None:
    wide = np.zeros((4, 10), np.int64)
    wide[:, ::2] = UNIT
    rows = wide[::2, ::2]
    rows.setflags(write=False)
    shape, count = np.array([0, 9, 1, 9], np.int32)[::2], np.array([2, 2], np.uint16)
    for array in (shape, count):
        array.setflags(write=False)
    requests = np.asfortranarray([[100, 0, 0, 0, 0], [200, 0, 0, 0, 0]])
    allowed = np.ones((2, 4), bool)[:, ::2]
    match = Cluster(rows, rows, [True, False]).match(requests, Demand.of(shape, count), allowed)
    assert match.agent.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("free", "total", "usable", "message"),
    [
        ([[1, 1, 1]], [[1, 1, 1]], [1], "3 resource columns; the kernel takes 4 to 8"),
        ([[1] * 9], [[1] * 9], [1], "9 resource columns"),
        ([[1] * 4], [[1] * 5], [1], r"free has shape \[1, 4\], and must have \[1, 5\]"),
        ([[1] * 5], [[1] * 5], [1, 1], r"usable has shape \[2\]"),
        ([[2] * 5], [[1] * 5], [1], "free is at most total"),
        ([[-1] * 5], [[1] * 5], [1], "free holds -1"),
        ([[1.5] * 5], [[2] * 5], [1], "free is float64"),
        ([[2**31] * 5], [[2**31] * 5], [1], "total holds 2147483648 to 2147483648, and int32 can not"),
        ([[1] * 5], [[1] * 5], [300], "usable holds 300"),
    ],
)
def test_bad_agents_are_refused(free: object, total: object, usable: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Cluster(free, total, usable)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"shape": [0, 0], "count": [1]}, r"demand.count has shape \[1\]"),
        ({"shape": [-1], "count": [1]}, "demand.shape holds -1"),
        ({"shape": [0], "count": [-1]}, "demand.count holds -1"),
        ({"shape": [0], "count": [4], "gang": [-2]}, "demand.gang holds -2"),
        ({"shape": [0], "count": [4], "gang": [3]}, "demand row 0 has 4 pods in gangs of 3"),
        ({"shape": [0], "count": [1], "priority": [2**31]}, "demand.priority holds 2147483648"),
        ({"shape": [0] * 3, "count": [2**30] * 3}, "at most 2147483647"),
        ({"shape": [0], "count": [float("nan")]}, "demand.count is float64"),
        ({"shape": [[0]], "count": [1]}, r"demand.shape has shape \[1, 1\]"),
    ],
)
def test_bad_demands_are_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Demand.of(**columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shapes": [[1] * 4]}, r"requests has shape \[1, 4\], and must have \[any, 5\]"),
        ({"shapes": [[-1] * 5]}, "requests holds -1"),
        ({"shapes": np.empty((0, 5), np.int32)}, "demand.shape holds 0, but there are only 0 shapes"),
        ({"policy": "worst-fit"}, "policy is 'worst-fit', and must be one of best-fit, first-fit, spread"),
        ({"allowed": [[1, 1]]}, r"allowed has shape \[1, 2\], and must have \[1, 1\]"),
        ({"headroom": [1] * 4}, r"headroom has shape \[4\]"),
        ({"headroom": [1.0] * 5}, "headroom is float64"),
    ],
)
def test_bad_matches_are_refused_and_charge_nothing(arguments: dict[str, object], message: str) -> None:
    cluster = cluster_of(UNIT)
    with pytest.raises(ShapeError, match=message):
        cluster.match(**{"shapes": [[1] * 5], "demand": Demand.of([0], [1]), **arguments})
    assert cluster.columns()[0].tolist() == [UNIT]


def test_a_demand_counts_its_rows_and_pods() -> None:
    demand = Demand.of([0, 0], [3, 4])
    assert (len(demand), demand.pods, demand.offset.tolist()) == (2, 7, [0, 3, 7])


def test_rows_that_fail_alike_get_the_same_why() -> None:
    match = cluster_of(UNIT).match([[2000, 0, 0, 0, 0]], Demand.of([0] * 3, [1] * 3))
    whys = [match.why(row) for row in range(3)]
    assert isinstance(whys[0], Why)
    assert whys[0] == whys[1] == whys[2] == reference.explain(
        reference.Agents([UNIT], [UNIT], [True]), [2000, 0, 0, 0, 0]
    )  # fmt: skip


def test_rows_that_fail_apart_get_whys_of_their_own_time() -> None:
    """Between two failures of one shape another pod takes what the nearest agent had."""
    requests = [[2000, 0, 0, 0, 0], [600, 0, 0, 0, 0]]
    match = cluster_of(UNIT).match(requests, Demand.of([0, 1, 0], [1, 1, 1], priority=[3, 2, 1]))
    whys = [match.why(0), match.why(2)]
    assert [why.nearest.free for why in whys if why is not None and why.nearest is not None] == [1000, 400]


def test_a_gang_after_a_single_pod_of_its_shape_has_a_why_of_its_own() -> None:
    demand = Demand.of([0, 0], [1, 6], gang=[1, 6])
    match = cluster_of(UNIT, UNIT).match([[400, 0, 0, 0, 0]], demand, headroom=[0] * 5)
    single, gang = match.why(0), match.why(1)
    assert single is not None and gang is not None
    assert (single.reason, single.room) == (Reason.HEADROOM, 1)
    assert (gang.reason, gang.room) == (Reason.GANG, 4)


@pytest.mark.parametrize("policy", ["best-fit", "first-fit", "spread"])
def test_a_used_up_headroom_equals_the_sequential_scan(policy: str) -> None:
    requests = [[300, 10, 0, 0, 1], [0, 700, 0, 0, 0]]
    demand = [(0, 4, 1, 0), (1, 2, 2, 0), (0, 6, 3, 1), (1, 1, 0, -1)]
    headroom = [2500, 800, 0, 0, 10**12]
    case = Case([UNIT] * 3, [UNIT] * 3, [True] * 3, requests, [None, [0, 1, 1]], demand, headroom, policy)
    match, expected = case.match(case.cluster()), case.by_reference(case.agents())
    assert (match.agent.tolist(), match.reason.tolist()) == (expected.agent, expected.reason)
    assert {row: match.why(row) for row in match.unplaced_rows.tolist()} == expected.whys
    assert Reason.HEADROOM in match.reason and Reason.GANG not in match.reason


def test_of_resources_that_the_headroom_is_equally_short_of_the_first_is_named() -> None:
    match = cluster_of(UNIT).match([[0, 10, 10, 0, 1]], Demand.of([0], [1]), headroom=[0, 5, 9, 0, 0])
    why = match.why(0)
    assert why is not None
    assert (why.short, why.left) == ("mem", 5)
