"""Reading a body that may be wrong anywhere: what is not of the right kind is passed over, never an exception.

The rules that look at several fields at once run on the raw body, so that they report besides the faults of single
fields and not only after those are mended. A wrong kind is reported by the shape check.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from orch.model.specs import limits
from orch.model.specs.messages import sentence
from orch.model.specs.problems import Problems, Step, path_of

Body = dict[str, Any]

MAPS = frozenset({"env", "environment", "labels", "secrets", "options"})
"""Fields whose keys are the user's own: a null in them is a value of the wrong kind, not an absent field."""


def take(body: object, what: str) -> Body:
    """A copy of a body to check, in which `"field": null` is gone: on this wire null means absent.

    Raises SpecError where it is no object, is nested too deep, or has field names that are no strings. what: "pod", ...
    """
    problems = Problems()
    if not isinstance(body, dict):
        problems.add("/", f"must be an object that describes the {what}; got {type(body).__name__}")
    taken = _copy(body, (), "", problems)
    problems.raise_if_any(f"the {what}")
    assert isinstance(taken, dict)
    return taken


def _copy(value: Any, at: tuple[Step, ...], field: str, problems: Problems) -> Any:
    if len(at) > limits.DEPTH:
        problems.add(path_of(at[:3]), f"is nested more than {limits.DEPTH} levels deep")
        return None
    if isinstance(value, list | tuple | dict) and len(value) > limits.ENTRIES:
        problems.add(path_of(at), f"has {len(value)} entries; at most {limits.ENTRIES} are allowed anywhere")
        return None
    if isinstance(value, list | tuple):
        return [_copy(item, (*at, index), "", problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        _check_scalar(value, at, problems)
        return value
    copied = {}
    for name, item in value.items():
        if not isinstance(name, str):
            problems.add(path_of(at), f'field names are strings; got {name!r}. Write "{name}"')
        elif item is not None or field in MAPS:
            copied[name] = _copy(item, (*at, name), name, problems)
    return copied


def _check_scalar(value: object, at: tuple[Step, ...], problems: Problems) -> None:
    """Only what JSON has can be told on the wire."""
    if isinstance(value, float) and not isfinite(value):
        problems.add(path_of(at), sentence({"type": "finite_number", "loc": at, "input": value}))
    elif value is not None and not isinstance(value, str | int | float):
        problems.add(
            path_of(at), f"is a {type(value).__name__}, which JSON does not have; write text, a number or a list"
        )


def child(body: Body, *names: str) -> Body:
    """The object at `names`, or {} where it is absent or no object."""
    here: Any = body
    for name in names:
        here = here.get(name)
        if not isinstance(here, dict):
            return {}
    assert isinstance(here, dict)
    return here


def children(body: Body, *names: str) -> Iterator[tuple[int, Body]]:
    """(index, object) of the list at `names`; entries that are no objects are passed over."""
    *parents, last = names
    items = child(body, *parents).get(last)
    if isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield index, item


def items(body: Body, *names: str) -> list[Any]:
    """The list at `names`, or []."""
    *parents, last = names
    found = child(body, *parents).get(last)
    return found if isinstance(found, list) else []


def text(body: Body, name: str) -> str | None:
    """The string at `name`, or None."""
    found = body.get(name)
    return found if isinstance(found, str) else None


def upper(body: Body, name: str, default: str = "") -> str:
    """The string at `name` in capitals, or the default: names of choices are not case-sensitive on this wire."""
    found = body.get(name, default)
    return found.upper() if isinstance(found, str) else ""


_PAST_EVERY_BOUND = 2**63
"""What is larger has its own field's bound told; rules between fields need not look at it."""


def number(body: Body, name: str, default: float | None = None) -> float | None:
    """The number at `name`; the default where it is absent; None where it is no number, or one past every bound."""
    found = body.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if abs(found) <= _PAST_EVERY_BOUND else None


def whole(body: Body, name: str) -> int | None:
    """The whole number at `name`, or None."""
    found = body.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
