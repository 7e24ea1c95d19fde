"""On somebody else's Ray of two nodes: we come, use both, and leave it as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orch.client import connect
from orch.cluster.bring_up import up
from orch.cluster.files import runtime_base, write_private
from orch.cluster.ports import free_block
from orch.cluster.processes import of_cluster
from orch.cluster.ray_process import RayNode
from orch.cluster.take_down import down
from orch.model.errors import UnavailableError, UsageError
from tests.cluster.conftest import LIMIT_S, eventually

MARK = "feedfacefeedface"


class TheirRay:
    """A Ray of two nodes with a token of its own, which knows nothing of us."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = folder / "their-token"
        write_private(self.token, "t" * 40)
        self.head_port = free_block(1)
        self.address = f"127.0.0.4:{self.head_port}"
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Both nodes, one after the other."""
        head = RayNode(MARK, "theirs", "127.0.0.4", self._temp("h"), self.token, head_port=self.head_port)
        self._run(head, "h")
        self._run(RayNode(MARK, "theirs2", "127.0.0.5", self._temp("w"), self.token, address=self.address), "w")

    def _temp(self, name: str) -> Path:
        return Path(f"/tmp/orch-test-{os.getpid()}") / name

    def _run(self, node: RayNode, name: str) -> None:
        log = self.folder / f"{name}.log"
        environment = {key: value for key, value in node.environment().items() if not key.startswith("ORCH_")}
        with log.open("wb") as output:
            self.nodes.append(
                subprocess.Popen(
                    node.command(), env=environment, stdout=output, stderr=output, start_new_session=True
                )
            )  # fmt: skip
        eventually(lambda: "Ray runtime started" in log.read_text(), f"Ray did not start:\n{log.read_text()}")

    def pids(self, title: str) -> set[int]:
        """Processes in the sessions of this Ray whose command line has `title`."""
        found = set()
        for name in os.listdir("/proc"):
            with suppress(OSError, ValueError):
                line = Path(f"/proc/{name}/cmdline").read_text()
                if title in line and os.getsid(int(name)) in {node.pid for node in self.nodes}:
                    found.add(int(name))
        return found

    def stop(self) -> None:
        """Everything in its sessions."""
        deadline = time.monotonic() + LIMIT_S
        while (left := self.pids("")) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for node in self.nodes:
                node.poll()
            time.sleep(0.05)
        subprocess.run(["rm", "-rf", f"/tmp/orch-test-{os.getpid()}"], check=True)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TheirRay]:
    """Their Ray, and what lets us in."""
    ray = TheirRay(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(ray.token))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    try:
        ray.start()
        yield ray
    finally:
        ray.stop()


def test_a_cluster_on_somebody_elses_ray_uses_its_nodes_and_leaves_no_trace(theirs: TheirRay, tmp_path: Path) -> None:
    before = theirs.pids("raylet/raylet")
    options: dict[str, Any] = {"data_dir": tmp_path / "data", "agent_cpus": 0.5}
    found = up(ray_address=theirs.address, **options)
    try:
        with connect(found["url"], found["token_file"]) as cluster:
            assert cluster.info()["ray"] == {"address": theirs.address, "own": False}
            states = eventually(lambda: [row["state"] for row in cluster.agents()] == ["READY", "READY"])
            assert states, "the second node did not join"
            names = {row["name"] for row in cluster.agents()}
            job = cluster.submit("/e2e/wide", cmd="sleep 0.3; echo $ORCH_AGENT", count=20, cpus=0.25, mem=8)
            job.wait(timeout=60)
            assert {job.output(i).decode().strip() for i in range(20)} == names
        assert len(theirs.pids("ray::AgentPostman")) == 2
    finally:
        down(data_dir=tmp_path / "data", purge=True)
    assert of_cluster(found["cluster"], runtime_base()) == []
    eventually(lambda: not theirs.pids("ray::MasterActor") | theirs.pids("ray::AgentPostman"))
    assert theirs.pids("raylet/raylet") == before
    assert not (tmp_path / "data").exists()


def test_an_address_that_is_none_or_does_not_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="host:port of Ray's head"):
        up(ray_address="somewhere", data_dir=tmp_path / "a")
    with pytest.raises(UnavailableError, match="nothing answers at Ray's address"):
        up(ray_address=f"127.0.0.1:{free_block(1)}", data_dir=tmp_path / "a")
