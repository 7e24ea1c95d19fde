"""From facts to events: what subscribers of the event stream are told. One function a fact, by type.

Facts of the frameworks tell of instances, the master's of agents; the master's facts about instances say the same once
more, and are not told. What happens to many pods of a job at once is one event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from orch.api import reads
from orch.machine.host import Host, Record
from orch.model import facts_batch, facts_master, facts_services
from orch.model.columns import distinct
from orch.model.messages import I64
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import AgentState, State

Told = tuple[str, dict[str, Any]]
"""(type, data) of an event."""

TYPES = ("master", "agent", "agents", "job", "pods", "service", "instance", "gap")
"""All types of events; a gap is told by the follower."""
LISTED = 100
"""Indexes of pods that an event lists one by one; of more it tells the first and the last."""


@dataclass(frozen=True, slots=True)
class Names:
    """What things were called before a record that may have removed them: instances by number, agents by row."""

    instances: dict[int, tuple[str, str]]
    agents: dict[int, str]


def names_before(record: Record, host: Host) -> Names:
    """To be asked before the record is applied."""
    names = Names({}, {})
    for _, fact in record.facts:
        if isinstance(fact, facts_services.InstancesUpdated):
            names.instances.update((number, reads.service_instance_name(host, number)) for number in fact.ids.tolist())
        elif isinstance(fact, facts_master.AgentRemoved):
            names.agents[fact.row] = reads.agent_name(host, fact.row)
    return names


def events_of(record: Record, host: Host, names: Names) -> list[Told]:
    """The events of a record that `host` has just applied. names: `names_before` it."""
    found: list[Told] = []
    for machine, fact in record.facts:
        tell = _TELL.get((machine, type(fact)))
        if tell is not None:
            found.extend(tell(fact, host, names))
    return found


# ---- master ----------------------------------------------------------------------------------------------------


def _epoch(fact: facts_master.EpochBegan, host: Host, names: Names) -> Iterator[Told]:
    yield "master", {"change": "started", "epoch": fact.epoch}


def _registered(fact: facts_master.AgentRegistered, host: Host, names: Names) -> Iterator[Told]:
    yield "agent", {"agent": fact.agent, "change": "registered", "session": fact.session}


def _fleet(fact: facts_master.FleetRegistered, host: Host, names: Names) -> Iterator[Told]:
    yield "agents", {"change": "registered", "count": len(fact.rows), "session": fact.session}


def _drained(fact: facts_master.AgentDrained, host: Host, names: Names) -> Iterator[Told]:
    yield "agent", {"agent": reads.agent_name(host, fact.row), "change": "drained" if fact.drained else "offered"}


def _removed(fact: facts_master.AgentRemoved, host: Host, names: Names) -> Iterator[Told]:
    yield "agent", {"agent": names.agents[fact.row], "change": "removed"}


def _preempted(fact: facts_master.Preempted, host: Host, names: Names) -> Iterator[Told]:
    told: dict[str, Any] = {"change": "preempted", "count": len(fact.ids), "for": len(fact.held)}
    if len(fact.ids) <= LISTED:
        named = reads.instance_name_of
        pairs = zip(fact.ids.tolist(), fact.by.tolist(), strict=True)
        told["instances"] = [{"instance": named(host, number), "by": named(host, by)} for number, by in pairs]
    yield "master", told


def _agent_states(fact: facts_master.AgentStatesSeen, host: Host, names: Names) -> Iterator[Told]:
    if len(fact.rows) > LISTED:
        counts = np.bincount(fact.states, minlength=len(AgentState)).tolist()
        states = {AgentState(state).name: count for state, count in enumerate(counts) if count}
        yield "agents", {"change": "state", "count": len(fact.rows), "states": states}
        return
    for row, state in zip(fact.rows.tolist(), fact.states.tolist(), strict=True):
        yield "agent", {"agent": reads.agent_name(host, row), "change": "state", "state": AgentState(state).name}


# ---- batch -----------------------------------------------------------------------------------------------------


def _submitted(fact: facts_batch.JobSubmitted, host: Host, names: Names) -> Iterator[Told]:
    data = {"job": fact.job, "path": fact.path, "change": "submitted", "count": fact.count, "user": fact.user}
    yield "job", data


def _job_stopped(fact: facts_batch.JobStopped, host: Host, names: Names) -> Iterator[Told]:
    yield "job", {"job": fact.job, "change": "stopped", "user": fact.user}


def _pods_stopped(fact: facts_batch.PodsStopped, host: Host, names: Names) -> Iterator[Told]:
    jobs = reads.batch_of(host).ledger.jobs
    indexes = fact.ids - jobs["first_id"][jobs.at(fact.job)]
    yield "job", {"job": fact.job, "change": "pods stopped", **_listed(indexes), "user": fact.user}


def _job_finished(fact: facts_batch.JobFinished, host: Host, names: Names) -> Iterator[Told]:
    found = reads.job(host, fact.job)
    yield (
        "job",
        {
            "job": fact.job,
            "change": "finished",
            **({"path": found["path"], "states": found["states"]} if found else {}),
        },
    )


def _jobs_forgotten(fact: facts_batch.JobsForgotten, host: Host, names: Names) -> Iterator[Told]:
    for number in fact.jobs.tolist()[:LISTED]:
        yield "job", {"job": number, "change": "forgotten"}


def _pods_launched(fact: facts_batch.PodsLaunched, host: Host, names: Names) -> Iterator[Told]:
    yield from _pods(host, fact.ids, np.full(len(fact.agents), State.STAGING, dtype=np.uint8))


def _pods_updated(fact: facts_batch.PodsUpdated, host: Host, names: Names) -> Iterator[Told]:
    yield from _pods(host, fact.ids, fact.states)


def _pods_dropped(fact: facts_batch.PodsDropped, host: Host, names: Names) -> Iterator[Told]:
    ids = fact.ids
    yield from _pods(host, ids, np.full(len(ids), State.KILLED, dtype=np.uint8))


def _pods(host: Host, ids: I64, states: Any) -> Iterator[Told]:
    """One event for each job that these pods are of."""
    jobs = reads.batch_of(host).ledger.jobs
    at, _ = jobs.locate(ids)
    for position in distinct(at[at >= 0]).tolist():
        here = slice(None) if len(at) and at.min() == at.max() else at == position
        indexes = ids[here] - jobs["first_id"][position]
        counts = np.bincount(states[here], minlength=len(State)).tolist()
        states_told = {State(state).name: count for state, count in enumerate(counts) if count}
        yield "pods", {"job": int(jobs["number"][position]), "states": states_told, **_listed(indexes)}


def _listed(indexes: I64) -> dict[str, Any]:
    """How many pods, the first and the last; a few of them one by one."""
    told = {"count": len(indexes), "first": int(indexes.min()), "last": int(indexes.max())}
    return {**told, "indexes": indexes.tolist()} if len(indexes) <= LISTED else told


# ---- services --------------------------------------------------------------------------------------------------


def _put(fact: facts_services.ServicePut, host: Host, names: Names) -> Iterator[Told]:
    created = reads.service_created_ms(host, fact.path) == fact.at_ms
    change = "created" if created else "changed"
    yield (
        "service",
        {"path": fact.path, "change": change, "version": fact.version, "instances": fact.instances, "user": fact.user},
    )


def _scaled(fact: facts_services.ServiceScaled, host: Host, names: Names) -> Iterator[Told]:
    yield "service", {"path": fact.path, "change": "scaled", "instances": fact.instances, "user": fact.user}


def _deleting(fact: facts_services.ServiceDeleting, host: Host, names: Names) -> Iterator[Told]:
    yield "service", {"path": fact.path, "change": "deleting", "user": fact.user}


def _gone(fact: facts_services.ServiceForgotten, host: Host, names: Names) -> Iterator[Told]:
    yield "service", {"path": fact.path, "change": "gone"}


def _delayed(fact: facts_services.ServiceDelayed, host: Host, names: Names) -> Iterator[Told]:
    if not fact.failures:
        yield "service", {"path": fact.path, "change": "delay reset"}
        return
    data = {"path": fact.path, "change": "delayed", "failures": fact.failures, "until_ms": fact.until_ms}
    yield "service", {**data, "reason": Reason(fact.reason).name}


def _instances_launched(fact: facts_services.InstancesLaunched, host: Host, names: Names) -> Iterator[Told]:
    for number, agent in zip(fact.ids.tolist(), fact.agents.tolist(), strict=True):
        yield _instance(
            reads.service_instance_name(host, number), number, state="STAGING", agent=reads.agent_name(host, agent)
        )


def _instances_updated(fact: facts_services.InstancesUpdated, host: Host, names: Names) -> Iterator[Told]:
    for number, state, code, reason in zip(
        fact.ids.tolist(), fact.states.tolist(), fact.exit_codes.tolist(), fact.reasons.tolist(), strict=True
    ):
        exit_code = None if code == NO_EXIT_CODE else code
        told = {"state": State(state).name, "exit_code": exit_code, "reason": Reason(reason).name}
        yield _instance(names.instances[number], number, **told)


def _instances_stopping(fact: facts_services.InstancesStopping, host: Host, names: Names) -> Iterator[Told]:
    for number, reason in zip(fact.ids.tolist(), fact.reasons.tolist(), strict=True):
        named = reads.service_instance_name(host, number)
        yield _instance(named, number, goal="STOPPED", reason=Reason(reason).name)


def _instances_seen(fact: facts_services.InstancesSeen, host: Host, names: Names) -> Iterator[Told]:
    for number, details in fact.details.items():
        kind, data = _instance(reads.service_instance_name(host, number), number)
        yield kind, {**data, "healthy": details.get("healthy"), "endpoints": details.get("endpoints", [])}


def _instance(named: tuple[str, str], number: int, **more: Any) -> Told:
    path, name = named
    said = {key: value for key, value in more.items() if value not in (None, Reason.NONE.name)}
    return "instance", {"instance": name, "number": number, "path": path, **said}


_TELL: dict[tuple[str, type], Callable[[Any, Host, Names], Iterator[Told]]] = {
    ("master", facts_master.EpochBegan): _epoch,
    ("master", facts_master.AgentRegistered): _registered,
    ("master", facts_master.FleetRegistered): _fleet,
    ("master", facts_master.AgentDrained): _drained,
    ("master", facts_master.AgentRemoved): _removed,
    ("master", facts_master.AgentStatesSeen): _agent_states,
    ("master", facts_master.Preempted): _preempted,
    ("batch", facts_batch.JobSubmitted): _submitted,
    ("batch", facts_batch.JobStopped): _job_stopped,
    ("batch", facts_batch.PodsStopped): _pods_stopped,
    ("batch", facts_batch.JobFinished): _job_finished,
    ("batch", facts_batch.JobsForgotten): _jobs_forgotten,
    ("batch", facts_batch.PodsLaunched): _pods_launched,
    ("batch", facts_batch.PodsUpdated): _pods_updated,
    ("batch", facts_batch.PodsDropped): _pods_dropped,
    ("services", facts_services.ServicePut): _put,
    ("services", facts_services.ServiceScaled): _scaled,
    ("services", facts_services.ServiceDeleting): _deleting,
    ("services", facts_services.ServiceForgotten): _gone,
    ("services", facts_services.ServiceDelayed): _delayed,
    ("services", facts_services.InstancesLaunched): _instances_launched,
    ("services", facts_services.InstancesUpdated): _instances_updated,
    ("services", facts_services.InstancesStopping): _instances_stopping,
    ("services", facts_services.InstancesSeen): _instances_seen,
}
