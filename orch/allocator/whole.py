"""Whole pods: in the order of turns, what each is granted is raised until a pod or gang fits, or dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Lines = NDArray[np.int32]

FEW = 16
"""So many claims are looked at one after the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Claims of n groups in the order of their turn.

    lines int32[n, 8]: numbers from the top; grant int64[n, R]; unit int64[k, R]: a pod or gang of each row that is
    wanted, by claim; bounds int64[n + 1]: claim i has the rows bounds[i] to bounds[i + 1], one or more.
    """

    lines: Lines
    grant: Ints
    unit: Ints
    bounds: Ints

    @classmethod
    def of(cls, lines: Lines, grant: Ints, unit: Ints, owner: Ints) -> Claims:
        """owner int64[k]: which claim each row of `unit` is of."""
        order = np.argsort(owner, kind="stable")
        return cls(lines, grant, unit[order], np.searchsorted(owner[order], np.arange(len(lines) + 1)))


def whole(claims: Claims, room: Ints | None, capacity: Ints) -> tuple[Ints, Ints]:
    """(claims that may take something, int64[m, R] what), in the order of turns.

    A claim is raised so that each of its pods or gangs that fits would fit alone. That costs later ones, in this round,
    the headroom of a pod: what the earlier ones leave is shared out anew. room int64[G, R] by number (None: no limits
    anywhere) and capacity int64[R] bound what all take together; room is used up.

    Claims that get what they were granted, or that nothing fits any more, are decided many at a time.
    """
    taker = _Taker(claims, room, capacity.copy())
    runs = [np.arange(len(claims.lines), dtype=np.int64)]
    while runs:
        run = taker.possible(runs.pop())
        if len(run) == 0 or taker.take_all(run):
            continue
        if len(run) <= FEW:
            for claim in run.tolist():
                taker.take(claim)
        else:
            runs += [run[len(run) // 2 :], run[: len(run) // 2]]
    return np.flatnonzero(taker.kept), taker.given[taker.kept]


class _Taker:
    """What is left, while one claim after the other takes its part."""

    def __init__(self, claims: Claims, room: Ints | None, left: Ints) -> None:
        self._claims, self._room, self._left = claims, room, left
        self._least = np.minimum.reduceat(claims.unit, claims.bounds[:-1], axis=0)
        most = np.maximum.reduceat(claims.unit, claims.bounds[:-1], axis=0)
        self._enough: NDArray[np.bool_] = np.all(most <= claims.grant, axis=1)
        self.kept = np.zeros(len(claims.lines), dtype=bool)
        self.given = np.zeros_like(claims.grant)

    def possible(self, run: Ints) -> Ints:
        """Those of the run that something may still fit. What is left only becomes less: the others are out."""
        most = self._left
        if self._room is not None:
            most = np.minimum(_least_room(self._room, self._claims.lines[run]), most)
        return run[(self._least[run] <= most).all(axis=1)]

    def take_all(self, run: Ints) -> bool:
        """Give all of a run what they were granted; False, and nothing is given, if one would get more or less."""
        grant = self._claims.grant[run]
        total = grant.sum(axis=0)
        if not self._enough[run].all() or (total > self._left).any():
            return False
        if self._room is not None:
            needs = np.zeros_like(self._room)
            for numbers in self._claims.lines[run].T:
                np.add.at(needs, numbers[numbers >= 0], grant[numbers >= 0])
            if (needs > self._room).any():
                return False
            self._room -= needs
        self._left -= total
        self.kept[run], self.given[run] = True, grant
        return True

    def take(self, claim: int) -> None:
        """One claim: raised to what fits alone, or dropped."""
        claims, most = self._claims, self._left
        line = claims.lines[claim][claims.lines[claim] >= 0]
        if self._room is not None:
            most = np.minimum(most, self._room[line].min(axis=0))
        unit = claims.unit[claims.bounds[claim] : claims.bounds[claim + 1]]
        fitting = unit[(unit <= most).all(axis=1)]
        if len(fitting) == 0:
            return
        take = np.maximum(np.minimum(claims.grant[claim], most), fitting.max(axis=0))
        self._left -= take
        if self._room is not None:
            self._room[line] -= take
        self.kept[claim], self.given[claim] = True, take


def _least_room(room: Ints, lines: Lines) -> Ints:
    """int64[n, R]: the least room on each line."""
    least = room[lines[:, 0]]
    for numbers in lines.T[1:]:
        np.minimum(least, np.where((numbers >= 0)[:, None], room[numbers], least), out=least)
    return least
