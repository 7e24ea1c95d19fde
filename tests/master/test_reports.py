"""What agents say of instances: kept, passed on, acknowledged; and what is stale or absurd, dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.machine.host import EventError
from orch.master import views
from orch.model import messages as say
from orch.model.facts_master import DetailsSeen, StartingSeen, StatesChanged
from orch.model.reasons import Reason
from orch.model.states import State
from tests.master.world import TOTAL, World, i32, i64, kinds, only, u8


@pytest.fixture
def world() -> World:
    return World("services")


def told(world: World, framework: str = "services") -> list[tuple[int, str]]:
    """(id, state) of all that the framework was told, in order."""
    updates = [event for event in world.framework(framework).heard if isinstance(event, say.InstanceUpdates)]
    return [
        (number, State(state).name)
        for event in updates
        for number, state in zip(event.ids.tolist(), event.states.tolist(), strict=True)
    ]


def test_an_instance_lives_and_ends_and_gives_back_what_it_held(world: World) -> None:
    [one] = world.submit("services", 1)
    assert world.free("a0")[0] == 3000
    world.update("a0", (one, State.STARTING))
    assert world.states(one) == ["STARTING"]
    world.now_ms += 500
    world.update("a0", (one, State.RUNNING, {"started_ms": 1400}))
    seen = views.instance(world.master, one)
    assert seen is not None and (seen["state"], seen["started_ms"], seen["changed_ms"]) == ("RUNNING", 1400, 1500)
    world.framework("services").acknowledges = False
    assert kinds(world.update("a0", (one, State.FAILED, {"exit_code": 3, "reason": Reason.EXITED}))) == ["UpdateAck"]
    seen = views.instance(world.master, one)
    assert seen is not None
    assert (seen["state"], seen["exit_code"], seen["reason"], seen["started_ms"]) == ("FAILED", 3, "EXITED", 1400)
    assert world.free("a0") == list(TOTAL)
    assert told(world) == [(one, "STARTING"), (one, "RUNNING"), (one, "FAILED")]


def test_starting_is_shown_and_not_journaled(world: World) -> None:
    [one] = world.submit("services", 1)
    index = world.host.index
    world.host.handle(world.now_ms, "master", say.UpdateBatch("a0", 1, 1, 1, **world.columns([(one, State.STARTING)])))
    [record] = world.host.take_records()
    assert record.soft and record.facts == [["master", record.facts[0][1]]]
    assert isinstance(record.facts[0][1], StartingSeen) and world.host.index == index


def test_the_acknowledgement_waits_for_the_journal(world: World) -> None:
    [one] = world.submit("services", 1)
    batch = say.UpdateBatch("a0", 1, 1, 1, **world.columns([(one, State.RUNNING)]))
    world.host.handle(world.now_ms, "master", batch)
    assert world.host.take_commands() == []
    [record] = world.host.take_records()
    assert isinstance(record.facts[0][1], StatesChanged)
    world.host.durable(record.index)
    assert [outgoing.command.message for outgoing in world.host.take_commands()] == [say.UpdateAck(1, 1, 1)]


def test_an_end_is_kept_until_the_framework_acknowledges_it(world: World) -> None:
    world.framework("services").acknowledges = False
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.FINISHED))
    assert world.states(one) == ["FINISHED"]
    for wrong in (
        say.Acknowledge("services", i64(one), i32(2)),
        say.Acknowledge("services", i64(one + 1), i32(1)),
        say.Acknowledge("services", i64(), i32()),
    ):
        world.tell(wrong)
        assert world.states(one) == ["FINISHED"]
    world.tell(say.Acknowledge("services", i64(one, one), i32(1, 1)))
    assert world.states(one) == [None]
    world.tell(say.Acknowledge("services", i64(one), i32(1)))


def test_what_has_not_ended_can_not_be_acknowledged(world: World) -> None:
    [one] = world.submit("services", 1)
    world.tell(say.Acknowledge("services", i64(one), i32(1)))
    assert world.states(one) == ["STAGING"]


def test_a_framework_can_not_acknowledge_for_another() -> None:
    world = World("services", "batch")
    world.framework("services").acknowledges = False
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.FINISHED))
    world.tell(say.Acknowledge("batch", i64(one), i32(1)))
    assert world.states(one) == ["FINISHED"]


def test_doubled_and_reordered_batches_do_no_harm(world: World) -> None:
    [one] = world.submit("services", 1)
    first = {"seq": 1, **world.columns([(one, State.RUNNING)])}
    second = {"seq": 2, **world.columns([(one, State.FINISHED)])}
    world.framework("services").acknowledges = False
    # The second overtakes the first: it is taken, but not acknowledged while the first is missing.
    assert world.tell(say.UpdateBatch("a0", 1, 1, **second)) == []
    assert world.states(one) == ["FINISHED"]
    assert only(world.tell(say.UpdateBatch("a0", 1, 1, **first)), say.UpdateAck).seq == 1
    assert world.states(one) == ["FINISHED"]
    assert only(world.tell(say.UpdateBatch("a0", 1, 1, **second)), say.UpdateAck).seq == 2
    assert only(world.tell(say.UpdateBatch("a0", 1, 1, **first)), say.UpdateAck).seq == 2
    assert told(world) == [(one, "FINISHED")]


@pytest.mark.parametrize(
    ("state", "attempt"),
    [
        (State.STAGING, 1),
        (State.SCHEDULED, 1),
        (State.RUNNING, 1),
        (State.UNREACHABLE, 1),
        (State.FINISHED, 0),
        (State.FINISHED, 2),
    ],
)
def test_what_is_stale_or_against_the_table_is_dropped_and_acknowledged(
    world: World, state: State, attempt: int
) -> None:
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.RUNNING))
    before = len(world.journal)
    messages = world.update("a0", (one, state, {"attempt": attempt}))
    assert only(messages, say.UpdateAck).seq == 2
    assert world.states(one) == ["RUNNING"] and len(world.journal) == before


def test_another_agent_can_not_speak_for_an_instance() -> None:
    world = World("services", agents=2)
    [one] = world.submit("services", 1)
    messages = world.update("a1", (one, State.FINISHED))
    assert world.states(one) == ["STAGING"] and kinds(messages) == ["UpdateAck"]


def test_an_instance_twice_in_one_batch_is_taken_in_order(world: World) -> None:
    [one, two] = world.submit("services", 2)
    world.framework("services").acknowledges = False
    world.update("a0", (one, State.RUNNING), (two, State.FINISHED), (one, State.FINISHED), (two, State.RUNNING))
    assert world.states(one, two) == ["FINISHED", "FINISHED"]
    assert world.free("a0") == list(TOTAL)


def test_details_are_shown_passed_on_once_and_forgotten_with_the_instance(world: World) -> None:
    [one] = world.submit("services", 1)
    ready = {"healthy": True, "endpoints": [{"name": "http", "port": 31000}]}
    world.update("a0", (one, State.RUNNING), details={one: ready, 77: {"healthy": False}})
    seen = views.instance(world.master, one)
    assert seen is not None and seen["details"] == ready
    sick = {"healthy": False}
    for detail, news in ((ready, 0), (sick, 1), (sick, 0)):
        before = len(told(world))
        world.update("a0", (one, State.RUNNING), details={one: detail})
        assert len(told(world)) - before == news
    last = [event for event in world.framework("services").heard if isinstance(event, say.InstanceUpdates)][-1]
    assert last.details == {one: sick} and last.states.tolist() == [State.RUNNING]
    world.update("a0", (one, State.FINISHED))
    assert world.master.instances.details == {}


def test_details_are_soft_and_come_again_with_an_image(world: World) -> None:
    [one] = world.submit("services", 1)
    world.host.handle(
        world.now_ms,
        "master",
        say.UpdateBatch("a0", 1, 1, 1, **world.columns([(one, State.STAGING)]), details={one: {"healthy": True}}),
    )
    [record] = world.host.take_records()
    assert record.soft and isinstance(record.facts[0][1], DetailsSeen)
    world.restart()
    assert world.master.instances.details == {}
    world.register("a0")
    world.image_of("a0", [(one, State.RUNNING)], details={one: {"healthy": True}})
    assert world.master.instances.details == {one: {"healthy": True}}


def test_each_framework_is_told_of_its_own() -> None:
    world = World("services", "batch")
    [one], [two] = world.submit("services", 1), world.submit("batch", 1)
    world.update("a0", (two, State.RUNNING), (one, State.RUNNING), details={one: {"healthy": True}})
    assert told(world) == [(one, "RUNNING")] and told(world, "batch") == [(two, "RUNNING")]


def test_an_unknown_instance_that_runs_is_stopped_and_one_that_ended_is_let_be(world: World) -> None:
    messages = world.update("a0", (991, State.RUNNING), (992, State.FINISHED))
    stop = only(messages, say.StopBatch)
    assert stop.ids.tolist() == [991] and stop.reasons.tolist() == [Reason.UNKNOWN_TO_MASTER]
    [note] = world.master.story(991)
    assert note["what"] == "stopped as unknown"


def test_one_that_has_ended_here_and_runs_there_is_stopped(world: World) -> None:
    [one] = world.submit("services", 1)
    world.framework("services").acknowledges = False
    world.update("a0", (one, State.FINISHED))
    stop = only(world.update("a0", (one, State.RUNNING)), say.StopBatch)
    assert stop.ids.tolist() == [one] and stop.reasons.tolist() == [Reason.UNKNOWN_TO_MASTER]


@pytest.mark.parametrize(
    "columns",
    [{"states": u8(40)}, {"attempts": i32()}, {"exit_codes": np.zeros(2, dtype=np.int16)}],
)
def test_a_malformed_batch_is_refused(world: World, columns: dict[str, Any]) -> None:
    [one] = world.submit("services", 1)
    with pytest.raises(EventError, match="columns of"):
        world.update("a0", (one, State.RUNNING), **columns)


# ---- stopping ------------------------------------------------------------------------------------------------------


def test_a_kill_goes_to_the_agents_by_grace_and_ends_as_the_agent_says() -> None:
    world = World("services", agents=2)
    ids = world.submit("services", 8)
    world.update("a0", *[(number, State.RUNNING) for number in ids[:4]])
    messages = world.tell(say.Kill("services", i64(*ids[2:6], 5), u8(*[Reason.SCALED_DOWN] * 5), grace_ms=700))
    stops = [message for message in messages if isinstance(message, say.StopBatch)]
    assert [stop.ids.tolist() for stop in stops] == [ids[2:4], ids[4:6]]
    assert {stop.grace_ms for stop in stops} == {700}
    assert [stop.reasons.tolist() for stop in stops] == [[Reason.SCALED_DOWN] * 2] * 2
    assert world.states(*ids[1:6]) == ["RUNNING", *["KILLING"] * 4]
    assert told(world)[-4:] == [(number, "KILLING") for number in ids[2:6]]
    world.framework("services").acknowledges = False
    world.update("a0", (ids[2], State.KILLED, {"reason": Reason.SCALED_DOWN}))
    assert world.states(ids[2]) == ["KILLED"]


def test_a_kill_said_twice_is_sent_twice_and_kept_once(world: World) -> None:
    [one] = world.submit("services", 1)
    kill = say.Kill("services", i64(one), u8(Reason.STOPPED_BY_USER))
    only(world.tell(kill), say.StopBatch)
    before = len(world.journal)
    only(world.tell(kill), say.StopBatch)
    assert len(world.journal) == before
    sooner = only(world.tell(say.Kill("services", i64(one), u8(Reason.STOPPED_BY_USER), grace_ms=10)), say.StopBatch)
    assert sooner.grace_ms == 10 and len(world.journal) == before + 1


def test_a_kill_of_what_is_not_there_or_has_ended_or_is_anothers_does_nothing() -> None:
    world = World("services", "batch")
    assert world.tell(say.Kill("services", i64(7), u8(1))) == []
    world.framework("services").acknowledges = False
    [one, two] = world.submit("services", 2)
    world.update("a0", (one, State.FINISHED))
    assert world.tell(say.Kill("services", i64(one), u8(1))) == []
    assert world.tell(say.Kill("batch", i64(two), u8(1))) == []
    assert world.states(one, two) == ["FINISHED", "STAGING"]


def test_the_story_of_an_instance_names_every_step(world: World) -> None:
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.RUNNING))
    world.tell(say.Kill("services", i64(one), u8(Reason.STOPPED_BY_USER)))
    world.update("a0", (one, State.KILLED, {"reason": Reason.STOPPED_BY_USER}))
    assert [note["what"] for note in world.master.story(one)] == ["launched", "RUNNING", "stop wanted", "KILLED"]
    assert world.master.story(one)[0]["agent"] == 0
