"""The story: a note on many things is one entry, and is found by each."""

from __future__ import annotations

import numpy as np

from orch.machine.story import Story


def ids(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.int64)


def test_a_note_on_many_is_found_by_each_with_its_own_data() -> None:
    story = Story()
    story.note(1, "launched", ids(10, 11, 12), agent=ids(0, 1, 0), shape=np.arange(6).reshape(3, 2), by="batch")
    story.note(2, "ended", 11, why="signal", code=-9)
    assert story.of(11) == [
        {"at_ms": 1, "what": "launched", "why": "", "agent": 1, "shape": [2, 3], "by": "batch"},
        {"at_ms": 2, "what": "ended", "why": "signal", "code": -9},
    ]
    assert [note["agent"] for note in story.of(10)] == [0]
    assert story.of(13) == []


def test_things_with_names_have_stories_of_their_own() -> None:
    story = Story()
    story.note(1, "registered", "a0", total=[1, 2])
    story.note(2, "registered", "a1")
    story.note(3, "launched", ids(5))
    assert story.of("a0") == [{"at_ms": 1, "what": "registered", "why": "", "total": [1, 2]}]
    assert story.of("5") == []
    assert story.of(5) == [{"at_ms": 3, "what": "launched", "why": ""}]


def test_a_column_of_another_length_is_told_as_it_is() -> None:
    story = Story()
    story.note(1, "offered", ids(1, 2), room=ids(7, 8, 9))
    assert story.of(2)[0]["room"].tolist() == [7, 8, 9]


def test_the_oldest_notes_are_forgotten_when_there_are_too_many() -> None:
    story = Story(max_notes=2)
    for at in range(3):
        story.note(at, "x", "a")
    assert [note["at_ms"] for note in story.of("a")] == [1, 2]


def test_or_when_they_are_about_too_many_but_never_the_last() -> None:
    story = Story(max_ids=4)
    story.note(1, "x", "a")
    story.note(2, "x", ids(1, 2, 3))
    story.note(3, "x", ids(1, 4))
    assert [note["at_ms"] for note in story.of(1)] == [3]
    story.note(4, "x", np.arange(100))
    assert [note["at_ms"] for note in story.of(1)] == [4]
    story.note(5, "x", ids(1))
    assert [note["at_ms"] for note in story.of(1)] == [5]


def test_what_is_forgotten_makes_room_for_what_comes() -> None:
    story = Story(max_ids=4)
    for at in range(10):
        story.note(at, "x", ids(1, 2))
    assert [note["at_ms"] for note in story.of(1)] == [8, 9]
