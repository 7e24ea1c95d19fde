"""What a match of services must keep to: their constraints and affinity, and the host ports that they ask for.

Constraints count instances of the same version; affinity to another service counts all of its instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from orch.model.messages import I64
from orch.placement.attributes import Agents
from orch.placement.constraints import Limiter, Limits, Terms
from orch.services import host_ports
from orch.services.registry import Registry
from orch.services.service import Service

Coming = Sequence[tuple[Service, int]]
"""(service, agent row) of instances that are about to be accepted: they count like those that are there."""


def limits(registry: Registry, services: Sequence[Service], agents: Agents, coming: Coming = ()) -> Limits:
    """Of these services' newest versions, shape s for service s. No two of them may ask for one host port."""
    limiter = Limiter(agents, len(services))

    def at(path: str) -> I64:
        there = registry.services.get(path)
        rows = [one.agent for one in there.instances.values() if one.takes_room] if there is not None else []
        return np.array(rows + [row for service, row in coming if service.path == path], dtype=np.int64)

    others = [one for one in registry.services.values() if one.spec.template.affinity]

    def kept_off(path: str) -> dict[str, Callable[[], I64]]:
        """By attribute, the agents of services that are to be apart from the one at a path."""
        found: dict[str, list[str]] = {}
        for other in others:
            for one in other.spec.template.affinity:
                if one.to == path and one.required and not one.near:
                    found.setdefault(one.field, []).append(other.path)
        return {field: partial(_of_all, at, paths) for field, paths in found.items()}

    for shape, service in enumerate(services):
        template = service.spec.template

        def own(service: Service = service) -> I64:
            live = service.instances.values()
            return np.array([one.agent for one in live if one.takes_room and one.version == service.version], np.int64)

        limiter.add(shape, Terms.of(template), service.path, service.path, own, at, kept_off(service.path))
        ports = host_ports.of(template)
        if ports:
            limiter.mask(shape, host_ports.in_range(ports, agents))
            limiter.ports(shape, _in_use(registry, ports, coming), f"host port {', '.join(map(str, ports))}")
    return limiter.limits()


def _of_all(at: Callable[[str], I64], paths: list[str]) -> I64:
    return np.concatenate([at(path) for path in paths])


def counters(service: Service) -> int:
    """How many counters over agents its limits need, at most."""
    template = service.spec.template
    return Terms.of(template).counters + bool(host_ports.of(template))


def _in_use(registry: Registry, ports: tuple[int, ...], coming: Coming) -> I64:
    """int64[k]: the agents of instances of any service that have one of these ports."""
    rows = [row for service, row in coming if host_ports.overlap(ports, service.spec.template)]
    for service in registry.services.values():
        versions = [spec.version for spec in service.specs.values() if host_ports.overlap(ports, spec.template)]
        if versions:
            live = service.instances.values()
            rows += [one.agent for one in live if one.takes_room and one.version in versions]
    return np.array(rows, dtype=np.int64)
