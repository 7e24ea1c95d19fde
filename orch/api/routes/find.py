"""Anything by its id: what it is, and why it is not running."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from orch.api import reads, why
from orch.api.routes.common import TheRoom, answer
from orch.api.schemas import Found, Why

router = APIRouter(tags=["cluster"])


@router.get("/v2/find", summary="What an id is", responses={200: {"model": Found}})
async def find(
    room: TheRoom,
    id: Annotated[str, Query(description="A path, a job's number, an instance's name or number, an agent's name.")],
) -> Response:
    """A service's path means the service; a job's path means the newest job of it."""
    return answer(reads.find(room.replica, id))


@router.get("/v2/why/{id:path}", summary="Why something is not running", responses={200: {"model": Why}})
async def why_is_it(
    room: TheRoom,
    id: Annotated[str, Path(description="A service's path, a job's number or path, an instance's name or number.")],
) -> Response:
    """How many agents were ruled out by what, how near the nearest came; or that nothing of it waits."""
    return answer(why.of_thing(room.replica, id))
