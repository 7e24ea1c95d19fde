"""A service: an app or pod kept at n copies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from orch.client.flows import services, things
from orch.client.why import Why

if TYPE_CHECKING:
    from orch.aio.cluster import Cluster


class Service:
    """A handle of one service; made by `await cluster.run(...)` or `await cluster.service(path)`."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._cluster = cluster
        self.path = path

    def __repr__(self) -> str:
        return f"<Service {self.path}>"

    async def status(self) -> dict[str, Any]:
        """What is wanted, and how many instances are in which state."""
        return await self._cluster._run(services.status(self._cluster._wire, self.path))

    async def wait(self, timeout: float | None = None) -> Service:
        """Return once all wanted instances run the newest spec: healthy if they have checks, else for a second by now.

        timeout: seconds, None = for ever. Raises TimeoutExceededError, which says what is missing and why.
        """
        await self._cluster._run(services.wait(self._cluster._wire, self.path, timeout))
        return self

    async def instances(self) -> list[dict[str, Any]]:
        """Its instances, oldest first: `{id, name, state, agent, host, endpoints, containers, ...}`."""
        return await self._cluster._run(services.instances(self._cluster._wire, self.path))

    @property
    async def endpoints(self) -> list[dict[str, Any]]:
        """Where running instances listen: `{instance, container, name, host, port}`."""
        return await self._cluster._run(services.endpoints(self._cluster._wire, self.path))

    async def logs(
        self, container: str | None = None, *, instance: str | None = None, stream: str = "stdout", lines: int = 0
    ) -> str:
        """What a container has printed, of its newest instance if none is named."""
        flow = things.logs(self._cluster._wire, instance or self.path, container, stream, False, lines)
        return b"".join([piece async for piece in self._cluster._iterate(flow)]).decode("utf-8", "replace")

    def follow(
        self, container: str | None = None, *, instance: str | None = None, stream: str = "stdout", lines: int = 0
    ) -> AsyncIterator[bytes]:
        """What a container prints, in pieces as they come."""
        flow = things.logs(self._cluster._wire, instance or self.path, container, stream, True, lines)
        return self._cluster._iterate(flow)

    async def why(self) -> Why:
        """Why instances are missing, or that none is."""
        return await self._cluster.why(self.path)

    async def scale(self, instances: int) -> Service:
        """Keep another number of copies."""
        await self._cluster._run(services.scale(self._cluster._wire, self.path, instances))
        return self

    async def stop(self, *, wait: bool = True, timeout: float | None = 120.0) -> dict[str, Any]:
        """Stop all instances and forget the service. wait: return when they are gone. Returns its last status."""
        return await self._cluster._run(services.stop(self._cluster._wire, self.path, wait, timeout))
