"""Preemption in plain Python: every set of victims on every agent is looked at. The oracle of the tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations


@dataclass(slots=True)
class Victim:
    """A pod that may have to give way. taken: the row for which it does, -1: it stays."""

    agent: int
    priority: int
    age: int
    request: list[int]
    group: int
    taken: int = -1


@dataclass(frozen=True, slots=True)
class Wish:
    """A row that wants a place; agent and gang: -1 = any, none."""

    agent: int
    request: list[int]
    priority: int
    group: int
    gang: int


@dataclass(slots=True)
class Scene:
    """avail: free less what is owed, by agent. line: each group and those above it. used, guarantee, limit by group."""

    avail: list[list[int]]
    usable: list[int]
    victims: list[Victim]
    line: list[list[int]]
    used: list[list[int]]
    guarantee: list[list[int]]
    limit: list[list[int]]
    places: dict[int, tuple[int, Wish]] = field(default_factory=dict)

    def take(self, wishes: list[Wish]) -> list[int]:
        """The agent of each wish, -1 where there is no place for it (or not for its whole gang)."""
        broken: list[int] = []
        for number, wish in enumerate(wishes):
            if wish.gang >= 0 and wish.gang in broken:
                continue
            if not self._place(number, wish) and wish.gang >= 0:
                broken.append(wish.gang)
                for other in [at for at, (_, one) in self.places.items() if one.gang == wish.gang]:
                    self._move(other, -1)
        return [self.places[number][0] if number in self.places else -1 for number in range(len(wishes))]

    def _place(self, number: int, wish: Wish) -> bool:
        best: tuple[tuple[int, int, int], list[int]] | None = None
        for agent in range(len(self.avail)) if wish.agent < 0 else [wish.agent]:
            found = self._fewest(agent, wish) if self.usable[agent] == 1 else None
            if found is None:
                continue
            highest = max((self.victims[at].priority for at in found), default=-(2**31))
            price = (highest, len(found), agent)
            if best is None or price < best[0]:
                best = (price, found)
        if best is None:
            return False
        for at in best[1]:
            self.victims[at].taken = number
        self.places[number] = (best[0][2], wish)
        self._move(number, 1)
        return True

    def _move(self, number: int, sign: int) -> None:
        """The row comes with its victims gone (1), or goes and they are back (-1)."""
        agent, wish = self.places[number]
        moves = [(one.request, one.group, -sign) for one in self.victims if one.taken == number]
        for request, group, way in [*moves, (wish.request, wish.group, sign)]:
            for d, amount in enumerate(request):
                self.avail[agent][d] -= way * amount
                for above in self.line[group]:
                    self.used[above][d] += way * amount
        if sign < 0:
            del self.places[number]
            for one in self.victims:
                one.taken = -1 if one.taken == number else one.taken

    def _fewest(self, agent: int, wish: Wish) -> list[int] | None:
        """The best set on this agent: by its highest priority, its size, then its place in the order."""
        order = sorted(
            (at for at, one in enumerate(self.victims) if one.agent == agent and one.taken < 0),
            key=lambda at: (self.victims[at].priority, self.victims[at].age, at),
        )
        order = [at for at in order if self.victims[at].priority < wish.priority]
        need, within = self._need(agent, wish)
        dims = [d for d, lacks in enumerate(need) if lacks > 0]
        order = [
            at
            for at in order
            if any(self.victims[at].request[d] for d in dims)
            and (within < 0 or within in self.line[self.victims[at].group])
        ]
        if not dims:
            return []
        for top in sorted({self.victims[at].priority for at in order}):
            some = [at for at in order if self.victims[at].priority <= top]
            for size in range(1, len(some) + 1):
                for chosen in combinations(some, size):
                    covers = all(sum(self.victims[at].request[d] for at in chosen) >= need[d] for d in dims)
                    if covers and self._spares_guarantees(chosen, wish):
                        return list(chosen)
        return None

    def _need(self, agent: int, wish: Wish) -> tuple[list[int], int]:
        """What the agent and the limits lack; the lowest group whose limit lacks something, or -1."""
        need = [max(want - have, 0) if want else 0 for want, have in zip(wish.request, self.avail[agent], strict=True)]
        within = -1
        for group in self.line[wish.group]:
            for d, want in enumerate(wish.request):
                over = self.used[group][d] + want - self.limit[group][d]
                if want and self.limit[group][d] >= 0 and over > 0:
                    need[d] = max(need[d], over)
                    within = group if within < 0 else within
        return need, within

    def _spares_guarantees(self, chosen: tuple[int, ...], wish: Wish) -> bool:
        for group, sure in enumerate(self.guarantee):
            if group in self.line[wish.group]:
                continue
            for d, least in enumerate(sure):
                leave = sum(self.victims[at].request[d] for at in chosen if group in self.line[self.victims[at].group])
                if least and leave and self.used[group][d] - leave < least:
                    return False
        return True
