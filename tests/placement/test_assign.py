"""Shape ids in, an agent for each out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.placement import Cluster, Demand, ShapeError
from tests.placement.cases import Case, cases


@given(cases(), st.data())
def test_pods_are_assigned_as_rows_of_their_shapes_are_matched(case: Case, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(0, len(case.requests) - 1), max_size=40))
    how = (case.masks(), case.default_policy, case.headroom)
    agent, match = case.cluster().assign(case.requests, shape, *how)
    count = np.bincount(shape, minlength=len(case.requests))
    rows = case.cluster().match(case.requests, Demand.of(np.arange(len(count)), count), *how)
    assert np.array_equal(match.agent, rows.agent)
    for number in range(len(case.requests)):
        start, stop = rows.demand.offset[number : number + 2]
        assert agent[np.array(shape, np.int64) == number].tolist() == rows.agent[start:stop].tolist()


def test_of_equal_pods_the_first_ones_are_placed() -> None:
    total = np.array([[1000, 100, 100, 0, 10]] * 2, np.int32)
    agent, match = Cluster(total, total, [1, 1]).assign([[500, 1, 1, 0, 0], [100, 1, 1, 0, 0]], [0, 1, 0, 0, 0, 0])
    assert agent.tolist() == [0, -1, 0, 1, 1, -1]
    assert match.unplaced_rows.tolist() == [0, 1]


@pytest.mark.parametrize(("shape", "said"), [([0, 2], "only 2 shapes"), ([-1], "at least 0"), ([0.5], "integers")])
def test_an_id_that_is_no_shape_is_refused(shape: list[float], said: str) -> None:
    cluster = Cluster([[1, 1, 1, 1]], [[1, 1, 1, 1]], [1])
    with pytest.raises(ShapeError, match=said):
        cluster.assign([[1, 0, 0, 0], [0, 1, 0, 0]], shape)
    assert cluster.columns()[0].tolist() == [[1, 1, 1, 1]]


def test_no_pods_and_no_agents_give_an_empty_answer() -> None:
    nothing = np.empty((0, 4), np.int32)
    agent, match = Cluster(nothing, nothing, []).assign([[1, 1, 1, 1]], [0, 0])
    assert agent.tolist() == [-1, -1]
    assert match.unplaced_rows.tolist() == [0]
    assert Cluster(nothing, nothing, []).assign(nothing, [])[0].tolist() == []
