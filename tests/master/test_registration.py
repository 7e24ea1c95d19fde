"""Agents come in, come back, and change."""

from __future__ import annotations

import numpy as np
import pytest

from orch.machine.host import EventError
from orch.model import messages as say
from orch.model.states import State
from tests.master.world import POD, TOTAL, World, i32, kinds, launched, only


def test_a_new_agent_gets_a_session_and_is_offered_after_its_image() -> None:
    world = World("services", agents=0)
    assert world.register("a0", "boot", hostname="h0") == [say.Registered("a0", "boot", session=1, epoch=1)]
    assert world.agent("a0")["state"] == "REGISTERING"
    ids = world.submit("services", 1)
    assert launched(world) == {}
    world.image_of("a0")
    assert world.agent("a0")["state"] == "READY" and world.agent("a0")["attributes"] == {"hostname": "h0"}
    assert launched(world) == {ids[0]: "a0"}


def test_the_session_is_durable_before_the_agent_learns_of_it() -> None:
    world = World(agents=0)
    world.host.handle(world.now_ms, "master", say.Register("a0", "n", i32(*TOTAL), {}))
    assert world.host.take_commands() == []
    world.host.durable(world.host.index)
    assert len(world.host.take_commands()) == 1


def test_a_doubled_registration_gets_the_same_session() -> None:
    world = World(agents=0)
    first = world.register("a0", "boot")
    index = world.host.index
    assert world.register("a0", "boot") == first
    world.image_of("a0")
    assert world.register("a0", "boot") == first
    assert world.agent("a0")["state"] == "READY" and world.host.index == index


def test_another_start_of_the_agent_gets_a_new_session() -> None:
    world = World()
    assert only(world.register("a0", "other"), say.Registered).session == 2
    assert world.agent("a0")["state"] == "REGISTERING"
    world.image_of("a0")
    assert world.agent("a0")["session"] == 2


def test_agents_keep_their_rows() -> None:
    world = World(agents=3)
    world.join("a1", "again")
    assert [world.agent(name)["row"] for name in ("a0", "a1", "a2")] == [0, 1, 2]


def test_a_larger_total_is_offered_at_once() -> None:
    world = World("services")
    ids = world.submit("services", 8)
    assert len(launched(world)) == 4
    world.join("a0", "again", total=(8000, *TOTAL[1:]), rows=[(number, State.RUNNING) for number in ids[:4]])
    assert len(launched(world)) == 8
    assert world.free("a0") == [0, 0, 10_000, 0, 100]


def test_what_runs_beyond_a_smaller_total_stays_as_a_debt_and_is_paid_back_first() -> None:
    world = World("services")
    ids = world.submit("services", 4)
    rows = [(number, State.RUNNING) for number in ids]
    world.join("a0", "again", total=(1500, 4096, 0, 0, 0), rows=rows)
    agent = world.agent("a0")
    assert world.states(*ids) == ["RUNNING"] * 4
    assert agent["debt"]["cpus"] == 2.5 and agent["free"]["cpus"] == 0 and agent["used"]["cpus"] == 4
    world.submit("services", 1)
    world.update("a0", (ids[0], State.FINISHED), (ids[1], State.FINISHED))
    assert world.agent("a0")["debt"]["cpus"] == 0.5
    world.restart(snapshot=True)
    world.join("a0", "third", total=(1500, 4096, 0, 0, 0), rows=rows[2:])
    assert world.agent("a0")["debt"]["cpus"] == 0.5
    world.update("a0", (ids[2], State.FINISHED))
    assert "debt" not in world.agent("a0") and world.free("a0")[0] == 500
    world.update("a0", (ids[3], State.FINISHED))
    assert world.free("a0")[0] == 1500


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("", i32(*TOTAL)),
        ("a0", i32(1, 2)),
        ("a0", i32(-1, 0, 0, 0, 0)),
        ("a0", np.array(TOTAL, dtype=np.int64)),
    ],
)
def test_a_senseless_registration_is_refused(name: str, total: np.ndarray) -> None:
    world = World(agents=0)
    with pytest.raises(EventError, match="none negative"):
        world.tell(say.Register(name, "n", total, {}))


def test_many_agents_take_a_slice_each() -> None:
    world = World("services", agents=5)
    ids = world.submit("services", 20, request=POD)
    batches = [send for send in world.sent if isinstance(send.message, say.LaunchBatch)]
    assert [send.to for send in batches] == [f"agent/a{number}" for number in range(5)]
    assert all(len(send.message.ids) == 4 and send.message.seq == 1 for send in batches)
    assert sorted(launched(world)) == ids
    assert kinds([send.message for send in world.sent[:2]]) == ["Registered", "Registered"]
