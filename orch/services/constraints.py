"""Which agents a service's constraints allow, given where its instances are.

Operators as in Marathon: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS over an attribute (`hostname`,
`@hostname`, `@zone`, ...). Instances of the same version count; an agent without the attribute is allowed by UNLIKE
alone. An endpoint with a port of its own choice keeps two such instances off one agent, and all of them off agents
whose range of ports (the attribute `ports`, such as `31000-31499`) it is not in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orch.model.messages import U8
from orch.model.specs.template import ConstraintTemplate, Template
from orch.services.registry import Registry
from orch.services.service import Service

Coming = Sequence[tuple[Service, int]]
"""(service, agent row) of instances that are about to be accepted: they count like those that are there."""

_OVER_OTHERS = ("UNIQUE", "GROUP_BY", "MAX_PER")


@dataclass(frozen=True, slots=True)
class Agents:
    """The columns of an offer that constraints look at; usable uint8[N], 0 = nothing can be placed there anyway."""

    attributes: Sequence[dict[str, str]]
    names: Sequence[str]
    usable: U8

    def values(self, field: str) -> list[str | None]:
        """The attribute of each agent. An agent without a hostname goes by its name."""
        name = field.removeprefix("@")
        found = [attributes.get(name) for attributes in self.attributes]
        if name == "hostname":
            found = [own if value is None else value for value, own in zip(found, self.names, strict=True)]
        return found


def one_by_one(service: Service) -> bool:
    """Whether an instance changes where the next one may go."""
    template = service.spec.template
    return bool(host_ports(template)) or any(
        rule.operator in _OVER_OTHERS or (rule.operator == "CLUSTER" and rule.value is None)
        for rule in template.constraints
    )


def host_ports(template: Template) -> tuple[int, ...]:
    """Ports of the agent that every instance asks for by number."""
    return tuple(
        endpoint.host_port
        for container in template.containers
        for endpoint in container.endpoints
        if endpoint.host_port
    )


def allowed(registry: Registry, service: Service, agents: Agents, coming: Coming = ()) -> U8:
    """uint8[N]: 1 where all constraints of the newest version allow one more instance."""
    template = service.spec.template
    fits = [True] * len(agents.names)
    rows = [one.agent for one in service.instances.values() if one.takes_room and one.version == service.version]
    rows += [row for other, row in coming if other is service]
    open_rows = agents.usable.tolist()
    for rule in template.constraints:
        values = agents.values(rule.field)
        used = [values[row] for row in rows]
        offered = [value if usable else None for value, usable in zip(values, open_rows, strict=True)]
        fits = [a and b for a, b in zip(fits, _allowed(rule, offered, used), strict=True)]
    if host_ports(template):
        for row in _taken(registry, template, coming):
            fits[row] = False
        fits = [a and b for a, b in zip(fits, _in_range(template, agents), strict=True)]
    return np.array(fits, dtype=np.uint8)


def out_of_range(template: Template, agents: Agents) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """(ports asked for by number that no agent gives out, the ranges that there are); no ports where one is unknown."""
    found = [_range(attributes) for attributes in agents.attributes]
    ranges = [one for one in found if one is not None]
    if not ranges or len(ranges) < len(found):
        return (), []
    ports = tuple(port for port in host_ports(template) if not any(first <= port <= last for first, last in ranges))
    return ports, _joined(ranges)


def _in_range(template: Template, agents: Agents) -> list[bool]:
    """Which agents give out all the ports asked for by number. One that does not tell its range may."""
    ports = host_ports(template)
    ranges = [_range(attributes) for attributes in agents.attributes]
    return [one is None or all(one[0] <= port <= one[1] for port in ports) for one in ranges]


def _range(attributes: dict[str, str]) -> tuple[int, int] | None:
    first, _, last = attributes.get("ports", "").partition("-")
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else None


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ports in as few ranges, ascending."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _allowed(rule: ConstraintTemplate, values: list[str | None], used: list[str | None]) -> list[bool]:
    if rule.operator == "UNLIKE":
        pattern = _pattern(rule.value)
        return [value is None or pattern is None or not pattern.fullmatch(value) for value in values]
    fits = {
        "UNIQUE": _unique,
        "MAX_PER": _max_per,
        "GROUP_BY": _group_by,
        "CLUSTER": _cluster,
        "LIKE": _like,
        "IS": _is,
    }[rule.operator](rule.value, values, used)
    return [value is not None and value in fits for value in values]


def _known(values: list[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value is not None]


def _unique(_: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    return [value for value in _known(values) if value not in used]


def _max_per(most: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    limit = int(most) if most and most.isdecimal() else 0
    return [value for value in _known(values) if used.count(value) < limit]


def _group_by(least: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    """Values with the fewest instances. least: so many there should be in use; until then, only others."""
    known = _known(values)
    in_use = _known(used)
    if least and least.isdecimal() and len(in_use) < int(least):
        return [value for value in known if value not in in_use]
    fewest = min((used.count(value) for value in known), default=0)
    return [value for value in known if used.count(value) == fewest]


def _cluster(wanted: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    """All on one value: the given one, or that of the first instance."""
    if wanted is not None:
        return [wanted]
    return _known(used)[:1] or _known(values)


def _like(text: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    pattern = _pattern(text)
    return [value for value in _known(values) if pattern is not None and pattern.fullmatch(value)]


def _is(wanted: str | None, values: list[str | None], used: list[str | None]) -> list[str]:
    return [] if wanted is None else [wanted]


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """None where the text is no pattern; then nothing is like it."""
    try:
        return re.compile(text or "")
    except re.error:
        return None


def _taken(registry: Registry, template: Template, coming: Coming) -> list[int]:
    """Rows of agents where one of the template's own ports is in use by an instance of any service."""
    wanted = host_ports(template)
    rows = [
        one.agent
        for one in registry.instances.values()
        if one.takes_room and _overlap(wanted, registry.services[one.path].template_of(one))
    ]
    return rows + [row for service, row in coming if _overlap(wanted, service.spec.template)]


def _overlap(ports: tuple[int, ...], template: Template) -> bool:
    return any(port in ports for port in host_ports(template))
