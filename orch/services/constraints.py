"""What services' constraints ask of the kernel, given where their instances are.

Operators as in Marathon: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS over an attribute (`hostname`,
`@hostname`, `@zone`, ...). Those that ask where other instances are become rules of a match, which counts as it places;
the others are a mask over agents. Instances of the same version count; an agent without the attribute is allowed by
UNLIKE alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I64, U8
from orch.model.specs.template import ConstraintTemplate
from orch.placement import Rules
from orch.services import host_ports
from orch.services.attributes import Agents, Coded
from orch.services.registry import Registry
from orch.services.service import Service

Coming = Sequence[tuple[Service, int]]
"""(service, agent row) of instances that are about to be accepted: their host ports count like those in use."""
Limits = tuple[Rules | None, U8 | None]
"""Of S services: rules between their instances, shape s for service s; uint8[S, N], 0 = the agent is ruled out."""

Flags = NDArray[np.bool_]
_HOSTS = ""
"""Among the names of attributes: each agent for itself."""
_KERNEL = {"UNIQUE": "MAX", "MAX_PER": "MAX", "GROUP_BY": "LEAST", "CLUSTER": "SAME"}


def limits(registry: Registry, services: Sequence[Service], agents: Agents, coming: Coming = ()) -> Limits:
    """What a match of these services' newest versions must keep to. No two of them may ask for one host port."""
    masks = [_mask(service, agents) for service in services]
    allowed = None
    if any(mask is not None for mask in masks):
        everywhere = np.ones(len(agents.names), dtype=bool)
        allowed = np.stack([everywhere if mask is None else mask for mask in masks]).astype(np.uint8)
    if not any(counts(service) for service in services):
        return None, allowed
    rules = Rules(len(agents.names), len(services))
    attributes: dict[str, int] = {}
    for shape, service in enumerate(services):
        _count(rules, attributes, shape, service, agents)
        ports = host_ports.of(service.spec.template)
        if ports:
            if _HOSTS not in attributes:
                attributes[_HOSTS] = rules.hosts()
            counter = rules.counter(attributes[_HOSTS], _in_use(registry, ports, len(agents.names), coming))
            rules.count(shape, counter)
            rules.rule(shape, counter, "MAX", 1, f"host port {', '.join(map(str, ports))}")
    return rules, allowed


def counts(service: Service) -> int:
    """How many rules it has that ask where instances are, its own or others."""
    template = service.spec.template
    return sum(map(_is_counted, template.constraints)) + bool(host_ports.of(template))


def _is_counted(rule: ConstraintTemplate) -> bool:
    return rule.operator in _KERNEL and not (rule.operator == "CLUSTER" and rule.value is not None)


def _count(rules: Rules, attributes: dict[str, int], shape: int, service: Service, agents: Agents) -> None:
    live = [one.agent for one in service.instances.values() if one.takes_room and one.version == service.version]
    rows = np.array(live, dtype=np.int64)
    for rule in filter(_is_counted, service.spec.template.constraints):
        coded = agents.coded(rule.field)
        if rule.field not in attributes:
            attributes[rule.field] = rules.attribute(coded.codes)
        counter = rules.counter(attributes[rule.field], coded.counts(rows))
        rules.count(shape, counter)
        limit = 1 if rule.operator == "UNIQUE" else int(rule.value) if rule.value and rule.value.isdecimal() else 0
        rules.rule(shape, counter, _KERNEL[rule.operator], limit, f"{rule.field} {rule.operator}")


def _mask(service: Service, agents: Agents) -> Flags | None:
    """bool[N]: what the constraints say that look at the agent alone; None where there are none."""
    template = service.spec.template
    found = [allowed_by(rule, agents.coded(rule.field)) for rule in template.constraints if not _is_counted(rule)]
    ports = host_ports.of(template)
    if ports:
        found.append(host_ports.in_range(ports, agents))
    return np.logical_and.reduce(found) if found else None


def allowed_by(rule: ConstraintTemplate, coded: Coded) -> Flags:
    """bool[N]: agents that LIKE, UNLIKE, IS, or a CLUSTER on a value allows."""
    match rule.operator:
        case "LIKE":
            return coded.of_rows(_like(rule.value, coded.values), without=False)
        case "UNLIKE":
            return coded.of_rows(~_like(rule.value, coded.values), without=True)
        case _:
            is_it = np.array([value == rule.value for value in coded.values], dtype=bool)
            return coded.of_rows(is_it, without=False)


def _like(text: str | None, values: list[str]) -> Flags:
    """Which values the whole pattern matches. Where the text is no pattern nothing is like it."""
    try:
        pattern = re.compile(text or "")
    except re.error:
        return np.zeros(len(values), dtype=bool)
    return np.array([pattern.fullmatch(value) is not None for value in values], dtype=bool)


def _in_use(registry: Registry, ports: tuple[int, ...], agents: int, coming: Coming) -> I64:
    """int64[N]: instances of any service, on each agent, that have one of these ports."""
    rows = [row for service, row in coming if host_ports.overlap(ports, service.spec.template)]
    for service in registry.services.values():
        versions = [spec.version for spec in service.specs.values() if host_ports.overlap(ports, spec.template)]
        if versions:
            live = service.instances.values()
            rows += [one.agent for one in live if one.takes_room and one.version in versions]
    return np.bincount(np.array(rows, dtype=np.int64), minlength=agents)
