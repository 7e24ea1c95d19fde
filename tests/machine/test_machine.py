"""The base of the machines, and the answers that are remembered by key."""

from __future__ import annotations

import pytest

from orch.machine.machine import Machine, Tick


def test_a_machine_that_keeps_nothing_has_no_snapshot() -> None:
    machine = Machine()
    with pytest.raises(AssertionError, match="keeps nothing"):
        machine.snapshot()
    with pytest.raises(AssertionError, match="keeps nothing"):
        machine.restore({})
    machine.check()
    assert machine.wake_ms is None
    assert machine.started(0) == []


def test_a_machine_tells_its_story() -> None:
    machine = Machine()
    machine.story_book.note(3, "began", "a")
    assert machine.story("a") == [{"at_ms": 3, "what": "began", "why": ""}]


def test_a_tick_is_readable_in_a_log() -> None:
    assert repr(Tick()) == "Tick()"
