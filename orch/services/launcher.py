"""From missing instances to accepted ones: what is asked of the master, what is matched, what comes back.

All of it is derived from the registry, and from what is on its way to the master.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from orch.model.ids import parent_group
from orch.model.messages import EMPTY_U8, I32, I64, U8, Accept, Demand, OfferBatch, Payload
from orch.model.resources import R
from orch.model.times import timestamp
from orch.placement import POLICIES, Cluster
from orch.placement import Demand as Asked
from orch.placement.attributes import Agents
from orch.placement.offered import Offered, most_pods, passed, places_to_take, rows_by_group
from orch.services import constraints, host_ports
from orch.services.registry import Registry
from orch.services.service import Service

CELLS = 4_000_000
"""Counters of one match, at most, times agents: 16 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Instances of one service on their way to the master. numbers, ids int64[k], agents int32[k].

    preempt: they may take the place of others; where the agent is -1, wherever that costs least.
    """

    path: str
    version: int
    numbers: I64
    ids: I64
    agents: I32
    preempt: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class InFlight:
    """An accept that the master has not answered."""

    ids: I64
    parts: list[Part]


class Launcher:
    """Which services miss how many instances, and accepts on their way."""

    def __init__(self, registry: Registry, framework: str, policy: str) -> None:
        self._registry, self._policy = registry, policy
        self._framework = framework
        self._missing: dict[str, int] = {}
        self._offered = Offered()
        self._in_flight: deque[InFlight] = deque()
        self._told: dict[str, tuple[int, int]] | None = None
        self._changed = True
        self.next_id = 0
        """Ids below were in an accept or a launch."""
        self._next_number: dict[str, int] = {}

    def reset(self, next_id: int) -> None:
        """Start again: nothing is on its way, the master knows of no demand."""
        self._missing, self._next_number = {}, {}
        self._offered, self._in_flight = Offered(), deque()
        self._told, self._changed = None, True
        self.next_id = next_id

    def want(self, path: str, instances: int) -> None:
        """So many more instances of a service may start now."""
        if self._missing.get(path, 0) == instances:
            return
        if instances:
            self._missing[path] = instances
        else:
            del self._missing[path]
        self._changed = True

    def refresh(self) -> None:
        """A spec has changed: what is missing may ask for something else now."""
        self._changed = True

    def missing(self) -> dict[str, int]:
        """Path -> instances that may start now."""
        return dict(self._missing)

    def in_flight(self, path: str) -> int:
        """How many of a service's instances are in accepts that the master has not answered."""
        return sum(len(part.ids) for flight in self._in_flight for part in flight.parts if part.path == path)

    # ---- what is asked for ---------------------------------------------------------------------------------------

    def news(self) -> Demand | None:
        """All that is missing, one row a service; None where the master was asked for just that, or owes an answer."""
        if not self._changed or self._in_flight:
            return None
        self._changed = False
        services = [self._registry.services[path] for path in self._missing]
        asked = {service.path: (service.version, self._missing[service.path]) for service in services}
        if asked == self._told:
            return None
        self._told = asked
        groups, group = _groups(services)
        return Demand(
            framework=self._framework,
            groups=groups,
            group=group,
            requests=_requests(services),
            counts=np.array([count for _, count in asked.values()], dtype=np.int64),
            gangs=np.ones(len(services), dtype=np.int32),
            priorities=_priorities(services),
        )

    # ---- what is accepted ----------------------------------------------------------------------------------------

    def accept(self, offer: OfferBatch) -> Accept:
        """Match what is missing onto an offer; without anything it is a pass."""
        cluster = self._offered.update(offer)
        if offer.gang or offer.within_ms:  # for work that ends
            return passed(self._framework)
        services = [self._registry.services[path] for path in self._missing]
        parts: list[Part] = []
        for turn, rows in rows_by_group([parent_group(service.path) for service in services], offer.groups):
            room = offer.headroom[turn].copy()
            theirs = [services[row] for row in rows]
            if len(offer.bands):
                for service in sorted(theirs, key=_priority, reverse=True):
                    parts += self._pressing(service, cluster, offer, room, parts)
                continue
            for batch in _batches(theirs, len(offer.names)):
                parts += self._match(batch, cluster, offer, room, parts)
        if not parts:
            return passed(self._framework)
        for part in parts:
            self.want(part.path, self._missing[part.path] - len(part.ids))
        flight = InFlight(np.concatenate([part.ids for part in parts]), parts)
        self._in_flight.append(flight)
        return self._accept_of(flight, offer)

    def _match(
        self, services: list[Service], cluster: Cluster, offer: OfferBatch, room: I64, before: list[Part]
    ) -> list[Part]:
        """Place what these services miss within `room`, which is charged."""
        requests = _requests(services)
        missing = np.array([self._missing[service.path] for service in services], dtype=np.int64)
        gangs = np.ones(len(services), dtype=np.int32)
        asked = Asked.of(
            np.arange(len(services), dtype=np.int32),
            most_pods(requests, missing, gangs, room),
            gangs,
            _priorities(services),
            [POLICIES[service.spec.template.policy or self._policy] for service in services],
        )
        coming = [(self._registry.services[part.path], row) for part in before for row in part.agents.tolist()]
        agents = Agents(offer.attributes, offer.names)
        rules, allowed = constraints.limits(self._registry, services, agents, coming)
        match = cluster.match(requests, asked, allowed=allowed, headroom=room, rules=rules)
        room -= (requests * match.placed[:, None]).sum(axis=0)
        return [
            self._part(services[row], match.agent[asked.offset[row] : asked.offset[row] + match.placed[row]])
            for row in np.flatnonzero(match.placed).tolist()
        ]

    def _pressing(
        self, service: Service, cluster: Cluster, offer: OfferBatch, room: I64, before: list[Part]
    ) -> list[Part]:
        """What a service misses is to take the place of others, within `room`, which is charged.

        The master finds the places, unless constraints say which agents are possible: they are matched onto what is
        free, and what pods of lower priority hold.
        """
        request, alone = _requests([service]), np.ones(1, dtype=np.int32)
        pods = most_pods(request, np.array([self._missing[service.path]]), alone, room)
        if _priority(service) < int(offer.bands[0]) or pods[0] <= 0:
            return []
        coming = [
            (self._registry.services[part.path], row) for part in before for row in part.agents.tolist() if row >= 0
        ]
        agents = Agents(offer.attributes, offer.names)
        rules, allowed = constraints.limits(self._registry, [service], agents, coming)
        chosen = np.full(pods[0], -1, dtype=np.int32)
        if rules is not None or allowed is not None:
            chosen = places_to_take(offer, cluster, request, int(pods[0]), 1, _priority(service), (rules, allowed))
        room -= request[0].astype(np.int64) * len(chosen)
        return [replace(self._part(service, chosen), preempt=True)] if len(chosen) else []

    def _part(self, service: Service, agents: I32) -> Part:
        count, first = len(agents), max(self._next_number.get(service.path, 0), service.next_number)
        ids = np.arange(self.next_id, self.next_id + count, dtype=np.int64)
        self.next_id += count
        self._next_number[service.path] = first + count
        return Part(service.path, service.version, np.arange(first, first + count, dtype=np.int64), ids, agents)

    def _accept_of(self, flight: InFlight, offer: OfferBatch) -> Accept:
        parts = flight.parts
        services = [self._registry.services[part.path] for part in parts]
        sizes = np.array([len(part.ids) for part in parts], dtype=np.int64)
        agents = np.concatenate([part.agents for part in parts])
        groups, group = _groups(services)
        return Accept(
            framework=self._framework,
            ids=flight.ids,
            attempts=np.ones(len(flight.ids), dtype=np.int32),
            agents=agents,
            sessions=offer.sessions[agents],
            shape=np.repeat(np.arange(len(parts), dtype=np.int32), sizes),
            requests=_requests(services),
            gangs=np.full(len(flight.ids), -1, dtype=np.int32),
            groups=groups,
            group=np.repeat(group, sizes),
            priorities=np.repeat(_priorities(services), sizes),
            payload=self.payload(parts),
            preempt=_preempt(parts),
        )

    def payload(self, parts: list[Part]) -> Payload:
        """What these instances are to run, each with the version of its spec in its environment."""
        specs = [self._registry.services[part.path].specs[part.version] for part in parts]
        sizes = np.array([len(part.ids) for part in parts], dtype=np.int64)
        own = [f"MARATHON_APP_VERSION={timestamp(part.version)}\0".encode() for part in parts]
        return Payload(
            templates={spec.number: spec.wire for spec in specs},
            template=np.repeat(np.array([spec.number for spec in specs], dtype=np.int32), sizes),
            index=np.concatenate([part.numbers for part in parts]),
            job=np.full(int(sizes.sum()), -1, dtype=np.int64),
            env_off=np.cumsum([0, *np.repeat([len(env) for env in own], sizes)], dtype=np.int64),
            env_blob=b"".join(env * size for env, size in zip(own, sizes.tolist(), strict=True)),
        )

    # ---- what the master says ------------------------------------------------------------------------------------

    def answered(self, ids: I64) -> InFlight | None:
        """The accept that a result of these ids answers: the oldest one. None for one of before a restart."""
        if not self._in_flight or not np.array_equal(self._in_flight[0].ids, ids):
            return None
        return self._in_flight.popleft()

    def refused(self, agents: I32) -> None:
        """What was accepted on these agents was not committed."""
        self._offered.refuse(agents[agents >= 0])


def _preempt(parts: list[Part]) -> U8:
    """uint8[k]: which instances may take the place of others; empty where none may."""
    if not any(part.preempt for part in parts):
        return EMPTY_U8
    return np.concatenate([np.full(len(part.ids), part.preempt, dtype=np.uint8) for part in parts])


def _priority(service: Service) -> int:
    return service.spec.template.priority


def _batches(services: list[Service], agents: int) -> list[list[Service]]:
    """By priority. Those of a batch are matched at once: no two of them ask for one host port, and what they count by
    agent stays within bounds."""
    batches: list[list[Service]] = []
    ports: set[int] = set()
    cells = 0
    for service in sorted(services, key=lambda one: -one.spec.template.priority):
        own = host_ports.of(service.spec.template)
        more = constraints.counters(service) * agents
        if not batches or cells + more > CELLS or not ports.isdisjoint(own):
            batches.append([])
            ports, cells = set(), 0
        batches[-1].append(service)
        ports.update(own)
        cells += more
    return batches


def _groups(services: list[Service]) -> tuple[list[str], I32]:
    """(distinct groups, int32[S] which of them each service is in)."""
    paths = [parent_group(service.path) for service in services]
    groups = list(dict.fromkeys(paths))
    place = {group: at for at, group in enumerate(groups)}
    return groups, np.array([place[path] for path in paths], dtype=np.int32)


def _requests(services: list[Service]) -> I32:
    return np.array([service.spec.template.request for service in services], dtype=np.int32).reshape(len(services), R)


def _priorities(services: list[Service]) -> I32:
    return np.array([service.spec.template.priority for service in services], dtype=np.int32)
