"""What the master tells of instances, and what follows: a replacement, a delay, the next step of a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orch.machine.machine import Tick
from orch.model import facts_services as facts
from orch.model.ids import first_id
from orch.model.messages import Acknowledge, InstanceUpdates, Kill, Subscribed
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import ALLOWED, FIRST_TERMINAL, State
from orch.services import backoff, launches
from orch.services.service import Instance

if TYPE_CHECKING:
    from orch.services.machine import Services


@dataclass(frozen=True, slots=True)
class Told:
    """One instance as the master tells of it."""

    id: int
    attempt: int
    state: int
    exit_code: int
    reason: int
    started_ms: int
    changed_ms: int


def told_of(event: InstanceUpdates | Subscribed) -> list[Told]:
    """The rows of a message; of an id that comes twice, the last."""
    columns = zip(
        event.ids.tolist(),
        event.attempts.tolist(),
        event.states.tolist(),
        event.exit_codes.tolist(),
        event.reasons.tolist(),
        event.started_ms.tolist(),
        event.changed_ms.tolist(),
        strict=True,
    )
    return list({row[0]: Told(*row) for row in columns}.values())


def updated(machine: Services, now_ms: int, event: InstanceUpdates) -> None:
    """New states and details of instances."""
    paths = _take(machine, now_ms, told_of(event), event.details)
    machine.settle(now_ms, paths)


def subscribed(machine: Services, now_ms: int, event: Subscribed) -> None:
    """The master says what it holds: bring the registry in line with it, then ask for what is missing."""
    machine.number = event.number
    highest = int(event.ids.max()) + 1 if len(event.ids) else 0
    machine.launcher.reset(max(machine.registry.next_id, highest, first_id(event.number)))
    machine.forget_looks()
    told = told_of(event)
    held = {row.id for row in told}
    lost = [instance for number, instance in machine.registry.instances.items() if number not in held]
    _take(machine, now_ms, [*told, *(_lost(instance, now_ms) for instance in lost)], {})
    _stop_again(machine)
    machine.settle(now_ms, list(machine.registry.services))


def ticked(machine: Services, now_ms: int, event: Tick) -> None:
    """Time has changed what some services need."""
    machine.settle(now_ms, machine.due(now_ms))


def _lost(instance: Instance, now_ms: int) -> Told:
    """An instance that we think is launched and that the master does not hold."""
    return Told(instance.id, 1, State.LOST, NO_EXIT_CODE, Reason.UNKNOWN_TO_MASTER, 0, now_ms)


def _take(machine: Services, now_ms: int, told: list[Told], details: dict[int, dict[str, Any]]) -> list[str]:
    """Apply what is news, acknowledge every end; returns the paths of the services that it concerns."""
    known = machine.registry.instances
    paths = dict.fromkeys(known[row.id].path for row in told if row.id in known)
    mine = [row for row in told if row.id in known and row.attempt == 1]
    starting = [row.id for row in mine if row.state == State.STARTING and known[row.id].state == State.STAGING]
    news = [row for row in mine if ALLOWED[known[row.id].state, row.state] and row.id not in starting]
    ends = _ends(machine, now_ms, news)
    _update(machine, now_ms, news, details)
    _show(machine, now_ms, starting, details)
    for path, found in ends.items():
        delay = backoff.next_delay(machine.registry.services[path], found, now_ms)
        machine.emit(
            facts.ServiceDelayed(
                now_ms,
                path,
                delay.failures,
                delay.delay_ms,
                delay.until_ms,
                delay.instance,
                delay.state,
                delay.exit_code,
                delay.reason,
            )
        )
        machine.story_book.note(now_ms, "delayed", path, delay_ms=delay.delay_ms, failures=delay.failures)
    ended = [row for row in told if row.state >= FIRST_TERMINAL]
    if ended:
        ids = np.array([row.id for row in ended], dtype=np.int64)
        attempts = np.array([row.attempt for row in ended], dtype=np.int32)
        machine.send("master", Acknowledge(machine.name, ids, attempts))
    ghosts = [row.id for row in told if row.state < FIRST_TERMINAL and row.id not in known]
    launches.stop_ghosts(machine, np.array(ghosts, dtype=np.int64))
    return list(paths)


def _ends(machine: Services, now_ms: int, news: list[Told]) -> dict[str, list[backoff.End]]:
    """By service, the ends that the next launch has to wait for."""
    registry = machine.registry
    found: dict[str, list[backoff.End]] = {}
    for row in news:
        instance = registry.instances[row.id]
        if row.state < FIRST_TERMINAL or not backoff.by_itself(instance, row.state, row.reason):
            continue
        service = registry.services[instance.path]
        stable = backoff.was_stable(service, instance, registry.seen_of(instance), now_ms)
        end = backoff.End(instance, row.state, row.exit_code, row.reason, stable)
        found.setdefault(service.path, []).append(end)
    return found


def _update(machine: Services, now_ms: int, news: list[Told], details: dict[int, dict[str, Any]]) -> None:
    if not news:
        return
    registry = machine.registry
    kept: dict[int, dict[str, Any]] = {}
    for row in news:
        if row.state >= FIRST_TERMINAL:
            last = details.get(row.id) or registry.seen_of(registry.instances[row.id]).details
            if last:
                kept[row.id] = last
    fact = facts.InstancesUpdated(
        at_ms=now_ms,
        ids=np.array([row.id for row in news], dtype=np.int64),
        states=np.array([row.state for row in news], dtype=np.uint8),
        exit_codes=np.array([row.exit_code for row in news], dtype=np.int16),
        reasons=np.array([row.reason for row in news], dtype=np.uint8),
        started_ms=np.array([row.started_ms for row in news], dtype=np.int64),
        changed_ms=np.array([row.changed_ms for row in news], dtype=np.int64),
        details=kept,
    )
    machine.emit(fact)
    machine.story_book.note(
        now_ms, "updated", fact.ids, state=fact.states, exit_code=fact.exit_codes, reason=fact.reasons
    )


def _show(machine: Services, now_ms: int, starting: list[int], details: dict[int, dict[str, Any]]) -> None:
    """Soft: what agents say of live instances, where it is another than before."""
    registry = machine.registry
    shown = {
        number: detail
        for number, detail in details.items()
        if number in registry.instances and registry.seen_of(registry.instances[number]).details != detail
    }
    if shown or starting:
        machine.publish(facts.InstancesSeen(now_ms, np.array(starting, dtype=np.int64), shown))


def _stop_again(machine: Services) -> None:
    """What should be stopped, and is not being stopped, is to be."""
    stops = [
        instance
        for instance in machine.registry.instances.values()
        if instance.stop and instance.state != State.KILLING
    ]
    if stops:
        ids = np.array([instance.id for instance in stops], dtype=np.int64)
        reasons = np.array([instance.stop for instance in stops], dtype=np.uint8)
        machine.send("master", Kill(machine.name, ids, reasons))
