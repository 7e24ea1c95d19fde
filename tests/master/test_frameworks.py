"""Frameworks: their numbers, what they are told at the start, and how their demand is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.allocator import Wanted
from orch.machine.host import EventError
from orch.master.frameworks import Framework, Frameworks, prints
from orch.model import messages as say
from orch.model.ids import first_id
from orch.model.resources import R
from orch.model.states import State
from tests.master.world import World, demand_of, only


def test_frameworks_are_numbered_in_the_order_in_which_they_first_subscribe() -> None:
    world = World("services", "batch", agents=0)
    assert [world.framework(name).number for name in ("services", "batch")] == [1, 2]
    assert only(world.tell(say.Subscribe("far")), say.Subscribed).number == 3
    world.restart()
    assert [world.framework(name).number for name in ("services", "batch")] == [1, 2]
    assert only(world.tell(say.Subscribe("far")), say.Subscribed).number == 3
    world.restart(snapshot=True)
    assert only(world.tell(say.Subscribe("farther")), say.Subscribed).number == 4


def test_a_framework_that_subscribes_is_told_all_that_the_master_has_of_it() -> None:
    world = World("services", "batch")
    world.framework("services").acknowledges = False
    ids = world.submit("services", 3)
    world.submit("batch", 1)
    world.update("a0", (ids[0], State.RUNNING, {"started_ms": 990}), (ids[1], State.FAILED, {"exit_code": 4}))
    world.tell(say.Subscribe("services"))
    told = [event for event in world.framework("services").heard if isinstance(event, say.Subscribed)][-1]
    assert told.ids.tolist() == ids and told.attempts.tolist() == [1, 1, 1] and told.epoch == 1
    assert told.states.tolist() == [State.RUNNING, State.FAILED, State.STAGING]
    assert told.exit_codes.tolist()[1] == 4 and told.started_ms.tolist()[0] == 990


def test_who_never_subscribed_is_told_to() -> None:
    world = World(agents=0)
    with pytest.raises(EventError, match="send Subscribe first"):
        world.tell(demand_of("far", [], {}))


def test_numbers_can_not_be_given_twice() -> None:
    frameworks = Frameworks(("a",))
    frameworks.add("a", 1)
    assert frameworks.numbered(1).address == "a" and frameworks.add("b", 2).address == "framework/b"
    with pytest.raises(AssertionError):
        frameworks.add("c", 2)


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 2), st.booleans(), st.integers(1, 5)), max_size=6
)


def demanded(each: list[tuple[int, int, int, bool, int]]) -> tuple[Wanted, np.ndarray]:
    group = np.array([row[0] for row in each], dtype=np.int64)
    requests = np.array([[row[1], 0, 0, 0, row[1] % 2] for row in each], dtype=np.int32).reshape(-1, R)
    priorities = np.array([row[2] for row in each], dtype=np.int32)
    ganged = np.array([row[3] for row in each], dtype=bool)
    counts = np.array([row[4] for row in each], dtype=np.int64)
    return Wanted(group, requests.astype(np.int64), counts, ganged.astype(np.int64) * 2), prints(
        group, requests, priorities, ganged
    )


@given(rows, st.randoms(use_true_random=False))
def test_what_is_wanted_less_what_was_got_is_no_news_in_whatever_order(each: list, dice: st.DataObject) -> None:
    framework = Framework("far", 1, hosted=False)
    wanted, kinds = demanded(each)
    assert framework.demand(wanted, kinds) == bool(each)
    single = [row[:4] for row in each for _ in range(row[4])]
    dice.shuffle(single)
    got = single[: len(single) // 2]
    framework.got(demanded([(*row, 1) for row in got])[1], np.ones(len(got), dtype=np.int64))
    rest = [(*row, 1) for row in single[len(got) :]]
    assert framework.demand(*demanded(rest)) is False
    assert framework.demand(*demanded([*rest, (9, 9, 9, False, 1)])) is True


@given(rows, rows)
def test_another_demand_is_news(one: list, other: list) -> None:
    framework = Framework("far", 1, hosted=False)
    framework.demand(*demanded(one))
    kinds = [sorted(row[:4] for row in each for _ in range(row[4])) for each in (one, other)]
    assert framework.demand(*demanded(other)) == (kinds[0] != kinds[1])


def test_what_nobody_asked_for_may_be_got() -> None:
    framework = Framework("far", 1, hosted=False)
    framework.got(demanded([(1, 1, 1, False, 1)])[1], np.ones(1, dtype=np.int64))
    assert framework.print() == 0
    assert first_id(1) > 0
