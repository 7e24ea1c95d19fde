"""Restarts: from the journal, from a snapshot, and of what many groups leave behind."""

from __future__ import annotations

import numpy as np
import pytest

from orch.allocator import tree
from orch.machine.host import Host
from orch.master import Master, views
from orch.model.codec import decode, encode
from orch.model.facts_master import EpochBegan
from orch.model.states import State
from tests.master.world import World, launched


def test_a_snapshot_and_the_journal_lead_to_the_same_tables() -> None:
    world = World("services", "batch", agents=3)
    ids = world.submit("services", 5)
    world.submit("batch", 3, group="/team/jobs")
    world.update("a0", (ids[0], State.RUNNING), (ids[1], State.FINISHED), (ids[2], State.STARTING))
    by_journal, by_snapshot = Host([Master()]), Host([Master()])
    for body in world.journal:
        by_journal.replay(decode(body))
    by_snapshot.restore(decode(encode(world.host.snapshot())))
    assert encode(by_journal.snapshot()["machines"]) == encode(by_snapshot.snapshot()["machines"])
    for host in (by_journal, by_snapshot):
        host.check()
    assert views.counts(by_journal.machines["master"])["STAGING"] == 6  # type: ignore[arg-type]


def test_a_snapshot_keeps_no_soft_state_unless_asked() -> None:
    world = World("services")
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.STARTING), details={one: {"healthy": True}})
    hard, soft = world.host.snapshot()["machines"]["master"], world.host.snapshot(soft=True)["machines"]["master"]
    assert "details" not in hard["instances"] and soft["instances"]["details"] == {one: {"healthy": True}}
    assert "usage" not in hard["agents"] and soft["agents"]["usage"] == [{}]


def test_every_start_is_a_new_epoch() -> None:
    world = World("services")
    for epoch in (2, 3):
        world.restart()
        assert world.master.epoch == epoch
    world.restart(snapshot=True)
    assert world.master.epoch == 4
    with pytest.raises(AssertionError, match="epoch 4 after 4"):
        world.master.apply(EpochBegan(4))


def test_an_instance_that_was_starting_is_staging_until_its_agent_says_so_again() -> None:
    world = World("services")
    [one] = world.submit("services", 1)
    world.update("a0", (one, State.STARTING))
    world.restart()
    assert world.states(one) == ["STAGING"]
    world.join("a0", "again", rows=[(one, State.STARTING)])
    assert world.states(one) == ["STARTING"]


def test_groups_come_and_go_and_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "PRUNE_LEAST", 10)
    world = World("services")
    for number in range(40):
        [one] = world.submit("services", 1, group=f"/runs/{number}")
        world.update("a0", (one, State.RUNNING))
        world.update("a0", (one, State.FINISHED))
    assert len(world.master.tree) < 40
    [one] = world.submit("services", 1, group="/runs/3")
    seen = views.instance(world.master, one)
    assert seen is not None and seen["group"] == "/runs/3"
    world.restart(snapshot=True)
    assert len(world.master.tree) == 2


def test_a_group_that_is_wanted_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "PRUNE_LEAST", 10)
    world = World("services", "batch")
    world.submit("batch", 1, group="/patient/one", request=(9000, 0, 0, 0, 0))
    for number in range(20):
        [one] = world.submit("services", 1, group=f"/runs/{number}")
        world.update("a0", (one, State.FINISHED))
    assert world.master.tree.find("/patient/one") >= 0
    world.join("a1", total=(9000, 100, 0, 0, 0))
    assert "a1" in launched(world).values()


def test_rows_of_ended_instances_are_used_again() -> None:
    world = World("services")
    for _ in range(5):
        ids = world.submit("services", 4)
        world.update("a0", *[(number, State.FINISHED) for number in ids])
    assert world.master.instances.table.length <= 8
    assert len(world.master.instances) == 0
    assert np.all(world.master.agents["instances"] == 0)
