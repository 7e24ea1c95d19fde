"""The shell of one agent: its machine, what it remembers, its clock, and the commands carried out.

Events queue up and are handled one by one. Facts are written before anything is done about them. A machine that raises
is replaced by a new one from what was written; the event that did it changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from orch.agent import commands as do
from orch.agent.agent import Agent
from orch.agent.events import Connected, JobsChanged
from orch.machine.commands import Journal, Publish, Send
from orch.machine.machine import Tick
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import State
from orch.node.factlog import FactLog
from orch.node.instances import Instances
from orch.node.jobs import Jobs, changes
from orch.node.stops import Stops

log = structlog.get_logger("orch.node")


class Clock:
    """ms since 1970 that never go back and never leap: wall time at the start, counted on by the boot clock."""

    def __init__(self) -> None:
        self._wall_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def now_ms(self) -> int:
        """The time."""
        return (self._wall_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000


@dataclass(slots=True)
class Hands:
    """What carries out the machine's commands."""

    number: int
    jobs: Jobs
    instances: Instances
    stops: Stops
    clear: Callable[[], None]
    """Kill what is left of jobs of an earlier supervisor."""
    ended: Callable[[NDArray[np.int64], NDArray[np.int32]], None]
    """Instances belong to the retention rules from now on."""


class Shell:
    """One agent. make: gives a fresh machine. send: carries a message to the master, or drops it."""

    def __init__(self, make: Callable[[], Agent], facts: FactLog, clock: Clock, send: Callable[[Any], None]) -> None:
        self._make, self._facts, self._clock, self._send = make, facts, clock, send
        self._loop = asyncio.get_running_loop()
        self._events: deque[Any] = deque()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._hands: Hands | None = None
        self._closing = False
        self.machine = make()

    def start(self, hands: Hands, exits: NDArray[Any]) -> None:
        """Remember, take in what ended after the last note (events of the engine), and begin."""
        self._hands = hands
        self._restore(self.machine)
        if len(exits):
            told = changes(exits, hands.instances.sandboxes)
            self._do(self.machine.handle(self._clock.now_ms(), told), only_facts=True)
        self._do(self.machine.started(self._clock.now_ms()))
        self._arm()

    def tell(self, event: Any) -> None:
        """Queue an event; it is handled soon, never within this call."""
        self._events.append(event)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def close(self) -> None:
        """Handle no more."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._facts.close()

    def drain(self) -> None:
        """Handle what is queued, now."""
        self._run()

    def mute(self) -> None:
        """Send nothing any more; what happens from now on is told after the next start."""
        self._send = _nowhere

    # ---- events ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._scheduled = False
        while self._events and not self._closing:
            self._handle(self._events.popleft())
        if not self._closing:
            if self._facts.wants_snapshot():
                self._facts.save(self.machine.snapshot())
            self._arm()

    def _handle(self, event: Any) -> None:
        try:
            commands = self.machine.handle(self._clock.now_ms(), event)
        except Exception as error:
            log.error("an event was set aside", kind=type(event).__name__, error=repr(error), exc_info=True)
            self._replace()
            return
        self._do(commands)

    def _tick(self) -> None:
        self._timer = None
        self.tell(Tick())

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake = self.machine.wake_ms
        if wake is not None and not self._closing:
            delay = max(0.0, (wake - self._clock.now_ms()) / 1000)
            self._timer = self._loop.call_later(delay, self._tick)

    # ---- state -------------------------------------------------------------------------------------------------

    def _restore(self, machine: Agent) -> None:
        image, events = self._facts.read()
        if image is not None:
            machine.restore(image)
        for facts in events:
            for fact in facts:
                machine.apply(fact)

    def _replace(self) -> None:
        """A new machine from what was written; services are looked for again, and jobs that run are told anew."""
        assert self._hands is not None
        self.machine = self._make()
        self._facts.close()
        self._restore(self.machine)
        for instance in self.machine.several.values():
            if self.machine.instances.alive(np.array([self.machine.instances.row(instance.id, instance.attempt)]))[0]:
                self._hands.instances.recover(do.Recover(instance.start()))
        self.tell(Connected())

    # ---- commands ----------------------------------------------------------------------------------------------

    def _do(self, commands: list[Any], only_facts: bool = False) -> None:
        facts = [command.fact for command in commands if isinstance(command, Journal)]
        if facts:
            try:
                self._facts.append(facts)
            except OSError as error:
                log.error("facts could not be written", error=str(error))
        for command in commands:
            if isinstance(command, Send):
                self._send(command.message)
            elif not only_facts and not isinstance(command, Journal | Publish):
                self._carry_out(command)

    def _carry_out(self, command: Any) -> None:
        hands = self._hands
        assert hands is not None
        match command:
            case do.StartJobs():
                self._start_jobs(hands, command)
            case do.StartInstance():
                hands.instances.start(command)
            case do.Recover():
                hands.instances.recover(command)
            case do.ClearJobs():
                hands.clear()
            case do.Stop():
                hands.stops.stop(hands.number, command, hands.instances)
            case do.Probe():
                hands.instances.probe(command)
            case do.Ended():
                for row in range(len(command.ids)):
                    hands.instances.ended(int(command.ids[row]), int(command.attempts[row]))
                hands.ended(command.ids, command.attempts)
            case _:
                raise AssertionError(f"the agent asks for {command}")

    def _start_jobs(self, hands: Hands, command: do.StartJobs) -> None:
        try:
            hands.jobs.start(hands.number, command)
        except Exception as error:  # noqa: BLE001  whatever it is, these pods must not wait for ever
            log.error("jobs could not be queued", rows=len(command.ids), error=str(error))
            count = len(command.ids)
            self.tell(
                JobsChanged(
                    command.ids, command.attempts, np.full(count, State.FAILED, np.uint8),
                    np.full(count, NO_EXIT_CODE, np.int16), np.full(count, Reason.SPAWN_FAILED, np.uint8),
                    np.zeros(count, np.int64), np.full(count, self._clock.now_ms(), np.int64),
                )
            )  # fmt: skip


def _nowhere(message: Any) -> None:
    """The line is cut."""
