"""Where two bodies differ: nothing is left out, and nothing that is equal is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from orch.plan import diff

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-3, 3) | some.sampled_from(["", "a", "b"]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    """Every place of a value that holds no other, with what is there."""
    if isinstance(value, dict) and value:
        return {place: leaf for name, part in value.items() for place, leaf in leaves(part, f"{at}/{name}").items()}
    if isinstance(value, list) and value:
        return {place: leaf for i, part in enumerate(value) for place, leaf in leaves(part, f"{at}({i})").items()}
    return {at or "/": value}


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert diff(value, value) == []


@given(VALUES, VALUES)
def test_each_place_that_differs_is_told_once_with_both_sides(before: Any, after: Any) -> None:
    found = diff(before, after)
    told = {one["path"]: one for one in found}
    assert len(told) == len(found)
    old, new = leaves(before), leaves(after)
    for place in {*old, *new}:
        same = place in old and place in new and repr(old[place]) == repr(new[place])
        covered = [path for path in told if place == path or path == "/" or place.startswith((f"{path}/", f"{path}("))]
        assert same or covered or old.get(place) in ({}, []) or new.get(place) in ({}, [])
        assert not (same and place in told)
    for one in found:
        assert repr(one.get("before", "none")) != repr(one.get("after", "nothing"))


def test_paths_are_those_of_an_errors_details() -> None:
    before = {"id": "/web", "instances": 2, "containers": [{"name": "app", "resources": {"cpus": 0.1}}], "labels": {}}
    after = {"id": "/web", "instances": 3, "containers": [{"name": "app", "resources": {"cpus": 1}}, {"name": "b"}]}
    assert diff(before, after) == [
        {"path": "/containers(0)/resources/cpus", "before": 0.1, "after": 1},
        {"path": "/containers(1)", "after": {"name": "b"}},
        {"path": "/instances", "before": 2, "after": 3},
        {"path": "/labels", "before": {}},
    ]


def test_true_is_not_one() -> None:
    assert diff({"a": 1}, {"a": True}) == [{"path": "/a", "before": 1, "after": True}]
