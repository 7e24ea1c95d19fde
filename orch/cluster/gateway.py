"""The gateway's process: the HTTP API over a replica that follows the master. A driver of Ray.

    python -m orch.cluster.gateway DATA_DIR

It binds its port first (clients that come early wait), loads, connects to Ray, sees to it that the actors are there,
takes an image of the master, and serves. SIGTERM means that the cluster goes down: the master lets go of its journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, secret, write_failure, write_json
from orch.cluster.machine import fleet_names
from orch.cluster.priority import ahead, as_others
from orch.cluster.ray_process import adopt_ray_environment
from orch.cluster.start import launch, supervisor
from orch.cluster.take_down import down
from orch.model.errors import OrchError
from orch.runtime import logs
from orch.runtime.logs import get_logger
from orch.runtime.memory import settle
from orch.runtime.ray_env import MASTER, connect, node_resource, port_answers, postman

log = get_logger("orch.gateway")

_RAY_S = 120.0
"""How long to wait for Ray at the start; the supervisor, who starts it, gives up earlier."""
_STOP_S = 5.0
_SHARE = 0.0001
"""Of the resource that pins an actor to a machine: a placeholder, there are enough for thousands."""


def main(argv: list[str]) -> int:
    """Run until told to stop. Exit code 0: the cluster goes down. 3: the port is taken."""
    files = ClusterFiles(Path(argv[0]))
    config = read_json(files.config_json)
    logs.configure("gateway")
    adopt_ray_environment(config, files.ray_token)
    try:
        listener = listen(config["host"], config["port"])
    except OSError as error:
        log.error("the port cannot be used", host=config["host"], port=config["port"], error=str(error))
        return 3
    import uvloop

    try:
        return int(uvloop.run(_serve(files, config, listener)))
    except OrchError as error:
        log.error("the gateway cannot start", error=error.detail)
        write_failure(config, error)
        return 5


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    listener = socket.create_server((host, port), backlog=1024)
    listener.setblocking(False)
    return listener


async def _serve(files: ClusterFiles, config: dict[str, Any], listener: socket.socket) -> int:
    import uvicorn

    from orch.api.app import create_app
    from orch.api.settings import Settings
    from orch.cluster.backend import RayBackend

    logs.configure_structlog("gateway")
    address = str(config["ray_address"])
    await _wait_for(address)
    ray = connect(address, config["cluster"], config["node_ip"])
    log.info("Ray is there", address=address)
    actors = Actors(ray, files, config)
    backend = RayBackend(ray, actors.master(), config, files)
    actors.agents()
    await backend.start()
    log.info("the master answers", index=backend.follower.index)
    token, node_token = secret(files.token), secret(files.node_token)
    app = create_app(backend, Settings(token=token, node_token=node_token, blob_dir=files.blobs))

    class Server(uvicorn.Server):
        """uvicorn, but signals are ours."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(
        uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2)
    )
    watch_supervisor(files, config, is_ahead=ahead())
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    background = [asyncio.ensure_future(_tell_when_ready(files, config, backend))]
    if config.get("foreign_ray") and not config.get("simulated"):
        background.append(asyncio.ensure_future(_spread(ray, files, config)))
    settle()
    ends: list[asyncio.Future[Any]] = [serving, asyncio.ensure_future(ending.wait()), backend.lost]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in background:
        task.cancel()
    if not ending.is_set():
        log.error("Ray is gone" if backend.lost.done() else "the server ended")
        os._exit(4)  # Ray's client does not end cleanly without its raylet
    with contextlib.suppress(Exception):
        await asyncio.wait_for(backend.master.stop.remote(), _STOP_S)
    await backend.stop()
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, _STOP_S)
    os._exit(0)


def watch_supervisor(files: ClusterFiles, config: dict[str, Any], is_ahead: bool) -> None:
    """When our parent is killed, start another one, which adopts the pods, and ends us and Ray before it begins."""
    loop = asyncio.get_running_loop()
    parent = os.pidfd_open(os.getppid())

    def replace() -> None:
        loop.remove_reader(parent)
        if config.get("embedded"):
            down(data_dir=files.data, purge=True)  # its owner is gone, or will find nothing
            os._exit(0)
        with files.exclusive():
            if supervisor(files) is None:
                log.error("the supervisor was killed, another one is started")
                if is_ahead:
                    as_others()
                launch(files, read_json(files.config_json))

    loop.add_reader(parent, replace)


async def _wait_for(address: str) -> None:
    deadline = time.monotonic() + _RAY_S
    while not port_answers(address):
        assert time.monotonic() < deadline, f"Ray at {address} did not start within {_RAY_S} s"
        await asyncio.sleep(0.02)


async def _tell_when_ready(files: ClusterFiles, config: dict[str, Any], backend: Any) -> None:
    """Write `gateway.json` once every agent of the head is READY: `up` waits for it."""
    wanted = fleet_names(0, config["fleet"]) if config.get("fleet") else [one["name"] for one in config["agents"]]
    while not backend.are_ready(wanted):
        await backend.moved()
    ready = {"pid": os.getpid(), "url": config["url"], "nonce": config["nonce"], "ready_at": time.time()}
    write_json(Path(config["runtime_dir"]) / "gateway.json", ready)
    log.info("ready", agents=len(wanted), url=config["url"])


async def _spread(ray: Any, files: ClusterFiles, config: dict[str, Any]) -> None:
    from orch.cluster.foreign import spread

    await spread(ray, files, config)


class Actors:
    """Creates the detached actors of a cluster, or finds them."""

    def __init__(self, ray: Any, files: ClusterFiles, config: dict[str, Any]) -> None:
        self._ray, self._files, self._config = ray, files, config
        self._options = actor_options(config, ray)

    def master(self) -> Any:
        """The handle of the master's actor."""
        from orch.runtime.master_actor import MasterActor

        options = {**self._options, "name": MASTER, "max_concurrency": 10_000}
        settings = self._config.get("settings") or {}
        return self._ray.remote(MasterActor).options(**options).remote(str(self._files.data), settings)

    def agents(self) -> list[Any]:
        """The handles of the postmen of this machine's agents, created all at once."""
        return create_postmen(self._ray, self._options, self._config)


def actor_options(config: dict[str, Any], ray: Any) -> dict[str, Any]:
    """Options of every actor of ours; pinned to the Ray node of this machine."""
    from orch.cluster.foreign import place

    pin = place(ray) if config.get("foreign_ray") else {"resources": {node_resource(config["node"]): _SHARE}}
    return {
        "num_cpus": 0,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_task_retries": 0,
        **pin,
    }


def create_postmen(ray: Any, options: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    """One actor for each agent of this machine, or few for many simulated ones."""
    if config.get("simulated"):
        from orch.cluster.simulated import create_hosts

        return create_hosts(ray, options, config)
    from orch.model.codec import encode
    from orch.runtime.postman import AgentPostman

    made = []
    actor = ray.remote(AgentPostman)
    for agent in config["agents"]:
        name = postman(agent["name"])
        hello = encode({"agent": agent["name"]})
        made.append(actor.options(**options, name=name).remote(agent["name"], config["socket"], hello, name))
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
