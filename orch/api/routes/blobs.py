"""Payloads of jobs, named by their sha256."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from orch.api.bodies import chunks_of
from orch.api.routes.common import TheRoom, answer
from orch.model.errors import NotFoundError

router = APIRouter(tags=["blobs"])
Sha256 = Annotated[str, Path(description="64 digits of 0-9a-f.")]
_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.put(
    "/v2/blobs/{sha256}", status_code=201, summary="Keep a payload", openapi_extra={"requestBody": {"content": _BYTES}}
)
async def put(request: Request, room: TheRoom, sha256: Sha256) -> Response:
    """Kept until it was not used for a while and room is needed. Sending it twice does no harm."""
    size = await room.blobs.put(sha256, chunks_of(request, room.settings.blob_bytes))
    return answer({"sha256": sha256, "size": size}, 201)


@router.head("/v2/blobs/{sha256}", summary="Whether a payload is there")
async def head(room: TheRoom, sha256: Sha256) -> Response:
    """200 or 404. Being asked for counts as being used."""
    return Response(headers={"Content-Length": str(_size(room, sha256))})


@router.get("/v2/blobs/{sha256}", summary="A payload", responses={200: {"content": _BYTES}})
async def get(room: TheRoom, sha256: Sha256) -> StreamingResponse:
    """Its bytes."""
    size = _size(room, sha256)
    return StreamingResponse(
        room.blobs.read(sha256), media_type="application/octet-stream", headers={"Content-Length": str(size)}
    )


def _size(room: TheRoom, sha256: str) -> int:
    size = room.blobs.size(sha256)
    if size is None:
        raise NotFoundError(f"there is no blob {sha256}; it may have been removed to make room. Send it again.")
    return size
