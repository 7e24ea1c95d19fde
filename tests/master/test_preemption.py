"""Preemption at the master: who stops, who waits for it, and that the room is nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orch.master import views
from orch.model import messages as say
from orch.model.reasons import Reason as Ended
from orch.model.requests import DrainAgent
from orch.model.states import State
from orch.placement import Reason
from tests.master.world import (
    POD,
    TOTAL,
    Pass,
    Pod,
    World,
    accept_of,
    demand_of,
    ids_in,
    kinds,
    launched,
    only,
    payload_of,
    u8,
)  # fmt: skip

FULL = 4
"""Pods that one agent holds."""
LARGE = (3000, 1024, 0, 0, 0)


@pytest.fixture
def world() -> World:
    """One agent, full of pods of priority 0 that run; the accepts of `far` are the test's own."""
    world = World("services", agents=1)
    world.tell(say.Subscribe("far"))
    world.ids = world.submit("services", FULL)  # type: ignore[attr-defined]
    run(world)
    return world


def run(world: World) -> None:
    ids = world.ids  # type: ignore[attr-defined]
    for age, number in enumerate(ids):
        world.update("a0", (number, State.RUNNING, {"started_ms": 500 + age}))


def ask(world: World, *pods: Pod, agent: int = -1, session: int = 0, **fields: Any) -> tuple[list[Reason], list[Any]]:
    """`far` wants places for these; (verdicts, messages)."""
    event = accept_of("far", [(pod, agent, session) for pod in pods])
    messages = world.tell(replace(event, preempt=u8(*[1] * len(pods)), **fields))
    return [Reason(verdict) for verdict in only(messages, say.AcceptResult).verdicts.tolist()], messages


def stops(messages: list[Any]) -> dict[int, Ended]:
    return {
        number: Ended(reason)
        for stop in messages
        if isinstance(stop, say.StopBatch)
        for number, reason in zip(stop.ids.tolist(), stop.reasons.tolist(), strict=True)
    }


def end(world: World, *numbers: int) -> list[Any]:
    """The agent says that these were stopped."""
    return world.update("a0", *((number, State.KILLED, {"reason": Ended.PREEMPTED}) for number in numbers))


def relaunch(world: World, messages: list[Any]) -> list[int]:
    """`far` answers what it was asked for; the ids that were sent to an agent then."""
    asked = [one for one in messages if isinstance(one, say.ResendRequest)]
    sent = []
    for one in asked:
        told = world.tell(say.Relaunch("far", one.ids, one.attempts, payload_of(one.ids.tolist())))
        sent += [number for batch in told if isinstance(batch, say.LaunchBatch) for number in ids_in(batch.payload)]
    return sent


def test_the_youngest_give_way_and_the_pod_starts_once_they_are_gone(world: World) -> None:
    [pod] = world.pods("far", 1, request=LARGE, priority=5)
    found, messages = ask(world, pod)
    ids = world.ids
    assert found == [Reason.PLACED] and only(messages, say.AcceptResult).agents.tolist() == [0]
    assert stops(messages) == dict.fromkeys(ids[1:], Ended.PREEMPTED)
    assert "LaunchBatch" not in kinds(messages)
    assert world.states(pod.number, *ids) == ["STAGING", "RUNNING", "KILLING", "KILLING", "KILLING"]
    assert not relaunch(world, end(world, ids[3], ids[2]))
    assert world.free("a0")[0] == 0
    assert relaunch(world, end(world, ids[1])) == [pod.number]
    world.update("a0", (pod.number, State.RUNNING))
    assert world.states(pod.number) == ["RUNNING"] and world.free("a0")[0] == 0


def test_who_gave_way_for_whom_is_told(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    youngest = world.ids[3]
    assert views.instance(world.master, pod.number)["waits_for"] == [youngest]
    assert views.instance(world.master, youngest)["gives_way_to"] == pod.number
    notes = [note for note in world.master.story(youngest) if note["what"] == "preempted"]
    assert [note["by"] for note in notes] == [pod.number]
    assert [note["what"] for note in world.master.story(pod.number)] == ["launched", "held"]


def test_equal_priorities_stay(world: World) -> None:
    [pod] = world.pods("far", 1, priority=0)
    found, messages = ask(world, pod)
    assert found == [Reason.NO_VICTIMS] and not stops(messages)


def test_what_fits_is_launched_at_once_and_nobody_stops(world: World) -> None:
    world.join("a1")
    [pod] = world.pods("far", 1, priority=5)
    found, messages = ask(world, pod)
    assert found == [Reason.PLACED] and not stops(messages) and launched(world)[pod.number] == "a1"


def test_a_guarantee_is_kept(world: World) -> None:
    world.master.tree.set("/demo", guarantee=[4000, 0, 0, 0, 0])
    [pod] = world.pods("far", 1, priority=5, group="/other")
    assert ask(world, pod)[0] == [Reason.NO_VICTIMS]
    world.master.tree.set("/demo", guarantee=[3000, 0, 0, 0, 0])
    two = world.pods("far", 2, priority=5, group="/other")
    assert ask(world, *two)[0] == [Reason.PLACED, Reason.NO_VICTIMS]


def test_what_is_being_stopped_counts_no_more_for_a_guarantee(world: World) -> None:
    world.master.tree.set("/demo", guarantee=[3000, 0, 0, 0, 0])
    one, two = world.pods("far", 2, priority=5, group="/other")
    assert ask(world, one)[0] == [Reason.PLACED]
    assert ask(world, two)[0] == [Reason.NO_VICTIMS]


def test_a_gang_takes_all_its_places_or_none(world: World) -> None:
    found, messages = ask(world, *world.pods("far", 5, priority=5, gang=3))
    assert found == [Reason.GANG] * 4 + [Reason.NO_VICTIMS] and not stops(messages)
    found, messages = ask(world, *world.pods("far", 4, priority=5, gang=3))
    assert found == [Reason.PLACED] * 4 and len(stops(messages)) == 4


def test_a_place_on_a_named_agent_needs_its_session(world: World) -> None:
    one, two, three = world.pods("far", 3, priority=5)
    assert ask(world, one, agent=0, session=9)[0] == [Reason.STALE_SESSION]
    assert ask(world, two, agent=7, session=1)[0] == [Reason.UNKNOWN_AGENT]
    assert ask(world, three, agent=0, session=1)[0] == [Reason.PLACED]


def test_a_draining_agent_gives_no_places(world: World) -> None:
    world.ask(DrainAgent, agent="a0", drain=True)
    [pod] = world.pods("far", 1, priority=5)
    assert ask(world, pod)[0] == [Reason.NO_VICTIMS]


def test_a_pod_that_is_stopped_while_it_waits_ends_at_once_and_lets_go(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    messages = world.tell(say.Kill("far", np.array([pod.number]), u8(Ended.STOPPED_BY_USER)))
    assert not stops(messages) and world.states(pod.number) == ["KILLED"]
    assert not relaunch(world, end(world, world.ids[3])) and world.free("a0")[0] == POD[0]


def test_those_that_wait_on_one_agent_start_in_their_order(world: World) -> None:
    first, second = world.pods("far", 2, priority=5)
    ask(world, first)
    world.until(world.now_ms + 5)
    ask(world, second)
    assert relaunch(world, end(world, world.ids[2])) == [first.number]
    assert relaunch(world, end(world, world.ids[3])) == [second.number]


def test_a_higher_priority_takes_the_place_of_one_that_waits(world: World) -> None:
    low, high = *world.pods("far", 1, priority=5, request=TOTAL), *world.pods("far", 1, priority=9, request=TOTAL)
    ask(world, low)
    found, messages = ask(world, high)
    assert found == [Reason.PLACED] and not stops(messages)
    assert world.states(low.number, high.number) == ["KILLED", "STAGING"]
    assert relaunch(world, end(world, *world.ids)) == [high.number]


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_hold_survives_the_master(world: World, snapshot: bool) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    victim = world.ids[3]
    world.restart(snapshot)
    world.tell(say.Subscribe("far"))
    world.register("a0")
    rows = [(number, State.RUNNING, {"started_ms": 500}) for number in world.ids]
    messages = world.image_of("a0", rows)
    assert stops(messages) == {victim: Ended.PREEMPTED} and "ResendRequest" not in kinds(messages)
    assert world.states(pod.number) == ["STAGING"] and world.free("a0")[0] == 0
    assert relaunch(world, end(world, victim)) == [pod.number]


def test_the_payload_is_asked_for_again_if_the_master_dies_before_it_came(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    end(world, world.ids[3])
    world.restart()
    world.tell(say.Subscribe("far"))
    world.register("a0")
    rows = [(number, State.RUNNING, {"started_ms": 500}) for number in world.ids[:3]]
    assert relaunch(world, world.image_of("a0", rows)) == [pod.number]


def test_a_pod_that_waits_on_a_lost_agent_is_given_up_with_it(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    world.until(world.now_ms + 20_000)
    assert world.states(pod.number) == ["UNREACHABLE"]
    world.until(world.now_ms + 700_000)
    assert world.states(pod.number) == ["LOST"] and len(world.master.preemptions.held) == 0


def test_a_pod_that_waited_on_an_agent_that_comes_back_is_launched_elsewhere(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    world.until(world.now_ms + 20_000)
    world.join("a0", "again")
    assert world.states(pod.number) == ["DROPPED"]


def test_a_payload_that_comes_while_a_pod_waits_is_not_sent(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    again = say.Relaunch("far", np.array([pod.number]), np.ones(1, dtype=np.int32), payload_of([pod.number]))
    assert world.tell(again) == []


def test_a_doubled_accept_takes_no_second_place(world: World) -> None:
    [pod] = world.pods("far", 1, priority=5)
    ask(world, pod)
    found, messages = ask(world, pod)
    assert found == [Reason.PLACED] and not stops(messages)
    assert only(messages, say.AcceptResult).agents.tolist() == [0]


def test_frameworks_are_shown_what_could_be_freed_once_nothing_else_fits() -> None:
    world = World("services", agents=2)
    low = world.submit("services", 2 * FULL)
    assert all(len(offer.bands) == 0 for offer in world.framework("services").offers)
    [high] = world.submit("services", 1, priority=5)
    offer = world.framework("services").offers[-1]
    assert offer.bands.tolist() == [5]
    assert offer.freeable[0].tolist() == [[4000, 2048, 0, 0, 0]] * 2
    assert sorted(world.states(*low)).count("KILLING") == 1
    [victim] = [number for number in low if world.states(number) == ["KILLING"]]
    where = world.master.agents.names[int(only_row(world, victim, "agent"))]
    world.update(where, (victim, State.KILLED))
    assert launched(world)[high] == where and world.states(high) == ["STAGING"]


def only_row(world: World, number: int, column: str) -> Any:
    table = world.master.instances
    return table[column][table.index.find(np.array([number]))[0]]


def test_where_no_priority_is_higher_nobody_is_asked_twice() -> None:
    world = World("services")
    world.submit("services", FULL)
    before = len(world.framework("services").offers)
    world.submit("services", 1)
    assert len(world.framework("services").offers) == before


def test_who_finds_no_place_is_not_asked_without_end() -> None:
    world = World("services")
    world.master.tree.set("/demo", guarantee=[4000, 0, 0, 0, 0])
    world.submit("services", FULL)
    before = len(world.framework("services").offers)
    world.submit("services", 1, priority=5, group="/other")
    assert len(world.framework("services").offers) == before + 1
    world.until(world.now_ms + 10_000)
    assert len(world.framework("services").offers) == before + 1


def test_frameworks_elsewhere_are_shown_it_too() -> None:
    world = World(agents=1)
    world.tell(say.Subscribe("far"))
    low = world.pods("far", FULL)
    world.tell(accept_of("far", [(pod, 0, 1) for pod in low]))
    [high] = world.pods("far", 1, priority=5)
    messages = world.tell(demand_of("far", [high], {}))
    offer = only(messages, say.OfferBatch)
    assert offer.bands.tolist() == [5] and offer.freeable.tolist() == [[[4000, 2048, 0, 0, 0]]]
    assert offer.headroom.tolist() == [list(POD)]


def test_pods_of_a_group_at_its_limit_take_places_within_it() -> None:
    world = World("services", agents=2)
    world.master.tree.set("/demo", limit=[4000, -1, -1, -1, -1])
    low = world.submit("services", FULL)
    world.submit("services", 1, priority=5)
    assert [state for state in world.states(*low) if state == "KILLING"] == ["KILLING"]


def test_a_framework_that_says_less_is_left_alone(world: World) -> None:
    """`Pass` reaches the master as it is: an accept without the column asks for nothing."""
    [pod] = world.pods("far", 1, priority=5)
    messages = world.tell(accept_of("far", [(pod, -1, 0)]))
    assert only(messages, say.AcceptResult).verdicts.tolist() == [Reason.UNKNOWN_AGENT]
    assert isinstance(Pass(messages[0]).message, say.AcceptResult)
