"""A service: an app or pod kept at n copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from orch.client.effects import Flow
from orch.client.flows import services, things
from orch.client.why import Why

if TYPE_CHECKING:
    from orch.client.cluster import Cluster


class Service:
    """A handle of one service; made by `cluster.run(...)` or `cluster.service(path)`."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._cluster = cluster
        self.path = path

    def __repr__(self) -> str:
        return f"<Service {self.path}>"

    def status(self) -> dict[str, Any]:
        """What is wanted, and how many instances are in which state."""
        return self._cluster._run(services.status(self._cluster._wire, self.path))

    def wait(self, timeout: float | None = None) -> Service:
        """Return once all wanted instances run the newest spec: healthy if they have checks, else for a second by now.

        timeout: seconds, None = for ever. Raises TimeoutExceededError, which says what is missing and why.
        """
        self._cluster._run(services.wait(self._cluster._wire, self.path, timeout))
        return self

    def instances(self) -> list[dict[str, Any]]:
        """Its instances, oldest first: `{id, name, state, agent, host, endpoints, containers, ...}`."""
        return self._cluster._run(services.instances(self._cluster._wire, self.path))

    @property
    def endpoints(self) -> list[dict[str, Any]]:
        """Where running instances listen: `{instance, container, name, host, port}`."""
        return self._cluster._run(services.endpoints(self._cluster._wire, self.path))

    @overload
    def logs(
        self,
        container: str | None = ...,
        *,
        instance: str | None = ...,
        stream: str = ...,
        lines: int = ...,
        follow: Literal[False] = ...,
    ) -> str: ...
    @overload
    def logs(
        self,
        container: str | None = ...,
        *,
        instance: str | None = ...,
        stream: str = ...,
        lines: int = ...,
        follow: Literal[True],
    ) -> Iterator[str]: ...
    def logs(
        self,
        container: str | None = None,
        *,
        instance: str | None = None,
        stream: str = "stdout",
        lines: int = 0,
        follow: bool = False,
    ) -> str | Iterator[str]:
        """What a container printed, of its newest instance if none is named. follow: pieces as they come."""
        flow = things.logs(self._cluster._wire, instance or self.path, container, stream, follow, lines)
        if follow:
            return _texts(self._cluster, flow)
        return b"".join(self._cluster._iterate(flow)).decode("utf-8", "replace")

    def why(self) -> Why:
        """Why instances are missing, or that none is."""
        return self._cluster.why(self.path)

    def scale(self, instances: int) -> Service:
        """Keep another number of copies."""
        self._cluster._run(services.scale(self._cluster._wire, self.path, instances))
        return self

    def stop(self, *, wait: bool = True, timeout: float | None = 120.0) -> dict[str, Any]:
        """Stop all instances and forget the service. wait: return when they are gone. Returns its last status."""
        return self._cluster._run(services.stop(self._cluster._wire, self.path, wait, timeout))


def _texts(cluster: Cluster, flow: Flow[None]) -> Iterator[str]:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in cluster._iterate(flow):
        yield decoder.decode(piece)
