"""The supervisor's process: Ray and the gateway as children, and the node with its agents.

    python -m orch.cluster.supervisor DATA_DIR [OWNER_FD]

It detaches itself. Ray and the gateway are started first, because they take longest. SIGTERM takes the cluster (or this
node of it) down: first the master lets go of its journal, so that nothing is launched any more, then the pods are
stopped, then Ray. With OWNER_FD, the reading end of a pipe, the end of the other end means the same, and a purge.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, secret, write_failure, write_json
from orch.cluster.keeper import Keeper
from orch.cluster.processes import start_of
from orch.cluster.start import clear_leftovers, remove_runtime
from orch.model.errors import OrchError
from orch.runtime import logs


def main(argv: list[str]) -> int:
    """Fork, and run in the child until the end. Exit code of the parent: 0."""
    if os.fork():
        os._exit(0)
    files = ClusterFiles(Path(argv[0]))
    config = read_json(files.config_json)
    me = {"pid": os.getpid(), "started": start_of(os.getpid()), "nonce": config["nonce"]}
    write_json(files.data / "supervisor.pid", me)
    owner = int(argv[1]) if len(argv) > 1 else None
    asyncio.run(_run(files, config, owner))
    return 0


async def _run(files: ClusterFiles, config: dict[str, Any], owner: int | None) -> None:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if owner is not None:
        loop.add_reader(owner, ending.set)
    clear_leftovers(config["cluster"], config["node"])
    keeper = Keeper(files, config)
    keeper.start()
    await asyncio.sleep(0)  # the children are started before the imports below take the processor

    logs.configure("supervisor")
    logs.configure_structlog("supervisor")
    node = None
    try:
        if not config.get("simulated"):
            from orch.node.node import Node, plan_of

            node = Node(plan_of(config, secret(files.node_token)))
            await node.start()
        await ending.wait()
    except Exception as error:
        text = f"the node cannot start: {type(error).__name__}: {error}"
        write_failure(config, error if isinstance(error, OrchError) else OrchError(text))
        raise
    finally:
        if owner is not None:
            loop.remove_reader(owner)
        await keeper.stop_gateway()
        if node is not None:
            await node.stop()
        await keeper.stop_ray()
        if config.get("embedded"):
            _purge(files, config["cluster"])


def _purge(files: ClusterFiles, cluster: str) -> None:
    """An embedded cluster leaves nothing behind, also when its owner was killed."""
    remove_runtime(cluster, None)
    files.purge()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
