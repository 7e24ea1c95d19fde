"""One instance of several containers, or with ports or checks: what each does, and what that makes of the whole.

A pod's rules: its containers start together or not at all; one that fails takes the instance down; one that ends with
0 does not; the instance is FINISHED when all have ended so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orch.agent.commands import StartInstance
from orch.agent.events import ContainerChanged
from orch.agent.health import Health
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import State, is_terminal


@dataclass(slots=True)
class Container:
    """State of one container."""

    state: int = int(State.STAGING)
    exit_code: int = NO_EXIT_CODE
    reason: int = int(Reason.NONE)
    started_ms: int = 0
    message: str = ""
    health: list[Health] = field(default_factory=list)

    @property
    def healthy(self) -> bool | None:
        """Of all its checks: False if one fails, None if one is unknown or there are none."""
        known = [health.healthy for health in self.health]
        if not known or False in known:
            return False if known else None
        return None if None in known else True


class Instance:
    """The containers of one launch, and its verdict."""

    def __init__(self, id: int, attempt: int, launch: dict[str, Any], template: Template) -> None:
        self.id, self.attempt = id, attempt
        self.launch, self.template = launch, template
        self.containers = [Container() for _ in self.template.containers]
        self.failure: tuple[int, int, int] | None = None
        """(state, exit code, reason) of what took the instance down."""
        self.failure_message = ""

    @property
    def ports(self) -> list[list[int]]:
        """Host ports of each container's endpoints."""
        ports: list[list[int]] = self.launch["ports"]
        return ports

    def start(self) -> StartInstance:
        """The command that starts it."""
        launch = self.launch
        return StartInstance(
            self.id, self.attempt, launch["index"], launch["job"], launch["template"], launch["env"], launch["ports"],
            launch.get("round", 0),
        )  # fmt: skip

    def change(self, event: ContainerChanged) -> bool:
        """Take a container's new state; True if it is the failure that must take the others down."""
        container = self.containers[event.container]
        if is_terminal(container.state):
            return False
        container.state, container.message = event.state, event.message
        if event.state == State.RUNNING:
            container.started_ms = container.started_ms or event.at_ms
            checks = self.template.containers[event.container].health
            container.health = container.health or [Health(check, event.at_ms) for check in checks]
            return False
        container.exit_code, container.reason = event.exit_code, event.reason
        if event.state == State.FINISHED or self.failure is not None:
            return False
        self.failure, self.failure_message = (event.state, event.exit_code, event.reason), event.message
        return True

    def state(self) -> tuple[int, int, int]:
        """(state, exit code, reason) of the whole, as if nobody had asked it to stop."""
        states = [container.state for container in self.containers]
        if all(is_terminal(state) for state in states):
            return self.failure or (int(State.FINISHED), 0, int(Reason.EXITED))
        if all(state == State.RUNNING or is_terminal(state) for state in states):
            return int(State.RUNNING), NO_EXIT_CODE, int(Reason.NONE)
        return int(State.STARTING), NO_EXIT_CODE, int(Reason.NONE)

    def started_ms(self) -> int:
        """When its first container started; 0 if none did."""
        return min((c.started_ms for c in self.containers if c.started_ms), default=0)

    def healthy(self) -> bool | None:
        """False if a container is unhealthy; True if all checks passed; None if unknown, or if it has no checks."""
        known = [container.healthy for container in self.containers if container.health]
        if not known or False in known:
            return False if known else None
        return None if None in known else True

    def details(self) -> dict[str, Any]:
        """What the master is told beyond the columns."""
        message = self.failure_message or next((c.message for c in self.containers if c.message), "")
        return {
            "endpoints": self._endpoints(),
            "containers": [
                {
                    "name": template.name,
                    "state": State(container.state).name,
                    "exit_code": container.exit_code,
                    "reason": Reason(container.reason).name,
                    "healthy": container.healthy,
                    "message": container.message or next((h.message for h in container.health if h.message), ""),
                }
                for template, container in zip(self.template.containers, self.containers, strict=True)
            ],
            "healthy": self.healthy(),
            "message": message,
        }

    def due_ms(self) -> int | None:
        """When the next probe of a running container is due."""
        dues = [
            health.due_ms
            for container in self.containers
            if container.state == State.RUNNING
            for health in container.health
            if health.due_ms is not None
        ]
        return min(dues) if dues else None

    def due_probes(self, now_ms: int) -> list[tuple[int, int]]:
        """(container, check) of each probe that is due; they count as under way from now on."""
        due = []
        for at, container in enumerate(self.containers):
            for which, health in enumerate(container.health):
                if container.state == State.RUNNING and health.due_ms is not None and health.due_ms <= now_ms:
                    health.due_ms = None
                    due.append((at, which))
        return due

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {"name": endpoint.name, "port": port, "container": container.name, "protocols": list(endpoint.protocols)}
            for container, ports in zip(self.template.containers, self.ports, strict=True)
            for endpoint, port in zip(container.endpoints, ports, strict=True)
        ]
