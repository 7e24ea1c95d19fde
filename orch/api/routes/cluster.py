"""The cluster itself: ping, info, metrics."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response

from orch import __version__
from orch.api import reads
from orch.api.routes.common import TheRoom, answer
from orch.api.schemas import Info

router = APIRouter(tags=["cluster"])


@router.get("/ping", summary="Whether the API lives; needs no token", responses={200: {"content": {"text/plain": {}}}})
async def ping() -> Response:
    """`pong`."""
    return Response("pong\n", media_type="text/plain")


@router.get("/v2/info", summary="What the cluster is", responses={200: {"model": Info}})
async def info(room: TheRoom) -> Response:
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


@router.get("/metrics", summary="For Prometheus", responses={200: {"content": {"text/plain": {}}}})
async def metrics(room: TheRoom) -> Response:
    """Instances and agents by state, resources, the journal's index, the feed's lag, latencies of requests."""
    return Response(room.metrics.text(), media_type=room.metrics.media_type)
