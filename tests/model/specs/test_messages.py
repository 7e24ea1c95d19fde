"""Sentences for what a single field does wrong."""

from __future__ import annotations

import pytest

from orch.model.specs.messages import sentence, shown, unit_of


@pytest.mark.parametrize(
    ("field", "given", "remedy"),
    [
        ("mem", "2G", "Write 2048"),
        ("mem", "2TiB", "Write 2097152"),
        ("mem", "512k", "Write 0.48828125"),
        ("disk", "1048576 B", "Write 1"),
        ("cpus", "250m", "Write 0.25"),
        ("cpus", "2", "Write 2"),
        ("backoff", "1h", "Write 3600"),
        ("delaySeconds", "1.5s", "Write 1.5"),
    ],
)
def test_a_number_with_a_unit_is_told_without_it(field: str, given: str, remedy: str) -> None:
    assert remedy in sentence({"type": "float_type", "loc": ("a", field), "input": given})


def test_a_field_without_a_unit_is_told_none() -> None:
    assert unit_of("instances") == ""
    assert sentence({"type": "int_type", "loc": ("instances",), "input": "x"}) == "got 'x'; it must be a whole number"


def test_an_error_that_has_no_sentence_of_its_own_still_shows_the_value() -> None:
    assert sentence({"type": "new_kind", "loc": (), "input": [1]}) == "got [1], which is not allowed here"


def test_values_are_shown_short() -> None:
    assert shown("x" * 500) == "'" + "x" * 76 + "..."
    assert (shown(True), shown(10**90)) == ("true", "a number of more than 77 digits")
