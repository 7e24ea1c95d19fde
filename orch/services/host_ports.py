"""Ports of the agent that a service asks for by number: two such instances never share an agent.

An agent gives out a range of ports (its attribute `ports`, such as `31000-31499`); others are not for pods.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orch.model.specs.template import Template
from orch.placement.attributes import Agents

Range = tuple[int, int]


def of(template: Template) -> tuple[int, ...]:
    """The ports, in the order of the spec."""
    return tuple(
        endpoint.host_port
        for container in template.containers
        for endpoint in container.endpoints
        if endpoint.host_port
    )


def overlap(ports: tuple[int, ...], template: Template) -> bool:
    """Whether another pod asks for one of them."""
    return any(port in ports for port in of(template))


def in_range(ports: tuple[int, ...], agents: Agents) -> NDArray[np.bool_]:
    """bool[N]: which agents give out all of these ports. One that does not tell its range may."""
    coded = agents.coded("ports")
    ranges = [_range(value) for value in coded.values]
    fits = [one is None or all(one[0] <= port <= one[1] for port in ports) for one in ranges]
    return coded.of_rows(np.array(fits, dtype=bool), without=True)


def out_of_range(template: Template, agents: Agents) -> tuple[tuple[int, ...], list[Range]]:
    """(ports that no agent gives out, the ranges that there are); no ports where an agent's range is unknown."""
    coded = agents.coded("ports")
    found = [_range(value) for value in coded.values]
    ranges = [one for one in found if one is not None]
    if not ranges or len(ranges) < len(found) or bool(np.any(coded.codes < 0)):
        return (), []
    ports = tuple(port for port in of(template) if not any(first <= port <= last for first, last in ranges))
    return ports, _joined(ranges)


def _range(text: str) -> Range | None:
    first, _, last = text.partition("-")
    return (int(first), int(last)) if first.isdecimal() and last.isdecimal() else None


def _joined(ranges: list[Range]) -> list[Range]:
    """The same ports in as few ranges, ascending."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
