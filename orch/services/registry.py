"""What `services` knows for good: services and their instances. Changed by facts only, live and on replay."""

from __future__ import annotations

from typing import Any

from orch.machine.keys import Keys
from orch.model import facts_services as facts
from orch.model.specs.reader import TemplateReader
from orch.model.specs.template import Template
from orch.model.states import ALLOWED, FIRST_TERMINAL, State
from orch.services.service import Delay, Instance, Seen, Service, Spec


class Registry:
    """Services by path, instances by id, idempotency keys; and, soft, what agents show of instances."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.instances: dict[int, Instance] = {}
        self.seen: dict[int, Seen] = {}
        self.keys = Keys()
        self.next_id = 0
        """Ids below were launched; 0 before the first."""
        self.next_template = 1
        self._reader = TemplateReader()
        self._below: dict[str, int] = {}
        """How many services are below each path."""

    # ---- facts -------------------------------------------------------------------------------------------------

    def put(self, fact: facts.ServicePut) -> None:
        """A service is new, or wanted otherwise."""
        service = self.services.get(fact.path)
        created = service is None
        if service is None:
            service = self.services[fact.path] = Service(
                path=fact.path,
                user=fact.user,
                version=fact.version,
                wanted=fact.instances,
                created_ms=fact.at_ms,
                changed_ms=fact.at_ms,
            )
            self._count(fact.path, 1)
        elif fact.version != service.version:
            service.delay = Delay()
        service.version, service.wanted, service.changed_ms = fact.version, fact.instances, fact.at_ms
        service.specs[fact.version] = Spec(
            fact.version, fact.template_number, fact.template, fact.body, self.read(fact.template)
        )
        service.prune()
        self.next_template = max(self.next_template, fact.template_number + 1)
        self.keys.put(fact.user, fact.key, put_answer(service, created))

    def scaled(self, fact: facts.ServiceScaled) -> None:
        """Another number of copies."""
        service = self.services[fact.path]
        service.wanted, service.changed_ms = fact.instances, fact.at_ms
        self.keys.put(fact.user, fact.key, put_answer(service, False))

    def killed(self, fact: facts.InstancesKilled) -> None:
        """A user stopped instances, and perhaps wants fewer."""
        service = self.services[fact.path]
        service.wanted = fact.instances
        self.keys.put(fact.user, fact.key, kill_answer(service, fact.ids.tolist()))

    def deleting(self, fact: facts.ServiceDeleting) -> None:
        """The service goes."""
        service = self.services[fact.path]
        service.deleting, service.changed_ms = True, fact.at_ms
        self.keys.put(fact.user, fact.key, {"path": fact.path})

    def forgotten(self, fact: facts.ServiceForgotten) -> None:
        """It is gone."""
        service = self.services.pop(fact.path)
        assert not service.instances, f"{fact.path} is forgotten with instances"
        self._count(fact.path, -1)

    def launched(self, fact: facts.InstancesLaunched) -> None:
        """New instances, STAGING."""
        columns = zip(
            fact.ids.tolist(),
            fact.numbers.tolist(),
            fact.service.tolist(),
            fact.versions.tolist(),
            fact.agents.tolist(),
            strict=True,
        )
        for number, count, at, version, agent in columns:
            service = self.services[fact.paths[at]]
            instance = Instance(number, count, service.path, version, agent, fact.at_ms, changed_ms=fact.at_ms)
            assert version in service.specs, f"{service.path} has no version {version}"
            service.instances[number] = self.instances[number] = instance
            service.next_number = max(service.next_number, count + 1)
            self.next_id = max(self.next_id, number + 1)

    def updated(self, fact: facts.InstancesUpdated) -> None:
        """New states; what has ended goes from the instances into the memory of its service."""
        for row, number in enumerate(fact.ids.tolist()):
            instance = self.instances[number]
            state = int(fact.states[row])
            assert ALLOWED[instance.state, state], (instance, state)
            instance.state = state
            instance.exit_code = int(fact.exit_codes[row])
            instance.reason = int(fact.reasons[row])
            instance.changed_ms = int(fact.changed_ms[row])
            instance.started_ms = int(fact.started_ms[row]) or instance.started_ms
            instance.unreachable_ms = fact.at_ms if state == State.UNREACHABLE else 0
            if state >= FIRST_TERMINAL:
                self._end(instance, fact.details.get(number))

    def stopping(self, fact: facts.InstancesStopping) -> None:
        """Their goal is STOPPED."""
        for number, reason in zip(fact.ids.tolist(), fact.reasons.tolist(), strict=True):
            self.instances[number].stop = reason

    def inactive(self, fact: facts.InstancesInactive) -> None:
        """Others take their place."""
        for number in fact.ids.tolist():
            self.instances[number].inactive = True

    def delayed(self, fact: facts.ServiceDelayed) -> None:
        """Nothing is launched for a while."""
        self.services[fact.path].delay = Delay(
            fact.failures,
            fact.delay_ms,
            fact.until_ms,
            fact.at_ms,
            fact.instance,
            fact.state,
            fact.exit_code,
            fact.reason,
        )

    def answered(self, fact: facts.ServiceRequestAnswered) -> None:
        """The same key gets the same answer."""
        self.keys.put(fact.user, fact.key, fact.body, fact.error)

    def shown(self, fact: facts.InstancesSeen) -> None:
        """Soft: of live instances only, because a later end may have come first on the feed."""
        for number in fact.starting.tolist():
            if number in self.instances:
                self.seen.setdefault(number, Seen()).starting = True
        for number, details in fact.details.items():
            if number in self.instances:
                seen = self.seen.setdefault(number, Seen())
                seen.details = details
                seen.was_healthy = seen.was_healthy or seen.healthy is True

    def read(self, wire: dict[str, Any]) -> Template:
        """The template of a wire form: a request is read when it is checked, and when it is applied.

        Raises ValueError, TypeError or AttributeError where it can't be read.
        """
        return self._reader.read(wire)

    # ---- questions ---------------------------------------------------------------------------------------------

    def state_of(self, instance: Instance) -> int:
        """The state as it is shown: STARTING is not kept, and stands beside STAGING."""
        if instance.state == State.STAGING and self.seen_of(instance).starting:
            return State.STARTING
        return instance.state

    def seen_of(self, instance: Instance) -> Seen:
        """What its agent shows; nothing, if that."""
        return self.seen.get(instance.id, _UNSEEN)

    def ready(self, service: Service, instance: Instance) -> bool:
        """Whether it runs, and passes its checks if it has any."""
        if instance.state != State.RUNNING:
            return False
        return not service.specs[instance.version].checked or self.seen_of(instance).healthy is True

    def relative(self, path: str) -> str | None:
        """A service that is above or below this path, if there is one: a path is a service or a group, never both."""
        above = path.rpartition("/")[0]
        while above:
            if above in self.services:
                return above
            above = above.rpartition("/")[0]
        if path not in self._below:
            return None
        return next(other for other in self.services if other.startswith(path + "/"))

    # ---- snapshots ---------------------------------------------------------------------------------------------

    def to_dict(self, soft: bool) -> dict[str, Any]:
        """Everything, for a snapshot; with `soft`, what agents show too."""
        image = {
            "services": [service.to_dict() for service in self.services.values()],
            "keys": self.keys.to_list(),
            "next_id": self.next_id,
            "next_template": self.next_template,
        }
        if soft:
            seen = sorted(self.seen.items())
            image["seen"] = [[number, each.starting, each.details, each.was_healthy] for number, each in seen]
        return image

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `to_dict` gave."""
        self.services, self.instances, self._below = {}, {}, {}
        for one in image["services"]:
            service = Service.from_dict(one)
            self.services[service.path] = service
            self.instances.update(service.instances)
            self._count(service.path, 1)
        self.keys.restore(image["keys"])
        self.next_id, self.next_template = image["next_id"], image["next_template"]
        self.seen = {number: Seen(*rest) for number, *rest in image.get("seen", [])}

    def check(self) -> None:
        """Assert what always holds."""
        together: dict[int, Instance] = {}
        for path, service in self.services.items():
            assert service.path == path and service.version in service.specs
            assert service.version == max(service.specs), f"{path} runs an older spec than its newest"
            used = {instance.version for instance in service.instances.values()} | {service.version}
            assert set(service.specs) == used, f"{path} keeps specs {sorted(service.specs)}, used are {sorted(used)}"
            numbers = [instance.number for instance in service.instances.values()]
            assert len(numbers) == len(dict.fromkeys(numbers)), f"two instances of {path} have one number"
            assert all(number < service.next_number for number in numbers)
            assert all(instance.state < FIRST_TERMINAL for instance in service.instances.values())
            assert all(instance.path == path for instance in service.instances.values())
            assert not service.deleting or all(instance.stop for instance in service.instances.values())
            together |= service.instances
            assert self.relative(path) is None, f"{path} is below or above {self.relative(path)}"
        assert together == self.instances and all(number < self.next_id for number in together)
        assert all(number in self.instances for number in self.seen), "something is seen of an ended instance"

    # ---- helpers -----------------------------------------------------------------------------------------------

    def _end(self, instance: Instance, details: dict[str, Any] | None) -> None:
        service = self.services[instance.path]
        del self.instances[instance.id], service.instances[instance.id]
        seen = self.seen.pop(instance.id, None)
        del seen
        service.ended.append(
            {
                "id": instance.id,
                "number": instance.number,
                "version": instance.version,
                "state": instance.state,
                "exit_code": instance.exit_code,
                "reason": instance.reason,
                "stop": instance.stop,
                "agent": instance.agent,
                "launched_ms": instance.launched_ms,
                "started_ms": instance.started_ms,
                "ended_ms": instance.changed_ms,
                "details": details or {},
            }
        )
        service.prune()

    def _count(self, path: str, by: int) -> None:
        above = path.rpartition("/")[0]
        while above:
            self._below[above] = self._below.get(above, 0) + by
            if not self._below[above]:
                del self._below[above]
            above = above.rpartition("/")[0]


_UNSEEN = Seen()


def put_answer(service: Service, created: bool) -> dict[str, Any]:
    """The reply to `PutService` and `ScaleService`."""
    return {"path": service.path, "version": service.version, "created": created, "instances": service.wanted}


def kill_answer(service: Service, ids: list[int]) -> dict[str, Any]:
    """The reply to `KillInstances`."""
    return {"path": service.path, "ids": ids, "instances": service.wanted}
