"""The event streams: Marathon's at `/v2/events`, and our own at `/v2/events::orch`.

Ours has ids, `since`, filters, and a `gap` where a reader fell behind. Marathon's ends there: its clients come back,
and read the present state.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from orch.api.facts import TYPES
from orch.api.follower import Event, Filter
from orch.api.room import Room
from orch.api.routes.common import TheRoom
from orch.model.errors import UsageError
from orch.model.times import timestamp

router = APIRouter(tags=["cluster"])
_NO_NTH = 2**62

_DOC: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@router.get("/v2/events", summary="What happens to services, in Marathon's events", responses=_DOC)
async def marathon_events(
    request: Request,
    room: TheRoom,
    event_type: Annotated[list[str] | None, Query(description="Only events of these types.")] = None,
    plan_format: Annotated[
        str | None, Query(alias="plan-format", description="`light`: plans without the groups they lead from and to.")
    ] = None,
) -> StreamingResponse:
    """From now on. Data is `{eventType, timestamp, ...}`. Who falls too far behind is cut off, and may come back."""
    room.check_streams()
    address = "" if request.client is None else request.client.host
    stream = _marathon_stream(room, address, frozenset(event_type or ()), plan_format == "light")
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _marathon_stream(room: Room, address: str, types: frozenset[str], light: bool) -> AsyncIterator[bytes]:
    def select(event: Event) -> bool:
        return not types or event.type in types

    def tell(kind: str) -> None:
        room.follower.tell([(kind, {"remoteAddress": address})], int(time.time() * 1000))

    with room.stream():
        subscription = room.follower.subscribe(select, None, room.settings.queued_events, "marathon")
        try:
            tell("event_stream_attached")
            while True:
                event = await subscription.next(room.settings.ping_ms)
                if subscription.closed or (event is not None and event.type == "gap"):
                    return
                yield b"\n" if event is None else marathon_written(event, light)
        finally:
            subscription.close()
            tell("event_stream_detached")


def marathon_written(event: Event, light: bool) -> bytes:
    """One event on the wire, as Marathon writes it. light: without the groups of a plan."""
    body = dict(event.data)
    if light and isinstance(body.get("plan"), dict):
        body["plan"] = {name: value for name, value in body["plan"].items() if name not in ("original", "target")}
    body |= {"eventType": event.type, "timestamp": timestamp(event.at_ms)}
    return f"event: {event.type}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


@router.get("/v2/events::orch", summary="What happens, as it happens", responses=_DOC)
async def events(
    room: TheRoom,
    since: Annotated[str | None, Query(description="Begin after this index, or after the event of this id.")] = None,
    type: Annotated[list[str] | None, Query(description="Only events of these types.")] = None,
    about: Annotated[str | None, Query(description="Only events about this path, job, instance or agent.")] = None,
    follow: Annotated[bool, Query(description="False: end with what has happened by now.")] = True,
    last_event_id: Annotated[str | None, Header(description="As `since`; browsers send it.")] = None,
) -> StreamingResponse:
    """Each has an id (`INDEX.N`), a type, and data `{index, at_ms, ...}`. A `gap` event says that events are missing
    for this reader, and from which index on: read the present state again."""
    room.check_streams()
    begin = parse_since(since if since is not None else last_event_id)
    if begin is None and not follow:
        begin = room.follower.oldest
    stream = _stream(room, wanted(type, about), begin, follow)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _stream(room: Room, select: Filter, since: tuple[int, int] | None, follow: bool) -> AsyncIterator[bytes]:
    with room.stream():
        subscription = room.follower.subscribe(select, since, room.settings.queued_events)
        try:
            yield b": connected\n\n"
            while True:
                event = await subscription.next(room.settings.ping_ms if follow else 0)
                if event is not None:
                    yield written(event)
                elif subscription.closed or not follow:
                    return
                else:
                    yield b": ping\n\n"
        finally:
            subscription.close()


def written(event: Event) -> bytes:
    """One event on the wire."""
    data = json.dumps({"index": event.index, "at_ms": event.at_ms, **event.data}, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode()


def parse_since(text: str | None) -> tuple[int, int] | None:
    """`"17"` -> after everything of index 17; `"17.3"` -> after that event. Raises UsageError."""
    if text is None or text == "":
        return None
    index, _, nth = text.partition(".")
    if not index.isdigit() or (nth and not nth.isdigit()) or len(text) > 40:
        raise UsageError(f"since={text!r} is neither an index nor an event's id such as 17.3.")
    return int(index), int(nth) if nth else _NO_NTH


def wanted(types: list[str] | None, about: str | None) -> Filter:
    """Whether an event is asked for. A gap always is. Raises UsageError where no event is of such a type."""
    for kind in types or ():
        if kind not in TYPES:
            raise UsageError(f"no event is of the type {kind!r}; there are {', '.join(TYPES)}.")

    def select(event: Event) -> bool:
        if event.type == "gap":
            return True
        if types and event.type not in types:
            return False
        return about is None or any(str(event.data.get(name)) == about for name in ("path", "job", "instance", "agent"))

    return select
