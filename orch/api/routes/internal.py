"""What machines of the cluster use: how a new one joins, and the connections of node supervisors."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect

from orch.api.bodies import read_object
from orch.api.middleware import same_token
from orch.api.room import room_of
from orch.api.routes.common import TheRoom, answer
from orch.model.codec import CodecError, decode
from orch.model.errors import OrchError

log = structlog.get_logger("orch.api")
router = APIRouter(include_in_schema=False)
HELLO_S = 10.0
REFUSED = 4401
MALFORMED = 4400


@router.post("/internal/join")
async def join(request: Request, room: TheRoom) -> Response:
    """What a machine needs to join; whoever may change the cluster may add to it."""
    body = await read_object(request, room.settings.other_bytes, {"node": str})
    return answer(await room.backend.join(body["node"]))


@router.get("/internal/spans")
async def spans(room: TheRoom, since: float = 0.0) -> Response:
    """What each process was at, in seconds of the machine's monotonic clock: where the time of a submission goes."""
    return answer(await room.backend.spans(since))


@router.websocket("/internal/node")
async def node(socket: WebSocket) -> None:
    """A supervisor's line; its first frame is `{"node", "agents", "token"}`."""
    room = room_of(socket)
    await socket.accept()
    try:
        async with asyncio.timeout(HELLO_S):
            hello: Any = decode(await socket.receive_bytes())
    except (TimeoutError, CodecError, WebSocketDisconnect, KeyError, RuntimeError):
        await _close(socket, MALFORMED, "the first frame is no hello")
        return
    if not isinstance(hello, dict) or not same_token(str(hello.get("token", "")), room.settings.node_token):
        await _close(socket, REFUSED, "the node token is wrong")
        return
    try:
        await room.nodes.serve(socket, hello, room.blobs.read)
    except WebSocketDisconnect:
        pass
    except (OrchError, KeyError, RuntimeError) as error:
        log.warning("node's line closed", node=hello.get("node"), error=str(error))
        await _close(socket, MALFORMED, str(error)[:100])


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.close(code, reason)
    except (RuntimeError, WebSocketDisconnect):
        pass  # It is closed already.
