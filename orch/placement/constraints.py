"""What submissions ask of the agents that their pods go to, as masks and rules of one match.

Constraints have Marathon's operators: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS over an attribute
(`hostname`, `@hostname`, `@zone`, ...). Those that ask where other pods are, and affinity, become rules, which count as
a match places; the others are a mask over agents. An agent without the attribute is allowed by UNLIKE alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I64, U8
from orch.model.specs import limits
from orch.model.specs.template import AffinityTemplate, ConstraintTemplate, Template
from orch.placement.attributes import Agents, Coded
from orch.placement.rules import COUNTERS_MOST, RULES_MOST, Rules

Limits = tuple[Rules | None, U8 | None]
"""Of S shapes: the rules between their pods; uint8[S, N], 0 = the agent is ruled out."""
Rows = Callable[[], I64]
"""The agents, int64[k], of pods that count already: they run, or are on their way."""

Flags = NDArray[np.bool_]
_HOSTS = ""
"""Among the names of attributes: each agent for itself."""
_KERNEL = {"UNIQUE": "MAX", "MAX_PER": "MAX", "GROUP_BY": "LEAST", "CLUSTER": "SAME"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What one submission asks of agents. Equal ones are one key of a dict."""

    constraints: tuple[ConstraintTemplate, ...] = ()
    preferences: tuple[ConstraintTemplate, ...] = ()
    affinity: tuple[AffinityTemplate, ...] = ()

    @staticmethod
    def of(template: Template) -> Terms:
        """Those of a template."""
        return Terms(template.constraints, template.preferences, template.affinity)

    def to_list(self) -> list[list[list[Any]]]:
        """Plain lists, for a snapshot; `from_list` undoes it."""
        return [[list(astuple(one)) for one in of] for of in (self.constraints, self.preferences, self.affinity)]

    @staticmethod
    def from_list(image: list[list[list[Any]]]) -> Terms:
        """The terms of `to_list`."""
        constraints, preferences, affinity = image
        return Terms(
            tuple(ConstraintTemplate(*one) for one in constraints),
            tuple(ConstraintTemplate(*one) for one in preferences),
            tuple(AffinityTemplate(*one) for one in affinity),
        )

    @staticmethod
    def from_wire(template: dict[str, Any]) -> Terms:
        """Those of a template's wire form."""
        return Terms(
            tuple(ConstraintTemplate(**one) for one in template.get("constraints", ())),
            tuple(ConstraintTemplate(**one) for one in template.get("preferences", ())),
            tuple(AffinityTemplate(**one) for one in template.get("affinity", ())),
        )

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.constraints or self.preferences or self.affinity)

    @property
    def counters(self) -> int:
        """How many counters over agents a match needs for them, at most."""
        return sum(map(is_counted, self.constraints)) + len(self.affinity) + len(self.preferences)

    @property
    def alone(self) -> bool:
        """Whether it matters which pods are its own: they can't be placed as some among equal ones of others."""
        return bool(self.affinity) or any(map(is_counted, self.constraints))


NO_TERMS = Terms()


def too_many(terms: Terms) -> str:
    """What is more than the kernel has room for; "" where all of it fits."""
    counting = sum(map(is_counted, terms.constraints)) + sum(one.required for one in terms.affinity)
    preferred = len(terms.preferences) + sum(not one.required for one in terms.affinity)
    if counting > limits.COUNTING:
        return f"{counting} constraints and required affinities ask where pods are; at most {limits.COUNTING} may"
    if preferred > limits.PREFERRED:
        return f"{preferred} preferences and preferred affinities; at most {limits.PREFERRED} may be"
    return ""


class Limiter:
    """Gathers what the shapes of one match ask; each counter is made once, for all shapes that ask it."""

    def __init__(self, agents: Agents, shapes: int) -> None:
        self._agents, self._shapes = agents, shapes
        self._rules = Rules(len(agents.names), shapes)
        self._attributes: dict[str, int] = {}
        self._counters: dict[tuple[Hashable, str], int] = {}
        self._masks: dict[int, list[Flags]] = {}
        self._path: dict[int, str] = {}
        self._at_path: dict[str, list[int]] = {}
        self._apart: list[tuple[int, AffinityTemplate]] = []

    def add(
        self,
        shape: int,
        terms: Terms,
        owner: Hashable,
        path: str,
        rows: Rows,
        at: Callable[[str], I64],
        kept_off: Mapping[str, Rows] | None = None,
    ) -> None:
        """What the pods of a shape ask, and what others ask of them. Shapes of one owner count together.

        path: where its pods are found by others. rows: of the owner's pods; at: of all pods at a path. kept_off: by
        attribute, of the pods of others that are to be apart from what is at this path.
        """
        self._path[shape] = path
        for rule in terms.constraints:
            if not is_counted(rule):
                self.mask(shape, allowed_by(rule, self._agents.coded(rule.field)))
                continue
            counter = self._counter(owner, rule.field, rows)
            self._rules.count(shape, counter)
            limit = 1 if rule.operator == "UNIQUE" else int(rule.value) if rule.value and rule.value.isdecimal() else 0
            self._rules.rule(shape, counter, _KERNEL[rule.operator], limit, f"{rule.field} {rule.operator}")
        for rule in terms.preferences:
            self._prefer(shape, rule)
        for one in terms.affinity:
            if one.to:
                counter = self._counter(("path", one.to), one.field, lambda to=one.to: at(to))  # type: ignore[misc]
                if counter not in self._at_path.setdefault(one.to, []):
                    self._at_path[one.to].append(counter)
            else:
                counter = self._counter(owner, one.field, rows)
                self._rules.count(shape, counter)
            self._relate(shape, one, counter, one.to in ("", path))
        for field, others in (kept_off or {}).items():
            self._keep_off(shape, path, field, others)

    def _relate(self, shape: int, one: AffinityTemplate, counter: int, own: bool) -> None:
        """Near its own: where there are none yet, the first may go anywhere."""
        if not one.required:
            self._rules.prefer(shape, counter, one.near)
            return
        if not one.near and not own:
            self._apart.append((shape, one))
        name = f"{one.field} {'near' if one.near else 'apart from'} {one.to or 'its own'}"
        if one.near:
            self._rules.rule(shape, counter, "SAME" if own else "SOME", 0, name)
        else:
            self._rules.rule(shape, counter, "MAX", 1, name)

    def _keep_off(self, shape: int, path: str, field: str, others: Rows) -> None:
        """Where the kernel has no room for one more rule, a mask of what lies there before the match."""
        if len(self._rules.names(shape)) < RULES_MOST:
            counter = self._counter(("apart from", path), field, others)
            self._rules.rule(shape, counter, "MAX", 1, f"{field} apart, as others ask of {path}")
            return
        coded = self._agents.coded(field)
        self.mask(shape, coded.of_rows(coded.counts(others()) == 0, without=False))

    def _prefer(self, shape: int, rule: ConstraintTemplate) -> None:
        """Agents that it allows have the value 1 of an attribute; there is a pod there already, and none elsewhere."""
        key = ("preference", rule), ""
        if key not in self._counters:
            met = allowed_by(rule, self._agents.coded(rule.field)).astype(np.int32)
            self._counters[key] = self._rules.counter(self._rules.attribute(met), np.array([0, 1], np.int32))
        self._rules.prefer(shape, self._counters[key], near=True)

    def ports(self, shape: int, rows: I64, name: str) -> None:
        """Its pods go where none of these is, and none of themselves: one on an agent. rows int64[k]."""
        if _HOSTS not in self._attributes:
            self._attributes[_HOSTS] = self._rules.hosts()
        counts = np.bincount(rows, minlength=len(self._agents.names))
        counter = self._rules.counter(self._attributes[_HOSTS], counts)
        self._rules.count(shape, counter)
        self._rules.rule(shape, counter, "MAX", 1, name)

    def mask(self, shape: int, allowed: Flags) -> None:
        """Only these agents, bool[N]."""
        self._masks.setdefault(shape, []).append(allowed)

    def limits(self) -> Limits:
        """All of it, once everything was added."""
        for shape, path in self._path.items():
            for counter in self._at_path.get(path, [])[: COUNTERS_MOST // 2]:
                self._rules.count(shape, counter)
        for shape, one in self._apart:
            known = self._counters.get((("apart from", one.to), one.field.removeprefix("@")))
            if known is not None:
                self._rules.count(shape, known)
        allowed = None
        if self._masks:
            allowed = np.ones((self._shapes, len(self._agents.names)), dtype=np.uint8)
            for shape, masks in self._masks.items():
                allowed[shape] = np.logical_and.reduce(masks)
        return self._rules if self._counters or self._attributes else None, allowed

    def _counter(self, whose: Hashable, field: str, rows: Rows) -> int:
        """Whose pods, by an attribute. Made at the first use."""
        field = field.removeprefix("@")
        key = whose, field
        if key not in self._counters:
            coded = self._agents.coded(field)
            if field not in self._attributes:
                self._attributes[field] = self._rules.attribute(coded.codes)
            self._counters[key] = self._rules.counter(self._attributes[field], coded.counts(rows()))
        return self._counters[key]


def is_counted(rule: ConstraintTemplate) -> bool:
    """Whether it asks where other pods are; else it looks at the agent alone."""
    return rule.operator in _KERNEL and not (rule.operator == "CLUSTER" and rule.value is not None)


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
