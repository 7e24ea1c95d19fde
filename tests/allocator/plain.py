"""The allocator group by group: what its columns must equal. Slow, and easy to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orch.allocator import Tree, Wanted, fill, shares
from orch.model.resources import R

Ints = NDArray[np.int64]


def turns(tree: Tree, groups: Sequence[int], total: Ints) -> list[int]:
    """The groups in the order of their turn: those owed a guarantee first, then the lowest share; ties by path.

    Groups are compared level by level from the top of the tree, so that a group with many subgroups has no more turns.
    """
    if len(groups) == 1:
        return list(groups)
    used, weight, guarantee = tree["used"], tree["weight"], tree["guarantee"]

    def key(group: int) -> tuple[bool, list[tuple[int, str]]]:
        line = tree.lineage(group)
        owed = bool((used[line] < guarantee[line]).any())
        share = shares(used[line], weight[line], total).tolist()
        return not owed, [(part, tree.paths[above]) for part, above in zip(share, line, strict=True)]

    return sorted(groups, key=key)


def headroom(tree: Tree, wanted: Wanted, capacity: Ints, total: Ints) -> tuple[list[int], Ints]:
    """Groups in the order of their turn, and int64[G, R] how much each may take; who may take no pod is left out.

    capacity int64[R]: what is free now; total int64[R]: all there is. Together they take no more than capacity, and no
    group passes its limit or that of one above it. The first in turn can take any one pod (or gang) that fits.
    """
    gangs = np.maximum(wanted.gangs, 1)
    unit = wanted.requests * gangs[:, None]
    most = np.minimum(capacity, _room_above(tree, wanted.group)) if tree.has_quota else capacity
    fits = np.all(unit <= most, axis=1) & (wanted.counts > 0)
    if not fits.any():
        return [], np.zeros((0, R), dtype=np.int64)
    group, unit = wanted.group[fits], unit[fits]
    needs = _times(wanted.requests[fits], wanted.counts[fits], gangs[fits], capacity)
    if not tree.has_quota and np.all(group == group[0]):
        return [int(group[0])], np.minimum(needs.sum(axis=0), capacity)[None, :]
    groups = [int(number) for number in np.unique(group)]
    demand = np.stack([needs[group == number].sum(axis=0) for number in groups])
    room = tree.room()
    lines = [tree.lineage(group) for group in groups]
    grant = dict(zip(groups, _share_out(tree, room, lines, demand, capacity, total, 0), strict=True))
    return _whole(tree, turns(tree, groups, total), grant, {g: unit[group == g] for g in groups}, room, capacity)


def _room_above(tree: Tree, group: Ints) -> Ints:
    """int64[D, R]: the least room of each row's group and of all above it."""
    room = tree.room()
    least = room[group]
    for above in tree["ancestors"][group].T:
        np.minimum(least, np.where((above >= 0)[:, None], room[above], least), out=least)
    return least


def _times(requests: Ints, counts: Ints, gangs: Ints, capacity: Ints) -> Ints:
    """int64[D, R]: what each row's pods need, of no more pods (whole gangs) than the capacity could ever hold."""
    ever = np.where(requests > 0, capacity // np.maximum(requests, 1), counts[:, None]).min(axis=1)
    most: Ints = requests * (np.minimum(counts, ever) // gangs * gangs)[:, None]
    return most


def _share_out(
    tree: Tree, room: Ints, lines: Sequence[Sequence[int]], demand: Ints, capacity: Ints, total: Ints, depth: int
) -> Ints:
    """One level of the tree, then each branch. lines[i]: the numbers from the top to claimant i.

    What a group wants for itself stands beside its subgroups, with weight 1.
    """
    heads = [line[depth] if depth < len(line) else -1 for line in lines]
    branches = sorted(dict.fromkeys(heads))
    members = [np.flatnonzero(np.array(heads) == branch) for branch in branches]
    used, weight, least, most = (np.zeros((len(branches), R), dtype=np.int64) for _ in range(4))
    weight[:] = 1
    for at, branch in enumerate(branches):
        if branch >= 0:
            used[at], weight[at], most[at] = tree["used"][branch], tree["weight"][branch], room[branch]
            least[at] = _guarantee(tree, lines, members[at], branch) if tree.has_quota else 0
        else:
            own = lines[int(members[at][0])][-1]
            below = tree["used"][tree["parent"] == own].sum(axis=0)
            used[at], most[at] = tree["used"][own] - below, room[own]
    wants = np.minimum(np.stack([demand[rows].sum(axis=0) for rows in members]), most)
    sure = fill(capacity, _sure(wants, least, used), used, weight[:, 0], total)
    rest = fill(capacity - sure.sum(axis=0), wants - sure, used + sure, weight[:, 0], total)
    grant = np.zeros_like(demand)
    for at, branch in enumerate(branches):
        rows, share = members[at], sure[at] + rest[at]
        if branch < 0 or (len(rows) == 1 and len(lines[int(rows[0])]) == depth + 1):
            grant[rows] = share
        else:
            grant[rows] = _share_out(
                tree, room, [lines[row] for row in rows.tolist()], demand[rows], share, total, depth + 1
            )
    return grant


def _sure(wants: Ints, guarantee: Ints, used: Ints) -> Ints:
    """int64[n, R]: what each wants up to its guarantee, in the want's own proportions.

    Where a guarantee names some resources only, the others go along with them. Exact, by Python's integers.
    """
    sure = np.zeros_like(wants)
    for at in np.flatnonzero(guarantee.any(axis=1)):
        part, whole = 1, 1
        for have, want, most in zip(used[at].tolist(), wants[at].tolist(), guarantee[at].tolist(), strict=True):
            if most > 0 and want * part > max(most - have, 0) * whole:
                part, whole = max(most - have, 0), want
        sure[at] = [want * part // whole for want in wants[at].tolist()]
    return sure


def _guarantee(tree: Tree, lines: Sequence[Sequence[int]], rows: Ints, branch: int) -> Ints:
    """int64[R]: what a branch is sure to get: its own guarantee, or more where those below it add up to more."""
    guarantee = tree["guarantee"]
    best: dict[int, Ints] = {}
    below = {number for row in rows.tolist() for number in lines[row]}
    for number in sorted(below, key=lambda number: (-len(tree.lineage(number)), number)):
        best[number] = np.maximum(best.get(number, 0), guarantee[number])
        parent = int(tree["parent"][number])
        best[parent] = best.get(parent, np.zeros(R, dtype=np.int64)) + best[number]
    return best[branch]


def _whole(
    tree: Tree, order: list[int], grant: dict[int, Ints], units: dict[int, Ints], room: Ints, capacity: Ints
) -> tuple[list[int], Ints]:
    """In the order of turns, grants are raised so that each pod or gang that fits would fit alone; or dropped.

    Raising costs later groups, in this round, the headroom of one pod: what the earlier ones leave is shared out anew.
    """
    left = capacity.copy()
    kept: list[int] = []
    given: list[Ints] = []
    for group in order:
        line = tree.lineage(group)
        most = np.minimum(left, room[line].min(axis=0))
        take = np.minimum(grant[group], most)
        fitting = np.all(units[group] <= most, axis=1)
        if not fitting.any():
            continue
        take = np.maximum(take, units[group][fitting].max(axis=0))
        left = left - take
        room[line] -= np.minimum(take, room[line])
        kept.append(group)
        given.append(take)
    return kept, np.stack(given)
