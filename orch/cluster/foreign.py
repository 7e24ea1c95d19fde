"""On a Ray that is somebody else's (`orch up --ray-address`): we start and stop nothing of it, only actors of ours.

On this machine `up` starts the supervisor. On every other node of that Ray a `Starter` does: an actor that starts a
detached supervisor, which outlives it, its raylet and `ray.kill`.

    python -m orch.cluster.foreign DATA_DIR [purge]

takes our actors out of that Ray, and the supervisors they have started down: what `orch down` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, secret, write_private
from orch.cluster.join_cluster import join
from orch.cluster.take_down import down
from orch.model.errors import OrchError
from orch.runtime import logs
from orch.runtime.logs import get_logger
from orch.runtime.ray_env import connect, port_answers

log = get_logger("orch.foreign")

_LOOK_S, _RETRY_S = 5.0, 60.0
_STOP_S = 90.0
_GONE_S = 10.0


def place(ray: Any, node_id: str = "") -> dict[str, Any]:
    """Options that keep an actor on one Ray node (the caller's, if none is given) and let it import this program."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = node_id or ray.get_runtime_context().get_node_id()
    environment: dict[str, Any] = {"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}}
    python = shlex.quote(sys.executable)
    if python != sys.executable:
        environment["py_executable"] = python  # Ray starts it by a shell, and quotes everything else itself
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False), "runtime_env": environment}


class Starter:
    """A Ray actor on another node of somebody else's Ray: starts and stops the supervisor there."""

    def __init__(self, cluster: str, node_id: str) -> None:
        logs.configure("starter")
        home = Path(os.path.expanduser("~"))
        base = home if home.is_dir() and os.access(home, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        self._folder = base / f".orch-{cluster[:8]}-{node_id[:8]}"

    def start(self, url: str, token: str, options: dict[str, Any]) -> dict[str, Any]:
        """Join that cluster, unless the supervisor runs already, and see to it that the postmen are there."""
        import ray

        from orch.cluster.gateway import actor_options, create_postmen

        with tempfile.TemporaryDirectory() as folder:
            write_private(Path(folder) / "token", token)
            node_ip = ray.util.get_node_ip_address()
            found = join(
                url, token_file=Path(folder) / "token", data_dir=self._folder, node_ip=node_ip, **options
            )  # fmt: skip
        config = read_json(ClusterFiles(self._folder).config_json)
        create_postmen(ray, actor_options(config, ray), config)
        return found

    def stop(self, purge: bool) -> dict[str, Any]:
        """Take the node down."""
        return down(data_dir=self._folder, purge=purge)


def starter(ray: Any, cluster: str, node_id: str) -> Any:
    """The starter on a node, made where it is missing."""
    options = {
        "name": f"starter-{node_id[:16]}", "lifetime": "detached", "get_if_exists": True, "num_cpus": 0,
        "max_restarts": -1, "max_task_retries": 0,
    }  # fmt: skip
    return ray.remote(Starter).options(**options, **place(ray, node_id)).remote(cluster, node_id)


def others(ray: Any) -> dict[str, str]:
    """The living nodes of that Ray but the caller's own: id -> address."""
    here = ray.get_runtime_context().get_node_id()
    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here
    }  # fmt: skip


async def spread(ray: Any, files: ClusterFiles, config: dict[str, Any]) -> None:
    """For ever: a supervisor on every other node of that Ray, also on those that come later."""
    loop = asyncio.get_running_loop()
    again: dict[str, float] = {}
    token = secret(files.token)
    while True:
        found = await loop.run_in_executor(None, others, ray)
        for node_id, address in found.items():
            if again.get(node_id, 0.0) > loop.time():
                continue
            again[node_id] = loop.time() + _RETRY_S
            if not _reachable(config["url"], address):
                log.warning("the API listens on loopback only, so another machine cannot join", address=address)
                continue
            try:
                handle = await loop.run_in_executor(None, starter, ray, config["cluster"], node_id)
                joined = await handle.start.remote(config["url"], token, config["share"])
                log.info("a node was started", address=address, node=joined["node"])
                again[node_id] = float("inf")
            except (OrchError, ray.exceptions.RayError) as error:
                log.warning("a node could not be started", address=address, error=str(error)[-500:])
        again = {node_id: when for node_id, when in again.items() if node_id in found}
        await asyncio.sleep(_LOOK_S)


def evict(files: ClusterFiles, purge: bool) -> None:
    """Take all of ours out of that Ray. Does nothing where it does not answer: then nothing of ours runs in it."""
    config = read_json(files.config_json)
    if not port_answers(config["ray_address"]):
        return
    ray = connect(config["ray_address"], config["cluster"], config["node_ip"])
    for node_id in others(ray):
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(starter(ray, config["cluster"], node_id).stop.remote(purge), timeout=_STOP_S)
    names = ray.util.list_named_actors
    for name in names():
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            ray.kill(ray.get_actor(name), no_restart=True)
    _wait(lambda: not names())


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GONE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _reachable(url: str, address: str) -> bool:
    """Whether a node at this address of Ray's can reach the API: a loopback URL is for this machine only."""
    return address.startswith("127.") or "://127." not in url


if __name__ == "__main__":
    logs.configure("evict")
    evict(ClusterFiles(Path(sys.argv[1])), "purge" in sys.argv[2:])
    os._exit(0)
