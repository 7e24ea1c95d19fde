"""Which agents a service's constraints allow, given where its instances are.

Operators as in Marathon: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS over an attribute (`hostname`,
`@hostname`, `@zone`, ...). Instances of the same version count; an agent without the attribute is allowed by UNLIKE
alone. Each operator is a question about the attribute's values, of which there are few; agents follow by their codes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I64, U8
from orch.model.specs.template import ConstraintTemplate
from orch.services import host_ports
from orch.services.attributes import Agents, Coded
from orch.services.registry import Registry
from orch.services.service import Service

Coming = Sequence[tuple[Service, int]]
"""(service, agent row) of instances that are about to be accepted: they count like those that are there."""

Flags = NDArray[np.bool_]
_OVER_OTHERS = ("UNIQUE", "GROUP_BY", "MAX_PER")


def one_by_one(service: Service) -> bool:
    """Whether an instance changes where the next one may go."""
    template = service.spec.template
    return bool(host_ports.of(template)) or any(
        rule.operator in _OVER_OTHERS or (rule.operator == "CLUSTER" and rule.value is None)
        for rule in template.constraints
    )


def allowed(registry: Registry, service: Service, agents: Agents, coming: Coming = ()) -> U8:
    """uint8[N]: 1 where all constraints of the newest version allow one more instance."""
    template = service.spec.template
    fits = np.ones(len(agents.names), dtype=bool)
    rows = [one.agent for one in service.instances.values() if one.takes_room and one.version == service.version]
    rows += [row for other, row in coming if other is service]
    used = np.array(rows, dtype=np.int64)
    usable = agents.usable.astype(bool)
    for rule in template.constraints:
        fits &= allowed_by(rule, agents.coded(rule.field), used, usable)
    ports = host_ports.of(template)
    if ports:
        fits[_taken(registry, ports, coming)] = False
        fits &= host_ports.in_range(ports, agents)
    return fits.astype(np.uint8)


def allowed_by(rule: ConstraintTemplate, coded: Coded, used: I64, usable: Flags) -> Flags:
    """bool[N]: agents that one rule allows. used: rows of the agents of the instances that are there, one for each.

    Only values of usable agents are on offer; an agent that is not usable has none.
    """
    if rule.operator == "UNLIKE":
        unlike: Flags = coded.of_rows(~_like(rule.value, coded.values), without=True) | ~usable
        return unlike
    fits: Flags = coded.of_rows(_by_value(rule, coded, used, usable), without=False) & usable
    return fits


def _by_value(rule: ConstraintTemplate, coded: Coded, used: I64, usable: Flags) -> Flags:
    count = coded.counts(used)
    offered: Flags = coded.counts(np.flatnonzero(usable)) > 0
    match rule.operator:
        case "UNIQUE":
            return _fewer(count, 1)
        case "MAX_PER":
            return _fewer(count, int(rule.value) if rule.value and rule.value.isdecimal() else 0)
        case "GROUP_BY":
            return _group_by(rule.value, count, offered)
        case "CLUSTER":
            return _cluster(rule.value, coded, used, offered)
        case "LIKE":
            return _like(rule.value, coded.values)
        case _:
            return _is(rule.value, coded.values)


def _fewer(count: I64, limit: int) -> Flags:
    fewer: Flags = count < limit
    return fewer


def _group_by(least: str | None, count: I64, offered: Flags) -> Flags:
    """Values with the fewest instances. least: so many there should be in use; until then, only others."""
    in_use = count > 0
    if least and least.isdecimal() and int(in_use.sum()) < int(least):
        return offered & np.logical_not(in_use)
    fewest: Flags = count == (count[offered].min() if offered.any() else 0)
    return fewest


def _cluster(wanted: str | None, coded: Coded, used: I64, offered: Flags) -> Flags:
    """All on one value: the given one, or that of the first instance."""
    if wanted is not None:
        return _is(wanted, coded.values)
    codes = coded.codes[used]
    known = codes[codes >= 0]
    return np.arange(len(coded.values)) == known[0] if len(known) else offered


def _is(wanted: str | None, values: list[str]) -> Flags:
    return np.array([value == wanted for value in values], dtype=bool)


def _like(text: str | None, values: list[str]) -> Flags:
    """Which values the whole pattern matches. Where the text is no pattern nothing is like it."""
    try:
        pattern = re.compile(text or "")
    except re.error:
        return np.zeros(len(values), dtype=bool)
    return np.array([pattern.fullmatch(value) is not None for value in values], dtype=bool)


def _taken(registry: Registry, ports: tuple[int, ...], coming: Coming) -> list[int]:
    """Rows of agents where one of these ports is in use by an instance of any service."""
    rows = [
        one.agent
        for one in registry.instances.values()
        if one.takes_room and host_ports.overlap(ports, registry.services[one.path].template_of(one))
    ]
    return rows + [row for service, row in coming if host_ports.overlap(ports, service.spec.template)]
