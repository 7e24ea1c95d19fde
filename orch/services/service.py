"""A service, the versions of its spec, and its instances: objects, for there are hundreds or thousands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

from orch.model.reasons import NO_EXIT_CODE
from orch.model.specs.template import Template
from orch.model.states import State

ENDED_KEPT = 20
"""Ended instances that a service remembers."""


@dataclass(slots=True)
class Instance:
    """One copy of a service's pod, from its launch to its end. Its goal is RUNNING while `stop` is 0.

    agent: row at the master. stop: `Reason` why it is to stop. inactive: it was UNREACHABLE for so long that another
    takes its place. unreachable_ms: since when, 0 if it is not.
    """

    id: int
    number: int
    path: str
    version: int
    agent: int
    launched_ms: int
    state: int = State.STAGING
    exit_code: int = NO_EXIT_CODE
    reason: int = 0
    started_ms: int = 0
    changed_ms: int = 0
    stop: int = 0
    inactive: bool = False
    unreachable_ms: int = 0

    @property
    def counts(self) -> bool:
        """Whether it is one of the copies that are wanted: not told to stop, and not replaced while out of reach."""
        return not self.stop and not (self.inactive and self.state == State.UNREACHABLE)

    @property
    def takes_room(self) -> bool:
        """Whether it may be running as far as anybody can tell: the limit on extra copies counts these."""
        return self.state != State.UNREACHABLE or self.counts

    def to_list(self) -> list[Any]:
        """For a snapshot."""
        return [getattr(self, each.name) for each in fields(self)]


@dataclass(slots=True)
class Seen:
    """Soft: what the agent of a live instance shows. details as in `UpdateBatch`; was_healthy: it passed its checks."""

    starting: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    was_healthy: bool = False

    @property
    def healthy(self) -> bool | None:
        """What its checks say; None where nothing is known."""
        return self.details.get("healthy")


@dataclass(slots=True)
class Spec:
    """One version of a service's spec. number: of the template in payloads. body: as it was sent."""

    version: int
    number: int
    wire: dict[str, Any]
    body: dict[str, Any]
    template: Template

    @property
    def checked(self) -> bool:
        """Whether it has health checks, so that running alone does not make an instance ready."""
        return any(container.health for container in self.template.containers)


@dataclass(slots=True)
class Delay:
    """Why and until when nothing is launched. failures: ends in a row; at_ms: of the last one, as what follows is."""

    failures: int = 0
    delay_ms: int = 0
    until_ms: int = 0
    at_ms: int = 0
    instance: int = 0
    state: int = 0
    exit_code: int = NO_EXIT_CODE
    reason: int = 0

    def to_list(self) -> list[Any]:
        """For a snapshot."""
        return [getattr(self, each.name) for each in fields(self)]


@dataclass(slots=True)
class Service:
    """What is wanted at a path, and what there is. version: the newest spec's, ms since 1970. wanted: copies."""

    path: str
    user: str
    version: int
    wanted: int
    created_ms: int
    changed_ms: int
    deleting: bool = False
    next_number: int = 1
    specs: dict[int, Spec] = field(default_factory=dict)
    """The newest one, and those that instances still run."""
    instances: dict[int, Instance] = field(default_factory=dict)
    """Those that have not ended, by id."""
    ended: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ENDED_KEPT))
    delay: Delay = field(default_factory=Delay)

    @property
    def spec(self) -> Spec:
        """The newest."""
        return self.specs[self.version]

    def template_of(self, instance: Instance) -> Template:
        """What an instance runs."""
        return self.specs[instance.version].template

    def prune(self) -> None:
        """Drop versions that nothing runs any more."""
        used = {instance.version for instance in self.instances.values()} | {self.version}
        self.specs = {version: spec for version, spec in self.specs.items() if version in used}

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "specs": [[spec.version, spec.number, spec.wire, spec.body] for spec in self.specs.values()],
            "instances": [instance.to_list() for instance in self.instances.values()],
            "ended": list(self.ended),
            "delay": self.delay.to_list(),
        }

    @staticmethod
    def from_dict(image: dict[str, Any]) -> Service:
        """The service of `to_dict`."""
        service = Service(**{name: image[name] for name in _PLAIN})
        for version, number, wire, body in image["specs"]:
            service.specs[version] = Spec(version, number, wire, body, Template.from_wire(wire))
        for row in image["instances"]:
            instance = Instance(*row)
            service.instances[instance.id] = instance
        service.ended.extend(image["ended"])
        service.delay = Delay(*image["delay"])
        return service


_PLAIN = ("path", "user", "version", "wanted", "created_ms", "changed_ms", "deleting", "next_number")
