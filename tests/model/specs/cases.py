"""Bodies to begin from, and what a parser says about a changed one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orch.model.errors import SpecError
from orch.model.specs import load_text

DATA = Path(__file__).parents[2] / "data" / "specs"
Body = dict[str, Any]
DELETE = object()


def whole(name: str) -> Body:
    """A body of tests/data/specs."""
    return load_text((DATA / name).read_text(), name)


def pod(**fields: Any) -> Body:
    """The smallest useful pod, with these fields besides or instead."""
    container = {"name": "app", "exec": {"command": {"shell": "true"}}, "resources": {"cpus": 0.1, "mem": 32}}
    return {"id": "/demo/web", "containers": [container], **fields}


def container(**fields: Any) -> Body:
    """A pod of one container with these fields besides or instead."""
    body = pod()
    body["containers"][0].update(fields)
    return body


def app(**fields: Any) -> Body:
    """The smallest useful app, with these fields besides or instead."""
    return {"id": "/demo/api", "cmd": "true", **fields}


def changed(body: Body, steps: tuple[str | int, ...], value: Any) -> Body:
    """A copy of the body with another value at one place; DELETE takes the field away."""
    result = copy.deepcopy(body)
    here: Any = result
    for step in steps[:-1]:
        here = here[step]
    if value is DELETE:
        del here[steps[-1]]
    else:
        here[steps[-1]] = value
    return result


def faults(parse: Callable[..., Any], body: Any, *settings: Any) -> dict[str, str]:
    """What a parser refuses: path -> messages in one string."""
    with pytest.raises(SpecError) as refused:
        parse(body, *settings)
    assert refused.value.status == 422
    assert refused.value.details == refused.value.to_dict()["details"]
    return {entry["path"]: " | ".join(entry["errors"]) for entry in refused.value.details}
