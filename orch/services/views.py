"""What people and programs read of services: pure questions to the machine, or to a follower's copy of it.

Times are ms since 1970. Agents are rows of the master's table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orch.model.ids import instance_name, parent_group
from orch.model.reasons import NO_EXIT_CODE, SENTENCES, Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.model.words import needs_sentence
from orch.placement.attributes import Agents
from orch.placement.constraints import Limits
from orch.services import constraints, host_ports, planner
from orch.services.machine import Services
from orch.services.service import Instance, Service


def services(machine: Services) -> list[dict[str, Any]]:
    """Summaries of all services, by path."""
    found = machine.registry.services
    return [_summary(machine, found[path]) for path in sorted(found)]


def service(machine: Services, path: str) -> dict[str, Any] | None:
    """A summary with the spec (`body`) as it was sent, the versions in use and the last ends; None if there is none."""
    found = machine.registry.services.get(path)
    if found is None:
        return None
    versions: dict[int, int] = {}
    for instance in found.instances.values():
        versions[instance.version] = versions.get(instance.version, 0) + 1
    return {
        **_summary(machine, found),
        "body": found.spec.body,
        "versions": [{"version": version, "instances": versions[version]} for version in sorted(versions)],
        "ended": ended(machine, path),
    }


def template(machine: Services, path: str) -> dict[str, Any] | None:
    """The wire form of a service's newest template."""
    found = machine.registry.services.get(path)
    return None if found is None else found.spec.wire


def instances(machine: Services, path: str) -> list[dict[str, Any]]:
    """The instances that have not ended, the oldest first. Empty where there is no such service."""
    found = machine.registry.services.get(path)
    if found is None:
        return []
    return [_instance(machine, found, found.instances[number]) for number in sorted(found.instances)]


def instance(machine: Services, instance_id: int) -> dict[str, Any] | None:
    """One instance by id, also one of the last that ended."""
    live = machine.registry.instances.get(instance_id)
    if live is not None:
        return _instance(machine, machine.registry.services[live.path], live)
    for found in machine.registry.services.values():
        for one in found.ended:
            if one["id"] == instance_id:
                return _ended(found, one)
    return None


def ended(machine: Services, path: str) -> list[dict[str, Any]]:
    """The last instances that ended, the newest first."""
    found = machine.registry.services.get(path)
    return [] if found is None else [_ended(found, one) for one in reversed(found.ended)]


def waiting(machine: Services, path: str, now_ms: int | None = None) -> dict[str, Any] | None:
    """What is missing of a service, and why; None where nothing is, or there is no such service.

    `{path, count, kind, sentence, group, request, priority, gang, needs, until_ms, failures, after}`. kind: "needs" (no
    agent can do what it asks for), "backoff" (until `until_ms`, because of `after`: the last end), "change" (instances
    of the older version go first), or "placement" (there was no room: ask `placement.explain` with `allowed`).
    request: a list by resource column. Without `now_ms` a delay counts as not over.
    """
    found = machine.registry.services.get(path)
    if found is None or found.deleting:
        return None
    newest = sum(1 for one in found.instances.values() if one.counts and one.version == found.version)
    count = found.wanted - newest
    if count <= 0:
        return None
    template = found.spec.template
    kind, sentence = _hindrance(found, now_ms)
    return {
        "path": path,
        "count": count,
        "kind": kind,
        "sentence": sentence,
        "group": parent_group(path),
        "request": list(template.request),
        "priority": template.priority,
        "gang": 1,
        "needs": list(template.needs),
        "until_ms": found.delay.until_ms if kind == "backoff" else None,
        "failures": found.delay.failures,
        "after": _after(found),
    }


def limits(machine: Services, path: str, attributes: Sequence[dict[str, str]], names: Sequence[str]) -> Limits:
    """(rules, uint8[1, N]) of the service's constraints, for `placement.explain` of one more instance: its shape is 0.

    None and None where there is no such service.
    """
    found = machine.registry.services.get(path)
    if found is None:
        return None, None
    return constraints.limits(machine.registry, [found], Agents(attributes, names))


def port_sentence(path: str, template: Template, attributes: Sequence[dict[str, str]], names: Sequence[str]) -> str:
    """Why no agent can ever give a spec the host ports that it asks for by number; "" where that is not so."""
    known = Agents(attributes, names)
    ports, ranges = host_ports.out_of_range(template, known)
    if not ports:
        return ""
    asked = f"host port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"
    given = ", ".join(f"{first}-{last}" for first, last in ranges)
    return f"{path} asks for {asked}, and agents give out {given} only: take a port of these, or 0 for any that is free"


def _hindrance(service: Service, now_ms: int | None) -> tuple[str, str]:
    template, delay = service.spec.template, service.delay
    if template.needs:
        return "needs", needs_sentence(service.path, template.needs)
    if delay.until_ms and (now_ms is None or delay.until_ms > now_ms):
        return "backoff", _delay_sentence(service)
    if planner.missing(service, 0) == 0:
        return "change", f"{service.path}: instances that are there go first, so that there are not too many at once"
    return "placement", ""


def _delay_sentence(service: Service) -> str:
    delay = service.delay
    last = _after(service)
    assert last is not None
    code = "" if last["exit_code"] is None else f" with exit code {last['exit_code']}"
    if last["exit_code"] is not None and last["exit_code"] < 0:
        code = f" by signal {-last['exit_code']}"
    why = f": {last['sentence']}" if last["sentence"] else ""
    return (
        f"{service.path}: {last['name']} ended {last['state']}{code}{why}; "
        f"the next launch waits {delay.delay_ms / 1000:g} s (ends in a row: {delay.failures})"
    )


def _after(service: Service) -> dict[str, Any] | None:
    delay = service.delay
    if not delay.failures:
        return None
    names = [_name(service, one["number"]) for one in service.ended if one["id"] == delay.instance]
    return {
        "instance": delay.instance,
        "name": names[0] if names else str(delay.instance),
        "state": State(delay.state).name,
        "exit_code": _code(delay.exit_code),
        "reason": Reason(delay.reason).name,
        "sentence": SENTENCES[Reason(delay.reason)],
        "at_ms": delay.at_ms,
    }


def _summary(machine: Services, service: Service) -> dict[str, Any]:
    registry = machine.registry
    states: dict[str, int] = {}
    newest_ready = running = healthy = unhealthy = staged = counted = 0
    for one in service.instances.values():
        name = State(registry.state_of(one)).name
        states[name] = states.get(name, 0) + 1
        running += one.state == State.RUNNING
        staged += one.state in (State.STAGING, State.STARTING)
        healthy += one.state == State.RUNNING and registry.seen_of(one).healthy is True
        unhealthy += one.state == State.RUNNING and registry.seen_of(one).healthy is False
        counted += one.counts and one.version == service.version
        newest_ready += one.counts and one.version == service.version and registry.ready(service, one)
    missing = 0 if service.deleting else max(service.wanted - counted, 0)
    if missing:
        states["SCHEDULED"] = missing
    return {
        "id": service.path,
        "path": service.path,
        "kind": service.spec.template.kind,
        "user": service.user,
        "version": service.version,
        "created_ms": service.created_ms,
        "changed_ms": service.changed_ms,
        "instances": service.wanted,
        "states": states,
        "running": running,
        "staged": staged,
        "healthy": healthy,
        "unhealthy": unhealthy,
        "ready": newest_ready,
        "settled": not service.deleting and newest_ready == service.wanted == len(service.instances),
        "changing": any(one.version != service.version for one in service.instances.values()),
        "deleting": service.deleting,
        "waiting": waiting(machine, service.path),
    }


def _instance(machine: Services, service: Service, instance: Instance) -> dict[str, Any]:
    details = machine.registry.seen_of(instance).details
    state = machine.registry.state_of(instance)
    return {
        "id": instance.id,
        "name": _name(service, instance.number),
        "path": service.path,
        "number": instance.number,
        "version": instance.version,
        "state": State(state).name,
        "goal": "STOPPED" if instance.stop else "RUNNING",
        "stop": Reason(instance.stop).name if instance.stop else None,
        "attempt": 1,
        "agent": instance.agent,
        "launched_ms": instance.launched_ms,
        "started_ms": instance.started_ms or None,
        "ended_ms": None,
        "changed_ms": instance.changed_ms,
        "healthy": details.get("healthy"),
        "ready": machine.registry.ready(service, instance),
        "endpoints": details.get("endpoints", []),
        "containers": _containers(details),
        "message": details.get("message", ""),
        "exit_code": _code(instance.exit_code),
        "reason": Reason(instance.reason).name,
    }


def _ended(service: Service, one: dict[str, Any]) -> dict[str, Any]:
    details = one["details"]
    return {
        "id": one["id"],
        "name": _name(service, one["number"]),
        "path": service.path,
        "number": one["number"],
        "version": one["version"],
        "state": State(one["state"]).name,
        "goal": "STOPPED" if one["stop"] else "RUNNING",
        "stop": Reason(one["stop"]).name if one["stop"] else None,
        "attempt": 1,
        "agent": one["agent"],
        "launched_ms": one["launched_ms"],
        "started_ms": one["started_ms"] or None,
        "ended_ms": one["ended_ms"],
        "changed_ms": one["ended_ms"],
        "healthy": None,
        "ready": False,
        "endpoints": details.get("endpoints", []),
        "containers": _containers(details),
        "message": details.get("message", ""),
        "exit_code": _code(one["exit_code"]),
        "reason": Reason(one["reason"]).name,
    }


def _containers(details: dict[str, Any]) -> list[dict[str, Any]]:
    """What the agent told of each, with null where it told that there is no exit code."""
    return [{**one, "exit_code": _code(one["exit_code"])} for one in details.get("containers", [])]


def _name(service: Service, number: int) -> str:
    return instance_name(service.path, number)


def _code(exit_code: int) -> int | None:
    return None if exit_code == NO_EXIT_CODE else exit_code
