"""Rules between pods in plain Python, for `reference.py`: counts by an attribute's value, asked before each pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counter:
    """codes: of each agent its value, -1 none. counts: of each value how many pods lie there."""

    codes: list[int]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Rule:
    """counter: which one; operator, limit: as in `orch.placement.rules`."""

    counter: int
    operator: str
    limit: int
    name: str


@dataclass(frozen=True, slots=True)
class Preference:
    """counter: which one; near: met where it has some, else where it has none."""

    counter: int
    near: bool


@dataclass(slots=True)
class RuleBook:
    """counted: for each shape the counters of its pods. rules, preferences: for each shape."""

    counters: list[Counter] = field(default_factory=list)
    counted: list[list[int]] = field(default_factory=list)
    rules: list[list[Rule]] = field(default_factory=list)
    preferences: list[list[Preference]] = field(default_factory=list)

    def names(self, shape: int) -> list[str]:
        """Of the shape's rules."""
        return [rule.name for rule in self.rules[shape]] if self.rules else []

    def count(self, shape: int, agent: int, sign: int) -> None:
        """A pod of this shape comes to an agent (sign 1), or leaves it (-1)."""
        for counter in self.counted[shape] if self.counted else []:
            code = self.counters[counter].codes[agent]
            if code >= 0:
                self.counters[counter].counts[code] += sign

    def broken(self, shape: int, agent: int, offered: Sequence[int]) -> list[int]:
        """Which rules say no to one more pod of a shape on an agent. offered: agents that are usable and allowed."""
        rules = self.rules[shape] if self.rules else []
        return [i for i, rule in enumerate(rules) if not allows(rule, self.counters[rule.counter], agent, offered)]

    def met(self, shape: int, agent: int) -> int:
        """How many of the shape's preferences an agent meets."""
        return sum(_meets(one, self.counters[one.counter], agent) for one in self._preferred(shape))

    def _preferred(self, shape: int) -> list[Preference]:
        return self.preferences[shape] if self.preferences else []

    def turn(self, shape: int, agent: int) -> int:
        """Among values that LEAST allows the lowest goes first."""
        for rule in self.rules[shape] if self.rules else []:
            if rule.operator == "LEAST":
                return self.counters[rule.counter].codes[agent]
        return 0


def _meets(one: Preference, counter: Counter, agent: int) -> bool:
    code = counter.codes[agent]
    return code >= 0 and (counter.counts[code] > 0) == one.near


def allows(rule: Rule, counter: Counter, agent: int, offered: Sequence[int]) -> bool:
    """Whether a rule lets one more pod onto an agent."""
    code = counter.codes[agent]
    if code < 0:
        return False
    here = counter.counts[code]
    if rule.operator == "MAX":
        return here < rule.limit
    if rule.operator == "SAME":
        return here > 0 or not any(counter.counts)
    if rule.operator == "SOME":
        return here > 0
    values = {counter.codes[other] for other in offered if counter.codes[other] >= 0}
    if code not in values:
        return False
    if sum(count > 0 for count in counter.counts) < rule.limit:
        return here == 0
    return here == min(counter.counts[value] for value in values)
