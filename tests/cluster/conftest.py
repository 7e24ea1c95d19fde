"""One real cluster for the whole session: Ray, the actors, the gateway, two agents and their processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orch.client import Cluster, connect
from orch.cluster.bring_up import up
from orch.cluster.files import runtime_base
from orch.cluster.processes import Process, of_cluster
from orch.cluster.take_down import down
from orch.model.errors import OrchError

LIMIT_S = 90.0
"""Longer than anything here takes on a busy machine."""


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true answer; a cluster that does not answer counts as false. Fails when the time is over."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            found = condition()
        except OrchError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, what or condition
        time.sleep(0.02)


@dataclass
class World:
    """A running cluster, and ways to hurt it."""

    data_dir: Path
    found: dict[str, Any]

    def connect(self) -> Cluster:
        """A new client."""
        return connect(self.found["url"], self.found["token_file"])

    def up(self) -> dict[str, Any]:
        """`orch up` once more."""
        self.found = up(agents=2, data_dir=self.data_dir)
        return self.found

    def processes(self) -> list[Process]:
        """All of them, pods too."""
        return of_cluster(self.found["cluster"], runtime_base())

    def titled(self, title: str) -> list[Process]:
        """Processes of ours (no pods) whose command line has `title`."""
        return [one for one in self.processes() if one.role in ("ray", "gateway", "supervisor") and title in _line(one)]

    def pods(self, title: str) -> set[int]:
        """pids of processes of pods whose command line has `title`."""
        ours = ("ray", "gateway", "supervisor")
        return {one.pid for one in self.processes() if one.role not in ours and title in _line(one)}

    def kill(self, title: str) -> None:
        """SIGKILL."""
        found = self.titled(title)
        assert found, f"no process is called {title}"
        for process in found:
            process.kill(9)


def _line(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Taken down and purged at the end, whatever happened."""
    data_dir = tmp_path_factory.mktemp("cluster") / "data"
    try:
        yield World(data_dir, up(agents=2, data_dir=data_dir))
    finally:
        down(data_dir=data_dir, purge=True, grace_s=20)


@pytest.fixture
def cluster(world: World) -> Iterator[Cluster]:
    """A client of the session's cluster."""
    with world.connect() as client:
        yield client
