"""A job: work that ends, one pod or millions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orch.client.flows import jobs
from orch.client.job import JobFacts
from orch.client.progress import Bar
from orch.client.why import Why

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from orch.aio.cluster import Cluster


class Job(JobFacts):
    """A handle of one job; made by `await cluster.submit(...)` or `await cluster.job(number)`."""

    def __init__(self, cluster: Cluster, found: dict[str, Any]) -> None:
        super().__init__(found)
        self._cluster = cluster

    async def status(self) -> dict[str, Any]:
        """Its path, count, and how many pods are in which state."""
        return await self._cluster._run(jobs.status(self._cluster._wire, self.number))

    async def wait(self, timeout: float | None = None, *, until: str = "finished", progress: bool = False) -> Job:
        """Return once all pods have ended (or, `until="running"`, started). progress: show a bar on stderr.

        timeout: seconds, None = for ever. Raises TimeoutExceededError, which says what is missing and why. How pods
        ended is in `states` and `exit_codes`: a pod that failed is no exception here.
        """
        with Bar(self.path, self.count, progress) as show:
            await self._cluster._run(jobs.wait(self._cluster._wire, self.number, until, timeout, show))
        return self

    @property
    async def states(self) -> NDArray[np.uint8]:
        """uint8[n]: the state of each pod (`orch.State`)."""
        return (await self._columns())["states"]

    @property
    async def exit_codes(self) -> NDArray[np.int16]:
        """int16[n]: 0..255 an exit code, -n the signal n, -32768 none."""
        return (await self._columns())["exit_codes"]

    @property
    async def reasons(self) -> NDArray[np.uint8]:
        """uint8[n]: why each pod is in its state (`orch.Reason`)."""
        return (await self._columns())["reasons"]

    async def output(self, index: int, stream: str = "stdout") -> bytes:
        """What a pod printed, or any file of its sandbox by its name; pods count from 0.

        Raises ExpiredError once it was removed, IndexError where the job has no such pod.
        """
        return await self._cluster._run(jobs.output(self._cluster._wire, self.number, index, stream))

    async def outputs(
        self, stream: str = "stdout", *, limit: int | None = None, expired: bytes | None = None
    ) -> list[bytes]:
        """What every pod printed, by index, fetched in bulk; b"" where it printed nothing.

        limit: at most so many bytes of each. expired: stands for outputs that were removed; None = raise ExpiredError.
        """
        return await self._cluster._run(jobs.outputs(self._cluster._wire, self.number, stream, limit, expired))

    async def why(self) -> Why:
        """Why pods are not running, or that none waits."""
        return await self._cluster.why(self.number)

    async def stop(self, *, wait: bool = False, timeout: float | None = 60.0) -> dict[str, Any]:
        """Start nothing more of it, and stop what runs. wait: return when all have ended. Returns its status."""
        return await self._cluster._run(jobs.stop(self._cluster._wire, self.number, wait, timeout))

    async def _columns(self) -> dict[str, NDArray[Any]]:
        if self._final_columns is not None:
            return self._final_columns
        return self._keep_final(await self._cluster._run(jobs.columns(self._cluster._wire, self.number)))
