"""Rules between pods: UNIQUE, MAX_PER, GROUP_BY, CLUSTER, affinity and anti-affinity, as columns beside a match.

A counter says how many pods lie on each value of an attribute. A rule of a shape asks a counter:

- MAX: fewer than `limit` on the agent's value. UNIQUE is 1, MAX_PER n; with a counter of other pods it is
  anti-affinity; with a counter of a port, a fixed host port.
- LEAST: a value with the fewest (GROUP_BY). Among several the lowest code that has an agent for the pod; where none
  has, nothing more is placed. Values count that have a usable agent which the shape's mask allows. With `limit`: until
  so many values are in use, only one that has none.
- SAME: a value that has some, or any while none has (CLUSTER).
- SOME: a value that has some (affinity to what is counted).

Preferences rule nothing out: agents that meet more of them come first, and the policy chooses among equals.

- near: a value that has some. What does not depend on other pods is a counter of an attribute with two values.
- apart: a value that has none.

An agent without the attribute (code -1) fails every rule, and meets no preference. What does not depend on other pods
(LIKE, UNLIKE, IS) is a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from orch import _placement as kernel
from orch.placement import columns
from orch.placement.columns import Int32, Int64
from orch.placement.errors import ShapeError

OPERATORS: dict[str, int] = {
    "MAX": kernel.OPERATOR_MAX, "LEAST": kernel.OPERATOR_LEAST,
    "SAME": kernel.OPERATOR_SAME, "SOME": kernel.OPERATOR_SOME,
}  # fmt: skip
RULES_MOST: int = kernel.RULES_MOST
"""Of one shape; it may have as many preferences."""
COUNTERS_MOST: int = kernel.COUNTERS_MOST
"""That count the pods of one shape."""
INT32_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a shape; `name` is what a `Why` calls it, as `constraint:<name>`."""

    counter: int
    operator: str
    limit: int
    name: str


@dataclass(frozen=True, slots=True)
class Preference:
    """One preference of a shape: values of a counter that have some pods (near), or none (apart)."""

    counter: int
    near: bool


class Rules:
    """Counters over the attributes of N agents, and the rules of S shapes. Matches count in it what they place."""

    def __init__(self, agents: int, shapes: int) -> None:
        self.agents, self.shapes = agents, shapes
        self._codes: list[Int32] = []
        self._values: list[int] = []
        self._attribute: list[int] = []
        self._counts: list[Int32] = []
        self._rules: list[list[Rule]] = [[] for _ in range(shapes)]
        self._preferences: list[list[Preference]] = [[] for _ in range(shapes)]
        self._counted: list[list[int]] = [[] for _ in range(shapes)]
        self._table: kernel.RuleTable | None = None
        self._most = 0  # while there is a table, no counter is above this

    def attribute(self, codes: Any) -> int:
        """A coded column of the agents, int32[N], -1 = an agent does not have it. Returns its number."""
        column = columns.column("codes", codes, np.int32, self.agents)
        columns.at_least("codes", column, -1)
        self._codes.append(column)
        self._values.append(int(column.max(initial=-1)) + 1)
        self._table = None
        return len(self._codes) - 1

    def hosts(self) -> int:
        """An attribute with a value for each agent, as @hostname is. Returns its number."""
        return self.attribute(np.arange(self.agents, dtype=np.int32))

    def counter(self, attribute: int, counts: Any = None) -> int:
        """A counter over an attribute's values. counts: int32[values], what lies there; more values than agents
        have are fine. Returns its number. Raises ShapeError."""
        self._within("attribute", attribute, len(self._codes))
        values = self._values[attribute]
        if counts is None:
            had = np.zeros(values, np.int32)
        else:
            had = columns.column("counts", counts, np.int32, None).copy()
            columns.at_least("counts", had, 0)
            if len(had) < values:
                raise ShapeError(f"counts has {len(had)} values, and the attribute has codes up to {values - 1}")
        self._attribute.append(attribute)
        self._counts.append(had)
        self._table = None
        return len(self._counts) - 1

    def count(self, shape: int, counter: int) -> None:
        """Pods of this shape are counted by this counter, once however often it is said. Raises ShapeError."""
        self._within("shape", shape, self.shapes)
        self._within("counter", counter, len(self._counts))
        if counter not in self._counted[shape]:
            self._few(self._counted[shape], shape, "counters", COUNTERS_MOST)
            self._counted[shape].append(counter)
        self._table = None

    def rule(self, shape: int, counter: int, operator: str, limit: int = 0, name: str | None = None) -> None:
        """One more rule of a shape; all of them hold. Raises ShapeError."""
        self._within("shape", shape, self.shapes)
        self._within("counter", counter, len(self._counts))
        if operator not in OPERATORS:
            raise ShapeError(f"operator is {operator!r}, and must be one of {', '.join(OPERATORS)}")
        if not 0 <= limit <= INT32_MOST:
            raise ShapeError(f"limit is {limit}, and must be 0 or more and fit int32")
        self._few(self._rules[shape], shape, "rules")
        self._rules[shape].append(Rule(counter, operator, limit, name or f"{operator} {limit} of counter {counter}"))
        self._table = None

    def prefer(self, shape: int, counter: int, near: bool) -> None:
        """One more preference of a shape. Raises ShapeError."""
        self._within("shape", shape, self.shapes)
        self._within("counter", counter, len(self._counts))
        self._few(self._preferences[shape], shape, "preferences")
        self._preferences[shape].append(Preference(counter, near))
        self._table = None

    def names(self, shape: int) -> list[str]:
        """The names of a shape's rules, in the order in which they are asked."""
        return [rule.name for rule in self._rules[shape]]

    def counts(self, counter: int) -> Int32:
        """int32[values]: what a counter says now. A copy."""
        self._within("counter", counter, len(self._counts))
        return self._counts[counter].copy()

    def table(self, shapes: int | None, agents: int, pods: int, shape: int = 0) -> kernel.RuleTable:
        """The columns for the kernel, made at the first use. Raises ShapeError where they are not of this match."""
        if agents != self.agents or (shapes is not None and shapes != self.shapes):
            raise ShapeError(
                f"these rules are of {self.agents} agents and {self.shapes} shapes; the match has {agents} and {shapes}"
            )
        self._within("shape", shape, max(self.shapes, 1))
        if self._table is None:
            self._most = INT32_MOST
        if self._most > INT32_MOST - pods:
            self._most = max([int(counts.max(initial=0)) for counts in self._counts], default=0)
        if self._most > INT32_MOST - pods:
            raise ShapeError(f"a counter is at {self._most}, and {pods} pods more may not fit int32")
        self._most += pods
        if self._table is None:
            self._table = self._frozen()
        return self._table

    def uncount(self, shape: Int32, agent: Int32, offset: Int64, placed: Int64) -> None:
        """Forget a match. shape int32[D], agent int32[P], offset int64[D + 1], placed int64[D], as in `Match`."""
        if self._table is None:
            self._table = self._frozen()
        self._table.uncount(shape, agent, offset, placed)

    def _frozen(self) -> kernel.RuleTable:
        codes = np.stack(self._codes) if self._codes else np.empty((0, self.agents), np.int32)
        first = _offsets([len(counts) for counts in self._counts])
        flat = np.concatenate([np.empty(0, np.int32), *self._counts])
        self._counts = [flat[first[c] : first[c + 1]] for c in range(len(self._counts))]
        refined: dict[tuple[int, int], bool] = {}
        rules = [
            (rule.counter, OPERATORS[rule.operator], rule.limit, rule.counter in self._counted[shape])
            for shape in range(self.shapes)
            for rule in self._rules[shape]
        ]
        return kernel.RuleTable(
            codes,
            np.array(self._attribute, np.int32),
            flat,
            first,
            _offsets([len(of) for of in self._rules]),
            np.array(rules, np.int32).reshape(-1, 4),
            _offsets([len(of) for of in self._counted]),
            np.array([counter for of in self._counted for counter in of], np.int32),
            _offsets([len(of) for of in self._preferences]),
            self._preferred(),
            np.array([self._path(shape, refined) for shape in range(self.shapes)], np.uint8),
        )

    def _preferred(self) -> Int32:
        """int32[Q, 4]: the counter of each preference, near or apart, whether it counts the shape's pods, and whether
        each value of its attribute has one agent at most."""
        single: dict[int, bool] = {}
        rows = []
        for shape, preferences in enumerate(self._preferences):
            for one in preferences:
                attribute = self._attribute[one.counter]
                if attribute not in single:
                    codes = self._codes[attribute]
                    single[attribute] = bool(np.bincount(codes[codes >= 0]).max(initial=0) <= 1)
                rows.append((one.counter, one.near, one.counter in self._counted[shape], single[attribute]))
        return np.array(rows, np.int32).reshape(-1, 4)

    def _path(self, shape: int, refined: dict[tuple[int, int], bool]) -> int:
        """How the kernel places a shape's pods: EVEN where each value of its one LEAST can be filled by itself."""
        rules = self._rules[shape]
        least = [rule for rule in rules if rule.operator == "LEAST"]
        if not least:
            return kernel.PATH_WALK
        if len(least) > 1 or least[0].counter not in self._counted[shape] or self._preferences[shape]:
            return kernel.PATH_EACH
        values = self._attribute[least[0].counter]
        for rule in rules:
            fine = self._attribute[rule.counter], values
            if rule.operator == "SAME":
                return kernel.PATH_EACH
            if rule.operator == "MAX" and rule.counter in self._counted[shape]:
                if fine not in refined:
                    refined[fine] = self._refines(*fine)
                if not refined[fine]:
                    return kernel.PATH_EACH
        return kernel.PATH_EVEN

    def _refines(self, fine: int, coarse: int) -> bool:
        """Whether agents that are equal in `fine` are equal in `coarse`: two values of it then share no limit."""
        both = (self._codes[fine] >= 0) & (self._codes[coarse] >= 0)
        inner, outer = self._codes[fine][both], self._codes[coarse][both]
        one = np.zeros(self._values[fine], np.int32)
        one[inner] = outer
        return bool((one[inner] == outer).all())

    def _within(self, name: str, number: int, count: int) -> None:
        if not 0 <= number < count:
            raise ShapeError(f"{name} is {number}, and there are {count}")

    def _few(self, have: list[Any], shape: int, what: str, most: int = RULES_MOST) -> None:
        if len(have) == most:
            raise ShapeError(f"shape {shape} has {most} {what} already, and that is the most")


def _offsets(lengths: list[int]) -> Int64:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
