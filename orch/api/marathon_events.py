"""From facts of services to Marathon's events: the types and fields that its event bus has.

Computed while somebody listens in this form. That an instance runs is told once its ports are known, which its agent
shows a moment later. The order of facts is the order of events. `before` looks at what the
record changes, because an instance that ends may be forgotten by the same record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orch.api import marathon, reads
from orch.machine.host import Host, Record
from orch.model import facts_services as facts
from orch.model.ids import parent_group
from orch.model.reasons import Reason
from orch.model.states import FIRST_TERMINAL, State
from orch.model.times import timestamp

Told = tuple[str, dict[str, Any]]
"""(type, data) of an event, without eventType and timestamp."""

_CONDITIONS = {"SCHEDULED": "Scheduled", "LOST": "Unknown"}


@dataclass(slots=True)
class Before:
    """What instances (by number) and services (by path) were before a record: rows of `reads`, kinds, app specs."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    checks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held: dict[int, str] = field(default_factory=dict)
    """Instances that run, and whose ports are not known yet: number -> message. Goes on from record to record."""


def before(record: Record, host: Host, held: dict[int, str]) -> Before:
    """To be asked before the record is applied. held: of the records before."""
    found = Before(held=held)
    for _, fact in record.facts:
        numbers: list[int] = []
        if isinstance(fact, facts.InstancesUpdated):
            numbers = fact.ids.tolist()
        elif isinstance(fact, facts.InstancesSeen):
            numbers = list(fact.details)
        elif isinstance(fact, facts.ServicePut | facts.ServiceForgotten):
            found.kinds[fact.path] = _kind(host, fact.path)
            found.checks[fact.path] = _checks(host, fact.path)
        for number in numbers:
            row = reads.service_instance(host, number)
            if row is not None:
                found.rows[number] = row
                found.kinds[row["path"]] = _kind(host, row["path"])
    return found


def events_of(record: Record, host: Host, seen: Before) -> list[Told]:
    """The events of a record that `host` has just applied. seen: `before` it."""
    found: list[Told] = []
    for _, fact in record.facts:
        tell = _TELL.get(type(fact))
        if tell is not None:
            found.extend(tell(fact, host, seen))
    return found


def _put(fact: facts.ServicePut, host: Host, seen: Before) -> Iterator[Told]:
    yield _group_changed(fact.path, fact.version)
    old, new = seen.checks[fact.path], _checks(host, fact.path)
    for check in old:
        if check not in new:
            yield "remove_health_check_event", {"appId": fact.path, "healthCheck": check}
    version = timestamp(fact.version)
    for check in new:
        if check not in old:
            yield "add_health_check_event", {"appId": fact.path, "version": version, "healthCheck": check}


def _changed(fact: facts.ServiceScaled | facts.ServiceDeleting, host: Host, seen: Before) -> Iterator[Told]:
    yield _group_changed(fact.path, fact.at_ms)


def _group_changed(path: str, version_ms: int) -> Told:
    return "group_change_success", {"groupId": parent_group(path), "version": timestamp(version_ms)}


def _gone(fact: facts.ServiceForgotten, host: Host, seen: Before) -> Iterator[Told]:
    if seen.kinds[fact.path] == "app":
        for check in seen.checks[fact.path]:
            yield "remove_health_check_event", {"appId": fact.path, "healthCheck": check}
        yield "app_terminated_event", {"appId": fact.path}


def _launched(fact: facts.InstancesLaunched, host: Host, seen: Before) -> Iterator[Told]:
    for number in fact.ids.tolist():
        row = reads.service_instance(host, number)
        if row is not None:
            yield from _state(row, State.STAGING.name, "")


def _updated(fact: facts.InstancesUpdated, host: Host, seen: Before) -> Iterator[Told]:
    for number, state, reason in zip(fact.ids.tolist(), fact.states.tolist(), fact.reasons.tolist(), strict=True):
        now = reads.service_instance(host, number) or seen.rows.get(number)
        if now is None:
            continue
        if state >= FIRST_TERMINAL and reason == Reason.HEALTH_CHECK:
            killed = {**_of(now), "appId": now["path"], "taskId": now["name"], "reason": now["note"] or ""}
            del killed["runSpecId"], killed["runSpecVersion"], killed["agentId"]
            yield "unhealthy_instance_kill_event", {**killed, "version": _version(now), "slaveId": now["agent"]}
        message = reads.note_of(State(state).name, Reason(reason).name, None) or ""
        earlier = seen.held.pop(number, None)
        if earlier is not None:
            yield from _state(now, State.RUNNING.name, earlier)
        if state == State.RUNNING and not now["endpoints"] and reads.service_ports(host, now["path"]):
            seen.held[number] = message
            continue
        yield from _state(now, State(state).name, message)


def _inactive(fact: facts.InstancesInactive, host: Host, seen: Before) -> Iterator[Told]:
    for number in fact.ids.tolist():
        row = reads.service_instance(host, number)
        if row is not None:
            yield "instance_changed_event", {**_of(row), "condition": "UnreachableInactive"}


def _seen(fact: facts.InstancesSeen, host: Host, seen: Before) -> Iterator[Told]:
    for number in fact.starting.tolist():
        row = reads.service_instance(host, number)
        if row is not None and row["state"] == State.STARTING.name:
            yield from _state(row, row["state"], "")
    for number in fact.details:
        row, old = reads.service_instance(host, number), seen.rows.get(number, {})
        if row is not None and number in seen.held:
            yield from _state(row, State.RUNNING.name, seen.held.pop(number))
        if row is not None and row["healthy"] is not None and row["healthy"] != old.get("healthy"):
            yield from _health(row, _kind(host, row["path"]), _checks(host, row["path"]))


def _health(row: dict[str, Any], kind: str, checks: list[dict[str, Any]]) -> Iterator[Told]:
    if kind == "app":
        names = {"appId": row["path"], "taskId": row["name"], "instanceId": row["name"]}
        if not row["healthy"] and checks:
            yield "failed_health_check_event", {**names, "healthCheck": checks[0]}
        yield "health_status_changed_event", {**names, "version": _version(row), "alive": row["healthy"]}
    about = {"instanceId": row["name"], "runSpecId": row["path"], "runSpecVersion": _version(row)}
    yield "instance_health_changed_event", {**about, "healthy": row["healthy"]}


def _state(row: dict[str, Any], state: str, message: str) -> Iterator[Told]:
    """A state of an instance: of its task, and of itself."""
    task = marathon.task(row)
    yield (
        "status_update_event",
        {
            "slaveId": row["agent"],
            "taskId": row["name"],
            "taskStatus": marathon.task_state(state),
            "message": message,
            "appId": row["path"],
            "host": row["host"],
            "ipAddresses": task["ipAddresses"],
            "ports": task["ports"],
            "version": task["version"],
        },
    )
    yield "instance_changed_event", {**_of(row), "condition": _CONDITIONS.get(state, state.capitalize())}


def _of(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "instanceId": row["name"],
        "runSpecId": row["path"],
        "agentId": row["agent"],
        "host": row["host"],
        "runSpecVersion": _version(row),
    }


def _version(row: dict[str, Any]) -> str:
    return timestamp(row["version"])


def _kind(host: Host, path: str) -> str:
    found = reads.services_of(host).registry.services.get(path)
    return "" if found is None else found.spec.template.kind


def _checks(host: Host, path: str) -> list[dict[str, Any]]:
    spec = reads.spec(host, path, "app")
    return [] if spec is None else list(spec.get("healthChecks", ()))


_TELL: dict[type, Callable[..., Iterator[Told]]] = {
    facts.ServicePut: _put,
    facts.ServiceScaled: _changed,
    facts.ServiceDeleting: _changed,
    facts.ServiceForgotten: _gone,
    facts.InstancesLaunched: _launched,
    facts.InstancesUpdated: _updated,
    facts.InstancesInactive: _inactive,
    facts.InstancesSeen: _seen,
}
