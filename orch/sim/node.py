"""One simulated machine: the real agent's machine, and processes that only pretend.

A killed supervisor leaves the services' processes alone, and comes back from its journal; a power cut ends everything.
Who is taken down says goodbye, stops everything and remembers how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from orch.agent import commands as do
from orch.agent import events
from orch.agent.agent import Agent
from orch.machine.commands import Send
from orch.machine.host import Host
from orch.model.codec import decode, encode
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.sim import behaviour
from orch.sim.world import World

Key = tuple[int, int, int]
"""(instance, attempt, container); jobs have one container, 0."""

RESTART_MS = 300


@dataclass
class Process:
    """A pretended process; `code` once it has ended."""

    service: bool
    started_ms: int
    stubborn: bool
    round: int = 0
    code: int | None = None


class Node:
    """Runs what the agent's machine asks for. `send` carries its messages to the master."""

    def __init__(
        self, world: World, name: str, total: np.ndarray[Any, Any], send: Callable[[str, Any], None],
        started: Callable[[str, Key], None],
    ) -> None:  # fmt: skip
        self._world, self.name, self._total = world, name, total
        self._send, self._started = send, started
        self.processes: dict[Key, Process] = {}
        self._journal: list[bytes] = []
        self._life = 0
        self._muted = False
        """Nothing that it says reaches the line any more."""
        self.host: Host | None = None
        self.start()

    @property
    def agent(self) -> Agent:
        """The machine of the present supervisor."""
        assert self.host is not None
        agent = self.host.machines["agent"]
        assert isinstance(agent, Agent)
        return agent

    def start(self) -> None:
        """A supervisor starts, with what its journal holds."""
        self._life += 1
        self._muted = False
        self._world.record(self.name, f"start {self._life}")
        self.host = Host([Agent(self.name, f"{self.name}-{self._life}", self._total, {"hostname": self.name})])
        for blob in self._journal:
            self.host.replay(decode(blob))
        self.host.start(self._world.now_ms)
        self._settle()

    def kill_supervisor(self) -> None:
        """SIGKILL: what it knew is in its journal, services go on, jobs' processes too until they are cleared away."""
        if self.host is not None:
            self._world.record(self.name, "supervisor killed")
            self._down()

    def cut_power(self) -> None:
        """Every process is gone, and the end of the journal, which was never synced."""
        if self.host is not None:
            self._world.record(self.name, "power cut")
            self.processes.clear()
            kept = self._world.dice.randrange(len(self._journal) + 1)
            del self._journal[max(kept, len(self._journal) - 5) :]
            self._down()

    def take_down(self) -> None:
        """In order: goodbye, every process is stopped, and how it ended is in the journal when it comes back."""
        if self.host is not None:
            self._world.record(self.name, "taken down")
            self.take(events.Leaving())
            self._muted = True
            for key, process in list(self.processes.items()):
                self._end(key, process, -15)
            self._down()

    def running(self) -> list[tuple[int, int]]:
        """(instance, attempt) of all that have a living process."""
        return sorted({(key[0], key[1]) for key, process in self.processes.items() if process.code is None})

    def known(self) -> list[tuple[int, int]]:
        """(instance, attempt) of all whose end the master may not have yet."""
        return sorted({(key[0], key[1]) for key in self.processes})

    def take(self, event: Any) -> None:
        """One event for the agent's machine; lost while there is no supervisor."""
        if self.host is None:
            return
        self._world.record(self.name, type(event).__name__, encode(event))
        self.host.handle(self._world.now_ms, "agent", event)
        self._settle()

    def _down(self) -> None:
        self._life += 1
        self.host = None
        self._world.after(RESTART_MS, self.start)

    def _settle(self) -> None:
        host = self.host
        assert host is not None
        self._journal.extend(encode(record) for record in host.take_records() if not record.soft)
        host.durable(host.index)
        for outgoing in host.take_commands():
            self._do(outgoing.command)
        host.check()
        wake = host.wake_ms()
        if wake is not None:
            life = self._life
            self._world.at(wake, lambda: self._tick(life))

    def _tick(self, life: int) -> None:
        if life != self._life or self.host is None:
            return
        wake = self.host.wake_ms()
        if wake is not None and wake <= self._world.now_ms:
            self.host.tick(self._world.now_ms)
            self._settle()

    def _do(self, command: Any) -> None:
        match command:
            case Send():
                if not self._muted:
                    self._send(self.name, command.message)
            case do.StartJobs():
                self._start_jobs(command)
            case do.StartInstance():
                self._start_instance(command)
            case do.Stop():
                for id_, attempt, grace in zip(command.ids, command.attempts, command.grace_ms, strict=True):
                    self._stop(int(id_), int(attempt), int(grace))
            case do.Recover():
                self._soon(lambda: self._recover(command.start))
            case do.ClearJobs():
                self.processes = {key: process for key, process in self.processes.items() if process.service}
            case do.Probe():
                ok = not self._world.chance(0.01)
                self._soon(
                    lambda: self.take(events.Probed(command.id, command.attempt, command.container, command.check, ok))
                )
            case do.Ended():
                self._forget(command)
            case _:
                raise AssertionError(f"the agent asks for {command}")

    def _soon(self, happen: Callable[[], None]) -> None:
        life = self._life
        self._world.after(1 + self._world.dice.randrange(10), lambda: happen() if life == self._life else None)

    def _start_jobs(self, command: do.StartJobs) -> None:
        payload = command.payload
        templates = {number: Template.from_wire(wire) for number, wire in payload.templates.items()}
        for row in range(len(command.ids)):
            container = templates[int(payload.template[row])].containers[0]
            key = (int(command.ids[row]), int(command.attempts[row]), 0)
            self._spawn(key, container.shell, int(payload.index[row]), service=False)

    def _start_instance(self, command: do.StartInstance) -> None:
        for at, container in enumerate(Template.from_wire(command.template).containers):
            key = (command.id, command.attempt, at)
            self._spawn(key, container.shell, command.index, service=True, turn=command.round)

    def _spawn(self, key: Key, shell: str, index: int, service: bool, turn: int = 0) -> None:
        how = behaviour.of(shell, index, key[1])
        process = Process(service, self._world.now_ms, how.stubborn, turn)
        self.processes[key] = process
        self._started(self.name, key)
        self._soon(lambda: self._report(key, process))
        if how.run_ms:
            self._world.after(how.run_ms, lambda: self._end(key, process, how.exit_code))

    def _stop(self, id_: int, attempt: int, grace_ms: int) -> None:
        for key in [key for key in self.processes if key[:2] == (id_, attempt)]:
            process = self.processes[key]
            delay, code = (grace_ms, -9) if process.stubborn else (self._world.dice.randrange(20), -15)
            self._world.after(delay, partial(self._end, key, process, code))

    def _end(self, key: Key, process: Process, code: int) -> None:
        if self.processes.get(key) is not process or process.code is not None:
            return
        process.code = code
        self._report(key, process)

    def _report(self, key: Key, process: Process) -> None:
        """Tell the agent's machine; if the supervisor is away, a service's stub keeps the code until it is asked."""
        if self.host is None or self.processes.get(key) is not process:
            return
        state, reason = _verdict(process.code, self._muted)
        code = NO_EXIT_CODE if process.code is None else process.code
        if process.service:
            at_ms = process.started_ms if process.code is None else self._world.now_ms
            self.take(events.ContainerChanged(*key, state, code, reason, at_ms, process.round))
            return
        self.take(
            events.JobsChanged(
                np.array([key[0]]),
                np.array([key[1]], dtype=np.int32),
                np.array([state], dtype=np.uint8),
                np.array([code], dtype=np.int16),
                np.array([reason], dtype=np.uint8),
                np.array([process.started_ms]),
                np.array([self._world.now_ms]),
            )
        )

    def _recover(self, start: do.StartInstance) -> None:
        for at in range(len(start.template["containers"])):
            key = (start.id, start.attempt, at)
            process = self.processes.get(key)
            if process is not None:
                self._report(key, process)
                continue
            lost = (int(State.LOST), NO_EXIT_CODE, int(Reason.NO_EXIT_RECORD))
            self.take(events.ContainerChanged(*key, *lost, self._world.now_ms, start.round))

    def _forget(self, command: do.Ended) -> None:
        for id_, attempt in zip(command.ids.tolist(), command.attempts.tolist(), strict=True):
            for key in [key for key in self.processes if key[:2] == (id_, attempt)]:
                assert self.processes[key].code is not None, f"{self.name} forgets {key}, which lives"
                del self.processes[key]


def _verdict(code: int | None, shut_down: bool) -> tuple[int, int]:
    if code is None:
        return int(State.RUNNING), int(Reason.NONE)
    if code == 0:
        return int(State.FINISHED), int(Reason.EXITED)
    if shut_down:
        return int(State.KILLED), int(Reason.SHUTDOWN)
    return int(State.FAILED), int(Reason.EXITED if code > 0 else Reason.SIGNALED)
