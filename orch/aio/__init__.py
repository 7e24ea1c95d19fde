"""The Python API for asyncio: the same names as in `orch`, awaited. Properties that ask the cluster are awaited too.

async with orch.aio.connect() as cluster:
    job = await cluster.submit("/demo/hello", cmd="echo $ORCH_INDEX", count=10)
    await job.wait()
    print(await job.exit_codes, await job.outputs())
"""

from __future__ import annotations

from orch.aio.cluster import Cluster, connect
from orch.aio.instance import Instance
from orch.aio.job import Job
from orch.aio.local import local
from orch.aio.service import Service
from orch.client.why import Why

__all__ = ["Cluster", "Instance", "Job", "Service", "Why", "connect", "local"]
