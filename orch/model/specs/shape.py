"""The first look at a body: is every field known, of the right kind, and within its bounds?"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from orch.model.specs.messages import sentence
from orch.model.specs.problems import MOST_PATHS, Problems, Step, path_of
from orch.model.specs.raw import Body

M = TypeVar("M", bound=BaseModel)
Nested = tuple[type[BaseModel], bool]
"""The model of a field's value (or of its entries), and whether the field is a map from the user's own keys."""


def check_shape(model: type[BaseModel], body: Body, problems: Problems, strict: bool) -> bool:
    """Report what single fields of `body` do wrong. strict: fields that the wire does not have are reported too.

    Returns False where a list or map is longer than its bound: the rules must not go through it.
    """
    if strict:
        for steps, name, known in islice(_unknown(model, body, ()), MOST_PATHS):
            problems.add(path_of((*steps, name)), _unknown_sentence(name, known))
    try:
        model.model_validate(body)
    except ValidationError as found:
        return _tell(found, problems)
    return True


def made(model: type[M], body: Body, problems: Problems, what: str) -> M:
    """The model of a checked body. Raises SpecError where what was translated or filled in does not fit a field."""
    try:
        return model.model_validate(body)
    except ValidationError as found:
        _tell(found, problems)
    problems.raise_if_any(what)
    raise AssertionError("a body that pydantic refuses has a problem")


def _tell(found: ValidationError, problems: Problems) -> bool:
    bounded = True
    for error in found.errors(include_url=False):
        steps = tuple(step for step in error["loc"] if not (isinstance(step, str) and step.startswith("<")))
        problems.add(path_of(steps), sentence({**error, "loc": steps}))
        bounded = bounded and error["type"] != "too_long"
    return bounded


def _unknown_sentence(name: str, known: dict[str, Nested | None]) -> str:
    near = difflib.get_close_matches(name[:80], list(known), n=1, cutoff=0.6)
    if not near:
        near = [field for field in known if field.lower() == name.lower().replace("_", "")]
    if not near:
        near = [f"{name} in {field}" for field, nested in known.items() if nested and name in _fields(nested[0])]
    if near:
        return f"is no field here. Did you mean {near[0]}?"
    return f"is no field here; there are {', '.join(known)}. Remove it, or put what is your own into labels"


def _unknown(
    model: type[BaseModel], body: Any, at: tuple[Step, ...]
) -> Iterator[tuple[tuple[Step, ...], str, dict[str, Nested | None]]]:
    """(place, name, the fields known there) of every field the wire does not have."""
    if not isinstance(body, dict):
        return
    known = _fields(model)
    for name, value in body.items():
        if name not in known:
            yield at, str(name), known
            continue
        nested = known[name]
        if nested is None:
            continue
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _unknown(nested[0], item, (*at, name, index))
        elif nested[1]:
            for key, item in value.items() if isinstance(value, dict) else ():
                yield from _unknown(nested[0], item, (*at, name, str(key)))
        else:
            yield from _unknown(nested[0], value, (*at, name))


@cache
def _fields(model: type[BaseModel]) -> dict[str, Nested | None]:
    """Wire name -> what is nested there, None where it is no object."""
    return {str(field.alias or name): _nested(field.annotation) for name, field in model.model_fields.items()}


def _nested(annotation: Any) -> Nested | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _nested(arguments[0])
    if origin is dict:
        found = _nested(arguments[1])
        return None if found is None else (found[0], True)
    if origin in (list, Union, types.UnionType):
        return next((found for found in map(_nested, arguments) if found is not None), None)
    return None
