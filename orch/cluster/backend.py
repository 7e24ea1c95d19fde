"""The API's way to the machines, over Ray: calls to the master's actor, and a replica that follows its feed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from orch.api.backend import Answer
from orch.api.follower import Follower
from orch.cluster.files import ClusterFiles, secret
from orch.machine.host import Host
from orch.master import Master
from orch.master.views import are_ready
from orch.model.codec import decode, encode
from orch.model.errors import OrchError, UnavailableError, from_dict
from orch.runtime.logs import get_logger
from orch.runtime.machines import make_machines
from orch.runtime.spans import WAIT, Spans

log = get_logger("orch.gateway")

FOLLOW_MS = 10_000
_RETRY_S = 0.1
_LOST_S = 20.0
"""The master's actor does not answer for so long: then this process starts again, and with it its connection to Ray."""
_CALL_RETRIES_S = 15.0
_PIECE_S = 0.005
"""Of records applied at a stretch, about; a reader waits for one stretch."""
_TURNS = 6
"""Of the event loop between two stretches: as many as it takes from a request's first byte to its answer's last."""
_BUSY_S, _REST_S = 0.003, 0.01
"""Answers of the feed that come so close upon each other are followed by a rest."""


class RayBackend:
    """Implements `orch.api.backend.Backend`. `lost` is done when Ray, or the master, is gone for good."""

    def __init__(self, ray: Any, master: Any, config: dict[str, Any], files: ClusterFiles) -> None:
        self.master = master
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ray, self._config, self._files = ray, config, files
        self._settings = config.get("settings") or {}
        self._spans = Spans()
        self._life = ""
        self._heard = time.monotonic()
        self._came = 0.0
        self._task: asyncio.Task[None] | None = None
        self.follower = Follower(Host(make_machines(self._settings)))

    async def start(self) -> None:
        """Wait for the master's first image, then follow. Raises OrchError where the master says that it can't run."""
        await self._take_image()
        self._task = asyncio.ensure_future(self._follow())

    async def stop(self) -> None:
        """Follow no more, and end all who wait."""
        if self._task is not None:
            self._task.cancel()
        self.follower.close()

    async def call(self, machine: str, request: Any) -> Answer:
        """See `Backend.call`. A request with a key is repeated while the master restarts: the key makes that safe."""
        body = encode(request)
        deadline = time.monotonic() + (_CALL_RETRIES_S if getattr(request, "key", "") else 0.0)
        while True:
            try:
                with self._spans.of("call" + WAIT):
                    answer = decode(await self.master.call.remote(machine, body))
                break
            except self._ray.exceptions.RayError as error:
                if time.monotonic() >= deadline:
                    raise UnavailableError(
                        "the master did not answer; the request may have been taken: send it again with the same key"
                    ) from error
                await asyncio.sleep(_RETRY_S)
        if answer["error"] is not None:
            raise from_dict(answer["error"])
        return Answer(answer["body"], int(answer["index"]))

    def info(self) -> dict[str, Any]:
        """See `Backend.info`."""
        return {
            "cluster": self._config["cluster"],
            "url": self._config["url"],
            "data_dir": str(self._files.data),
            "ray": {"address": self._config["ray_address"], "own": not self._config.get("foreign_ray")},
            "node": self._config["node"],
            "tenancy": self._config["tenancy"],
        }

    async def spans(self, since: float) -> dict[str, Any]:
        """See `Backend.spans`."""
        found: dict[str, Any] = await self.master.spans.remote(since)
        return {**found, "gateway": self._spans.since(since)}

    async def join(self, node: str) -> dict[str, Any]:
        """See `Backend.join`."""
        return {
            "cluster": self._config["cluster"],
            "ray_address": self._config["ray_address"],
            "ray_token": secret(self._files.ray_token),
            "node_token": secret(self._files.node_token),
            "tenancy": self._config["tenancy"],
            "foreign_ray": bool(self._config.get("foreign_ray")),
            "node": node,
        }

    def are_ready(self, names: Sequence[str]) -> bool:
        """Whether the replica shows all agents of these names as READY."""
        master = self.follower.replica.machines["master"]
        assert isinstance(master, Master)
        return are_ready(master, names)

    async def moved(self) -> None:
        """Return when the replica has changed (or after a second)."""
        await self.follower.wait_beyond(self.follower.moves, 1_000)

    # ---- following ---------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                found = decode(await self.master.follow.remote(self._life, self.follower.position, FOLLOW_MS))
                self._heard = time.monotonic()
                if "gap" in found:
                    await self._take_image()
                    continue
                await self._apply(found["records"])
                await self._rest(bool(found["records"]))
            except self._ray.exceptions.RayError as error:
                if not await self._pause(error):
                    return
            except OrchError as error:
                log.error("the master cannot run", error=str(error))
                await asyncio.sleep(1.0)
            except Exception as error:  # a replica that went wrong is thrown away
                log.error("the replica went wrong, a new image is taken", error=repr(error), exc_info=True)
                self._life = ""
                await asyncio.sleep(1.0)

    async def _apply(self, bodies: Sequence[bytes]) -> None:
        """Apply records of the feed; requests are answered between them where they take long."""
        at = 0
        while at < len(bodies):
            began = time.monotonic()
            with self._spans.of("follow"):
                while at < len(bodies) and time.monotonic() - began < _PIECE_S:
                    self.follower.apply([decode(bodies[at])], time.time_ns() // 1_000_000)
                    at += 1
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def _rest(self, came: bool) -> None:
        """While much happens, look for it in larger pieces: each call costs the master as much as a small event."""
        now = time.monotonic()
        busy = came and now - self._came < _BUSY_S
        self._came = now if came else self._came
        if busy:
            await asyncio.sleep(_REST_S)

    async def _pause(self, error: Exception) -> bool:
        """After a call that failed. False when it is time to give up."""
        if time.monotonic() - self._heard > _LOST_S or not self._ray.is_initialized():
            with contextlib.suppress(asyncio.InvalidStateError):
                self.lost.set_result(None)
            return False
        log.info("the master does not answer", error=type(error).__name__)
        await asyncio.sleep(_RETRY_S)
        return True

    async def _take_image(self) -> None:
        found = decode(await self.master.image.remote())
        self._heard = time.monotonic()
        if "error" in found:
            raise from_dict(found["error"])
        replica = Host(make_machines(self._settings))
        replica.restore(found["image"])
        self._life = found["life"]
        self.follower.reset(replica, int(found["after"]))
