"""Water-filling: raise everybody's weighted dominant share together until something runs out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orch.allocator.shares import SCALE

Ints = NDArray[np.int64]

_TOP = 2 * SCALE


def fill(capacity: Ints, demand: Ints, used: Ints, weight: Ints, total: Ints) -> Ints:
    """int64[n, R]: how much of its demand each of n claimants gets, in the demand's own proportions.

    capacity, total int64[R]; demand, used int64[n, R]; weight int64[n]. All shares (of what is used and granted) rise
    together; who is satisfied stops, and who needs a resource that has run out stops; the others go on.
    The sum is within capacity. O(n R log(SCALE)) for each resource that runs out.
    """
    if np.all(demand.sum(axis=0) <= capacity):
        return demand.copy()
    grant = np.zeros_like(demand)
    rising = np.arange(len(demand), dtype=np.int64)
    left = capacity.copy()
    while len(rising):
        claims = (demand[rising], used[rising], weight[rising], total)
        level = _highest(left, *claims)
        grant[rising] = _at(level, *claims)
        if level == _TOP:
            break
        dry = _at(level + 1, *claims).sum(axis=0) > left
        stops = (demand[rising][:, dry] > 0).any(axis=1)
        left = left - grant[rising[stops]].sum(axis=0)
        rising = rising[~stops]
    return grant


def fill_each(capacity: Ints, demand: Ints, used: Ints, weight: Ints, total: Ints) -> Ints:
    """int64[n, R]: the same for n claimants each alone with a capacity of its own, int64[n, R]: n answers of `fill`."""
    enough: NDArray[np.bool_] = np.all(demand <= capacity, axis=1)
    low = np.zeros(len(demand), dtype=np.int64)
    high = np.where(enough, 0, _TOP)
    while (low < high).any():
        middle = (low + high + 1) // 2
        within = (_at(middle, demand, used, weight, total) <= capacity).all(axis=1)
        low, high = np.where(within, middle, low), np.where(within, high, np.maximum(middle - 1, low))
    return np.where(enough[:, None], demand, _at(low, demand, used, weight, total))


def _highest(capacity: Ints, demand: Ints, used: Ints, weight: Ints, total: Ints) -> int:
    """The highest level at which all that is granted is within capacity. At level 0 nothing is granted."""
    low, high = 0, _TOP
    while low < high:
        middle = (low + high + 1) // 2
        if np.all(_at(middle, demand, used, weight, total).sum(axis=0) <= capacity):
            low = middle
        else:
            high = middle - 1
    return low


def _at(level: int | Ints, demand: Ints, used: Ints, weight: Ints, total: Ints) -> Ints:
    """int64[n, R]: what brings each to a weighted share of `level`, at most its demand; fractions are rounded up.

    level: one for all, or int64[n].
    """
    share = np.minimum(level * weight, _TOP)[:, None]
    room = np.maximum(share * total - used * SCALE, 0)
    part = np.where(demand > 0, -(-room // np.maximum(demand, 1)), SCALE).min(axis=1, initial=SCALE)
    grant: Ints = demand * part[:, None] // SCALE
    return grant
