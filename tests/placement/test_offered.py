"""A framework's cluster behind the offers it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.model.messages import OfferBatch
from orch.placement import Demand
from orch.placement.offered import Offered, most_pods, rows_by_group

EMPTY = np.empty(0, dtype=np.int32)


def offer(free: Any, total: Any, changed: Any = EMPTY, full: bool = False) -> OfferBatch:
    rows = np.array(free, dtype=np.int32)
    return OfferBatch(
        generation=1,
        full=full,
        changed=np.array(changed, dtype=np.int32),
        free=rows,
        total=np.array(total, dtype=np.int32),
        usable=np.ones(len(rows), dtype=np.uint8),
        sessions=np.ones(len(rows), dtype=np.int64),
        attributes=[{}] * len(rows),
        names=[f"a{row}" for row in range(len(rows))],
        groups=["/"],
        headroom=rows.astype(np.int64).sum(axis=0, keepdims=True),
    )


FULL = [1000, 1000, 0, 0, 0]
HALF = [500, 500, 0, 0, 0]
ONE = np.array([[500, 1, 0, 0, 0]], dtype=np.int32)


def test_only_changed_rows_are_taken_and_new_agents_come_with_their_totals() -> None:
    offered = Offered()
    offered.update(offer([FULL, FULL], [FULL, FULL], full=True))
    cluster = offered.update(offer([HALF, HALF], [FULL, FULL], changed=[1]))
    assert cluster.columns()[0].tolist() == [FULL, HALF]
    cluster = offered.update(offer([HALF, HALF, HALF], [FULL, FULL, HALF], changed=[2]))
    assert cluster.columns()[0].tolist() == [FULL, HALF, HALF] and cluster.columns()[1].tolist()[2] == HALF
    cluster = offered.update(offer([HALF, HALF, HALF], [HALF, FULL, HALF], changed=[0]))
    assert cluster.columns()[1].tolist()[0] == HALF
    assert offered.update(offer([FULL], [FULL], full=True)).columns()[0].tolist() == [FULL]


def test_what_was_refused_is_free_again_with_the_next_offer() -> None:
    offered = Offered()
    cluster = offered.update(offer([FULL], [FULL], full=True))
    cluster.match(ONE, Demand.of([0], [2]))
    assert cluster.columns()[0][0, 0] == 0
    offered.refuse(np.zeros(1, dtype=np.int32))
    assert offered.update(offer([HALF], [FULL])).columns()[0].tolist() == [HALF]


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 5), min_size=1, max_size=4),
    st.lists(st.integers(0, 40), min_size=5, max_size=5),
    st.integers(1, 3),
)
def test_no_more_pods_are_tried_than_there_could_be_room_for(rows: Any, room: list[int], gang: int) -> None:
    counts = np.full(len(rows), 30, dtype=np.int64)
    requests, gangs = np.array(rows, dtype=np.int32), np.full(len(rows), gang, dtype=np.int32)
    found = most_pods(requests, counts, gangs, np.array(room, dtype=np.int64))
    for row, pods in zip(rows, found.tolist(), strict=True):
        ever = min([30, *(have // want for have, want in zip(room, row, strict=True) if want)])
        assert pods == ever // gang * gang


def test_rows_come_in_the_order_of_their_groups_turns() -> None:
    assert rows_by_group(["/a", "/b", "/a"], ["/c", "/b", "/a"]) == [(1, [1]), (2, [0, 2])]
