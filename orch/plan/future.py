"""A cluster's machines as they would go on: a host of its own, made of an image, on a clock that only it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orch.machine.commands import Reply, Send
from orch.machine.host import Host, Record
from orch.machine.machine import Machine
from orch.plan.agents import Agents

FRAMEWORKS = ("services", "batch")
FOREVER_MS = 1 << 50
PATIENT = {"unreachable_ms": FOREVER_MS, "gone_ms": FOREVER_MS, "remove_ms": FOREVER_MS}
"""Settings of the master of a future: its agents say nothing of themselves, and are not missed for that."""
AHEAD_MS = 300_000
"""So far a future is looked at."""
STEPS_MOST = 10_000
"""Instants of a future, at most."""


class Future:
    """The machines from an image on. machines: fresh ones, the master with `PATIENT`. image: a soft `Host.snapshot`.

    Agents have the states that the image shows. After it is made, what the cluster would do anyway has been done.
    """

    def __init__(self, machines: Sequence[Machine], image: dict[str, Any], now_ms: int) -> None:
        self.host = Host(machines)
        self.host.restore(image)
        self.now_ms, self._end_ms = now_ms, now_ms + AHEAD_MS
        self._agents = Agents()
        self._replies: dict[str, Reply] = {}
        self.host.start(now_ms, FRAMEWORKS)
        self._go_on()
        self.host.take_records()

    def ask(self, machine: str, request: Any) -> tuple[Reply, list[Record]]:
        """(the reply to a request, the records of all that follows from it until nothing moves any more)."""
        self.host.handle(self.now_ms, machine, request)
        self._go_on()
        return self._replies[request.request], self.host.take_records()

    def _go_on(self) -> None:
        """Until nothing moves any more. At each instant, each agent that has something to report reports one thing."""
        for _ in range(STEPS_MOST):
            self._leave()
            if not self._agents.busy and not self._wake():
                return
            self.now_ms += 1
            for report in self._agents.reports(self.now_ms):
                self.host.handle(self.now_ms, "master", report)

    def _leave(self) -> None:
        """What the machines say to agents, and their replies."""
        self.host.durable(self.host.index)
        for outgoing in self.host.take_commands():
            command = outgoing.command
            if isinstance(command, Reply):
                self._replies[command.request] = command
            elif isinstance(command, Send) and command.to.startswith("agent/"):
                self._agents.tell(command.to.removeprefix("agent/"), command.message)

    def _wake(self) -> bool:
        """Let the clock go on to the next deadline; whether there is one in sight."""
        wake_ms = self.host.wake_ms()
        if wake_ms is None or wake_ms > self._end_ms:
            return False
        self.now_ms = max(self.now_ms, wake_ms)
        self.host.tick(self.now_ms)
        return True
