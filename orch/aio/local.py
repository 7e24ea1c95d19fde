"""An embedded cluster for an `async with` block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from orch.aio.cluster import Cluster


@asynccontextmanager
async def local(agents: int = 1, **options: Any) -> AsyncIterator[Cluster]:
    """As `orch.local`: a cluster of its own, gone with everything it ran when the block ends."""
    from orch.cluster import local as blocking

    cluster = await asyncio.to_thread(blocking, agents=agents, **options)
    try:
        async with Cluster(cluster._wire.place) as twin:
            yield twin
    finally:
        await asyncio.shield(asyncio.to_thread(cluster.close))
