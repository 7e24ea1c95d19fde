"""The cluster, as seen from a user's asyncio program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from orch.aio.instance import Instance
from orch.aio.job import Job
from orch.aio.service import Service
from orch.client import places
from orch.client.effects import Flow
from orch.client.flows import jobs, maps, services, streams, things
from orch.client.flows.base import Wire
from orch.client.progress import Bar
from orch.client.transport import Asyncio
from orch.client.why import Why
from orch.model.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from orch.client.specs import Pod

T = TypeVar("T")
MAP_PATH = "/jobs/map"


def connect(address: str | None = None, token_file: str | os.PathLike[str] | None = None) -> Cluster:
    """The running cluster at `address` (default: ORCH_ADDRESS, else the one that `orch up` started here).

    token_file: default ORCH_TOKEN_FILE, else the cluster's own. Raises UnavailableError where none is known; whether it
    answers shows at the first request.
    """
    return Cluster(places.find(address, token_file))


class Cluster:
    """A running cluster, from `orch.aio.connect()` or `local()`. Leaving `async with` closes its connections."""

    def __init__(self, place: places.Place, client: httpx.AsyncClient | None = None) -> None:
        self._wire = Wire(place)
        self._transport = Asyncio(place, client)

    @property
    def address(self) -> str:
        """The URL of its API."""
        return self._wire.place.url

    def __repr__(self) -> str:
        return f"<Cluster {self.address}>"

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The cluster goes on."""
        await self._transport.close()

    # ---- work --------------------------------------------------------------------------------------------------

    async def run(
        self,
        spec: Pod | Mapping[str, Any],
        instances: int | None = None,
        *,
        now: bool = False,
        replace: bool = False,
        key: str | None = None,
    ) -> Service:
        """Keep a pod or app running: an `orch.Pod`, or a pod or app in Marathon's format as a dict.

        instances: copies, whatever the spec says. now: raise UnplaceableError if it can't be placed now. replace:
        change the service of that id, if there is one; otherwise that is a ConflictError. key: the same key again
        does nothing new. Raises SpecError before anything is sent.
        """
        return Service(self, await self._run(services.run(self._wire, spec, instances, now, replace, key)))

    async def submit(
        self,
        path: str,
        *,
        cmd: str | None = None,
        argv: Sequence[str] | None = None,
        each: Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | None = None,
        count: int | None = None,
        env: Mapping[str, str] | None = None,
        cpus: float | None = None,
        mem: float | None = None,
        disk: float | None = None,
        gpus: int | None = None,
        gang: int | None = None,
        priority: int | None = None,
        policy: str | None = None,
        constraints: Sequence[Sequence[str]] | None = None,
        preferences: Sequence[Sequence[str]] | None = None,
        affinity: Sequence[Mapping[str, Any]] | None = None,
        attempts: int = 1,
        timeout: float | None = None,
        grace: float | None = None,
        user: str | None = None,
        labels: Mapping[str, str] | None = None,
        key: str | None = None,
        now: bool = False,
    ) -> Job:
        """Run a command to its end: `count` times, or once for each row of `each` (environment variables).

        cmd: a line for the shell; argv: a list of arguments instead. cpus in CPUs, mem and disk in MiB, timeout (of one
        attempt) and grace in seconds. gang: start pods in blocks of this many, all or none. constraints,
        preferences, affinity: where its pods may go and go first, as in `orch.Cluster.submit`. attempts: launches a pod
        gets before its failure stands. now: raise UnplaceableError if nothing of it can be placed now. key: submitting
        again with the same key gives the first job. Raises SpecError before anything is sent.
        """
        options = {
            "cmd": cmd, "argv": argv, "env": env, "cpus": cpus, "mem": mem, "disk": disk, "gpus": gpus, "gang": gang,
            "priority": priority, "policy": policy, "constraints": constraints, "preferences": preferences,
            "affinity": affinity, "attempts": attempts, "timeout": timeout, "grace": grace, "user": user,
            "labels": labels, "now": now,
        }  # fmt: skip
        return Job(self, await self._run(jobs.submit(self._wire, path, each, count, key, options)))

    async def map(
        self,
        function: Callable[[Any], T],
        items: Iterable[Any],
        *,
        chunk: int | None = None,
        path: str = MAP_PATH,
        timeout: float | None = None,
        progress: bool = False,
        cpus: float | None = None,
        mem: float | None = None,
        env: Mapping[str, str] | None = None,
        attempts: int = 1,
        user: str | None = None,
    ) -> list[T]:
        """`[function(item) for item in items]`, computed by pods; results in order.

        chunk: items a pod gets (default: four pods for each that can run at once). The function and the items are
        pickled (by value where they are defined in a script), and run by this Python's path on the agents. Raises
        what the function raised first, in the order of the items, with the remote traceback as its cause; MapError
        where a pod left no result.
        """
        state = maps.MapRun()
        options = {"cpus": cpus, "mem": mem, "env": env, "attempts": attempts, "user": user}
        with Bar(path, 0, progress) as show:
            try:
                return await self._run(
                    maps.run(self._wire, state, function, items, chunk, path, timeout, show, options)
                )
            except (KeyboardInterrupt, asyncio.CancelledError):
                if state.job is not None:
                    await self._run(jobs.stop(self._wire, state.job, False, None))
                raise

    # ---- handles and lists -------------------------------------------------------------------------------------

    async def service(self, path: str) -> Service:
        """The service at a path. Raises NotFoundError."""
        return Service(self, (await self._run(services.status(self._wire, path)))["id"])

    async def job(self, job: int | str) -> Job:
        """A job by its number, or the newest of a path. Raises NotFoundError."""
        found = await self._run(things.find(self._wire, job))
        if found["kind"] != "job":
            raise UsageError(f"{job} is a {found['kind']}, not a job.")
        return Job(self, found)

    async def instance(self, name: str | int) -> Instance:
        """An instance by its name or number. Raises NotFoundError."""
        found = await self._run(things.find(self._wire, name))
        if found["kind"] != "instance":
            raise UsageError(f"{name} is a {found['kind']}, not an instance.")
        return Instance(self, found["id"])

    async def services(self) -> list[Service]:
        """All services."""
        return [Service(self, found["id"]) for found in await self._run(things.listed(self._wire, "/v2/services"))]

    async def jobs(self) -> list[Job]:
        """All jobs that are kept, oldest first."""
        return [Job(self, found) for found in await self._run(things.listed(self._wire, "/v2/jobs"))]

    async def agents(self) -> list[dict[str, Any]]:
        """The agents: `{name, state, total, free, instances, attributes, ...}`."""
        return await self._run(things.listed(self._wire, "/v2/agents"))

    async def drain(self, agent: str, drain: bool = True) -> dict[str, Any]:
        """Offer this agent no more, or again. What runs there goes on."""
        return await self._run(self._wire.change("POST", f"/v2/agents/{agent}/drain", {"drain": drain}))

    async def info(self) -> dict[str, Any]:
        """What the cluster is, and how many of everything there are."""
        return await self._run(self._wire.get("/v2/info::orch"))

    def events(
        self, *, since: int | str | None = None, type: str | None = None, id: str | None = None, follow: bool = True
    ) -> AsyncIterator[dict[str, Any]]:
        """What happens, as it happens: `{id, index, at_ms, type, ...}`; a `gap` says that some were missed.

        since: begin after this index or event id. type, id: only these. follow: False ends with what has happened by
        now.
        """
        params = {"since": since, "type": type, "about": id}
        return self._iterate(streams.events(self._wire, params, follow))

    # ---- anything by its id ------------------------------------------------------------------------------------

    async def why(self, id: str | int) -> Why:
        """Why a service, job or instance is not running (or that it is)."""
        return Why(await self._run(things.why(self._wire, id)))

    async def ps(self) -> list[dict[str, Any]]:
        """Services and jobs as dicts, each with its `kind` and how many instances are in which state."""
        return await self._run(things.ps(self._wire))

    async def instances(self, id: str | int) -> list[dict[str, Any]]:
        """The instances of a service, a job or an agent."""
        return await self._run(things.instances(self._wire, id))

    async def endpoints(self, path: str = "/") -> list[dict[str, Any]]:
        """Where services are reached: each endpoint of what runs, `{service, instance, host, port, name, ...}`.

        path: only of this service, or of the services in this group.
        """
        return await self._run(things.endpoints(self._wire, path))

    async def inspect(self, id: str | int) -> dict[str, Any]:
        """Everything about one service, job, instance or agent, with its story."""
        return await self._run(things.inspect(self._wire, id))

    def logs(
        self,
        id: str | int,
        *,
        container: str | None = None,
        stream: str = "stdout",
        follow: bool = False,
        lines: int = 0,
    ) -> AsyncIterator[bytes]:
        """What an instance printed, in pieces; of a service its newest instance, of a job its first pod."""
        return self._iterate(things.logs(self._wire, id, container, stream, follow, lines))

    async def stop(self, id: str | int, *, wait: bool = True, timeout: float | None = 60.0) -> dict[str, Any]:
        """Stop a service, a job, or one instance of either; returns what it is then, with its `kind`."""
        return await self._run(things.stop(self._wire, id, wait, timeout))

    # ---- carrying out ------------------------------------------------------------------------------------------

    async def _run(self, flow: Flow[T]) -> T:
        return await self._transport.run(flow)

    def _iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        return self._transport.iterate(flow)
