"""An agent's image against the table: after a restart of either side, a lost message, or a long silence."""

from __future__ import annotations

from typing import Any

import pytest

from orch.master import views
from orch.model import messages as say
from orch.model.reasons import Reason
from orch.model.states import State
from tests.master.world import TOTAL, Wish, World, accept_of, i64, ids_in, kinds, launched, only, payload_of, u8


@pytest.fixture
def world() -> World:
    return World("services")


def again(world: World, *rows: Any, restart: bool = True, name: str = "a0", **fields: Any) -> list[Any]:
    """The master restarts (or not), and the agent comes back with what it has; what the image led to."""
    if restart:
        world.restart()
    world.register(name, f"again{world.now_ms}{world.master.epoch}")
    return world.image_of(name, rows, **fields)


def test_what_runs_goes_on_running_when_the_master_restarts(world: World) -> None:
    ids = world.submit("services", 2)
    world.update("a0", (ids[0], State.RUNNING, {"started_ms": 900}))
    world.restart()
    assert world.agent("a0")["state"] == "ABSENT"
    messages = again(world, (ids[0], State.RUNNING), (ids[1], State.STAGING), restart=False)
    assert messages == []
    assert world.states(*ids) == ["RUNNING", "STAGING"]
    assert world.agent("a0")["state"] == "READY" and world.free("a0")[0] == 2000


def test_no_agent_is_offered_before_it_has_reconciled(world: World) -> None:
    world.restart()
    assert world.submit("services", 1) and launched(world) == {}
    world.register("a0", "again")
    assert launched(world) == {}
    world.image_of("a0")
    assert len(launched(world)) == 1


def test_a_launch_that_the_agent_never_got_is_sent_again_with_its_payload(world: World) -> None:
    ids = world.submit("services", 3)
    messages = again(world, (ids[1], State.RUNNING))
    batch = only(messages, say.LaunchBatch)
    assert batch.ids.tolist() == [ids[0], ids[2]] == ids_in(batch.payload)
    assert (batch.session, batch.epoch, batch.attempts.tolist()) == (2, 2, [1, 1])
    assert world.states(*ids) == ["STAGING", "RUNNING", "STAGING"]


def test_what_ran_and_is_gone_without_a_trace_is_lost(world: World) -> None:
    world.framework("services").acknowledges = False
    ids = world.submit("services", 3)
    world.update("a0", (ids[0], State.RUNNING, {"started_ms": 900}), (ids[1], State.STARTING))
    world.tell(say.Kill("services", i64(ids[0]), u8(Reason.STOPPED_BY_USER)))
    messages = again(world, (ids[2], State.RUNNING), restart=False)
    assert messages == []
    assert world.states(*ids) == ["LOST", "LOST", "RUNNING"]
    seen = views.instance(world.master, ids[0])
    assert seen is not None and seen["reason"] == "NO_EXIT_RECORD"
    assert world.free("a0")[0] == 3000


def test_ends_that_came_while_nobody_listened_are_taken_from_the_image(world: World) -> None:
    ids = world.submit("services", 2)
    again(world, (ids[0], State.FAILED, {"exit_code": 9, "reason": Reason.EXITED}), (ids[1], State.RUNNING))
    assert world.states(*ids) == [None, "RUNNING"]
    assert world.free("a0")[0] == 3000


def test_what_the_master_does_not_know_is_stopped(world: World) -> None:
    [one] = world.submit("services", 1)
    rows = [(one, State.RUNNING), (900, State.RUNNING), (901, State.FINISHED)]
    stop = only(again(world, *rows), say.StopBatch)
    assert stop.ids.tolist() == [900] and stop.reasons.tolist() == [Reason.UNKNOWN_TO_MASTER]


def second_attempt(world: World, one: int) -> None:
    """The first attempt of an instance ends, and a second one is launched."""
    world.update("a0", (one, State.FAILED))
    pod = world.framework("services").pods[one]
    pod.attempt, pod.state = 2, State.SCHEDULED
    world.tell(Wish(), to="services")


def test_an_old_attempt_that_still_runs_is_stopped_as_replaced(world: World) -> None:
    [one] = world.submit("services", 1)
    second_attempt(world, one)
    messages = world.image_of("a0", [(one, State.RUNNING), (one, State.STAGING, {"attempt": 2})], received_seq=2)
    stop = only(messages, say.StopBatch)
    assert (stop.attempts.tolist(), stop.reasons.tolist()) == ([1], [Reason.REPLACED])
    assert world.states(one) == ["STAGING"]


def test_the_end_of_an_old_attempt_does_not_stand_for_the_new_one(world: World) -> None:
    [one] = world.submit("services", 1)
    second_attempt(world, one)
    batch = only(again(world, (one, State.FAILED, {"attempt": 1})), say.LaunchBatch)
    assert (batch.ids.tolist(), batch.attempts.tolist()) == ([one], [2])


def test_a_stop_is_said_again_by_grace(world: World) -> None:
    ids = world.submit("services", 3)
    world.update("a0", *[(number, State.RUNNING) for number in ids])
    world.tell(say.Kill("services", i64(ids[0]), u8(Reason.SCALED_DOWN), grace_ms=50))
    world.tell(say.Kill("services", i64(ids[1]), u8(Reason.STOPPED_BY_USER)))
    messages = again(world, *[(number, State.RUNNING) for number in ids])
    assert [(m.ids.tolist(), m.grace_ms, m.reasons.tolist()) for m in messages] == [
        ([ids[1]], -1, [Reason.STOPPED_BY_USER]),
        ([ids[0]], 50, [Reason.SCALED_DOWN]),
    ]
    assert world.states(*ids) == ["KILLING", "KILLING", "RUNNING"]


def test_a_kill_before_the_launch_arrived_ends_it_as_it_was_asked(world: World) -> None:
    world.framework("services").acknowledges = False
    [one] = world.submit("services", 1)
    world.tell(say.Kill("services", i64(one), u8(Reason.SCALED_DOWN)))
    assert again(world, restart=False) == []
    seen = views.instance(world.master, one)
    assert seen is not None and (seen["state"], seen["reason"]) == ("KILLED", "SCALED_DOWN")


def test_a_kill_while_the_agent_is_away_waits_for_it(world: World) -> None:
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.RUNNING))
    world.restart()
    assert world.tell(say.Kill("services", i64(one), u8(Reason.STOPPED_BY_USER))) == []
    assert world.states(one) == ["KILLING"]
    stop = only(again(world, (one, State.RUNNING), restart=False), say.StopBatch)
    assert stop.ids.tolist() == [one]
    assert world.states(one) == ["KILLING"]


def test_an_image_of_before_a_launch_says_nothing_of_it(world: World) -> None:
    [one] = world.submit("services", 1)
    assert world.image_of("a0", [], received_seq=0) == []
    world.update("a0", (one, State.RUNNING, {"started_ms": 5}))
    assert world.image_of("a0", [], received_seq=0) == []
    assert world.states(one) == ["RUNNING"]
    world.image_of("a0", [], received_seq=1)
    assert world.states(one) == [None]


def test_an_image_of_an_old_session_or_epoch_is_answered_with_a_hint(world: World) -> None:
    [one] = world.submit("services", 1)
    for fields in ({"session": 7}, {"epoch": 3}):
        assert only(world.image_of("a0", [], **fields), say.HeartbeatAck).session == 1
    assert world.states(one) == ["STAGING"]


def unreachable(world: World, *states: State) -> list[int]:
    """Instances in these states, on an agent that has fallen silent."""
    ids = world.submit("services", len(states))
    rows = [
        (number, state, {"started_ms": 800 if state == State.RUNNING else 0})
        for number, state in zip(ids, states, strict=True)
    ]
    world.update("a0", *rows)
    world.until(world.now_ms + 15_000)
    assert world.states(*ids) == ["UNREACHABLE"] * len(ids)
    return ids


def test_an_agent_that_comes_back_brings_its_instances_back(world: World) -> None:
    ids = unreachable(world, State.RUNNING, State.STAGING, State.STARTING)
    rows = [(ids[0], State.RUNNING), (ids[1], State.STAGING), (ids[2], State.STARTING)]
    assert again(world, *rows, restart=False) == []
    assert world.states(*ids) == ["RUNNING", "STARTING", "STARTING"]
    assert world.agent("a0")["state"] == "READY" and world.free("a0")[0] == 1000


def test_what_was_under_way_to_it_when_it_fell_silent_is_dropped_if_it_never_came(world: World) -> None:
    world.framework("services").acknowledges = False
    ids = unreachable(world, State.RUNNING, State.STAGING, State.STARTING)
    again(world, restart=False)
    assert world.states(*ids) == ["LOST", "DROPPED", "LOST"]
    seen = views.instance(world.master, ids[1])
    assert seen is not None and seen["reason"] == "AGENT_LOST"
    assert world.free("a0") == list(TOTAL)


def test_what_was_to_stop_while_it_was_away_is_stopped_when_it_is_back(world: World) -> None:
    [one] = unreachable(world, State.RUNNING)
    assert world.tell(say.Kill("services", i64(one), u8(Reason.STOPPED_BY_USER))) == []
    assert world.states(one) == ["UNREACHABLE"]
    messages = again(world, (one, State.RUNNING), restart=False)
    assert only(messages, say.StopBatch).ids.tolist() == [one]
    assert world.states(one) == ["KILLING"]


def test_each_framework_is_asked_for_its_own_payloads() -> None:
    world = World("services", "batch")
    [one], [two] = world.submit("services", 1), world.submit("batch", 1)
    messages = again(world)
    assert kinds(messages) == ["LaunchBatch", "LaunchBatch"]
    assert [message.ids.tolist() for message in messages] == [[one], [two]]
    assert [message.seq for message in messages] == [1, 2]


def test_a_framework_that_is_away_is_asked_when_it_subscribes() -> None:
    world = World("services", hosted=("services",))
    world.tell(say.Subscribe("far"))
    row = world.agent("a0")["row"]
    [pod] = world.pods("far", 1)
    world.tell(accept_of("far", [(pod, row, 1)]))
    assert again(world) == []
    subscribed, request = world.tell(say.Subscribe("far"))
    assert subscribed.ids.tolist() == [pod.number] and subscribed.number == 2
    assert request.ids.tolist() == [pod.number]
    answer = say.Relaunch("far", request.ids, request.attempts, payload_of([pod.number]))
    assert only(world.tell(answer), say.LaunchBatch).ids.tolist() == [pod.number]
    subscribed = only(world.tell(say.Subscribe("far")), say.Subscribed)
    assert subscribed.states.tolist() == [State.STAGING]
