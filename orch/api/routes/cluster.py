"""The cluster itself: ping, info, metrics."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from orch import __version__
from orch.api import marathon_info, reads
from orch.api.routes.common import TheRoom, answer
from orch.api.schemas import Info, Message

router = APIRouter(tags=["cluster"])


@router.get("/ping", summary="Whether the API lives; needs no token", responses={200: {"content": {"text/plain": {}}}})
async def ping() -> Response:
    """`pong`."""
    return Response("pong\n", media_type="text/plain")


@router.get("/v2/info", summary="What the cluster is, to a client of Marathon")
async def info(room: TheRoom) -> Response:
    """Marathon's fields and no others, which its clients would not take."""
    about = room.backend.info()
    return answer(marathon_info.of(str(about.get("cluster", "")), str(about.get("url", "")), __version__))


@router.get("/v2/info::orch", summary="What the cluster is", responses={200: {"model": Info}})
async def own_info(room: TheRoom) -> Response:
    """Counts of agents and instances by state, sums of resources, the journal's index."""
    replica = room.replica
    counts = reads.instance_counts(replica)
    sums: dict[str, int] = {}
    for states in counts.values():
        for state, count in states.items():
            sums[state] = sums.get(state, 0) + count
    return answer(
        {
            "name": "orch",
            "version": __version__,
            "index": room.follower.index,
            "epoch": reads.epoch(replica),
            "agents": reads.agent_counts(replica),
            "instances": sums,
            "frameworks": counts,
            "services": reads.service_count(replica),
            "jobs": reads.job_count(replica),
            "resources": reads.resource_sums(replica),
            "nodes": len(room.nodes),
            "lag_ms": room.follower.lag_ms,
            "up_s": round(time.time() - room.started, 1),
            **room.backend.info(),
        }
    )


@router.get("/v2/leader", summary="Who leads", responses={200: {"content": {"application/json": {}}}})
async def leader(request: Request) -> Response:
    """`{leader: "host:port"}`: where this API is. There is one master."""
    return answer({"leader": request.url.netloc})


@router.delete("/v2/leader", summary="Ask the leader to step down", responses={200: {"model": Message}})
async def abdicate() -> Response:
    """The only master is elected again at once, and goes on: nothing is interrupted, nothing is changed."""
    return answer({"message": "Leadership abdicated"})


_METRICS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}, "application/json": {}}}}


@router.get("/metrics", summary="For Prometheus", responses=_METRICS)
async def metrics(request: Request, room: TheRoom) -> Response:
    """Instances and agents by state, resources, the journal's index, the feed's lag, latencies of requests.

    With `Accept: application/json`, the same as Marathon writes its own: `{version, gauges, counters, ...}`.
    """
    if "application/json" in request.headers.get("accept", ""):
        return answer(room.metrics.as_json())
    return Response(room.metrics.text(), media_type=room.metrics.media_type)


@router.get("/metrics/prometheus", include_in_schema=False)
async def prometheus(room: TheRoom) -> Response:
    """Where Marathon has them."""
    return Response(room.metrics.text(), media_type=room.metrics.media_type)
