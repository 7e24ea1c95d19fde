"""Everything that the API reads, from the replica, in the API's shapes. The only file that knows the rooms' views.

`host` is a replica: a `Host` with the machines `master`, `services` and `batch`. An instance's `id` is its name, as
people and programs use it; its int64 is `number`.
"""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from orch.batch import views as batch_views
from orch.batch.machine import Batch
from orch.machine.host import Host
from orch.master import views as master_views
from orch.master.master import Master
from orch.model.errors import NotFoundError, UsageError
from orch.model.ids import FRAMEWORK_SHIFT, framework_of, parse_instance_name
from orch.model.reasons import NO_EXIT_CODE, SENTENCES, Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.placement.attributes import Agents
from orch.placement.constraints import Limits
from orch.services import constraints
from orch.services import views as service_views
from orch.services.machine import Services
from orch.services.service import Service, Spec

SERVICES, BATCH = 1, 2
"""Numbers of the built-in frameworks, in the ids of their instances."""
_NOT_STARTED = (State.SCHEDULED.name, State.STAGING.name, State.STARTING.name)
_MOST_INT64 = 2**63


def master_of(host: Host) -> Master:
    """The replica's master."""
    return cast(Master, host.machines["master"])


def services_of(host: Host) -> Services:
    """The replica's services."""
    return cast(Services, host.machines["services"])


def batch_of(host: Host) -> Batch:
    """The replica's batch."""
    return cast(Batch, host.machines["batch"])


# ---- agents ----------------------------------------------------------------------------------------------------


def agents(host: Host, offset: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """A page of agents by name, and the next one's offset."""
    master = master_of(host)
    return master_views.agents(master, offset, limit), _next(offset, limit, len(master.agents.by_name))


def agent(host: Host, name: str) -> dict[str, Any] | None:
    """One agent."""
    return master_views.agent(master_of(host), name)


def agent_name(host: Host, row: int) -> str:
    """The name of the agent at a row, "" if it is gone."""
    return master_views.agent_name(master_of(host), row)


def agent_instances(host: Host, name: str, offset: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """A page of what an agent runs."""
    ids, states = master_views.instances_on(master_of(host), name)
    ids = np.sort(ids[states < State.FINISHED], kind="stable")
    rows = [instance(host, number) for number in ids[offset : offset + limit].tolist()]
    return [row for row in rows if row is not None], _next(offset, limit, len(ids))


def agent_counts(host: Host) -> dict[str, int]:
    """Agents by state."""
    found: dict[str, int] = master_views.summary(master_of(host))["agents"]
    return found


def resource_sums(host: Host) -> dict[str, dict[str, float | int]]:
    """`{"total": {...}, "free": {...}}` in the users' units; free: of agents that are offered."""
    found = master_views.summary(master_of(host))
    return {"total": found["total"], "free": found["free"]}


def epoch(host: Host) -> int:
    """The number of the master's start."""
    return master_of(host).epoch


# ---- jobs ------------------------------------------------------------------------------------------------------


def jobs(host: Host, after: int, limit: int, path: str | None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of jobs with numbers above `after`, and the next page's `after`."""
    found = batch_views.jobs(batch_of(host), after, limit + 1, path)
    page = [_job(one) for one in found[:limit]]
    return page, int(page[-1]["job"]) if len(found) > limit and page else None


def job(host: Host, number: int, with_body: bool = False) -> dict[str, Any] | None:
    """A job's summary, with its spec if asked for."""
    found = batch_views.job(batch_of(host), number)
    if found is None:
        return None
    body = found.pop("body")
    shown = _job(found)
    return {**shown, "spec": body} if with_body else shown


def job_count(host: Host) -> int:
    """Jobs in the tables."""
    return batch_of(host).ledger.jobs.length


def job_columns(host: Host, number: int) -> dict[str, NDArray[Any]]:
    """`states uint8[n], exit_codes int16[n], reasons uint8[n], attempts, agents int32[n]` (agents: rows, -1 none)."""
    found = batch_views.outcome(batch_of(host), number)
    assert found is not None, f"there is no job {number}"
    return found


def job_instances(
    host: Host, number: int, offset: int, limit: int, state: str | None
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of a job's pods, and the next page's offset."""
    wanted = None if state is None else state_named(state)
    found = batch_views.instances(batch_of(host), number, offset, limit + 1, wanted)
    page = [_pod(host, one) for one in found[:limit]]
    return page, offset + limit if len(found) > limit else None


def job_failures(host: Host, number: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The first of a job's pods that ended and not well, and how many there are."""
    found, total = batch_views.failures(batch_of(host), number, limit)
    return [_pod(host, one) for one in found], total


def job_waiting(host: Host, number: int) -> list[dict[str, Any]]:
    """What waits of a job, by shape."""
    return batch_views.waiting(batch_of(host), number)


def job_limits(host: Host, number: int) -> Limits:
    """What a job asks of agents for one more pod, for `placement.explain`."""
    columns = master_views.columns(master_of(host))
    return batch_views.limits(batch_of(host), number, columns.attributes, columns.names)


def has_started(job: dict[str, Any]) -> bool:
    """Whether every pod of a job runs, or has."""
    return not any(job["states"].get(name) for name in _NOT_STARTED)


def state_named(text: str) -> int:
    """The number of a state. Raises UsageError."""
    try:
        return int(State[text.upper()])
    except KeyError:
        raise UsageError(f"{text!r} is no state of an instance; there are {', '.join(State.__members__)}.") from None


def _job(found: dict[str, Any]) -> dict[str, Any]:
    states = found["states"]
    wrong = sum(states.get(name, 0) for name in ("FAILED", "KILLED", "ERROR", "DROPPED", "GONE", "LOST"))
    notes = [f"{wrong} not ok"] if wrong else []
    if found["stopped"]:
        notes.insert(0, "stopped")
    return {
        "id": found["job"],
        "kind": "job",
        **found,
        "since_ms": found["finished_ms"] or found["submitted_ms"],
        "note": ", ".join(notes) or None,
    }


def _pod(host: Host, found: dict[str, Any]) -> dict[str, Any]:
    row = found["agent"]
    ledger = batch_of(host).ledger
    path = ledger.by_number[found["job"]].path
    submitted_ms = int(ledger.jobs["submitted_ms"][ledger.jobs.at(found["job"])])
    return {
        **_row(host, found, path, row),
        "job": found["job"],
        "index": found["index"],
        "since_ms": found["ended_ms"] or found["started_ms"] or submitted_ms,
    }


# ---- services --------------------------------------------------------------------------------------------------


def services(host: Host, after: str, limit: int, under: str) -> tuple[list[dict[str, Any]], str | None]:
    """A page of services with paths above `after`, in the group `under` and below; and the next page's `after`."""
    group = under.rstrip("/") + "/"
    found = [
        _service(one)
        for one in service_views.services(services_of(host))
        if one["id"] > after and (one["id"] + "/").startswith(group)
    ]
    page = found[:limit]
    return page, str(page[-1]["id"]) if len(found) > limit and page else None


def service(host: Host, path: str, with_spec: bool = False) -> dict[str, Any] | None:
    """A service's status; with its spec, the versions in use and its last ends if asked for."""
    found = service_views.service(services_of(host), path)
    if found is None:
        return None
    body, versions, ended = found.pop("body"), found.pop("versions"), found.pop("ended")
    shown = _service(found)
    if not with_spec:
        return shown
    return {**shown, "spec": body, "versions": versions, "ended": [_copy(host, one) for one in ended]}


def gone_service(path: str) -> dict[str, Any]:
    """The status of a service of which nothing is known any more."""
    nothing = dict.fromkeys(("version", "instances", "running", "staged", "healthy", "unhealthy", "ready"), 0)
    return {
        "id": path, "path": path, "kind": "service", **nothing, "states": {}, "since_ms": None, "note": "gone",
        "deleting": True, "settled": False, "changing": False, "waiting": None,
    }  # fmt: skip


def as_gone(last: dict[str, Any]) -> dict[str, Any]:
    """The last status, of a service that is no more."""
    return {**gone_service(last["id"]), "kind": last["kind"], "version": last["version"]}


def service_count(host: Host) -> int:
    """Services in the tables."""
    return len(services_of(host).registry.services)


def service_created_ms(host: Host, path: str) -> int | None:
    """When a service was first put."""
    found = services_of(host).registry.services.get(path)
    return None if found is None else found.created_ms


def service_instances(host: Host, path: str) -> list[dict[str, Any]]:
    """The instances of a service that have not ended, oldest first."""
    return [_copy(host, one) for one in service_views.instances(services_of(host), path)]


def service_ended(host: Host, path: str) -> list[dict[str, Any]]:
    """Its last instances that ended, newest first."""
    return [_copy(host, one) for one in service_views.ended(services_of(host), path)]


def service_instance(host: Host, number: int) -> dict[str, Any] | None:
    """One instance of a service, live or among the last that ended."""
    found = service_views.instance(services_of(host), number)
    return None if found is None else _copy(host, found)


def service_instance_name(host: Host, number: int) -> tuple[str, str]:
    """`(path, name)` of an instance, its number as text where it is forgotten."""
    found = service_views.instance(services_of(host), number)
    return ("", str(number)) if found is None else (found["path"], found["name"])


def specs(host: Host, kind: str) -> list[dict[str, Any]]:
    """The specs of all services of a kind (`pod` or `app`), by path."""
    found = services_of(host).registry.services
    return [found[path].spec.body for path in sorted(found) if found[path].spec.template.kind == kind]


def spec(host: Host, path: str, kind: str) -> dict[str, Any] | None:
    """The spec of the service at a path, if it is of this kind."""
    found = services_of(host).registry.services.get(path)
    if found is None or found.spec.template.kind != kind:
        return None
    return found.spec.body


def service_template(host: Host, path: str) -> Template:
    """The newest template of a service that is there."""
    return services_of(host).registry.services[path].spec.template


def service_ports(host: Host, path: str) -> list[int]:
    """The service port of each endpoint of a service that is there, in order."""
    template = service_template(host, path)
    return [endpoint.service_port for container in template.containers for endpoint in container.endpoints]


def service_waiting(host: Host, path: str) -> dict[str, Any] | None:
    """What is missing of a service, and what hinders it."""
    return service_views.waiting(services_of(host), path, int(time.time() * 1000))


def service_limits(host: Host, path: str) -> Limits:
    """What its constraints say of one more instance, for `placement.explain`."""
    columns = master_views.columns(master_of(host))
    return service_views.limits(services_of(host), path, columns.attributes, columns.names)


def port_sentence(host: Host, template: Template) -> str:
    """Why no agent can ever give a spec the host ports that it asks for by number; "" where that is not so."""
    master = master_of(host)
    rows = master.agents.present()
    attributes = [master.agents.attributes[row] for row in rows.tolist()]
    return service_views.port_sentence(template.path, template, attributes, [""] * len(attributes))


def template_limits(host: Host, template: Template) -> Limits:
    """As `service_limits` and `job_limits`, for a spec that is not submitted."""
    columns = master_views.columns(master_of(host))
    if template.kind == "job":
        return batch_views.template_limits(batch_of(host), template, Agents(columns.attributes, columns.names))
    unborn = Service(template.path, "", 1, template.instances, 0, 0, specs={1: Spec(1, 0, {}, {}, template)})
    agents = Agents(columns.attributes, columns.names)
    return constraints.limits(services_of(host).registry, [unborn], agents)


def _service(found: dict[str, Any]) -> dict[str, Any]:
    waiting = found["waiting"]
    note = None
    if found["deleting"]:
        note = "being stopped"
    elif waiting is not None:
        note = waiting["sentence"] or f"{waiting['count']} wait for room"
    elif found["ready"] < found["instances"] and found["running"] >= found["instances"]:
        note = "not healthy yet"
    return {**found, "since_ms": found["changed_ms"], "note": note}


def _copy(host: Host, found: dict[str, Any]) -> dict[str, Any]:
    row = _row(host, found, found["path"], found["agent"])
    kept = ("goal", "version", "healthy", "ready", "endpoints", "containers", "launched_ms")
    row |= {name: found[name] for name in kept}
    row["index"] = found["number"]
    row["since_ms"] = found["changed_ms"]
    if found["message"] and not row["note"]:
        row["note"] = found["message"]
    return row


# ---- instances of both -----------------------------------------------------------------------------------------


def instance(host: Host, identity: str | int) -> dict[str, Any] | None:
    """One instance, by name or number."""
    number = instance_number(host, identity)
    if number is None:
        return None
    if framework_of(number) == BATCH:
        found = batch_views.instance(batch_of(host), number)
        return None if found is None else _pod(host, found)
    return service_instance(host, number)


def instance_name_of(host: Host, number: int) -> str:
    """The name of an instance by its number; the number itself where it is known no more."""
    found = instance(host, number)
    return str(number) if found is None else str(found["name"])


def instance_number(host: Host, identity: str | int) -> int | None:
    """The int64 of an instance by its name or number; None where there can be none."""
    if isinstance(identity, int):
        return identity if 0 < identity < _MOST_INT64 else None
    if identity.isdigit():
        return int(identity) if len(identity) < 20 and int(identity) < _MOST_INT64 else None
    named = parse_instance_name(identity)
    if named is None:
        return None
    path, job_number, count = named
    if job_number is None:
        return _copy_number(host, path, count)
    found = batch_views.job(batch_of(host), job_number)
    if found is None or found["path"] != path or count >= found["count"]:
        return None
    return int(found["first_id"]) + count


def _copy_number(host: Host, path: str, count: int) -> int | None:
    """The int64 of the instance of a service that has this count in its name."""
    machine = services_of(host)
    for one in (*service_views.instances(machine, path), *service_views.ended(machine, path)):
        if one["number"] == count:
            return int(one["id"])
    return None


def instance_counts(host: Host) -> dict[str, dict[str, int]]:
    """Instances by framework and state; of jobs, also those that have ended and are kept."""
    counts: dict[str, dict[str, int]] = {}
    ledger = batch_of(host).ledger
    sums = ledger.jobs["counts"].sum(axis=0).tolist() if ledger.jobs.length else []
    counts["batch"] = {State(state).name: pods for state, pods in enumerate(sums) if pods}
    master = master_of(host)
    for framework in master.frameworks.by_name.values():
        if framework.number != BATCH:
            counts[framework.name] = master_views.counts(master, framework.name)
    missing = _missing(host)
    if missing:
        counts.setdefault("services", {})[State.SCHEDULED.name] = missing
    return counts


def _missing(host: Host) -> int:
    """Instances that services want and that were not launched."""
    total = 0
    for found in services_of(host).registry.services.values():
        newest = sum(1 for one in found.instances.values() if one.counts and one.version == found.version)
        total += 0 if found.deleting else max(found.wanted - newest, 0)
    return total


def _row(host: Host, found: dict[str, Any], path: str, agent_row: int | None) -> dict[str, Any]:
    """What instances of services and jobs have in common."""
    name = "" if agent_row is None else agent_name(host, agent_row)
    exit_code = found["exit_code"]
    return {
        "id": found["name"],
        "name": found["name"],
        "number": found["id"],
        "kind": "instance",
        "path": path,
        "state": found["state"],
        "attempt": found["attempt"],
        "agent": name or None,
        "host": host_of(host, agent_row) if name else None,
        "exit_code": exit_code,
        "reason": found["reason"],
        "note": note_of(found["state"], found["reason"], exit_code),
        "started_ms": found["started_ms"],
        "ended_ms": found["ended_ms"],
    }


def host_of(host: Host, row: int | None) -> str | None:
    """The name or address by which the machine of an agent is reached."""
    if row is None:
        return None
    agents = master_of(host).agents
    return agents.attributes[row].get("hostname") or agents.names[row]


def note_of(state: str, reason: str, exit_code: int | None) -> str | None:
    """A few words on why an instance is in its state."""
    if reason == Reason.NONE.name or (state == State.FINISHED.name and exit_code in (0, None)):
        return None
    words = SENTENCES[Reason[reason]]
    if exit_code is None or exit_code == NO_EXIT_CODE:
        return words
    return f"{words} (signal {-exit_code})" if exit_code < 0 else f"{words} (exit code {exit_code})"


# ---- anything --------------------------------------------------------------------------------------------------


def find(host: Host, text: str) -> dict[str, Any]:
    """`{kind: service | job | instance | agent, id, ...}`. Raises NotFoundError."""
    text = text.strip()
    if text.isdigit() and len(text) < 20:
        number = int(text)
        found = job(host, number) if number < 1 << FRAMEWORK_SHIFT else instance(host, number)
    else:
        found = _by_path(host, text) or instance(host, text)
        if found is None and agent(host, text) is not None:
            found = {"kind": "agent", "id": text}
    if found is None:
        raise NotFoundError(
            f"nothing is called {text!r}: no service, job, instance or agent. `orch ps` and `orch agents` list "
            "what there is."
        )
    return {**found, "kind": "service"} if found["kind"] in ("pod", "app") else found


def _by_path(host: Host, text: str) -> dict[str, Any] | None:
    path = "/" + text.strip("/")
    found = service(host, path)
    if found is not None:
        return found
    number = batch_views.find(batch_of(host), path)
    return None if number is None else job(host, number)


def _next(offset: int, limit: int, count: int) -> int | None:
    return offset + limit if offset + limit < count else None
