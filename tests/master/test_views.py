"""The questions about the tables, on the master and on its follower."""

from __future__ import annotations

from typing import Any

import pytest

from orch.master import Master, views
from orch.model.states import State
from orch.placement import explain
from tests.master.world import TOTAL, World


@pytest.fixture
def world() -> World:
    world = World("services", "batch", agents=2)
    world.framework("services").acknowledges = False
    ids = world.submit("services", 3, group="/team/shop")
    world.submit("batch", 1, group="/team")
    world.update("a0", (ids[0], State.RUNNING), (ids[1], State.STARTING), (ids[2], State.FAILED))
    return world


def both(world: World) -> list[Master]:
    assert world.follower is not None
    follower = world.follower.machines["master"]
    assert isinstance(follower, Master)
    return [world.master, follower]


def test_agents_with_all_that_is_known_of_them(world: World) -> None:
    for master in both(world):
        first, second = views.agents(master)
        assert first == {
            "name": "a0", "row": 0, "state": "READY", "session": 1, "drained": False, "attributes": {}, "usage": {},
            "total": {"cpus": 4, "mem": 4096, "disk": 10_000, "gpus": 0, "ports": 100},
            "free": {"cpus": 1, "mem": 2560, "disk": 10_000, "gpus": 0, "ports": 100},
            "used": {"cpus": 3, "mem": 1536, "disk": 0, "gpus": 0, "ports": 0},
            "instances": 3, "states": {"STAGING": 1, "STARTING": 1, "RUNNING": 1, "FAILED": 1},
        }  # fmt: skip
        assert second["instances"] == 0 and second["states"] == {}
        assert views.agent(master, "a1") == second and views.agent(master, "zz") is None
        assert [views.agent_name(master, row) for row in (0, 1, 2, -1)] == ["a0", "a1", "", ""]


def test_counts_of_states(world: World) -> None:
    for master in both(world):
        assert views.counts(master) == {"STAGING": 1, "STARTING": 1, "RUNNING": 1, "FAILED": 1}
        assert views.counts(master, "batch") == {"STAGING": 1}
        assert views.counts(master, "nobody") == {}


def test_one_instance_and_those_of_an_agent(world: World) -> None:
    ids = sorted(world.framework("services").pods)
    for master in both(world):
        one = views.instance(master, ids[0])
        assert one is not None
        expected: dict[str, Any] = {
            "id": ids[0], "attempt": 1, "agent": "a0", "framework": "services", "state": "RUNNING", "reason": "NONE",
            "exit_code": -32768, "group": "/team/shop", "priority": 0, "started_ms": 0, "changed_ms": 1000,
            "stopping": False,
        }  # fmt: skip
        assert one == expected
        assert views.instance(master, 4) is None
        numbers, states = views.instances_on(master, "a0")
        assert len(numbers) == 4 and State.STARTING in states.tolist()
        assert len(views.instances_on(master, "zz")[0]) == len(views.instances_on(master, "a1")[0]) == 0


def test_frameworks_and_groups(world: World) -> None:
    for master in both(world):
        assert views.frameworks(master) == [
            {"name": "services", "number": 1, "hosted": True, "instances": 3,
             "states": {"STARTING": 1, "RUNNING": 1, "FAILED": 1}},
            {"name": "batch", "number": 2, "hosted": True, "instances": 1, "states": {"STAGING": 1}},
        ]  # fmt: skip
        team, shop = views.groups(master)
        assert (team["path"], team["used"]["cpus"], team["share"], team["weight"]) == ("/team", 3, 0.375, 1)
        assert (shop["path"], shop["used"]["cpus"], shop["share"]) == ("/team/shop", 2, 0.25)


def test_headroom_is_what_is_free_within_every_limit(world: World) -> None:
    assert views.headroom(world.master, "/other").tolist() == [5000, 6656, 20_000, 0, 200]
    world.master.tree.set("/team", limit=[4000, -1, -1, -1, 0])
    assert views.headroom(world.master, "/team/shop").tolist() == [1000, 6656, 20_000, 0, 0]
    assert views.free(world.master).tolist() == [5000, 6656, 20_000, 0, 200]


def test_the_cluster_in_a_few_numbers(world: World) -> None:
    world.register("a1", "again")
    for master in both(world):
        found = views.summary(master)
        assert found["epoch"] == 1 and found["agents"] == {"REGISTERING": 1, "READY": 1}
        assert found["total"]["cpus"] == 8 and found["free"]["cpus"] == 1
        assert views.counts(master)["RUNNING"] == 1


def test_a_follower_can_explain_why_something_waits(world: World) -> None:
    for master in both(world):
        columns = views.columns(master)
        why = explain((4000, 0, 0, 0, 0), columns.free, columns.total, columns.usable)
        told = why.to_dict(columns.names)
        assert (told["agents"], told["feasible"]) == (2, 1)
        assert columns.attributes == [{}, {}] and columns.total.tolist() == [list(TOTAL)] * 2
