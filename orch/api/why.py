"""Why something is not running: which agents are ruled out by what, how near the nearest comes, or what else it
waits for.

Always `{id, agents, feasible, ruled_out, nearest, never, sentence, waiting}`: each agent is counted once, in
`feasible` or in `ruled_out`. `waiting`: null (nothing of it waits), `agents`, `resources`, `turn`,
`backoff` (after a failure), `change` (older instances go first), `needs`, `launch` or `preemption` (it is placed, and
starts once those of lower priority that give way to it have ended: `waits_for`, their names), `hold` (what is free is
held for a gang). `held`: what is held for it, if it is a gang: `{pods, agents, since_ms, until_ms, ...}`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from orch import placement
from orch.api import reads
from orch.machine.host import Host
from orch.master import views as master_views
from orch.model.errors import UsageError
from orch.model.specs.template import Template
from orch.model.states import State
from orch.model.words import needs_sentence
from orch.placement.constraints import Limits
from orch.services import host_ports

TOLD_FAILURES = 3
"""Pods that ended badly and are told one by one."""
_ON_THE_WAY = (State.STAGING.name, State.STARTING.name)


def of_template(host: Host, template: Template) -> dict[str, Any]:
    """For a spec that is not submitted yet: whether it would fit now."""
    limits = reads.template_limits(host, template)
    found = _explained(host, template.path, list(template.request), max(template.gang, 1), limits)
    if template.needs:
        return _needs(found, needs_sentence(template.path, template.needs))
    return _with_ports(host, template, found)


def fits(found: dict[str, Any], gang: int) -> bool:
    """Whether one pod, or one whole gang, would be placed now."""
    return bool(found["feasible"]) and (gang <= 1 or found["room"] >= gang)


def of_thing(host: Host, identity: str) -> dict[str, Any]:
    """For a service, a job or an instance by its id. Raises NotFoundError, UsageError."""
    thing = reads.find(host, identity)
    if thing["kind"] == "service":
        return _of_service(host, thing)
    if thing["kind"] == "job":
        return _of_job(host, thing)
    if thing["kind"] == "instance":
        return _of_instance(host, thing)
    raise UsageError(f"{identity} is an agent; why is asked of services, jobs and instances.")


def _of_job(host: Host, job: dict[str, Any], identity: Any = None) -> dict[str, Any]:
    identity = job["id"] if identity is None else identity
    shapes = reads.job_waiting(host, job["job"])
    limits = reads.job_limits(host, job["job"])
    if not shapes:
        found = _explained(host, identity, job["request"], max(job["gang"], 1), limits)
        sentence = _nothing_waits(f"job {job['job']}", job) + _failures(host, job["job"])
        return {**found, "waiting": None, "sentence": sentence}
    shape = shapes[0]
    found = _explained(host, identity, shape["request"], shape["gang"], limits, own=_hold_of(host, shape))
    found["count"] = sum(one["count"] for one in shapes)
    if shape["sentence"]:
        return _needs(found, shape["sentence"])
    return found


def _hold_of(host: Host, shape: dict[str, Any]) -> dict[str, Any] | None:
    """What is held for gangs of this shape."""
    for hold in reads.master_of(host).holds.seen.holds:
        if all(hold[name] == shape[name] for name in ("group", "gang", "request", "priority")):
            return hold
    return None


def _of_service(host: Host, service: dict[str, Any], identity: Any = None) -> dict[str, Any]:
    identity = service["id"] if identity is None else identity
    waiting = reads.service_waiting(host, service["id"])
    template = reads.service_template(host, service["id"])
    limits = reads.service_limits(host, service["id"])
    found = _explained(host, identity, list(template.request), 1, limits)
    if waiting is None:
        return {**found, "waiting": None, "sentence": _service_sentence(service)}
    found["count"] = waiting["count"]
    if waiting["kind"] == "needs":
        return _needs(found, waiting["sentence"])
    if waiting["kind"] == "backoff":
        left_s = max(0.0, waiting["until_ms"] / 1000 - time.time())
        sentence = f"{waiting['sentence']}; {left_s:.1f} s are left"
        return {**found, "waiting": "backoff", "until_ms": waiting["until_ms"], "sentence": sentence}
    if waiting["kind"] == "change":
        return {**found, "waiting": "change", "sentence": waiting["sentence"]}
    return _with_ports(host, template, found)


def _of_instance(host: Host, row: dict[str, Any]) -> dict[str, Any]:
    if row.get("job") is not None:
        job = reads.job(host, row["job"])
        assert job is not None
        if row["state"] == State.SCHEDULED.name and not job["stopped"]:
            found = _of_job(host, job, row["name"])
            last = f"; its last attempt ended: {row['note']}" if row["note"] else ""
            return {**found, "sentence": found["sentence"] + last}
        limits = reads.job_limits(host, row["job"])
        found = _explained(host, row["name"], job["request"], max(job["gang"], 1), limits)
    else:
        request = list(reads.service_template(host, row["path"]).request) if reads.service(host, row["path"]) else None
        found = _explained(host, row["name"], request, 1)
    waiting = "launch" if row["state"] in _ON_THE_WAY else None
    return {**found, "waiting": waiting, "sentence": _instance_sentence(row), **_preemption(host, row)}


def _preemption(host: Host, row: dict[str, Any]) -> dict[str, Any]:
    """What an instance waits for that took the place of others, or who takes its own place; mostly nothing."""
    known = master_views.instance(reads.master_of(host), row["number"]) or {}
    if "waits_for" in known and not known["waits_for"]:
        sentence = f"{row['name']} is placed on {row['agent']}, and starts once others that stop there have ended"
        return {"waiting": "preemption", "waits_for": [], "sentence": sentence}
    if "waits_for" in known:
        names = [reads.instance_name_of(host, number) for number in known["waits_for"]]
        shown = ", ".join(names[:TOLD_FAILURES]) + (", ..." if len(names) > TOLD_FAILURES else "")
        pods = "1 pod of a lower priority has" if len(names) == 1 else f"{len(names)} pods of lower priority have"
        sentence = f"{row['name']} is placed on {row['agent']}, and starts once {pods} ended to make room: {shown}"
        return {"waiting": "preemption", "waits_for": names, "sentence": sentence}
    if "gives_way_to" in known:
        taker = reads.instance_name_of(host, known["gives_way_to"])
        words = f"{row['name']} is {row['state']} on {row['agent']}: {taker}, of a higher priority, takes its place"
        return {"gives_way_to": taker, "sentence": words}
    return {}


def _explained(
    host: Host,
    identity: Any,
    request: list[int] | None,
    gang: int,
    limits: Limits = (None, None),
    own: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """own: what is held for it; where nothing is, what is held for others is not for it."""
    seen = reads.master_of(host).holds.seen
    held = None if own or not len(seen.agents) else (seen.agents, seen.amounts)
    columns = _columns(host)
    asked = np.array(request if request is not None else [0] * columns.total.shape[1], dtype=np.int32)
    rules, allowed = limits
    mask = None if allowed is None else allowed[0]
    why = placement.explain(asked, columns.free, columns.total, columns.usable, mask, gang, rules, held)
    found = why.to_dict(columns.names, id=identity)
    found["gang"], found["room"] = why.gang, why.room if gang > 1 else why.feasible
    if why.agents == 0:
        return {**found, "waiting": "agents"}
    if found["feasible"] and (gang <= 1 or why.room >= gang):
        sentence = f"{found['sentence']}; its turn comes with the next offers"
        return {**found, "waiting": "turn", "sentence": sentence}
    if own:
        return {**found, "waiting": "resources", "held": own, "sentence": f"{found['sentence']}; {_held_words(own)}"}
    if held is not None and any(out["predicate"] == "reserved" for out in found["ruled_out"]):
        words = " and ".join(f"a gang of {one['gang']} in {one['group']}" for one in seen.holds[:TOLD_FAILURES])
        since_s = max(0.0, time.time() - seen.holds[0]["since_ms"] / 1000)
        sentence = f"{found['sentence']}; what is reserved is held for {words}, since {since_s:.0f} s"
        return {**found, "waiting": "hold", "sentence": sentence}
    return {**found, "waiting": "resources"}


def _held_words(own: dict[str, Any]) -> str:
    since_s = max(0.0, time.time() - own["since_ms"] / 1000)
    where = "1 agent" if own["agents"] == 1 else f"{own['agents']} agents"
    return f"room for {own['pods']} of its {own['gang']} pods is held for it on {where}, since {since_s:.0f} s"


def _with_ports(host: Host, template: Template, found: dict[str, Any]) -> dict[str, Any]:
    """Say it where it is the host ports asked for by number that rule agents out."""
    ports = host_ports.of(template)
    if not ports or found["feasible"] or not found["agents"]:
        return found
    never = reads.port_sentence(host, template)
    if never:
        return _needs(found, never)
    if not any(out["predicate"].startswith("constraint") for out in found["ruled_out"]):
        return found
    asked = ", ".join(map(str, ports))
    hint = f"an agent must also give out host port {asked}, and have it free"
    return {**found, "sentence": f"{found['sentence']}; {hint}"}


def _columns(host: Host) -> master_views.AgentColumns:
    return master_views.columns(reads.master_of(host))


def _needs(found: dict[str, Any], sentence: str) -> dict[str, Any]:
    """What no agent can do rules all of them out."""
    ruled_out = [{"predicate": "needs", "agents": found["agents"]}] if found["agents"] else []
    never = found["agents"] > 0
    return {
        **found, "feasible": 0, "room": 0, "ruled_out": ruled_out, "nearest": None, "never": never, "change": None,
        "waiting": "needs", "sentence": sentence,
    }  # fmt: skip


def _nothing_waits(what: str, thing: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {state.lower()}" for state, count in thing["states"].items() if count)
    return f"nothing of {what} waits: {counts or 'it has no instances'}"


def _failures(host: Host, number: int) -> str:
    """The first pods of a job that did not end well, and how they did; "" where there are none."""
    failed, total = reads.job_failures(host, number, TOLD_FAILURES)
    told = [f"pod {pod['index']} {pod['state'].lower()}: {pod['note'] or 'no reason is known'}" for pod in failed]
    more = f"; and {total - len(told)} more" if total > len(told) else ""
    return "".join(f"; {one}" for one in told) + more


def _service_sentence(service: dict[str, Any]) -> str:
    if service["deleting"]:
        return f"service {service['id']} is being stopped: {service['running']} of its instances still run"
    unready = service["instances"] - service["ready"]
    if unready > 0:
        note = f" ({service['note']})" if service["note"] else ""
        return (
            f"all instances of {service['id']} are placed; {unready} of {service['instances']} are not ready yet{note}"
        )
    return _nothing_waits(f"service {service['id']}", service)


def _instance_sentence(row: dict[str, Any]) -> str:
    where = f" on {row['agent']}" if row["agent"] else ""
    state = row["state"]
    if state == State.RUNNING.name and row.get("healthy") is False:
        return f"{row['name']} runs{where}, and its health checks fail"
    if state in _ON_THE_WAY:
        return f"{row['name']} is placed{where}, and is being started"
    words = f"{row['name']} is {state}{where}"
    return f"{words}: {row['note']}" if row["note"] else words
