"""Why a pod waits, as data: how many agents each predicate ruled out, and how near the nearest came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from orch import _placement as kernel
from orch.model import resources
from orch.placement.columns import Int32
from orch.placement.reason import Reason

AgentNames = Callable[[int], str] | Sequence[str] | None
"""From an agent's row to its name."""

PREDICATES = (
    "usable",
    "draining",
    "reserved",
    "constraint",
    *resources.NAMES,
    "resource 5",
    "resource 6",
    "resource 7",
)
"""In the order in which they are asked; an agent is charged to the first that it fails.

Rules come between `constraint`, the masks, and the resources: each is a predicate `constraint:<name>` of its own.
"""

FIRST_RESOURCE = 4
RULE = "constraint:"
"""Before the name of a rule."""


@dataclass(frozen=True, slots=True)
class RuledOut:
    """Agents that fail by one predicate first. `asked` and `most` (the most free on one of them) are of a resource."""

    predicate: str
    agents: int
    asked: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Nearest:
    """The agent that fails by the fewest predicates, then by the least share of what was asked, then the lowest row.

    `resource` is what it lacks most of, or another predicate; asked and free in the resource's column unit.
    """

    agent: int
    resource: str
    asked: int | None = None
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change that would let a pod fit on an agent: so much `less` of a resource, or without this predicate.

    less: in the resource's column unit; None for other predicates.
    """

    predicate: str
    agent: int
    less: int | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """One shape against all agents. agents == feasible + the sum over ruled_out: each agent is counted once.

    agents: known agents. feasible: those that would hold one such pod now. feasible_empty: those that would if
    nothing ran on them, drained or not, whatever the constraints say. never: there are agents, and none could ever.
    gang, room: the gang's size, and how many of its pods fit at once now (0 where none does).
    request: int per resource. short, left: of a headroom that is used up, the scarcest resource and what is left of it.
    changes: for each predicate that alone keeps an agent from holding the pod, that agent: of a resource the one that
    has the most of it, else the lowest row.
    """

    reason: Reason
    agents: int
    feasible: int
    feasible_empty: int
    ruled_out: tuple[RuledOut, ...]
    nearest: Nearest | None
    request: tuple[int, ...]
    largest: tuple[int, ...]
    gang: int = 1
    room: int = 0
    short: str | None = None
    left: int | None = None
    changes: tuple[Change, ...] = ()

    @property
    def smallest_change(self) -> Change | None:
        """The reduction that is the least part of what was asked; without one, the first predicate to be lifted.

        None where more than one thing keeps every agent from holding the pod, or one holds it now.
        """
        if self.feasible or not self.changes:
            return None
        less = [change for change in self.changes if change.less is not None]
        asked = dict(zip(PREDICATES[FIRST_RESOURCE:], self.request, strict=False))
        return min(less, key=lambda one: Fraction(one.less or 0, asked[one.predicate]), default=self.changes[0])

    @property
    def never(self) -> bool:
        """No agent could hold such a pod, even if nothing ran on it. False while there are no agents at all."""
        return self.agents > 0 and self.feasible_empty == 0

    def to_dict(self, agent_names: AgentNames = None, **more: Any) -> dict[str, Any]:
        """For JSON, amounts in the user's units: `{agents, feasible, ruled_out, nearest, never, change, sentence}`.

        `more` (say, `id=`) goes first. Agents are names where `agent_names` is given, else rows.
        """
        nearest = None
        if self.nearest is not None:
            near = self.nearest
            nearest = {
                "agent": near.agent if agent_names is None else _name(agent_names, near.agent),
                "resource": near.resource,
                "asked": _amount(near.resource, near.asked),
                "free": _amount(near.resource, near.free),
            }
        return {
            **more,
            "agents": self.agents,
            "feasible": self.feasible,
            "ruled_out": [{"predicate": out.predicate, "agents": out.agents} for out in self.ruled_out],
            "nearest": nearest,
            "never": self.never,
            "change": self._change(agent_names),
            "sentence": self.sentence(agent_names),
        }

    def _change(self, agent_names: AgentNames) -> dict[str, Any] | None:
        change = self.smallest_change
        if change is None:
            return None
        return {
            "predicate": change.predicate,
            "agent": change.agent if agent_names is None else _name(agent_names, change.agent),
            "less": _amount(change.predicate, change.less),
        }

    def sentence(self, agent_names: AgentNames = None) -> str:
        """For people: `2 agents: 2 have too few cpus (asked 1000, most on one agent: 1)`, and what to do."""
        if self.agents == 0:
            return "there are no agents: start one with `orch join`, or wait until one registers"
        parts = [self._ruled_out(out) for out in self.ruled_out]
        if self.feasible:
            parts.append(f"{self.feasible} would hold {'one of its pods' if self.gang > 1 else 'it'}")
        text = f"{_count(self.agents, 'agent')}: {', '.join(parts)}"
        if self.never:
            remedy = "ask for less, or add a larger agent"
            return f"{text}; no agent could hold it even when empty{self._too_large()}: {remedy}"
        if self.reason == Reason.GANG:
            return f"{text}; a gang of {self.gang} is placed whole or not at all, and there is room for {self.room}"
        if self.short is not None and self.left is not None:
            asked = self.request[PREDICATES.index(self.short) - FIRST_RESOURCE] * self.gang
            return (
                f"{text}; its group may take no more: {self.short} asked {_human(self.short, asked)}, "
                f"left {_human(self.short, max(self.left, 0))}"
            )
        if self.nearest is None or self.feasible or self.agents == 1:
            return text + self._smallest(agent_names)
        return f"{text}; {self._nearest(self.nearest, agent_names)}{self._smallest(agent_names)}"

    def _smallest(self, agent_names: AgentNames) -> str:
        """`; with 4096.0 MiB less mem it would fit on a12`, or nothing."""
        change = self.smallest_change
        if change is None:
            return ""
        name = f"agent {change.agent}" if agent_names is None else _name(agent_names, change.agent)
        if change.less is not None:
            return f"; with {_human(change.predicate, change.less)} less {change.predicate} it would fit on {name}"
        what = {
            "usable": f"once {name} is usable",
            "draining": f"once {name} is drained no more",
            "reserved": f"without what is reserved on {name}",
            "constraint": f"without its constraints, on {name}",
        }
        return f"; it would fit {what.get(change.predicate, f'without {_rule(change.predicate)}, on {name}')}"

    def _ruled_out(self, out: RuledOut) -> str:
        one = out.agents == 1
        if out.predicate == "usable":
            return f"{out.agents} {'is' if one else 'are'} drained or unreachable"
        if out.predicate == "draining":
            return f"{out.agents} {'is' if one else 'are'} draining"
        if out.predicate == "reserved":
            return f"{out.agents} {'has' if one else 'have'} room only in what is reserved for others"
        if out.predicate == "constraint":
            return f"{out.agents} {'does' if one else 'do'} not match its constraints"
        if out.predicate.startswith(RULE):
            return f"{out.agents} {'is' if one else 'are'} ruled out by {_rule(out.predicate)}"
        amounts = f"asked {_human(out.predicate, out.asked)}, most on one agent: {_human(out.predicate, out.most)}"
        return f"{out.agents} {'has' if one else 'have'} {_too_few(out.predicate)} ({amounts})"

    def _too_large(self) -> str:
        """What even the largest agents lack; nothing where each has some of it, but none has all."""
        names = PREDICATES[FIRST_RESOURCE:]
        over = [
            f"{name} {_human(name, largest)}"
            for name, asked, largest in zip(names, self.request, self.largest, strict=False)
            if asked > largest
        ]
        return f" (the largest has {', '.join(over)})" if over else ""

    def _nearest(self, near: Nearest, agent_names: AgentNames) -> str:
        name = f"agent {near.agent}" if agent_names is None else _name(agent_names, near.agent)
        if near.resource == "usable":
            return f"nearest is {name}, which is drained or unreachable"
        if near.resource == "draining":
            return f"nearest is {name}, which is draining"
        if near.resource == "reserved":
            return f"nearest is {name}, where the room is reserved for others"
        if near.resource == "constraint":
            return f"nearest is {name}, which does not match its constraints"
        if near.resource.startswith(RULE):
            return f"nearest is {name}, which is ruled out by {_rule(near.resource)}"
        free, asked = _human(near.resource, near.free), _human(near.resource, near.asked)
        return f"nearest is {name} with {free} of {asked} {near.resource} free"


def why_of(row: Int32, request: Int32, gang: int, rules: Sequence[str] = ()) -> Why:
    """A `Why` from one row of the kernel's matrix, int32[WHY_WIDTH], and the request int32[R] it is about.

    rules: the names of its shape's rules.
    """
    values: list[int] = row.tolist()
    asked: list[int] = request.tolist()
    dims = len(asked)
    fixed, first = kernel.PREDICATE_RULE, kernel.PREDICATE_RESOURCE
    names = {p: PREDICATES[p] for p in range(fixed)}
    names |= {fixed + i: RULE + name for i, name in enumerate(rules)}
    names |= {first + d: PREDICATES[FIRST_RESOURCE + d] for d in range(dims)}
    ruled_out, changes = [], []
    for predicate, name in names.items():
        agents, only, d = values[kernel.WHY_RULED + predicate], values[kernel.WHY_ONLY + predicate], predicate - first
        of_resource = (asked[d], values[kernel.WHY_MOST + d]) if d >= 0 else ()
        if agents:
            ruled_out.append(RuledOut(name, agents, *of_resource))
        if only >= 0:
            changes.append(Change(name, only, asked[d] - values[kernel.WHY_ONLY_FREE + d] if d >= 0 else None))
    nearest = None
    if values[kernel.WHY_NEAREST] >= 0:
        predicate = values[kernel.WHY_PREDICATE]
        lacks = (asked[predicate - first], values[kernel.WHY_NEAREST_FREE]) if predicate >= first else ()
        nearest = Nearest(values[kernel.WHY_NEAREST], names[predicate], *lacks)
    short = values[kernel.WHY_SHORT]
    return Why(
        reason=Reason(values[kernel.WHY_REASON]),
        agents=values[kernel.WHY_AGENTS],
        feasible=values[kernel.WHY_FEASIBLE],
        feasible_empty=values[kernel.WHY_EMPTY],
        ruled_out=tuple(ruled_out),
        nearest=nearest,
        request=tuple(asked),
        largest=tuple(values[kernel.WHY_TOTAL : kernel.WHY_TOTAL + dims]),
        gang=max(gang, 1),
        room=values[kernel.WHY_ROOM],
        short=PREDICATES[FIRST_RESOURCE + short] if short >= 0 else None,
        left=values[kernel.WHY_LEFT] if short >= 0 else None,
        changes=tuple(changes),
    )


def _name(agent_names: AgentNames, row: int) -> str:
    assert agent_names is not None
    return agent_names(row) if callable(agent_names) else agent_names[row]


def _rule(predicate: str) -> str:
    return f"its rule {predicate.removeprefix(RULE)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _too_few(resource: str) -> str:
    return f"too little {resource}" if resource in ("mem", "disk") else f"too few {resource}"


def _amount(resource: str, amount: int | None) -> float | int | None:
    if amount is None or resource not in resources.NAMES:
        return amount
    return resources.to_user(resources.NAMES.index(resource), amount)


def _human(resource: str, amount: int | None) -> str:
    unit = " MiB" if resource in ("mem", "disk") else ""
    return f"{_amount(resource, amount)}{unit}"
