"""Creates the postmen of a node that joined, on its own Ray node, and waits until its agents are ready.

    python -m orch.cluster.postmen DATA_DIR

A short-lived driver: on the head the gateway does the same.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, secret, write_json
from orch.cluster.gateway import actor_options, create_postmen
from orch.cluster.join_cluster import ask
from orch.cluster.ray_process import adopt_ray_environment
from orch.model.errors import OrchError
from orch.runtime import logs
from orch.runtime.logs import get_logger
from orch.runtime.ray_env import connect

log = get_logger("orch.postmen")

_TRY_S = 60.0
_POLL_S = 0.1


def main(argv: list[str]) -> int:
    """Exit code 0 once the agents are READY at the master."""
    files = ClusterFiles(Path(argv[0]))
    config = read_json(files.config_json)
    logs.configure("postmen")
    adopt_ray_environment(config, files.ray_token)
    deadline = time.monotonic() + _TRY_S
    ray = _connect(config, deadline)
    create_postmen(ray, actor_options(config, ray), config)
    wanted = {agent["name"] for agent in config["agents"]}
    while not wanted <= _ready(config["url"], secret(files.token)):
        if time.monotonic() > deadline:
            log.error("the agents are not ready", agents=sorted(wanted))
            return 1
        time.sleep(_POLL_S)
    ready = {"pid": os.getpid(), "url": config["url"], "nonce": config["nonce"], "ready_at": time.time()}
    write_json(Path(config["runtime_dir"]) / "gateway.json", ready)
    return 0


def _connect(config: dict[str, Any], deadline: float) -> Any:
    """Ray on this node may need some seconds to come up."""
    while True:
        try:
            return connect(config["ray_address"], config["cluster"], config["node_ip"])
        except OrchError as error:
            if time.monotonic() > deadline:
                raise
            log.info("Ray is not ready", error=error.detail)
            time.sleep(_POLL_S)


def _ready(url: str, token: str) -> set[str]:
    try:
        found = ask(url, "GET", "/v2/agents", token)
    except OrchError:
        return set()
    rows = found if isinstance(found, list) else found.get("agents", found.get("items", []))
    return {row["name"] for row in rows if row["state"] == "READY"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
