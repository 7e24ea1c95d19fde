"""Agents that fall silent, and time that passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.machine.machine import Tick
from orch.master import views
from orch.model import messages as say
from orch.model.facts_master import AgentStatesSeen
from orch.model.requests import RemoveAgent
from orch.model.states import AgentState, State
from tests.master.world import TOTAL, World, i32, i64, kinds, launched, only, u8

GONE = {"unreachable_ms": 1_000, "gone_ms": 5_000, "remove_ms": 20_000}


@pytest.fixture
def world() -> World:
    world = World("services", agents=2, **GONE)
    world.framework("services").acknowledges = False
    return world


def keep_alive(world: World, name: str, until_ms: int) -> None:
    while world.now_ms < until_ms:
        world.until(min(world.now_ms + 500, until_ms))
        world.beat(name)


def test_an_agent_that_is_heard_stays_ready(world: World) -> None:
    keep_alive(world, "a0", 5_000)
    assert [agent["state"] for agent in views.agents(world.master)] == ["READY", "UNREACHABLE"]


def test_silence_makes_an_agent_and_its_instances_unreachable_and_then_lost(world: World) -> None:
    ids = world.submit("services", 5)
    world.update("a1", (ids[4], State.RUNNING))
    keep_alive(world, "a0", 2_000)
    assert world.states(*ids) == [*["STAGING"] * 4, "UNREACHABLE"]
    heard = [event for event in world.framework("services").heard if isinstance(event, say.InstanceUpdates)]
    assert heard[-1].ids.tolist() == [ids[4]] and heard[-1].states.tolist() == [State.UNREACHABLE]
    keep_alive(world, "a0", 6_999)
    assert world.states(ids[4]) == ["UNREACHABLE"]
    keep_alive(world, "a0", 7_000)
    assert world.states(ids[4]) == ["LOST"]
    assert world.agent("a1")["state"] == "UNREACHABLE"
    assert world.agent("a1")["free"] == world.agent("a1")["total"]
    assert [note["what"] for note in world.master.story("a1")] == ["registered", "reconciled", "unreachable"]


def test_an_agent_that_says_goodbye_is_unreachable_at_once(world: World) -> None:
    ids = world.submit("services", 5)
    world.update("a1", (ids[4], State.RUNNING))
    session, epoch = world.session("a1"), world.master.epoch
    world.tell(say.Goodbye("a1", session - 1, epoch))
    assert world.agent("a1")["state"] == "READY", "an old session's word counts for nothing"
    for _ in range(2):  # doubled on the way
        world.tell(say.Goodbye("a1", session, epoch))
        assert world.agent("a1")["state"] == "UNREACHABLE" and world.states(ids[4]) == ["UNREACHABLE"]
    assert [note["what"] for note in world.master.story("a1")][-2:] == ["left", "unreachable"]
    keep_alive(world, "a0", world.now_ms + 5_000)
    assert world.states(ids[4]) == ["LOST"]
    world.join("a1")
    assert world.agent("a1")["state"] == "READY"


def test_unreachable_agents_are_not_offered(world: World) -> None:
    keep_alive(world, "a0", 2_000)
    world.submit("services", 8)
    assert set(launched(world).values()) == {"a0"}


def test_a_silent_agent_is_forgotten_at_last_and_its_row_used_again_when_nothing_refers_to_it(world: World) -> None:
    [one] = world.submit("services", 1)
    keep_alive(world, "a1", 21_999)
    assert world.agent("a0")["state"] == "UNREACHABLE"
    keep_alive(world, "a1", 22_000)
    assert [agent["name"] for agent in views.agents(world.master)] == ["a1"]
    assert world.states(one) == ["LOST"]
    world.join("b0")
    assert world.agent("b0")["row"] == 2
    world.tell(say.Acknowledge("services", i64(one), i32(1)))
    world.join("b1")
    assert world.agent("b1")["row"] == 0
    # The row is another agent's now: what was offered of the old one is not committed.
    assert world.agent("b1")["session"] > 1
    assert world.free("b1") == list(TOTAL)


def test_an_agent_that_was_forgotten_can_come_back_as_a_new_one(world: World) -> None:
    keep_alive(world, "a1", 23_000)
    ack = only(world.beat("a0", session=1), say.HeartbeatAck)
    assert ack.session == 0
    registered = only(world.register("a0", "n"), say.Registered)
    assert registered.session == 2
    world.image_of("a0")
    assert world.agent("a0")["state"] == "READY"


def test_a_state_that_is_seen_after_an_agent_was_removed_does_not_bring_it_back(world: World) -> None:
    [one] = world.submit("services", 1)
    keep_alive(world, "a1", 22_000)
    assert world.states(one) == ["LOST"]
    world.master.apply(AgentStatesSeen(i32(0), u8(AgentState.READY)))
    assert world.master.agents["state"][0] == AgentState.REMOVED and world.master.agents["usable"][0] == 0


def test_after_a_restart_agents_have_time_to_come_back(world: World) -> None:
    ids = world.submit("services", 2)
    world.now_ms = 50_000
    world.restart()
    world.until(50_999)
    assert world.agent("a0")["state"] == "ABSENT" and world.states(*ids) == ["STAGING"] * 2
    world.until(51_000)
    assert world.agent("a0")["state"] == "UNREACHABLE" and world.states(*ids) == ["UNREACHABLE"] * 2


def test_a_master_that_stood_still_does_not_blame_the_agents(world: World) -> None:
    world.now_ms = 10_000
    world.tell(Tick())
    assert world.agent("a0")["state"] == "READY"
    world.beat("a0")
    world.until(11_500)
    assert [agent["state"] for agent in views.agents(world.master)] == ["UNREACHABLE", "UNREACHABLE"]


def test_a_tick_too_early_or_twice_does_nothing(world: World) -> None:
    before = len(world.journal)
    for _ in range(3):
        assert world.tell(Tick()) == []
    assert len(world.journal) == before and world.host.wake_ms() == 2_000


def test_what_was_unreachable_before_a_restart_is_told_once(world: World) -> None:
    ids = world.submit("services", 1)
    world.until(2_000)
    world.restart()
    before = len(world.journal)
    world.until(4_000)
    assert world.agent("a0")["state"] == "UNREACHABLE" and world.states(*ids) == ["UNREACHABLE"]
    assert len(world.journal) == before
    world.framework("services").acknowledges = False
    world.until(8_000)
    assert world.states(*ids) == ["LOST"]


def test_the_same_silence_is_told_once(world: World) -> None:
    world.submit("services", 1)
    world.until(2_000)
    before = len(world.journal)
    world.until(6_500)
    assert len(world.journal) == before


def test_a_removed_agent_is_gone_at_once_with_what_it_ran(world: World) -> None:
    [one] = world.submit("services", 1)
    answer: Any = world.ask(RemoveAgent, agent="a0")
    assert answer["status"] == 409 and 'agent "a0" is READY' in answer["detail"]
    world.until(2_000)
    assert world.ask(RemoveAgent, agent="a0") == {"agent": "a0"}
    assert world.states(one) == ["LOST"]
    assert views.agent(world.master, "a0") is None
    assert world.ask(RemoveAgent, agent="a0")["status"] == 404
    assert "there are: a1" in world.ask(RemoveAgent, agent="a0")["detail"]


def test_an_agent_can_be_removed_before_it_was_heard_of_again(world: World) -> None:
    world.restart(snapshot=True)
    assert world.ask(RemoveAgent, agent="a1") == {"agent": "a1"}
    assert world.ask(RemoveAgent, agent="a0") == {"agent": "a0"}
    assert "there are: none" in world.ask(RemoveAgent, agent="a0")["detail"]
    assert world.host.wake_ms() is None or world.until(world.now_ms + 60_000) == []
    world.restart(snapshot=True)
    world.join("c0")
    assert world.agent("c0")["row"] == 0 and world.agent("c0")["session"] == 2


# ---- the link ------------------------------------------------------------------------------------------------------


def test_a_heartbeat_is_answered(world: World) -> None:
    assert world.beat("a0") == [say.HeartbeatAck(epoch=1, session=1, sent_ms=world.now_ms)]


@pytest.mark.parametrize(
    ("name", "fields", "session"), [("a0", {"session": 9}, 1), ("a0", {"epoch": 2}, 1), ("zz", {"session": 1}, 0)]
)
def test_a_heartbeat_of_another_session_or_epoch_is_told_the_right_one(
    world: World, name: str, fields: dict[str, int], session: int
) -> None:
    assert world.beat(name, **fields) == [say.HeartbeatAck(1, session, world.now_ms)]


def test_who_was_given_up_registers_again(world: World) -> None:
    world.until(3_000)
    assert world.beat("a0") == [say.HeartbeatAck(1, 0, 3_000)]
    [one] = world.submit("services", 1)
    assert only(world.update("a0", (one, State.RUNNING)), say.HeartbeatAck).session == 0
    assert only(world.register("a0", "n"), say.Registered).session == 2


def test_work_that_is_not_taken_for_long_is_asked_after(world: World) -> None:
    world.submit("services", 1)
    assert kinds(world.beat("a0", received_seq=0)) == ["HeartbeatAck"]
    keep = []
    for at in range(1_500, 8_000, 500):
        world.until(at)
        keep += [(at, kind) for kind in kinds(world.beat("a0", received_seq=0)) if kind == "ImageRequest"]
        world.beat("a1")
    assert keep == [(4_000, "ImageRequest"), (7_000, "ImageRequest")]
    assert kinds(world.beat("a0", received_seq=1)) == ["HeartbeatAck"]


def test_an_image_that_does_not_come_is_asked_for() -> None:
    world = World(agents=0)
    world.register("a0")
    assert kinds(world.beat("a0")) == ["HeartbeatAck"]
    world.now_ms += 3_000
    assert kinds(world.beat("a0")) == ["HeartbeatAck", "ImageRequest"]
    assert world.agent("a0")["state"] == "REGISTERING"


def test_usage_is_shown_every_few_seconds(world: World) -> None:
    world.beat("a0", usage={"cpus": 0.5})
    assert world.agent("a0")["usage"] == {"cpus": 0.5}
    world.now_ms += 500
    world.beat("a0", usage={"cpus": 0.75})
    assert world.agent("a0")["usage"] == {"cpus": 0.5}
    world.now_ms += 4_500
    world.beat("a0", usage={"cpus": 1.0})
    assert world.agent("a0")["usage"] == {"cpus": 1.0}
    world.restart()
    assert world.agent("a0")["usage"] == {}


def test_updates_of_an_agent_whose_image_has_not_come_yet_are_taken(world: World) -> None:
    [one] = world.submit("services", 1)
    world.register("a0", "again")
    assert kinds(world.update("a0", (one, State.RUNNING))) == ["UpdateAck"]
    assert world.states(one) == ["RUNNING"]


def test_a_first_update_that_is_ahead_of_a_lost_one_is_not_acknowledged(world: World) -> None:
    [one] = world.submit("services", 1)
    assert world.update("a0", (one, State.RUNNING), seq=2) == []
    assert np.all(world.master.agents["in_seq"] == 0)
