"""Offers and accepts: how a missing instance becomes a launched one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.model import facts_services as facts
from orch.model.messages import I32, AcceptResult, Kill, OfferBatch, Relaunch, ResendRequest
from orch.model.reasons import Reason
from orch.model.states import State
from orch.services.launcher import InFlight, Part

if TYPE_CHECKING:
    from orch.services.machine import Services


def offered(machine: Services, now_ms: int, event: OfferBatch) -> None:
    """Answer an offer with one accept; one without rows is a pass."""
    machine.send("master", machine.launcher.accept(event))


def answered(machine: Services, now_ms: int, event: AcceptResult) -> None:
    """What was committed is STAGING; what was not is missing still."""
    flight = machine.launcher.answered(event.ids)
    if flight is None:
        return
    committed = event.verdicts == 0
    if committed.any():
        fact = _launched(now_ms, flight, committed, event.agents)
        machine.emit(fact)
        machine.story_book.note(now_ms, "launched", fact.ids, agent=fact.agents, number=fact.numbers)
    if not committed.all():
        agents = np.concatenate([part.agents for part in flight.parts])
        machine.launcher.refused(agents[~committed])
        machine.story_book.note(
            now_ms, "not committed", flight.ids[~committed], why="conflict", verdict=event.verdicts[~committed]
        )
    machine.settle(now_ms, [part.path for part in flight.parts])


def resend(machine: Services, now_ms: int, event: ResendRequest) -> None:
    """Give the master once more what an agent never got. What is not ours is to be stopped."""
    known = machine.registry.instances
    parts = []
    for number in event.ids.tolist():
        instance = known.get(number)
        if instance is not None and instance.state == State.STAGING:
            parts.append(
                Part(
                    path=instance.path,
                    version=instance.version,
                    numbers=np.array([instance.number], dtype=np.int64),
                    ids=np.array([number], dtype=np.int64),
                    agents=np.array([instance.agent], dtype=np.int32),
                )
            )
    if parts:
        ids = np.concatenate([part.ids for part in parts])
        payload = machine.launcher.payload(parts)
        machine.send("master", Relaunch(machine.name, ids, np.ones(len(ids), dtype=np.int32), payload))
    ghosts = np.array([number for number in event.ids.tolist() if number not in known], dtype=np.int64)
    stop_ghosts(machine, ghosts)


def stop_ghosts(machine: Services, ids: NDArray[np.int64]) -> None:
    """Instances that the master holds and that we do not know are to stop."""
    if len(ids):
        machine.send("master", Kill(machine.name, ids, np.full(len(ids), Reason.UNKNOWN_TO_MASTER, dtype=np.uint8)))


def _launched(now_ms: int, flight: InFlight, committed: NDArray[np.bool_], agents: I32) -> facts.InstancesLaunched:
    """agents int32[k]: where they are, if the master chose that; else empty."""
    parts = flight.parts
    paths = list(dict.fromkeys(part.path for part in parts))
    sizes = np.array([len(part.ids) for part in parts], dtype=np.int64)
    service = np.repeat(np.array([paths.index(part.path) for part in parts], dtype=np.int32), sizes)
    return facts.InstancesLaunched(
        at_ms=now_ms,
        paths=paths,
        service=service[committed],
        ids=flight.ids[committed],
        numbers=np.concatenate([part.numbers for part in parts])[committed],
        versions=np.repeat(np.array([part.version for part in parts], dtype=np.int64), sizes)[committed],
        agents=(agents if len(agents) else np.concatenate([part.agents for part in parts]))[committed],
    )
