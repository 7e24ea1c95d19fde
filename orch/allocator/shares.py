"""Weighted dominant shares as integers, and the order of turns that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator.tree import Tree

Ints = NDArray[np.int64]

SCALE = 1 << 20
"""A share of the whole cluster. Amounts up to 2**41 (of MiB: two exabytes) stay within int64."""


def shares(used: Ints, weight: Ints, total: Ints) -> Ints:
    """int64[n]: the largest part of any resource that each uses, in 1/SCALE, over its weight.

    used int64[n, R]; weight int64[n]; total int64[R], a resource of which there is none does not count.
    """
    share: Ints = (used * SCALE // np.maximum(total, 1) * (total > 0)).max(axis=1, initial=0) // weight
    return share


def turns(tree: Tree, groups: Sequence[int], total: Ints) -> list[int]:
    """The groups in the order of their turn: those owed a guarantee first, then the lowest share; ties by path.

    Groups are compared level by level from the top of the tree, so that a group with many subgroups has no more turns.
    """
    if len(groups) <= 1:
        return list(groups)
    lines = tree.lines(np.array(groups, dtype=np.int64))
    there = lines >= 0
    numbers = np.unique(lines[there])
    share, rank = np.full((2, len(tree["used"])), -1, dtype=np.int64)
    share[numbers] = shares(tree["used"][numbers], tree["weight"][numbers], total)
    rank[sorted(numbers.tolist(), key=tree.paths.__getitem__)] = np.arange(len(numbers))
    owing: NDArray[np.bool_] = np.any(tree["used"] < tree["guarantee"], axis=1)
    keys: list[NDArray[Any]] = [np.all(~owing[lines] | ~there, axis=1)]
    for level in lines.T[: int(there.sum(axis=1).max())]:
        keys += [np.where(level >= 0, share[level], -1), np.where(level >= 0, rank[level], -1)]
    return [groups[at] for at in np.lexsort(keys[::-1]).tolist()]
