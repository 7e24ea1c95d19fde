"""How the benchmarks share out the time of a submission."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.parts import shared_out

WHATS = ("batch.OfferBatch", "hosts", "follow", "journal wait", "messages wait", "call wait", "never heard of")
instants = st.integers(0, 100).map(lambda tenths: tenths / 10)
spans = st.tuples(st.sampled_from(WHATS), instants, instants).map(lambda one: (one[0], min(one[1:]), max(one[1:])))


@given(st.lists(spans, max_size=12), instants, instants)
def test_the_parts_add_up_to_the_whole_whatever_overlaps(
    found: list[tuple[str, float, float]], a: float, b: float
) -> None:
    parts = shared_out(found, min(a, b), max(a, b))
    assert sum(parts.values()) == pytest.approx(abs(a - b), abs=0.001)
    assert all(seconds >= 0 for seconds in parts.values())


def test_an_instant_belongs_to_all_who_work_and_else_to_the_first_that_is_waited_for() -> None:
    found = [
        ("batch.OfferBatch", 1.0, 3.0), ("hosts", 2.0, 4.0), ("journal wait", 3.5, 5.0), ("call wait", 0.5, 6.0),
    ]  # fmt: skip
    assert shared_out(found, 0.0, 7.0) == {
        "kernel": 1.5, "simulated_hosts": 1.5, "client": 1.5, "call": 1.5, "journal": 1.0,
    }  # fmt: skip
