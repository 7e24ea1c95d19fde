"""A supervisor by itself, for tests that kill it: `python -m tests.node.supervisor FOLDER`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from orch.node.node import Node
from tests.node.driving import plan


async def main(folder: Path) -> None:
    """SIGTERM: all pods end. SIGHUP: services live on."""
    node = Node(plan(folder))
    await node.start()
    ending: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ending.put_nowait, number)
    print("ready", flush=True)
    await (node.stop(grace_ms=0) if await ending.get() == signal.SIGTERM else node.release())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
