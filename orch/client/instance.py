"""One instance of a service or job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orch.client.effects import Call, in_path
from orch.client.flows import streams, things
from orch.client.why import Why

if TYPE_CHECKING:
    from orch.client.cluster import Cluster


class Instance:
    """A handle of one instance; made by `cluster.instance(name or number)`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name

    def __repr__(self) -> str:
        return f"<Instance {self.name}>"

    def status(self) -> dict[str, Any]:
        """Its state, agent, attempt, exit code, containers and endpoints."""
        return self._cluster._run(self._cluster._wire.get(self._path()))

    def why(self) -> Why:
        """Why it is in its state."""
        return self._cluster.why(self.name)

    def logs(
        self, container: str | None = None, *, stream: str = "stdout", follow: bool = False, lines: int = 0
    ) -> Iterator[bytes]:
        """What it printed, in pieces as they come. follow: go on until it ends. lines: only so many of the last."""
        params = {
            "container": container,
            "stream": stream,
            "lines": lines or None,
            "follow": "true" if follow else None,
        }
        return self._cluster._iterate(streams.logs(self._cluster._wire, self.name, params))

    def files(self, path: str = "") -> list[dict[str, Any]]:
        """The files in its sandbox, or in a folder of it: `[{name, size, is_dir, ...}]`."""
        found = self._cluster._run(self._cluster._wire.get(f"{self._path()}/files", {"path": path}))
        items: list[dict[str, Any]] = found["items"]
        return items

    def file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file in its sandbox; at most 8 MiB at once unless `limit` says less."""
        params = {"path": path, "offset": offset, "limit": limit}
        reply = self._cluster._run(
            self._cluster._wire.send(Call("GET", f"{self._path()}/file", params, timeout_s=60.0))
        )
        return reply.body

    def kill(self, *, wait: bool = False, timeout: float | None = 60.0, scale: bool = False) -> dict[str, Any]:
        """Stop it. Its service starts another in its place, unless `scale`: then the service gets smaller."""
        return self._cluster._run(things.kill(self._cluster._wire, self.name, wait, timeout, scale))

    def _path(self) -> str:
        return f"/v2/instances/{in_path(self.name)}"
