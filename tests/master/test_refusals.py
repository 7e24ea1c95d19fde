"""Refusals of agents, beside a dictionary of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.master.refusals import Refusals

declines = st.tuples(st.lists(st.integers(-1, 9), max_size=4), st.integers(0, 4), st.integers(1, 50))


@given(st.lists(declines, max_size=8), st.integers(0, 60))
def test_a_row_is_hidden_until_the_last_refusal_of_it_ends(each: list[tuple[list[int], int, int]], now_ms: int) -> None:
    refusals, until, agents = Refusals(), dict[int, int](), 1
    for rows, more, until_ms in each:
        agents += more
        refusals.add(np.array(rows, dtype=np.int32), agents, until_ms)
        for row in rows or range(agents):
            if 0 <= row < agents:
                until[row] = max(until.get(row, 0), until_ms)
    hides = refusals.hides(now_ms, agents)
    assert refusals.until_ms == max(until.values(), default=0)
    assert (hides is None) == (len(until) == 0)
    if hides is not None:
        assert hides.tolist() == [until.get(row, 0) > now_ms for row in range(agents)]
    if refusals.hides_all(now_ms, agents):
        assert hides is not None and hides.all()


@given(st.integers(1, 5), st.integers(0, 2))
def test_who_refused_all_is_known_not_to_see_any_until_one_comes(agents: int, more: int) -> None:
    refusals = Refusals()
    refusals.add(np.zeros(0, dtype=np.int32), agents, 10)
    assert refusals.hides_all(9, agents + more) == (more == 0)
    assert not refusals.hides_all(10, agents)
