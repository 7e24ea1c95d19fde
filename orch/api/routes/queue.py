"""What waits to be launched, in Marathon's format: `/v2/queue`."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from orch.api import launch_queue
from orch.api.routes.common import Key, ServicePath, TheRoom, answer
from orch.api.routes.services import absolute
from orch.model.errors import NotFoundError
from orch.model.requests import ResetDelay

router = APIRouter(tags=["services"])


@router.get("/v2/queue", summary="What waits to be launched, and why")
async def queue(
    room: TheRoom,
    embed: Annotated[
        list[str] | None, Query(description="lastUnusedOffers: agents that can't take it, with all that they lack.")
    ] = None,
) -> Response:
    """`{queue: [{count, delay, since, processedOffersSummary, app | pod}]}`. Every agent counts as one offer."""
    with_offers = "lastUnusedOffers" in (embed or ())
    return answer({"queue": launch_queue.items(room.replica, int(time.time() * 1000), with_offers)})


@router.delete("/v2/queue/{id:path}/delay", status_code=204, summary="Launch without waiting any longer")
async def reset(request: Request, room: TheRoom, id: ServicePath, key: Key = None) -> Response:
    """The failures that led to the delay are forgotten. 404 where nothing of the service waits."""
    path = absolute(id)
    if not launch_queue.waits(room.replica, path):
        raise NotFoundError(f"Application {path} not found in tasks queue.")
    await room.call("services", lambda stamp: ResetDelay(**stamp, path=path), request)
    return Response(status_code=204)
