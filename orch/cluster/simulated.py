"""Simulated machines (`orch up --simulated`): the real agent's machine and messages; processes only pretend.

Those of one actor are a fleet: one agent's machine, in columns, stands for all of them behind one line.

A pretended job ends well after ORCH_SIM_MS of its environment (at once without it); a pretended service runs until
it is stopped, and its health checks pass. Nothing is kept: when the actor dies, its machines have lost what they ran.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.agent import commands as do
from orch.agent import events
from orch.agent.agent import Agent
from orch.cluster.machine import fleet_names
from orch.machine.commands import Send
from orch.machine.host import Host
from orch.model.codec import CodecError, decode, encode
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.resources import CPUS, DISK, GPUS, MEM, PORTS, R
from orch.model.specs.reader import TemplateReader
from orch.model.specs.template import Template
from orch.model.states import State
from orch.runtime import logs
from orch.runtime.clock import Clock
from orch.runtime.link import Item, Link
from orch.runtime.master_actor import SIMULATED
from orch.runtime.memory import settle
from orch.runtime.postman import to_master
from orch.runtime.spans import Spans

PER_ACTOR = 50_000
"""Simulated machines of one actor; at most `ACTORS`, which then have more each."""
ACTORS = 4
_NICENESS = 5
"""Other machines would not compete with the master and the API for these CPUs."""
RUN_TIME = "ORCH_SIM_MS"
_SIGTERM = -15

Ints = NDArray[np.int64]


def create_hosts(ray: Any, options: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    """Actors that together host all agents of the configuration, a fleet each."""
    actor = ray.remote(SimulatedHost)
    made = []
    count, model = config["fleet"], config["agents"][0]
    size = max(PER_ACTOR, -(-count // ACTORS))
    for first in range(0, count, size):
        name = f"{SIMULATED}{first // size}"
        part = {**model, "name": name, "fleet": [first, min(size, count - first)]}
        made.append(actor.options(**options, name=name).remote(part, name))
    return made


class SimulatedHost:
    """A Ray actor with a fleet of simulated machines; to the master it is their postman, and one line."""

    async def __init__(self, plan: dict[str, Any], name: str) -> None:  # type: ignore[misc]  # Ray awaits it
        logs.configure(name)
        os.nice(_NICENESS)
        spans = Spans()
        self._link: Link = to_master(name, spans)
        self._machine = SimulatedMachine(plan, Clock(), self._link.send)
        self._machine.spans = spans
        self._machine.start()
        settle()

    async def deliver(self, items: list[Item]) -> None:
        """From the master, for the fleet."""
        for _, body in items:
            self._machine.take(body)

    async def stats(self) -> dict[str, Any]:
        """pid, CPU seconds, and numbers of machines and of living processes."""
        return {"pid": os.getpid(), "cpu_s": round(time.process_time(), 3), "running": self._machine.running}

    async def spans(self, since: float) -> list[tuple[str, float, float]]:
        """See `Spans.since`."""
        return self._machine.spans.since(since)


class SimulatedMachine:
    """One machine, or a fleet of them. Must be made on a running event loop, whose timers are its clockwork.

    agent: of the configuration; with `fleet` [first, count], it is the model of so many, numbered from first + 1.
    """

    def __init__(self, agent: dict[str, Any], clock: Clock, send: Callable[[str, bytes], None]) -> None:
        self._name, self._clock, self._send = agent["name"], clock, send
        self._loop = asyncio.get_running_loop()
        attributes, fleet = agent["attributes"], None
        if "fleet" in agent:
            fleet = fleet_names(*agent["fleet"])
            attributes = {name: value for name, value in attributes.items() if name != "hostname"}
        self._agent = Agent(self._name, secrets.token_hex(6), total_of(agent), attributes, fleet=fleet)
        self._host = Host([self._agent])
        self._wake: asyncio.TimerHandle | None = None
        self._containers: dict[tuple[int, int], int] = {}
        """Instances of services that run: (instance, attempt) to its number of containers."""
        self._reader = TemplateReader()
        self.spans = Spans()

    @property
    def running(self) -> int:
        """How many instances have not ended."""
        table = self._agent.instances
        return int(np.count_nonzero(table.alive(table.rows())))

    def start(self) -> None:
        """Register with the master."""
        self._host.start(self._clock.now_ms())
        self._settle()

    def take(self, body: bytes) -> None:
        """One message of the master's."""
        with self.spans.of("hosts"):
            try:
                self._tell(decode(body))
            except CodecError:
                return  # as if it had been lost on the way

    def _tell(self, event: Any) -> None:
        self._host.handle(self._clock.now_ms(), "agent", event)
        self._settle()

    def _settle(self) -> None:
        host = self._host
        host.take_records()
        host.durable(host.index)
        for outgoing in host.take_commands():
            self._do(outgoing.command)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        wake_ms = host.wake_ms()
        if wake_ms is not None:
            delay_ms = max(0, wake_ms - self._clock.now_ms())
            self._wake = self._loop.call_later(delay_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._host.tick(self._clock.now_ms())
        self._settle()

    def _do(self, command: Any) -> None:
        match command:
            case Send():
                self._send(self._name, encode(command.message))
            case do.StartJobs():
                self._start_jobs(command)
            case do.StartInstance():
                self._start_instance(command)
            case do.Stop():
                self._stop(command)
            case do.Probe():
                done = events.Probed(command.id, command.attempt, command.container, command.check, True)
                self._loop.call_soon(self._tell, done)
            case do.Ended() | do.ClearJobs():
                pass
            case _:
                raise AssertionError(f"the agent asks for {command}")

    def _start_jobs(self, command: do.StartJobs) -> None:
        for number, wire in command.payload.templates.items():
            rows = np.flatnonzero(command.payload.template == number)
            if len(rows) == 0:
                continue
            run_ms = _run_ms(self._reader.read(wire))
            ids, attempts = command.ids[rows], command.attempts[rows]
            started_ms = self._clock.now_ms()
            if run_ms == 0:
                self._loop.call_soon(self._report, ids, attempts, started_ms, State.FINISHED, 0)
                continue
            self._loop.call_soon(self._report, ids, attempts, started_ms, State.RUNNING, NO_EXIT_CODE)
            self._loop.call_later(run_ms / 1000, self._report, ids, attempts, started_ms, State.FINISHED, 0)

    def _report(self, ids: Ints, attempts: NDArray[np.int32], started_ms: int, state: State, code: int) -> None:
        """The agent's machine leaves out those that have ended before, as after a stop."""
        count = len(ids)
        reason = {State.RUNNING: Reason.NONE, State.FINISHED: Reason.EXITED}.get(state, Reason.SIGNALED)
        changed = events.JobsChanged(
            ids=ids,
            attempts=attempts,
            states=np.full(count, state, dtype=np.uint8),
            exit_codes=np.full(count, code, dtype=np.int16),
            reasons=np.full(count, reason, dtype=np.uint8),
            started_ms=np.full(count, started_ms, dtype=np.int64),
            changed_ms=np.full(count, self._clock.now_ms(), dtype=np.int64),
        )
        with self.spans.of("hosts"):
            self._tell(changed)

    def _start_instance(self, command: do.StartInstance) -> None:
        containers = len(command.template["containers"])
        self._containers[command.id, command.attempt] = containers
        for at in range(containers):
            self._container(command.id, command.attempt, at, State.RUNNING, NO_EXIT_CODE, command.round)
        template = self._reader.read(command.template)
        run_ms = int(command.env.get(RUN_TIME, 0)) or _run_ms(template)
        if run_ms or template.kind == "job":
            self._loop.call_later(run_ms / 1000, self._end_instance, command)

    def _end_instance(self, command: do.StartInstance) -> None:
        containers = self._containers.pop((command.id, command.attempt), 0)
        for at in range(containers):
            self._container(command.id, command.attempt, at, State.FINISHED, 0, command.round)

    def _container(self, id_: int, attempt: int, at: int, state: State, code: int, turn: int) -> None:
        reason = {State.RUNNING: Reason.NONE, State.FINISHED: Reason.EXITED}.get(state, Reason.SIGNALED)
        now_ms = self._clock.now_ms()
        changed = events.ContainerChanged(id_, attempt, at, int(state), code, int(reason), now_ms, turn)
        self._loop.call_soon(self._tell, changed)

    def _stop(self, command: do.Stop) -> None:
        started_ms = self._clock.now_ms()
        self._loop.call_soon(self._report, command.ids, command.attempts, started_ms, State.FAILED, _SIGTERM)
        if not self._containers:
            return
        for key in zip(command.ids.tolist(), command.attempts.tolist(), strict=True):
            for at in range(self._containers.pop(key, 0)):
                self._container(*key, at, State.FAILED, _SIGTERM, 0)


def total_of(agent: dict[str, Any]) -> NDArray[np.int32]:
    """int32[R]: what an agent of the configuration has."""
    total = np.zeros(R, dtype=np.int32)
    total[CPUS], total[MEM] = agent["cpus_milli"], agent["mem_mib"]
    total[DISK], total[GPUS] = agent["disk_mib"], agent["gpus_milli"]
    total[PORTS] = agent["ports"][1] - agent["ports"][0] + 1
    return total


def _run_ms(template: Template) -> int:
    """The pretended run time that a template states; 0 for none or nonsense."""
    env = dict(template.env) | dict(template.containers[0].env)
    text = env.get(RUN_TIME, "0")
    return int(text) if text.isdigit() else 0
