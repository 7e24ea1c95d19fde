"""The simulated world is as bad as it says: links that are cut, a disk that forgets, supervisors that die."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from orch.machine.host import Host, Record
from orch.model import messages as say
from orch.model.specs.template import ContainerTemplate, Template
from orch.sim.disk import Disk
from orch.sim.faults import NONE
from orch.sim.network import Network
from orch.sim.node import RESTART_MS, Node
from orch.sim.world import World

TOTAL = np.array([4000, 4096, 10_000, 0, 100], dtype=np.int32)


def run(world: World, until_ms: int = 10_000) -> None:
    while world.step(until_ms):
        pass


def test_a_cut_holds_in_one_direction_and_ends() -> None:
    world, got = World(1), list[str]()
    network = Network(world, NONE)
    network.cut("a", "b", 100)
    network.send("a", "b", "lost", got.append)
    network.send("b", "a", "back", got.append)
    world.at(100, lambda: network.send("a", "b", "later", got.append))
    run(world)
    assert got == ["back", "later"]


def test_messages_are_lost_and_doubled_until_it_is_calm() -> None:
    world, got = World(1), list[str]()
    network = Network(world, replace(NONE, double=1.0))
    network.send("a", "b", "twice", got.append)
    run(world)
    assert got == ["twice", "twice"]
    network = Network(world, replace(NONE, loss=1.0))
    network.cut("a", "b", 1_000)
    network.send("b", "a", "lost", got.append)
    network.calm()
    network.send("a", "b", "once", got.append)
    run(world)
    assert got == ["twice", "twice", "once"]


def index_on(disk: Disk) -> int:
    host = Host([])
    disk.load(host)
    return host.index


def test_a_crash_loses_what_was_not_synced_and_tells_nobody_that_it_was() -> None:
    world, synced = World(1), list[int]()
    disk = Disk(world, 10)
    disk.write([Record(1, 0, [])], synced.append)
    disk.crash()
    run(world)
    assert synced == [] and index_on(disk) == 0
    disk.write([Record(1, 0, []), Record(1, 0, [], soft=True)], synced.append)
    run(world)
    assert synced == [1] and index_on(disk) == 1


def test_a_snapshot_takes_the_place_of_the_records_up_to_it() -> None:
    world = World(1)
    disk = Disk(world, 10)
    disk.write([Record(1, 0, []), Record(2, 0, []), Record(3, 0, [])], lambda index: None)
    run(world)
    disk.keep({"index": 2, "machines": {}})
    assert index_on(disk) == 3


def launched(world: World, kind: str) -> Node:
    """A machine with one instance that runs until it is stopped."""
    node = Node(world, "a0", TOTAL, lambda name, message: None, lambda name, key: None)
    node.take(say.Registered("a0", node.agent.link.nonce, 1, 1))
    one = np.zeros(1, dtype=np.int64)
    template = Template("/x", kind, (ContainerTemplate("main", shell="sim run=0"),), group="/x").to_wire()
    payload = say.Payload({7: template}, np.full(1, 7, dtype=np.int32), one, one, np.zeros(2, dtype=np.int64), b"")
    node.take(say.LaunchBatch(1, 1, 1, one + 10, np.ones(1, dtype=np.int32), payload))
    run(world, 100)
    assert node.running() == [(10, 1)]
    return node


def after(node: Node, world: World) -> list[Any]:
    run(world, world.now_ms + RESTART_MS + 100)
    assert node.host is not None
    return node.running()


def test_jobs_end_with_their_supervisor_services_do_not_and_nothing_outlives_the_power() -> None:
    world = World(1)
    job, service = launched(world, "job"), launched(World(1), "pod")
    job.kill_supervisor()
    assert after(job, world) == []
    world = service._world
    service.kill_supervisor()
    assert after(service, world) == [(10, 1)]
    service.cut_power()
    assert after(service, world) == []
