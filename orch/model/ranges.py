"""Ids as runs of consecutive numbers: the pods of a job are launched, stopped and dropped in long runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def to_ranges(ids: Ints) -> tuple[Ints, Ints]:
    """(starts int64[m], lengths int64[m]) of the runs in ids int64[k], in the order in which they come."""
    if len(ids) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    breaks = np.flatnonzero(np.diff(ids) != 1) + 1
    first = np.concatenate([np.zeros(1, dtype=np.int64), breaks])
    lengths = np.diff(np.concatenate([first, np.array([len(ids)], dtype=np.int64)]))
    return np.asarray(ids, dtype=np.int64)[first], lengths


def from_ranges(starts: Ints, lengths: Ints) -> Ints:
    """int64[k]: the ids that `to_ranges` was given."""
    if len(starts) == 1:
        return np.arange(starts[0], starts[0] + lengths[0], dtype=np.int64)
    before = np.cumsum(lengths) - lengths
    total = int(lengths.sum()) if len(lengths) else 0
    return np.repeat(starts - before, lengths) + np.arange(total, dtype=np.int64)
