"""Many agents behind one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.machine.host import EventError
from orch.model import messages as say
from orch.model.requests import DrainAgent, RemoveAgent
from orch.model.states import State
from tests.master.world import TOTAL, World, i32, kinds, launched, only


def register(world: World, names: tuple[str, ...] = ("f0", "f1", "f2"), nonce: str = "n") -> list[Any]:
    totals = np.tile(i32(*TOTAL), (len(names), 1))
    return world.tell(say.FleetRegister("fleet", nonce, list(names), totals, {"zone": "z"}))


def let_in(world: World, rows: tuple[Any, ...] = (), **fields: Any) -> list[Any]:
    """The fleet registers and sends an image."""
    [answer] = register(world, **fields)
    return world.image_of("fleet", rows, session=answer.session)


def test_a_fleet_gets_one_session_for_all_of_its_agents_and_they_are_offered_after_its_image() -> None:
    world = World("services", agents=0)
    assert register(world) == [say.Registered("fleet", "n", session=1, epoch=1)]
    assert [world.agent(name)["state"] for name in ("f0", "f1", "f2")] == ["REGISTERING"] * 3
    assert world.agent("f1")["attributes"] == {"zone": "z", "hostname": "f1"}
    world.submit("services", 3)
    assert launched(world) == {}
    sent = world.image_of("fleet", session=1)
    assert [world.agent(name)["state"] for name in ("f0", "f1", "f2")] == ["READY"] * 3
    assert only(sent, say.LaunchBatch).session == 1


def test_launches_of_all_agents_of_a_fleet_are_one_message_that_says_which_is_for_whom() -> None:
    world = World("services", agents=1)
    let_in(world)
    ids = world.submit("services", 16)
    batches = {send.to: send.message for send in world.sent if isinstance(send.message, say.LaunchBatch)}
    assert sorted(batches) == ["agent/a0", "agent/fleet"]
    assert len(batches["agent/a0"].places) == 0
    batch = batches["agent/fleet"]
    at = {
        number: world.agent(f"f{place}")
        for number, place in zip(batch.ids.tolist(), batch.places.tolist(), strict=True)
    }
    assert len(launched(world)) == len(ids) and np.bincount(batch.places).tolist() == [4, 4, 4]
    for number, agent in at.items():
        row = int(world.master.instances.index.find(np.array([number]))[0])
        assert world.master.instances["agent"][row] == agent["row"]


def test_one_report_of_a_fleet_is_taken_for_all_of_its_agents_and_for_no_other() -> None:
    world = World("services", agents=1)
    ids = world.submit("services", 4)
    let_in(world)
    ids += world.submit("services", 12)
    rows = [(number, State.RUNNING, {"started_ms": 5}) for number in ids]
    sent = world.update("fleet", *rows, session=1)
    assert world.states(*ids) == ["STAGING"] * 4 + ["RUNNING"] * 12
    assert only(sent, say.StopBatch).ids.tolist() == ids[:4], "they are no business of the fleet"
    assert only(sent, say.UpdateAck).seq == 1


def test_a_fleet_that_is_silent_is_unreachable_with_all_that_it_ran_and_comes_back() -> None:
    world = World("services", agents=0)
    let_in(world)
    ids = world.submit("services", 12)
    world.until(world.now_ms + 10_000)
    world.tell(say.Heartbeat("fleet", 1, 1, received_seq=1, sent_ms=0))
    world.until(world.now_ms + 10_000)
    assert world.states(*ids) == ["STAGING"] * 12, "one heartbeat stands for all"
    world.until(world.now_ms + 5_000)
    assert world.states(*ids) == ["UNREACHABLE"] * 12
    assert only(world.tell(say.Heartbeat("fleet", 1, 1, 1, 0)), say.HeartbeatAck).session == 0
    let_in(world, tuple((number, State.RUNNING, {"started_ms": 5}) for number in ids), nonce="again")
    assert world.states(*ids) == ["RUNNING"] * 12 and world.session("f2") == 2


def test_a_doubled_registration_changes_nothing_and_a_new_one_fences_the_old_session_off() -> None:
    world = World(agents=0)
    first = register(world)
    index = world.host.index
    assert register(world) == first and world.host.index == index
    assert register(world, nonce="m")[0].session == 2
    assert kinds(world.image_of("fleet", session=1)) == ["HeartbeatAck"]


def test_an_agent_of_a_fleet_can_be_drained_alone() -> None:
    world = World("services", agents=0)
    let_in(world)
    world.ask(DrainAgent, agent="f1", drain=True)
    world.submit("services", 12)
    assert world.agent("f1")["instances"] == 0 and world.agent("f2")["instances"] == 4
    let_in(world, nonce="again")
    assert [world.agent(name)["state"] for name in ("f0", "f1", "f2")] == ["READY", "DRAINING", "READY"]


def test_a_fleet_ends_when_one_of_its_agents_comes_alone_or_is_removed_and_has_to_register_again() -> None:
    world = World(agents=1)
    let_in(world)
    world.join("f1", "own")
    assert only(world.tell(say.Heartbeat("fleet", 1, 1, 0, 0)), say.HeartbeatAck).session == 0
    let_in(world, nonce="again")
    assert world.session("f1") == world.session("f0") == 3
    world.until(world.now_ms + 20_000)
    assert world.ask(RemoveAgent, agent="f1") == {"agent": "f1"}
    let_in(world, nonce="third")
    assert sorted(world.master.agents.by_name) == ["a0", "f0", "f1", "f2"]
    assert world.session("f1") == world.session("f2") == 4


def test_a_fleet_survives_a_restart_of_the_master_from_journal_and_snapshot() -> None:
    for snapshot in (False, True):
        world = World("services", agents=0)
        let_in(world)
        ids = world.submit("services", 12)
        world.restart(snapshot)
        assert kinds(world.tell(say.Heartbeat("fleet", 1, 1, 0, 0))) == ["HeartbeatAck"]
        let_in(world, tuple((number, State.RUNNING, {"started_ms": 5}) for number in ids), nonce="again")
        assert world.states(*ids) == ["RUNNING"] * 12


@pytest.mark.parametrize("names", [(), ("f0", "f0"), ("f0", "")])
def test_a_fleet_without_agents_or_with_doubled_ones_is_a_mistake(names: tuple[str, ...]) -> None:
    with pytest.raises(EventError):
        register(World(agents=0), names=names)


def test_a_fleet_whose_totals_are_no_amounts_is_a_mistake() -> None:
    for totals in (
        np.zeros((1, 5), dtype=np.int64),
        np.zeros((2, 5), dtype=np.int32),
        np.full((1, 5), -1, dtype=np.int32),
    ):
        with pytest.raises(EventError):
            World(agents=0).tell(say.FleetRegister("fleet", "n", ["f0"], totals, {}))
