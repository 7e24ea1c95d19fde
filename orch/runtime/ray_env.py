"""How processes of ours meet Ray: always with a token, always with an explicit address that answers.

Nothing here imports ray before the environment is set: Ray reads its authentication mode when it is loaded.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from orch.model.errors import UnavailableError

MASTER = "master"
"""Name of the master actor in the cluster's namespace."""


def namespace(cluster: str) -> str:
    """The Ray namespace of a cluster's actors."""
    return f"orch-{cluster}"


def postman(agent: str) -> str:
    """Name of the actor in front of an agent."""
    return f"agent-{agent}"


def node_resource(node: str) -> str:
    """The custom resource that pins actors to the Ray node of one of our machines."""
    return f"orch-node-{node}"


def ray_environment(token_file: Path) -> dict[str, str]:
    """What every process that loads Ray for this cluster must have in its environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


def port_answers(address: str, timeout_s: float = 1.0) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s):
            return True
    except OSError:
        return False


def connect(address: str, cluster: str, node_ip: str = "") -> Any:
    """Attach this process to the Ray cluster at `host:port` as a driver; returns the `ray` module.

    node_ip: address of the Ray node on this machine, where it has several. Raises UnavailableError where nothing
    listens (`ray.init` would hang) or Ray refuses.
    """
    if not port_answers(address):
        raise UnavailableError(f"nothing answers at Ray's address {address}; is the cluster up?")
    import ray

    extra: dict[str, Any] = {"_node_ip_address": node_ip} if node_ip else {}
    try:
        ray.init(
            address=address, namespace=namespace(cluster), log_to_driver=False, configure_logging=False, **extra
        )  # fmt: skip
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
        raise UnavailableError(f"Ray at {address} does not take us: {error}") from error
    return ray
