"""Several machines behind one journal: routes messages between them and holds back what must wait.

The rule: nothing leaves the process before the facts it rests on, and all earlier ones, are durable. Messages
between machines of one host do not wait, because a later fact is never durable before an earlier one.

Used by the Ray actor with a real journal and clock, and by the simulator with virtual ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from orch.machine.commands import Command, Journal, Publish, Send
from orch.machine.machine import Machine, Tick
from orch.model.codec import record

MAX_HOPS = 100_000
"""Messages that one event may cause inside the host; more is two machines answering each other forever."""


@record("record")
@dataclass(frozen=True)
class Record:
    """The facts of one event, in order: `facts` is `[[machine, fact], ...]`; `soft` ones are shown, not kept."""

    index: int
    at_ms: int
    facts: list[list[Any]]
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A command that leaves the host, and why: the machine that asked and the event that made it ask."""

    machine: str
    cause: str
    command: Command


class EventError(Exception):
    """A machine raised while it handled an event. The host is no longer usable: restore and replay into a new one."""

    def __init__(self, to: str, event: Any, reason: str) -> None:
        super().__init__(f"{to} could not handle {type(event).__name__}: {reason}")
        self.to = to
        self.event = event


class Host:
    """Runs machines; single-threaded. `handle`, then take the records to the journal, tell `durable`, take what
    may leave.
    """

    def __init__(self, machines: Sequence[Machine], index: int = 0) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.index = index
        """Index of the last durable-to-be record."""
        self.durable_index = index
        self.watch: Callable[[str], AbstractContextManager[Any]] | None = None
        """Made of `machine.Event`, entered while a machine handles one: for whoever measures."""
        self._now_ms = 0
        self._records: list[Record] = []
        self._held: deque[tuple[int, Outgoing]] = deque()

    def start(self, now_ms: int, names: Collection[str] = ()) -> None:
        """After restore and replay: let all machines, or those named, rebuild what is derived and say hello."""
        now_ms = self._advance(now_ms)
        for name, machine in self.machines.items():
            if not names or name in names:
                self._run(now_ms, name, machine.started(now_ms), "start")

    def handle(self, now_ms: int, to: str, event: Any) -> None:
        """Give one event to a machine, and the messages it causes to the others, until all is quiet."""
        now_ms = self._advance(now_ms)
        self._run(now_ms, to, self._ask(now_ms, to, event), type(event).__name__)

    def tick(self, now_ms: int) -> None:
        """Wake the machines whose time has come."""
        for name, machine in self.machines.items():
            wake = machine.wake_ms
            if wake is not None and wake <= now_ms:
                self.handle(now_ms, name, Tick())

    def wake_ms(self) -> int | None:
        """When `tick` is next due."""
        times = [wake for machine in self.machines.values() if (wake := machine.wake_ms) is not None]
        return min(times) if times else None

    def take_records(self) -> list[Record]:
        """What was emitted and published since the last call, in order."""
        records, self._records = self._records, []
        return records

    def durable(self, index: int) -> None:
        """All records up to `index` are on disk."""
        assert self.durable_index <= index <= self.index, (self.durable_index, index, self.index)
        self.durable_index = index

    def take_commands(self) -> list[Outgoing]:
        """What may leave now, in order."""
        ready = []
        while self._held and self._held[0][0] <= self.durable_index:
            ready.append(self._held.popleft()[1])
        return ready

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """State of all machines at `index`."""
        return {
            "index": self.index,
            "machines": {name: machine.snapshot(soft) for name, machine in self.machines.items()},
        }

    def restore(self, image: dict[str, Any]) -> None:
        """Become a snapshot; machines that it does not know stay empty."""
        self.index = self.durable_index = int(image["index"])
        for name, state in image["machines"].items():
            if name in self.machines:
                self.machines[name].restore(state)

    def replay(self, record: Record) -> None:
        """Apply a record: a durable one from the journal, or any one from the feed, in order."""
        if not record.soft:
            assert record.index == self.index + 1, f"record {record.index} after {self.index}"
            self.index = self.durable_index = record.index
        for name, fact in record.facts:
            if name in self.machines:
                self.machines[name].apply(fact)

    def check(self) -> None:
        """Assert the invariants of every machine."""
        for machine in self.machines.values():
            machine.check()

    def _advance(self, now_ms: int) -> int:
        self._now_ms = max(self._now_ms, now_ms)
        return self._now_ms

    def _ask(self, now_ms: int, to: str, event: Any) -> list[Command]:
        try:
            if self.watch is None:
                return self.machines[to].handle(now_ms, event)
            with self.watch(f"{to}.{type(event).__name__}"):
                return self.machines[to].handle(now_ms, event)
        except Exception as error:
            raise EventError(to, event, f"{type(error).__name__}: {error}") from error

    def _run(self, now_ms: int, first: str, commands: list[Command], cause: str) -> None:
        facts: list[list[Any]] = []
        soft: list[list[Any]] = []
        leaving: list[Outgoing] = []
        queue: deque[tuple[str, list[Command], str]] = deque([(first, commands, cause)])
        hops = 0
        while queue:
            name, commands, cause = queue.popleft()
            for command in commands:
                if isinstance(command, Journal):
                    facts.append([name, command.fact])
                elif isinstance(command, Publish):
                    soft.append([name, command.fact])
                elif isinstance(command, Send) and command.to in self.machines:
                    hops += 1
                    assert hops <= MAX_HOPS, f"{name} and {command.to} answer each other without end"
                    answer = self._ask(now_ms, command.to, command.message)
                    queue.append((command.to, answer, type(command.message).__name__))
                else:
                    leaving.append(Outgoing(name, cause, command))
        if facts:
            self.index += 1
            self._records.append(Record(self.index, now_ms, facts))
        if soft:
            self._records.append(Record(self.index, now_ms, soft, soft=True))
        self._held.extend((self.index, outgoing) for outgoing in leaving)
