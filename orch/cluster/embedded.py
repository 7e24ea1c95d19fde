"""`orch.local()`: a cluster of this process, gone when the block ends or the process does."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from orch.client.cluster import Cluster
from orch.client.places import Place
from orch.cluster.bring_up import up
from orch.cluster.files import secret
from orch.cluster.take_down import down


class LocalCluster(Cluster):
    """A `Cluster` that lives in a temporary folder; leaving the block stops its pods and deletes all of it."""

    def __init__(self, folder: Path, place: Place, lifeline: int) -> None:
        super().__init__(place)
        self.data_dir = folder
        self._lifeline, self._owner = lifeline, os.getpid()
        atexit.register(self.close)

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the cluster and delete its folder. Twice does not matter; a forked child closes only its connections."""
        super().close()
        if self._lifeline < 0 or os.getpid() != self._owner:
            return
        atexit.unregister(self.close)
        try:
            down(data_dir=self.data_dir, purge=True)
        finally:
            os.close(self._lifeline)
            self._lifeline = -1


def local(
    agents: int = 1,
    *,
    simulated: bool = False,
    agent_cpus: float | None = None,
    agent_mem: int | None = None,
    policy: str | None = None,
    settings: dict[str, Any] | None = None,
) -> LocalCluster:
    """Start a cluster for this process: `with orch.local(agents=2) as cluster: ...`. Takes some seconds.

    Pods run as the calling user. agent_cpus, agent_mem (MiB): of each agent; by default they share the machine.
    simulated: machines only pretend to run what they are given. policy: "best-fit" (the default), "first-fit" or
    "spread", of what names none. Raises OrchError where it can't be started.
    """
    folder = Path(tempfile.mkdtemp(prefix="orch-local-"))
    reading, lifeline = os.pipe()
    try:
        found = up(
            agents=agents,
            simulated=simulated,
            data_dir=folder,
            agent_cpus=agent_cpus,
            agent_mem=agent_mem,
            tenancy="single",
            policy=policy,
            settings=settings,
            owner_fd=reading,
        )
    except BaseException:
        os.close(lifeline)
        down(data_dir=folder, purge=True)
        raise
    finally:
        os.close(reading)
    return LocalCluster(folder, Place(found["url"], secret(Path(found["token_file"]))), lifeline)
