"""The master's process in the simulated world: the host with its machines, a disk, and a follower like the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from orch.batch import Batch
from orch.machine.commands import Reply, Send
from orch.machine.host import Host, Record
from orch.master import Master
from orch.model.codec import decode, encode
from orch.model.facts_master import Preempted
from orch.services import Services
from orch.sim.checks import guarantees_hold
from orch.sim.disk import Disk
from orch.sim.world import World

M = TypeVar("M")

UNREACHABLE_MS, GONE_MS = 5_000, 20_000
RESTART_MS = 500
SNAPSHOT_EVERY = 50
GUARANTEES: dict[str, tuple[int, ...]] = {"/web": (600, 0, 0, 0, 0)}
"""Of some services, against jobs of a higher priority."""
COMPARE_EVERY = 5
"""Records between two comparisons of the follower with the original: each writes out both."""


def machines(**settings: Any) -> list[Any]:
    """The three machines of a master's process, with time limits that suit a short run, or those that are given."""
    master = Master(**{"unreachable_ms": UNREACHABLE_MS, "gone_ms": GONE_MS, **settings})
    for group, amounts in GUARANTEES.items():
        master.tree.set(group, guarantee=amounts)
    return [master, Services(), Batch()]


class Head:
    """Lives, crashes, and comes back from its disk. `send` and `reply` are how it talks to the world."""

    def __init__(
        self, world: World, disk: Disk, send: Callable[[str, Any], None], reply: Callable[[Reply], None]
    ) -> None:
        self._world, self._disk = world, disk
        self._send, self._reply = send, reply
        self.host: Host | None = None
        self.follower: Host | None = None
        self._life = 0
        self._waiting: list[Record] = []
        self.start()

    @property
    def master(self) -> Master:
        """The living master."""
        return self._machine("master", Master)

    @property
    def services(self) -> Services:
        """The living services framework."""
        return self._machine("services", Services)

    @property
    def batch(self) -> Batch:
        """The living batch framework."""
        return self._machine("batch", Batch)

    def _machine(self, name: str, kind: type[M]) -> M:
        assert self.host is not None, "the master is not there"
        machine = self.host.machines[name]
        assert isinstance(machine, kind)
        return machine

    def start(self) -> None:
        """A new process: restore, replay, say hello; a follower takes an image."""
        self._life += 1
        host = Host(machines())
        self._disk.load(host)
        self.host = host
        self.follower = None
        self._waiting = []
        self._world.record("master", f"start at index {host.index}")
        host.start(self._world.now_ms)
        self._settle()

    def crash(self) -> None:
        """The process dies; it is back after a while."""
        if self.host is None:
            return
        self._world.record("master", "crash")
        self.host = None
        self._disk.crash()
        self._world.after(RESTART_MS, self.start)

    def take(self, to: str, event: Any) -> None:
        """One event from outside; lost if the process is dead."""
        if self.host is None:
            return
        self._world.record("master", f"{to} {type(event).__name__}", encode(event))
        self.host.handle(self._world.now_ms, to, event)
        self._settle()

    def _settle(self) -> None:
        host = self.host
        assert host is not None
        records = host.take_records()
        self._waiting.extend(records)
        for record in records:
            self._world.record("journal", record.index, encode(record))
            for _, fact in record.facts:
                if isinstance(fact, Preempted):
                    guarantees_hold(self.master, fact, GUARANTEES)
        life = self._life
        self._disk.write(records, lambda index: self._synced(life, index))
        self._leave()
        wake = host.wake_ms()
        if wake is not None:
            self._world.at(wake, lambda: self._tick(life))
        host.check()

    def _tick(self, life: int) -> None:
        host = self.host
        if life != self._life or host is None:
            return
        wake = host.wake_ms()
        if wake is not None and wake <= self._world.now_ms:
            host.tick(self._world.now_ms)
            self._settle()

    def _synced(self, life: int, index: int) -> None:
        if life != self._life or self.host is None:
            return
        self.host.durable(index)
        self._leave()
        self._follow(index)
        if index % SNAPSHOT_EVERY == 0 and self.host.index == index:
            self._disk.keep(self.host.snapshot())

    def _leave(self) -> None:
        assert self.host is not None
        for outgoing in self.host.take_commands():
            command = outgoing.command
            if isinstance(command, Send):
                self._send(command.to, command.message)
            elif isinstance(command, Reply):
                self._reply(command)
            else:
                raise AssertionError(f"{outgoing.machine} asks for {command}")

    def _follow(self, index: int) -> None:
        """The gateway's copy: an image once, then every record, as bytes; it must stay equal to the original."""
        assert self.host is not None
        if self.follower is None:
            if self.host.index != index:
                return
            self.follower = Host(machines())
            self.follower.restore(decode(encode(self.host.snapshot(soft=True))))
            self._waiting = []
            return
        ready = [record for record in self._waiting if record.index <= index]
        self._waiting = [record for record in self._waiting if record.index > index]
        for record in ready:
            self.follower.replay(decode(encode(record)))
        if not self._waiting and self.host.index == index and index % COMPARE_EVERY == 0:
            own, copied = encode(self.host.snapshot(soft=True)), encode(self.follower.snapshot(soft=True))
            assert own == copied, "the follower's copy differs from the master's tables"
