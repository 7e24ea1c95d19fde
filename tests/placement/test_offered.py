"""A framework's cluster behind the offers it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.codec import encode
from orch.model.messages import OfferBatch, OfferChanges, OfferRows
from orch.placement import Demand
from orch.placement.offered import FarOffers, Offered, most_pods, rows_by_group

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


def changes(since: int, generation: int, free: dict[int, list[int]], agents: int = 2, hidden: Any = ()) -> OfferChanges:
    rows, none = np.array(list(free), dtype=np.int32), [] if since else list(free)
    shown = OfferRows(
        generation=generation,
        since=since,
        agents=agents,
        rows=rows,
        free=np.array(list(free.values()), dtype=np.int32).reshape(-1, 5),
        usable=np.ones(len(rows), dtype=np.uint8),
        sessions=rows.astype(np.int64) + 10 * generation,
        named=np.array(none, dtype=np.int32),
        total=np.array([FULL] * len(none), dtype=np.int32).reshape(-1, 5),
        attributes=[{"n": str(row)} for row in none],
        names=[f"a{row}" for row in none],
    )
    return OfferChanges(encode(shown), np.array(hidden, dtype=np.int32), ["/"], np.ones((1, 5), dtype=np.int64))


def test_changes_are_applied_to_what_was_shown_before() -> None:
    far = FarOffers()
    first = far.take(changes(0, 3, {0: FULL, 1: HALF}))
    assert first.full and first.changed.tolist() == [0, 1] and first.names == ["a0", "a1"]
    assert first.free.tolist() == [FULL, HALF] and first.total.tolist() == [FULL, FULL]
    second = far.take(changes(3, 5, {1: FULL}, hidden=[0]))
    assert (second.full, second.changed.tolist(), second.usable.tolist()) == (False, [0, 1], [0, 1])
    assert second.free.tolist() == [FULL, FULL] and second.sessions.tolist() == [30, 51]
    third = far.take(changes(5, 6, {}))
    assert third.changed.tolist() == [0] and third.usable.tolist() == [1, 1]


def test_a_doubled_offer_changes_nothing_and_a_lost_one_is_told() -> None:
    far = FarOffers()
    far.take(changes(0, 3, {0: FULL, 1: HALF}))
    for _ in range(2):
        assert far.take(changes(3, 5, {1: FULL})).free.tolist() == [FULL, FULL]
    with pytest.raises(ValueError, match="since generation 6, and the last one seen is of 5; send Revive"):
        far.take(changes(6, 7, {1: HALF}))
    assert far.take(changes(5, 7, {1: HALF})).free.tolist() == [FULL, HALF]


def test_a_new_image_replaces_everything_also_of_a_younger_master() -> None:
    far = FarOffers()
    far.take(changes(0, 9, {0: FULL, 1: HALF}, hidden=[1]))
    image = far.take(changes(0, 2, {0: HALF}, agents=1))
    assert image.names == ["a0"] and image.free.tolist() == [HALF] and far.generation == 2
    longer = far.take(changes(2, 3, {2: HALF}, agents=3))
    assert longer.free.tolist() == [HALF, [0] * 5, HALF] and longer.usable.tolist() == [1, 0, 1]


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
