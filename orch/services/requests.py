"""What users ask of `services`: put, scale and delete a service, stop some of its instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orch.machine.commands import Reply
from orch.model import facts_services as facts
from orch.model.errors import ConflictError, NotFoundError, OrchError, SpecError, TooManyError, UnavailableError
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.requests import (
    DeleteService,
    KillInstances,
    PutService,
    ResetDelay,
    RestartService,
    ScaleService,
    TellStory,
)
from orch.model.resources import R
from orch.model.specs.limits import COLUMN
from orch.model.specs.template import Template
from orch.services.registry import kill_answer, put_answer
from orch.services.service import Service

if TYPE_CHECKING:
    from orch.services.machine import Services

Request = PutService | ScaleService | DeleteService | KillInstances | RestartService | ResetDelay

REPLACED = Reason.REPLACED

SERVICES_MOST = 10_000
INSTANCES_MOST = 100_000
"""Wanted instances of all services together: each is an object. Larger numbers of equal pods are a job's business."""


def put(machine: Services, now_ms: int, event: PutService) -> None:
    """A new service, or another spec for one that is there."""
    if machine.answered_before(event):
        return
    error, template = _read(machine, event)
    if error is None and template is not None:
        error = _placing_conflict(machine, event, template)
    if error is not None or template is None:
        assert error is not None
        machine.refuse(now_ms, event, error)
        return
    service = machine.registry.services.get(template.path)
    fact = _put_fact(machine, now_ms, event, template.path, service)
    machine.emit(fact)
    now = machine.registry.services[template.path]
    machine.story_book.note(
        now_ms, "put", template.path, user=event.user, version=fact.version, instances=event.instances
    )
    machine.do(Reply(event.request, put_answer(now, service is None)))
    machine.launcher.refresh()
    machine.settle(now_ms, [template.path])


def scale(machine: Services, now_ms: int, event: ScaleService) -> None:
    """Another number of instances."""
    service = _ready_for(machine, now_ms, event)
    if service is None:
        return
    error = _size_problem(machine, event.path, event.instances)
    if error is not None:
        machine.refuse(now_ms, event, error)
        return
    machine.emit(facts.ServiceScaled(now_ms, event.path, event.user, event.key, event.instances))
    machine.story_book.note(now_ms, "scaled", event.path, user=event.user, instances=event.instances)
    machine.do(Reply(event.request, put_answer(service, False)))
    machine.settle(now_ms, [event.path])


def delete(machine: Services, now_ms: int, event: DeleteService) -> None:
    """The service goes once its instances are gone. A second time does nothing more."""
    if machine.answered_before(event):
        return
    service = machine.registry.services.get(event.path)
    if service is None:
        machine.refuse(now_ms, event, _no_service(event.path))
        return
    if service.deleting:
        machine.nothing_to_do(now_ms, event, {"path": event.path})
        return
    machine.emit(facts.ServiceDeleting(now_ms, event.path, event.user, event.key))
    machine.story_book.note(now_ms, "deleting", event.path, user=event.user)
    machine.do(Reply(event.request, {"path": event.path}))
    machine.settle(now_ms, [event.path])


def kill(machine: Services, now_ms: int, event: KillInstances) -> None:
    """Stop instances; others take their place, unless the service gets smaller by them."""
    service = _ready_for(machine, now_ms, event)
    if service is None:
        return
    ids = list(dict.fromkeys(event.ids.tolist()))
    unknown = [number for number in ids if number not in service.instances]
    if unknown:
        machine.refuse(
            now_ms,
            event,
            NotFoundError(f"{event.path} has no live instance {unknown[0]}: it has ended, or is of another service"),
        )
        return
    stops = [service.instances[number] for number in ids if not service.instances[number].stop]
    wanted = max(service.wanted - len(stops), 0) if event.scale else service.wanted
    machine.emit(
        facts.InstancesKilled(now_ms, event.path, event.user, event.key, np.array(ids, dtype=np.int64), wanted)
    )
    machine.story_book.note(now_ms, "killed", event.path, user=event.user, instances=len(stops), wanted=wanted)
    machine.stop(now_ms, [(instance, Reason.STOPPED_BY_USER) for instance in stops])
    machine.do(Reply(event.request, kill_answer(service, ids)))
    machine.settle(now_ms, [event.path])


def restart(machine: Services, now_ms: int, event: RestartService) -> None:
    """The spec as it is, as a new version: instances of the older one give way as in any change."""
    service = _ready_for(machine, now_ms, event)
    if service is None:
        return
    spec = service.spec
    fact = facts.ServicePut(
        at_ms=now_ms,
        path=event.path,
        user=event.user,
        key=event.key,
        version=max(now_ms, service.version + 1),
        template_number=machine.registry.next_template,
        template=spec.wire,
        body=spec.body,
        instances=service.wanted,
    )
    machine.emit(fact)
    machine.story_book.note(now_ms, "restarted", event.path, user=event.user, version=fact.version)
    machine.do(Reply(event.request, put_answer(service, False)))
    machine.launcher.refresh()
    machine.settle(now_ms, [event.path])


def reset_delay(machine: Services, now_ms: int, event: ResetDelay) -> None:
    """What is missing may start at once; the next failure is the first of a row again."""
    service = _ready_for(machine, now_ms, event)
    if service is None:
        return
    if service.delay.failures:
        machine.emit(facts.ServiceDelayed(now_ms, event.path, 0, 0, 0, 0, 0, NO_EXIT_CODE, Reason.NONE))
        machine.story_book.note(now_ms, "delay reset", event.path, user=event.user)
    machine.nothing_to_do(now_ms, event, {"path": event.path})
    machine.settle(now_ms, [event.path])


def tell_story(machine: Services, now_ms: int, event: TellStory) -> None:
    """What happened to an instance (by id) or a service (by path)."""
    machine.do(Reply(event.request, {"notes": machine.story(event.thing)}))


def _ready_for(
    machine: Services, now_ms: int, event: ScaleService | KillInstances | RestartService | ResetDelay
) -> Service | None:
    """The service of a request that changes one; None where the request has been answered already."""
    if machine.answered_before(event):
        return None
    service = machine.registry.services.get(event.path)
    if service is None:
        machine.refuse(now_ms, event, _no_service(event.path))
    elif service.deleting:
        machine.refuse(now_ms, event, _goes(event.path))
    else:
        return service
    return None


def _read(machine: Services, event: PutService) -> tuple[OrchError | None, Template | None]:
    if not machine.number:
        return UnavailableError("services has not reached the master yet; try again in a moment"), None
    try:
        template = machine.registry.read(event.template)
    except (ValueError, TypeError, AttributeError) as error:
        return SpecError(f"the template of the service can't be read: {error}"), None
    request = template.request
    if len(request) != R or not all(isinstance(amount, int) and 0 <= amount <= COLUMN for amount in request):
        sentence = f"one instance asks for {list(request)}; it must be {R} numbers from 0 to {COLUMN}"
        return SpecError(f"{template.path}: {sentence}", details=[{"path": "/", "errors": [sentence]}]), None
    return _size_problem(machine, template.path, event.instances), template


def _size_problem(machine: Services, path: str, instances: int) -> OrchError | None:
    if instances < 0:
        sentence = f"is {instances}; it must be 0 or more"
        return SpecError(f"{path}: instances {sentence}", details=[{"path": "/instances", "errors": [sentence]}])
    others = sum(service.wanted for service in machine.registry.services.values() if service.path != path)
    if others + instances > INSTANCES_MOST:
        return TooManyError(
            f"{path}: {instances} instances asked for; services have {others} others, and {INSTANCES_MOST} together at "
            "most. Ask for fewer, or submit a job"
        )
    return None


def _placing_conflict(machine: Services, event: PutService, template: Template) -> OrchError | None:
    services = machine.registry.services
    service = services.get(template.path)
    if service is not None and service.deleting:
        return _goes(template.path)
    if service is not None and not event.replace:
        return ConflictError(
            f"{template.path} exists; change it instead (`orch run --replace`, or PUT), or stop it first "
            f"(`orch stop {template.path}`)"
        )
    relative = machine.registry.relative(template.path)
    if relative is not None:
        return ConflictError(
            f"{template.path} can't be a service, because {relative} is one: a path is a service or a group. "
            "Choose another path"
        )
    if service is None and len(services) >= SERVICES_MOST:
        return TooManyError(f"there are {len(services)} services, and no more are taken. Delete some")
    return None


def _put_fact(
    machine: Services, now_ms: int, event: PutService, path: str, service: Service | None
) -> facts.ServicePut:
    """A spec that differs in the number of instances only is no new version: nothing has to be started anew."""
    if service is not None and _same(service.spec.wire, event.template):
        version, number = service.version, service.spec.number
    else:
        version = now_ms if service is None else max(now_ms, service.version + 1)
        number = machine.registry.next_template
    return facts.ServicePut(
        at_ms=now_ms,
        path=path,
        user=event.user,
        key=event.key,
        version=version,
        template_number=number,
        template=event.template,
        body=event.body,
        instances=event.instances,
    )


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {**one, "instances": 0} == {**other, "instances": 0}


def _no_service(path: str) -> OrchError:
    return NotFoundError(f"there is no service {path}")


def _goes(path: str) -> OrchError:
    return ConflictError(f"{path} is being deleted; wait until its instances have stopped")
