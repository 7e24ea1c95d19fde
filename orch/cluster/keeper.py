"""Ray and the gateway as children of the supervisor: started at once, started again when they die.

Ray's death takes the gateway along (it is a driver of that Ray); pods do not notice either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, remove, tail, write_failure, write_json
from orch.cluster.ports import free_block, is_free
from orch.cluster.processes import Process, note_session, of_cluster
from orch.cluster.ray_process import RayNode, base_environment
from orch.model.errors import OrchError
from orch.runtime.logs import get_logger

log = get_logger("orch.supervisor")

_BACKOFF_S = (0.2, 10.0)
_STEADY_S = 30.0
"""A child that lived so long failed for a new reason: the pause is short again."""
_GATEWAY_STOP_S = 12.0
_LOG_BYTES = 16 << 20
_FAILURES = 3
"""So many ends of a child before the node was ready are told as its failure."""
PORT_TAKEN = 3
"""Exit code of a gateway whose port is in use: to try again at once is no use."""


class Keeper:
    """Runs Ray (unless it is somebody else's) and, on the head, the gateway. End: `stop_gateway`, `stop_ray`."""

    def __init__(self, files: ClusterFiles, config: dict[str, Any]) -> None:
        self._files, self._config = files, config
        self._gateway: asyncio.subprocess.Process | None = None
        self._ray: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: dict[str, int] = {}

    def start(self) -> None:
        """Begin; must be called on the running loop."""
        if not self._config.get("foreign_ray"):
            self._plan_ray()
            self._tasks.append(asyncio.ensure_future(self._keep_ray()))
        elif not self._config.get("head"):
            self._tasks.append(asyncio.ensure_future(self._create_postmen()))
        if self._config.get("head"):
            self._tasks.append(asyncio.ensure_future(self._keep_gateway()))

    async def stop_gateway(self) -> None:
        """Start nothing any more, and let the gateway tell the master that the cluster goes down."""
        for task in self._tasks:
            task.cancel()
        gateway = self._gateway
        if gateway is not None and gateway.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                gateway.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(gateway.wait(), _GATEWAY_STOP_S)
            self._end_gateway()

    async def stop_ray(self) -> None:
        """Nothing in Ray is worth a farewell: what must last is in our journal."""
        while True:
            left = self._leftovers()
            if not left:
                return
            for process in left:
                process.kill(signal.SIGKILL)
            await asyncio.sleep(0.02)

    # ---- Ray ---------------------------------------------------------------------------------------------------

    def _plan_ray(self) -> None:
        """Fix the head's address before anything starts, so that the gateway can wait for it."""
        if self._config.get("head"):
            port = int(self._config.get("ray_port") or 0)
            if not port or not is_free(port):
                port = free_block(1)
            self._config["ray_port"] = port
            self._config["ray_address"] = f"{self._config['node_ip']}:{port}"
            write_json(self._files.config_json, self._config)

    def _ray_node(self) -> RayNode:
        config = self._config
        node = RayNode(
            cluster=config["cluster"],
            node=config["node"],
            node_ip=config["node_ip"],
            temp_dir=Path(config["runtime_dir"]) / "r",
            token_file=self._files.ray_token,
        )
        if config.get("head"):
            return replace(node, head_port=int(config["ray_port"]))
        return replace(node, address=config["ray_address"])

    async def _keep_ray(self) -> None:
        pause = _BACKOFF_S[0]
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            node = self._ray_node()
            for old in node.temp_dir.glob("session_*"):
                remove(old)
            command = node.command()
            self._ray = await self._spawn("ray", command, node.environment())
            note_session(Path(self._config["runtime_dir"]), self._ray.pid)
            postmen = None if self._config.get("head") else asyncio.ensure_future(self._create_postmen())
            code = await self._ray.wait()
            log.warning("Ray ended", code=code)
            self._count_failure("ray")
            if postmen is not None:
                postmen.cancel()
            for process in self._leftovers():
                process.kill(signal.SIGKILL)
            self._end_gateway()
            pause = _BACKOFF_S[0] if loop.time() - began > _STEADY_S else min(pause * 2, _BACKOFF_S[1])
            await asyncio.sleep(pause)
            self._plan_ray()

    async def _create_postmen(self) -> None:
        """On a node that joined: by a process that ends once they are there."""
        command = [sys.executable, "-m", "orch.cluster.postmen", str(self._files.data)]
        environment = self._environment()
        code = 1
        while code != 0:
            helper = await self._spawn("postmen", command, environment)
            code = await helper.wait()
            await asyncio.sleep(_BACKOFF_S[0])

    def _environment(self) -> dict[str, str]:
        config = self._config
        return base_environment(config["cluster"], config["node"], "gateway", bool(config.get("foreign_ray")))

    def _leftovers(self) -> list[Process]:
        """Ray's processes on this node, the actors included, whoever is their parent."""
        return [
            process
            for process in of_cluster(self._config["cluster"], Path(self._config["runtime_dir"]).parent)
            if process.role == "ray" and process.node == self._config["node"]
        ]

    # ---- the gateway -------------------------------------------------------------------------------------------

    async def _keep_gateway(self) -> None:
        pause = _BACKOFF_S[0]
        loop = asyncio.get_running_loop()
        command = [sys.executable, "-m", "orch.cluster.gateway", str(self._files.data)]
        while True:
            began = loop.time()
            environment = self._environment()
            self._gateway = await self._spawn("gateway", command, environment)
            code = await self._gateway.wait()
            log.warning("the gateway ended", code=code)
            self._count_failure("gateway", at_once=code == PORT_TAKEN)
            pause = _BACKOFF_S[0] if loop.time() - began > _STEADY_S else min(pause * 2, _BACKOFF_S[1])
            await asyncio.sleep(_BACKOFF_S[1] if code == PORT_TAKEN else pause)

    def _count_failure(self, name: str, at_once: bool = False) -> None:
        """A child that dies again and again before the node was ever ready: `up` need not wait any longer."""
        runtime = Path(self._config["runtime_dir"])
        if (runtime / "gateway.json").exists() or (runtime / "failed.json").exists():
            return
        self._failures[name] = self._failures.get(name, 0) + 1
        if at_once or self._failures[name] >= _FAILURES:
            file = self._files.logs / f"{name}.log"
            write_failure(self._config, OrchError(f"{name} cannot be started; the end of {file}:\n{tail(file)}"))

    def _end_gateway(self) -> None:
        if self._gateway is not None and self._gateway.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._gateway.kill()

    async def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
        with open_log(self._files.logs / f"{name}.log") as output:
            return await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                cwd=str(self._files.data),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def open_log(path: Path) -> Any:
    """A log of one of our processes, to be appended to; one older file is kept."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > _LOG_BYTES:
            os.replace(path, path.with_suffix(".log.1"))
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab", buffering=0)
