"""What routes have in common: parameters, and how answers are written."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Response

from orch.api.room import Room, room_of
from orch.model.codec import encode

MSGPACK = "application/msgpack"
PAGE_MOST = 10_000
_REFS = "#/components/schemas/"

EACH: dict[str, Any] = {
    "oneOf": [
        {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    ],
    "description": "One row of environment variables for each pod: objects, or columns by name.",
}

TheRoom = Annotated[Room, Depends(room_of)]
Limit = Annotated[int, Query(ge=0, le=PAGE_MOST, description="Items of a page, at most.")]
Offset = Annotated[int, Query(ge=0, description="Where the page begins.")]
TimeoutMs = Annotated[
    int, Query(ge=0, le=3_600_000, description="How long to block at most; shortened to the server's limit.")
]
Story = Annotated[bool, Query(description="With what happened to it, oldest first.")]
Now = Annotated[bool, Query(description="Refuse it (409, with `why`) if it can't be placed now.")]
ServicePath = Annotated[str, Path(description="The service's path, such as demo/web.")]
AppId = Annotated[str, Path(description="The app's id, such as demo/web.")]
Wipe = Annotated[bool, Query(description="Also give up what the instances hold beyond their lives; not with `scale`.")]
Force = Annotated[bool, Query(description="Also while a deployment of it is in progress.")]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key again gets the first answer, and nothing new is done."),
]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply."""
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=_plain).encode()
    return Response(data, status, headers, "application/json")


def columns_answer(body: Any) -> Response:
    """A msgpack reply with columns."""
    return Response(encode(body), 200, None, MSGPACK)


def wants_msgpack(accept: str) -> bool:
    """Whether an Accept header asks for columns."""
    return any(part.partition(";")[0].strip() == MSGPACK for part in accept.split(","))


def body_of(schema: dict[str, Any], *, example: Any = None, also: dict[str, Any] | None = None) -> dict[str, Any]:
    """The part of an OpenAPI operation that tells of a body which the route reads by itself."""
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if example is not None:
        content["application/json"]["example"] = example
    return {"requestBody": {"required": True, "content": {**content, **(also or {})}}}


def spec_ref(name: str) -> dict[str, Any]:
    """The schema of a spec of the model (`PodSpec`, `AppSpec`, `JobSpec`), by reference into `spec_components`."""
    return {"$ref": _REFS + name}


def spec_components() -> dict[str, Any]:
    """The schemas of the specs, for the document's components. Their parts have the spec's name before their own."""
    from orch.model import specs

    found: dict[str, Any] = {}
    for name in ("PodSpec", "AppSpec", "JobSpec"):
        refs = f"{_REFS}{name}.{{model}}"
        schema = getattr(specs, name).model_json_schema(by_alias=True, ref_template=refs)
        found |= {f"{name}.{part}": value for part, value in schema.pop("$defs", {}).items()}
        found[name] = schema
    found["JobSpec"]["properties"] |= {"each": EACH, "now": {"type": "boolean", "default": False}}
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"not JSON: {type(value).__name__}")
