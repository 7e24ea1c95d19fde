"""How much each group may take now: guarantees first, then by share, within every limit, gangs whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator.shares import turns
from orch.allocator.tree import MAX_DEPTH, Tree
from orch.allocator.waterfill import fill, fill_each
from orch.allocator.whole import Claims, whole
from orch.model.resources import R

Ints = NDArray[np.int64]
Lines = NDArray[np.int32]

_SMALL = 1 << 31
"""The product of two numbers below it is an int64."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Stated demand. Columns of D rows of equal pods.

    group int64[D]: numbers of the tree. requests int64[D, R]. counts int64[D]. gangs int64[D]: 0 or 1: each for itself.
    """

    group: Ints
    requests: Ints
    counts: Ints
    gangs: Ints


def headroom(
    tree: Tree, wanted: Wanted, capacity: Ints, total: Ints, freed: Ints | None = None
) -> tuple[list[int], Ints]:
    """Groups in the order of their turn, and int64[G, R] how much each may take; who may take no pod is left out.

    capacity int64[R]: what is free now; total int64[R]: all there is. Together they take no more than capacity, and no
    group passes its limit or that of one above it. The first in turn can take any one pod (or gang) that fits.
    freed: int64[G, R], what each group (with all below) could give back of its own, as far as its limit goes.
    Columns of groups, also where there are a thousand of them: no step is one group's, but for those that are raised.
    """
    gangs = np.maximum(wanted.gangs, 1)
    unit = wanted.requests * gangs[:, None]
    most = np.minimum(capacity, _room_above(tree, wanted.group, freed)) if tree.has_quota else capacity
    fits = np.all(unit <= most, axis=1) & (wanted.counts > 0)
    if not fits.any():
        return [], np.zeros((0, R), dtype=np.int64)
    group, unit = wanted.group[fits], unit[fits]
    needs = _times(wanted.requests[fits], wanted.counts[fits], gangs[fits], capacity)
    if not tree.has_quota and np.all(group == group[0]):
        return [int(group[0])], np.minimum(needs.sum(axis=0), capacity)[None, :]
    by_group = np.argsort(group, kind="stable")
    groups, first = np.unique(group[by_group], return_index=True)
    demand = np.add.reduceat(needs[by_group], first, axis=0)
    room = tree.room(freed)
    lines = tree.lines(groups)
    sure = _guarantees(tree, lines) if tree.has_quota else np.zeros((len(room), R), dtype=np.int64)
    grant = _share_out(_Level(tree, room, sure, total), lines, demand, capacity, 0)
    order = np.array(turns(tree, groups.tolist(), total), dtype=np.int64)
    at = np.searchsorted(groups, order)
    claims = Claims.of(lines[at], grant[at], unit, np.argsort(at, kind="stable")[np.searchsorted(groups, group)])
    kept, given = whole(claims, room if tree.has_quota else None, capacity)
    return order[kept].tolist(), given


def _room_above(tree: Tree, group: Ints, freed: Ints | None) -> Ints:
    """int64[D, R]: the least room of each row's group and of all above it."""
    room = tree.room(freed)
    least = room[group]
    for above in tree["ancestors"][group].T:
        np.minimum(least, np.where((above >= 0)[:, None], room[above], least), out=least)
    return least


def _times(requests: Ints, counts: Ints, gangs: Ints, capacity: Ints) -> Ints:
    """int64[D, R]: what each row's pods need, of no more pods (whole gangs) than the capacity could ever hold."""
    ever = np.where(requests > 0, capacity // np.maximum(requests, 1), counts[:, None]).min(axis=1)
    most: Ints = requests * (np.minimum(counts, ever) // gangs * gangs)[:, None]
    return most


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """What every level of the tree is shared out by. room, sure int64[G, R], total int64[R]."""

    tree: Tree
    room: Ints
    sure: Ints
    total: Ints


def _share_out(by: _Level, lines: Lines, demand: Ints, capacity: Ints, depth: int) -> Ints:
    """int64[n, R]: one level of the tree, then each branch. lines int32[n, 8]: the numbers from the top to claimant i.

    What a group wants for itself stands beside its subgroups, with weight 1.
    """
    tree, heads = by.tree, lines[:, depth]
    branches, at = np.unique(heads, return_inverse=True)
    below = branches >= 0
    used, most = tree["used"][branches], by.room[branches]
    weight = np.where(below, tree["weight"][branches], 1)
    least = np.where(below[:, None], by.sure[branches], 0)
    if not below[0]:
        own = int(lines[np.argmin(heads), depth - 1])
        used[0] = tree["used"][own] - tree["used"][tree["parent"] == own].sum(axis=0)
        most[0] = by.room[own]
    order = np.argsort(at, kind="stable")
    first = np.searchsorted(at[order], np.arange(len(branches)))
    wants = np.minimum(np.add.reduceat(demand[order], first, axis=0), most)
    sure = fill(capacity, _sure(wants, least, used), used, weight, by.total)
    share = sure + fill(capacity - sure.sum(axis=0), wants - sure, used + sure, weight, by.total)
    grant = share[at]
    alone = (np.bincount(at)[at] == 1) & below[at]
    grant[alone] = _down(by, lines[alone], demand[alone], grant[alone], depth)
    bounds = [*first.tolist(), len(order)]
    for branch in np.unique(at[~alone & below[at]]).tolist():
        rows = order[bounds[branch] : bounds[branch + 1]]
        grant[rows] = _share_out(by, lines[rows], demand[rows], share[branch], depth + 1)
    return grant


def _down(by: _Level, lines: Lines, demand: Ints, share: Ints, depth: int) -> Ints:
    """int64[n, R]: what is left of the share of who is alone in its branch, after the levels below it."""
    for level in range(depth + 1, MAX_DEPTH):
        deeper = np.flatnonzero(lines[:, level] >= 0)
        if len(deeper) == 0:
            break
        number, have = lines[deeper, level], share[deeper]
        used, weight = by.tree["used"][number], by.tree["weight"][number]
        wants = np.minimum(demand[deeper], by.room[number])
        sure = fill_each(have, _sure(wants, by.sure[number], used), used, weight, by.total)
        share[deeper] = sure + fill_each(have - sure, wants - sure, used + sure, weight, by.total)
    return share


def _sure(wants: Ints, guarantee: Ints, used: Ints) -> Ints:
    """int64[n, R]: what each wants up to its guarantee, in the want's own proportions.

    Where a guarantee names some resources only, the others go along with them. Exact: by Python's integers where a
    product of two amounts is no int64.
    """
    sure = np.zeros_like(wants)
    most = np.maximum(guarantee - used, 0)
    some = guarantee.any(axis=1)
    small = (wants.max(axis=1, initial=0) < _SMALL) & (most.max(axis=1, initial=0) < _SMALL)
    for rows, kind in ((some & small, np.int64), (some & ~small, object)):
        if rows.any():
            bound = np.where(guarantee[rows] > 0, most[rows], -1)
            sure[rows] = _proportions(wants[rows].astype(kind), bound.astype(kind))
    return sure


def _proportions(wants: NDArray[Any], bound: NDArray[Any]) -> NDArray[Any]:
    """[n, R]: the largest part of each row that stays within its bounds (-1: none), rounded down."""
    part, whole_ = np.ones(len(wants), dtype=wants.dtype), np.ones(len(wants), dtype=wants.dtype)
    for want, most in zip(wants.T, bound.T, strict=True):
        binds = (most >= 0) & (want * part > most * whole_)
        part, whole_ = np.where(binds, most, part), np.where(binds, want, whole_)
    return wants * part[:, None] // whole_[:, None]


def _guarantees(tree: Tree, lines: Lines) -> Ints:
    """int64[G, R]: what a branch is sure to get: its own guarantee, or more where those below add up to more."""
    best = np.zeros_like(tree["guarantee"])
    for level in reversed(range(MAX_DEPTH)):
        numbers = np.unique(lines[:, level])
        numbers = numbers[numbers >= 0]
        best[numbers] = np.maximum(best[numbers], tree["guarantee"][numbers])
        parents = tree["parent"][numbers]
        np.add.at(best, parents[parents >= 0], best[numbers[parents >= 0]])
    return best
