"""What a process remembers of what it was at."""

from __future__ import annotations

import pytest

from orch.runtime.spans import KEPT, Spans


def test_a_span_is_noted_also_when_what_it_is_of_fails_and_those_before_are_left_out() -> None:
    spans = Spans()
    with spans.of("one"):
        pass
    [(what, began, ended)] = spans.since(0.0)
    assert what == "one" and 0 < began <= ended
    with pytest.raises(ValueError, match="no"), spans.of("two"):
        raise ValueError("no")
    assert [span[0] for span in spans.since(ended)] == ["two"]


def test_only_the_last_are_kept() -> None:
    spans = Spans()
    for number in range(KEPT + 1):
        spans.note(str(number), float(number), float(number))
    assert len(spans.since(-1.0)) == KEPT and spans.since(-1.0)[0][0] == "1"
