"""The machine of the services framework: which event and which fact is handled where.

What it knows for good is in `Registry`, changed by facts only. What is missing, what is on its way and when to look
again is derived, and built anew at each start, once the master has said what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from orch.machine.commands import Command, Reply
from orch.machine.keys import is_answer
from orch.machine.machine import Machine, Tick
from orch.model import facts_services as facts
from orch.model.errors import OrchError
from orch.model.messages import (
    AcceptResult,
    InstanceUpdates,
    Kill,
    OfferBatch,
    ResendRequest,
    Subscribe,
    Subscribed,
)
from orch.model.requests import (
    DeleteService,
    KillInstances,
    PutService,
    ResetDelay,
    RestartService,
    ScaleService,
    TellStory,
)
from orch.services import launches, planner, requests, updates
from orch.services.launcher import Launcher
from orch.services.registry import Registry
from orch.services.service import Instance, Service


class Services(Machine):
    """Apps and pods, each kept at its number of instances. policy: of those that name none."""

    name = "services"
    EVENTS: ClassVar[dict[type, Callable[..., None]]] = {
        PutService: requests.put,
        ScaleService: requests.scale,
        DeleteService: requests.delete,
        KillInstances: requests.kill,
        RestartService: requests.restart,
        ResetDelay: requests.reset_delay,
        TellStory: requests.tell_story,
        Subscribed: updates.subscribed,
        OfferBatch: launches.offered,
        AcceptResult: launches.answered,
        ResendRequest: launches.resend,
        InstanceUpdates: updates.updated,
        Tick: updates.ticked,
    }
    FACTS: ClassVar[dict[type, Callable[..., None]]] = {
        facts.ServicePut: lambda self, fact: self.registry.put(fact),
        facts.ServiceScaled: lambda self, fact: self.registry.scaled(fact),
        facts.ServiceDeleting: lambda self, fact: self.registry.deleting(fact),
        facts.ServiceForgotten: lambda self, fact: self.registry.forgotten(fact),
        facts.ServiceRequestAnswered: lambda self, fact: self.registry.answered(fact),
        facts.ServiceDelayed: lambda self, fact: self.registry.delayed(fact),
        facts.InstancesLaunched: lambda self, fact: self.registry.launched(fact),
        facts.InstancesUpdated: lambda self, fact: self.registry.updated(fact),
        facts.InstancesStopping: lambda self, fact: self.registry.stopping(fact),
        facts.InstancesKilled: lambda self, fact: self.registry.killed(fact),
        facts.InstancesInactive: lambda self, fact: self.registry.inactive(fact),
        facts.InstancesSeen: lambda self, fact: self.registry.shown(fact),
    }

    def __init__(self, policy: str = "best-fit") -> None:
        super().__init__()
        self.registry = Registry()
        self.launcher = Launcher(self.registry, self.name, policy)
        self.number = 0
        """The framework's number at the master; 0 until it is subscribed."""
        self._looks: dict[str, int] = {}
        """Path -> when time alone changes what the service needs."""
        self._wake_ms: int | None = None

    @property
    def wake_ms(self) -> int | None:
        """When a delay is over, or an instance has been out of reach for long enough."""
        return self._wake_ms

    def started(self, now_ms: int) -> list[Command]:
        """Ask the master what it holds; its answer starts the rest."""
        self.send("master", Subscribe(self.name))
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """The registry; with `soft`, what agents show of instances too."""
        return self.registry.to_dict(soft)

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `snapshot` gave."""
        self.registry.restore(image)

    def check(self) -> None:
        """Assert the invariants of the registry, and that every service has what the plan says."""
        self.registry.check()
        if not self.number:
            return
        missing = self.launcher.missing()
        for path, service in self.registry.services.items():
            flying = self.launcher.in_flight(path)
            counting = [one for one in service.instances.values() if one.counts]
            newest = sum(1 for one in counting if one.version == service.version)
            bounds = planner.bounds(service)
            assert newest + flying + missing.get(path, 0) <= service.wanted, f"{path}: more than wanted"
            assert len(counting) + flying <= max(bounds.most, service.wanted + bounds.ready), f"{path}: too many"
            assert not planner.surplus(self.registry, service), f"{path}: instances should be stopping"
            assert service.instances or flying or not service.deleting, f"{path} is gone, and still there"
        assert all(path in self.registry.services for path in missing)

    # ---- used by the handlers ----------------------------------------------------------------------------------

    def answered_before(self, event: requests.Request) -> bool:
        """Whether the key of a request had an answer; then that is given once more."""
        reply = self.registry.keys.again(event.request, event.user, event.key)
        if reply is not None:
            self.do(reply)
        return reply is not None

    def refuse(self, now_ms: int, event: requests.Request, error: OrchError) -> None:
        """Answer a request with an error."""
        body = error.to_dict()
        if event.key and is_answer(error):
            self.emit(facts.ServiceRequestAnswered(now_ms, event.user, event.key, None, body))
        self.do(Reply(event.request, error=body))

    def nothing_to_do(self, now_ms: int, event: requests.Request, body: dict[str, Any]) -> None:
        """Answer a request that is fulfilled already."""
        if event.key:
            self.emit(facts.ServiceRequestAnswered(now_ms, event.user, event.key, body, None))
        self.do(Reply(event.request, body))

    def settle(self, now_ms: int, paths: Iterable[str]) -> None:
        """Bring services to what is wanted: stop what is too much, ask for what is missing."""
        for path in dict.fromkeys(paths):
            self._settle(now_ms, self.registry.services[path])
        self._wake_ms = min(self._looks.values(), default=None)
        news = self.launcher.news() if self.number else None
        if news is not None:
            self.send("master", news)

    def due(self, now_ms: int) -> list[str]:
        """Paths of the services that time has changed."""
        return [path for path, at_ms in self._looks.items() if at_ms <= now_ms]

    def forget_looks(self) -> None:
        """Before everything is looked at anew."""
        self._looks = {}

    def stop(self, now_ms: int, stops: list[tuple[Instance, int]]) -> None:
        """The goal of these is STOPPED from now on, for a `Reason` each."""
        if not stops:
            return
        ids = np.array([instance.id for instance, _ in stops], dtype=np.int64)
        reasons = np.array([int(reason) for _, reason in stops], dtype=np.uint8)
        self.emit(facts.InstancesStopping(now_ms, ids, reasons))
        self.story_book.note(now_ms, "stopping", ids, reason=reasons)
        self.send("master", Kill(self.name, ids, reasons))

    def _settle(self, now_ms: int, service: Service) -> None:
        inactive, given_up = planner.unreachable(service, now_ms)
        if inactive:
            ids = np.array([instance.id for instance in inactive], dtype=np.int64)
            self.emit(facts.InstancesInactive(now_ms, ids))
            self.story_book.note(now_ms, "inactive", ids, why="its agent was not heard of for too long")
        self.stop(now_ms, [(instance, requests.REPLACED) for instance in given_up])
        self.stop(now_ms, list(planner.surplus(self.registry, service)))
        flying = self.launcher.in_flight(service.path)
        if service.deleting and not service.instances and not flying:
            self.launcher.want(service.path, 0)
            self._looks.pop(service.path, None)
            self.emit(facts.ServiceForgotten(now_ms, service.path))
            self.story_book.note(now_ms, "forgotten", service.path)
            return
        held_back = service.delay.until_ms > now_ms or bool(service.spec.template.needs)
        self.launcher.want(service.path, 0 if held_back else planner.missing(service, flying))
        look_ms = planner.look_again_ms(service, now_ms)
        if look_ms is None:
            self._looks.pop(service.path, None)
        else:
            self._looks[service.path] = look_ms
