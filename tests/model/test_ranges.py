"""Runs of consecutive numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.model.ranges import from_ranges, to_ranges


@given(st.lists(st.integers(0, 40), unique=True))
def test_what_is_cut_into_runs_is_joined_again(ids: list[int]) -> None:
    starts, lengths = to_ranges(np.array(ids, dtype=np.int64))
    assert from_ranges(starts, lengths).tolist() == ids
    assert lengths.sum() == len(ids) and np.all(lengths > 0)


def test_a_million_neighbours_are_one_run() -> None:
    starts, lengths = to_ranges(np.arange(7, 1_000_007, dtype=np.int64))
    assert (starts.tolist(), lengths.tolist()) == ([7], [1_000_000])
