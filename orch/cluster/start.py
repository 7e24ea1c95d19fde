"""Starting a supervisor and waiting until its node is ready: what `up` and `join` share."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, remove, runtime_base, runtime_dir, tail, write_json
from orch.cluster.keeper import open_log
from orch.cluster.processes import Process, end_all, named, of_cluster
from orch.cluster.ray_process import base_environment
from orch.model.errors import OrchError, TimeoutExceededError, UsageError, from_dict

POLL_S = 0.02
_EVICT_S = 120.0
SYSTEM_BASE = Path("/var/lib/orch")
"""Sandboxes of a root supervisor, where the data dir lies in a folder that other uids may not enter."""


def tenancy_of(asked: str | None) -> str:
    """`groups` (a uid for each top-level group) under root, `single` for anybody else. Raises UsageError."""
    root = os.geteuid() == 0
    if asked is None:
        return "groups" if root else "single"
    if asked not in ("groups", "single"):
        raise UsageError(f"--tenancy is groups or single, not {asked!r}")
    if asked == "groups" and not root:
        raise UsageError("--tenancy groups needs root: only root can run pods as other users; use --tenancy single")
    return asked


def node_dir(files: ClusterFiles, cluster: str, tenancy: str, node: str) -> Path:
    """Where the agents keep sandboxes: below the data dir if the pods' uids can get there, else below /var/lib/orch."""
    if tenancy == "single" or _open_to_all(files.data):
        return files.data / "node"
    return SYSTEM_BASE / f"{cluster}-{node}"


def delete_all(files: ClusterFiles, cluster: str, config: dict[str, Any]) -> None:
    """Delete what this machine keeps of a cluster; nothing of it may run."""
    sandboxes = Path(str(config.get("node_dir") or files.data / "node"))
    if sandboxes.name == f"{cluster}-{config.get('node')}":  # outside the data dir, and named after us
        remove(sandboxes)
    files.purge()


def supervisor(files: ClusterFiles) -> Process | None:
    """The supervisor of this data dir, if it lives."""
    found = read_json(files.data / "supervisor.pid")
    return named(int(found.get("pid", 0)), int(found.get("started", 0)))


def launch(files: ClusterFiles, config: dict[str, Any], owner_fd: int | None = None) -> None:
    """Write the configuration and start a supervisor, detached from this process; with `owner_fd` it ends with it."""
    config["nonce"] = secrets.token_hex(8)
    runtime = Path(config["runtime_dir"])
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("gateway.json", "failed.json"):
        (runtime / name).unlink(missing_ok=True)
    (files.data / "supervisor.pid").unlink(missing_ok=True)
    write_json(files.config_json, config)
    command = [sys.executable, "-m", "orch.cluster.supervisor", str(files.data)]
    if owner_fd is not None:
        command.append(str(owner_fd))
    with open_log(files.logs / "supervisor.log") as output:
        starter = subprocess.Popen(
            command,
            env=base_environment(config["cluster"], config["node"], "supervisor", bool(config.get("foreign_ray"))),
            cwd=files.data,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=() if owner_fd is None else (owner_fd,),
        )
    code = starter.wait()  # it forks at once, and the child goes on
    if code != 0:
        raise OrchError(f"the supervisor could not be started (exit code {code}); see {files.logs / 'supervisor.log'}")


def wait_ready(files: ClusterFiles, config: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """What the node's `gateway.json` says once it is ready. Raises the error it failed with, or a timeout."""
    deadline = time.monotonic() + timeout_s
    runtime = Path(config["runtime_dir"])
    seen_alive = False
    while True:
        failed = read_json(runtime / "failed.json")
        if failed.get("nonce") == config["nonce"]:
            raise from_dict(failed["error"])
        ready = read_json(runtime / "gateway.json")
        if ready.get("nonce") == config["nonce"]:
            return ready
        alive = supervisor(files) is not None
        if seen_alive and not alive:
            raise OrchError(f"the supervisor ended while it started:\n{tail(files.logs / 'supervisor.log')}")
        seen_alive = seen_alive or alive
        if time.monotonic() > deadline:
            raise TimeoutExceededError(
                f"the cluster was not ready within {timeout_s:g} s; see the logs in {files.logs}\n"
                + "".join(f"--- {name}.log\n{tail(files.logs / f'{name}.log')}\n" for name in ("supervisor", "gateway"))
            )
        time.sleep(POLL_S)


def clear_leftovers(cluster: str, node: str) -> None:
    """End what a killed supervisor has left of Ray and the gateway. Pods are left alone: they will be adopted."""
    end_all(lambda: [p for p in _all(cluster) if p.node == node and p.role in ("ray", "gateway")], grace_s=0)


def evict_from_ray(files: ClusterFiles, config: dict[str, Any], purge: bool) -> None:
    """Take our actors out of somebody else's Ray; nothing to do where the Ray is our own and ends with the cluster."""
    if not config.get("foreign_ray") or not config.get("head"):
        return
    command = [sys.executable, "-m", "orch.cluster.foreign", str(files.data), *(["purge"] if purge else [])]
    environment = base_environment(config["cluster"], config["node"], "gateway", foreign_ray=True)
    with open_log(files.logs / "evict.log") as output, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=environment, stdout=output, stderr=output, timeout=_EVICT_S, check=False)


def stop_node(files: ClusterFiles, cluster: str, node: str | None, grace_s: float) -> bool:
    """End the supervisor politely and then every process of the cluster (of one node, if given) on this machine.

    Returns whether there was anything.
    """
    running = False
    boss = supervisor(files)
    if boss is not None:
        running = True
        boss.kill(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while boss.alive() and time.monotonic() < deadline:
            time.sleep(POLL_S)
    return end_all(lambda: [p for p in _all(cluster) if node is None or p.node == node], 5.0) > 0 or running


def remove_runtime(cluster: str, node: str | None) -> None:
    """Delete the sockets and Ray's temp dir (of all nodes of the cluster on this machine, if none is given)."""
    own = runtime_dir(cluster, node or "")
    for path in [own] if node else [own, *own.parent.glob(f"{own.name}-*")]:
        remove(path)
    with contextlib.suppress(OSError):
        own.parent.rmdir()


def _all(cluster: str) -> list[Process]:
    return of_cluster(cluster, runtime_base())


def _open_to_all(path: Path) -> bool:
    """Whether every user may pass through a folder and all above it."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents] if folder.exists())
