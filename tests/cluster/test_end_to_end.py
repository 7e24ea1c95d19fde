"""The whole of it, on real processes: what is killed comes back, and nothing is lost or run twice.

The tests share one cluster and run in this order; the last one takes it down.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from orch.client import Cluster, Job
from orch.cluster.bring_up import up
from orch.cluster.embedded import local
from orch.cluster.files import runtime_base, runtime_dir
from orch.cluster.join_cluster import join
from orch.cluster.look import status
from orch.cluster.processes import of_cluster
from orch.cluster.take_down import down
from orch.model.errors import OrchError, UnauthenticatedError
from orch.model.states import State
from tests.cluster.conftest import World, eventually

SERVICE = {
    "id": "/e2e/sleeper",
    "containers": [
        {"name": "main", "exec": {"command": {"shell": "exec sleep 86399"}}, "resources": {"cpus": 0.1, "mem": 16}}
    ],
    "scaling": {"kind": "fixed", "instances": 2},
}
SLEEPER = "sleep 86399"


@pytest.fixture
def sleepers(world: World, cluster: Cluster) -> set[int]:
    """pids of a service of two instances."""
    if "/e2e/sleeper" not in [service.path for service in cluster.services()]:
        cluster.run(SERVICE).wait(timeout=60)
    found: set[int] = eventually(lambda: found if len(found := world.pods(SLEEPER)) == 2 else None)
    return found


def batch(cluster: Cluster, count: int = 400) -> Job:
    """A job that takes a few seconds on two agents; pod i exits with i % 5."""
    return cluster.submit("/e2e/batch", cmd="sleep 0.2; exit $((ORCH_INDEX % 5))", count=count, cpus=0.05, mem=8)


def underway(job: Job) -> bool:
    """Some pods have ended, and some have not."""
    states = job.states
    return bool(np.any(states >= State.FINISHED)) and not bool(np.all(states >= State.FINISHED))


def finished(world: World, job: Job) -> None:
    """The job ends, each pod with its own exit code. Meanwhile the API may be away."""
    with world.connect() as client:
        same = eventually(lambda: client.job(job.number))
        eventually(lambda: np.all(same.states >= State.FINISHED), "the job does not end")
        assert np.array_equal(same.exit_codes, np.arange(len(same.exit_codes)) % 5)


def test_up_twice_is_one_cluster(world: World) -> None:
    first = world.found
    assert first["agents"] == 2
    again = up(agents=2, data_dir=world.data_dir)
    assert (again["cluster"], again["url"], again["started"]) == (first["cluster"], first["url"], False)
    assert again["ignored"] == []
    other = up(agents=3, agent_mem=7, data_dir=world.data_dir)
    assert [text.split(":")[0] for text in other["ignored"]] == ["--agents", "--agent-mem"]
    assert other["ignored"][0] == "--agents: asked 3, the running cluster has 2"
    assert stat.S_IMODE(Path(first["token_file"]).stat().st_mode) == 0o600
    seen = status(data_dir=world.data_dir)
    assert (seen["running"], seen["answers"], seen["cluster"]) == (True, True, first["cluster"])
    assert world.found["url"].startswith("http://127.0.0.1:")


def test_a_map_runs_also_where_pods_have_uids_of_their_own(cluster: Cluster) -> None:
    """Under root they do, and may not be allowed to read this Python."""
    assert cluster.map(len, ["pod", "agent"], chunk=1) == [3, 5]
    with pytest.raises(ZeroDivisionError):
        cluster.map(lambda item: 1 / item, [0])


def test_a_job_runs_and_its_output_is_kept(cluster: Cluster) -> None:
    job = cluster.submit("/e2e/echo", cmd="echo pod $ORCH_INDEX; exit $((ORCH_INDEX % 3))", count=50, cpus=0.05, mem=8)
    job.wait(timeout=60)
    assert job.exit_codes.tolist() == [i % 3 for i in range(50)]
    assert [job.output(i) for i in (0, 7, 49)] == [b"pod 0\n", b"pod 7\n", b"pod 49\n"]


def test_no_secret_is_shown_to_pods_or_by_the_api(world: World, cluster: Cluster) -> None:
    job = cluster.submit("/e2e/env", cmd="env; cat /proc/self/environ", count=1, cpus=0.05, mem=8)
    job.wait(timeout=60)
    shown = job.output(0).decode() + str(cluster.info())
    for name in ("token", "node-token", "ray-token"):
        assert (world.data_dir / name).read_text().strip() not in shown
    assert "RAY_" not in shown


def test_the_master_is_killed_in_mid_batch_and_the_batch_ends_as_if_nothing_had_happened(
    world: World, cluster: Cluster, sleepers: set[int]
) -> None:
    epoch = cluster.info()["epoch"]
    job = batch(cluster)
    eventually(lambda: underway(job))
    world.kill("ray::MasterActor")
    finished(world, job)
    assert cluster.info()["epoch"] == epoch + 1
    assert world.pods(SLEEPER) == sleepers


def test_the_postmen_are_killed_in_mid_batch(world: World, cluster: Cluster, sleepers: set[int]) -> None:
    job = batch(cluster)
    eventually(lambda: underway(job))
    world.kill("ray::AgentPostman")
    finished(world, job)
    assert world.pods(SLEEPER) == sleepers


def test_the_gateway_is_killed_and_comes_back_at_the_same_address(
    world: World, cluster: Cluster, sleepers: set[int]
) -> None:
    job = batch(cluster)
    eventually(lambda: underway(job))
    world.kill("orch.cluster.gateway")
    finished(world, job)
    assert world.pods(SLEEPER) == sleepers


def test_ray_is_killed_and_a_new_one_takes_over(world: World, cluster: Cluster, sleepers: set[int]) -> None:
    job = batch(cluster)
    eventually(lambda: underway(job))
    world.kill("raylet/raylet")
    finished(world, job)
    assert world.pods(SLEEPER) == sleepers


def test_the_supervisor_is_killed_and_another_one_adopts_its_services(
    world: World, cluster: Cluster, sleepers: set[int]
) -> None:
    before = status(data_dir=world.data_dir)["supervisor"]
    epoch = cluster.info()["epoch"]
    world.kill("orch.cluster.supervisor")
    eventually(lambda: status(data_dir=world.data_dir)["supervisor"] not in (None, before))
    eventually(lambda: (info := cluster.info())["epoch"] > epoch and info["agents"] == {"READY": 2})
    assert world.pods(SLEEPER) == sleepers
    assert [one["state"] for one in cluster.service("/e2e/sleeper").instances()] == ["RUNNING"] * 2


def test_everything_but_the_pods_is_killed_and_up_adopts_them(
    world: World, cluster: Cluster, sleepers: set[int]
) -> None:
    roles = ("supervisor", "gateway", "ray")
    while found := [one for one in world.processes() if one.role in roles]:
        for process in found:
            process.kill(signal.SIGKILL)
    again = world.up()
    assert again["started"]
    with world.connect() as client:
        instances = client.service("/e2e/sleeper").instances()
    assert [one["state"] for one in instances] == ["RUNNING"] * 2
    assert world.pods(SLEEPER) == sleepers


def test_a_wrong_token_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("guess\n")
    with pytest.raises(UnauthenticatedError):
        join(world.found["url"], token_file=tmp_path / "token", data_dir=tmp_path / "n", node_ip="127.0.0.3")


def test_a_second_node_joins_and_leaves(world: World, cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "joined"
    with pytest.raises(OrchError, match=r"--node-ip 127\.0\.0\.3"):
        join(world.found["url"], token_file=world.found["token_file"], data_dir=folder)
    assert not folder.exists()
    options = {"token_file": world.found["token_file"], "data_dir": folder, "agent_cpus": 0.5, "node_ip": "127.0.0.3"}
    found = join(world.found["url"], **options)
    try:
        name = f"{found['node']}-a1"
        assert {row["name"]: row["state"] for row in cluster.agents()} == {"a1": "READY", "a2": "READY", name: "READY"}
        assert not join(world.found["url"], **options)["started"]
        job = cluster.submit("/e2e/wide", cmd="sleep 0.3; echo $ORCH_AGENT", count=40, cpus=0.25, mem=8)
        job.wait(timeout=60)
        outputs = {job.output(i).decode().strip() for i in range(40)}
        assert name in outputs
    finally:
        left = down(data_dir=folder, purge=True)
        assert left["was_running"] and left["member"]
    assert not folder.exists()
    assert [one for one in world.processes() if one.node == found["node"]] == []
    eventually(lambda: {row["name"]: row["state"] for row in cluster.agents()}[name] != "READY")


def test_down_stops_the_pods_and_the_next_up_brings_services_back(world: World, sleepers: set[int]) -> None:
    assert down(data_dir=world.data_dir)["was_running"]
    assert world.processes() == []
    assert not runtime_dir(world.found["cluster"]).exists()
    assert not down(data_dir=world.data_dir)["was_running"]
    world.up()
    with world.connect() as client:
        client.service("/e2e/sleeper").wait(timeout=60)
        assert len(eventually(lambda: found if len(found := world.pods(SLEEPER)) == 2 else None) & sleepers) == 0
        assert client.job("/e2e/echo").exit_codes.tolist() == [i % 3 for i in range(50)]


def test_down_with_purge_leaves_nothing(world: World) -> None:
    found = down(data_dir=world.data_dir, purge=True)
    assert found == {"cluster": world.found["cluster"], "member": False, "was_running": True, "purged": True}
    assert world.processes() == []
    assert not world.data_dir.exists()
    assert not runtime_dir(world.found["cluster"]).exists()


def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / ".orch").write_text("e2edeadbeef\n")
    (tmp_path / "journal" / "journal.db").write_bytes(b"no database at all, but long enough to be read as one" * 30)
    with pytest.raises(OrchError, match=r"journal\.db is damaged: file is not a database; restore it from a copy"):
        up(data_dir=tmp_path)
    assert of_cluster("e2edeadbeef", runtime_base()) == []
    assert not runtime_dir("e2edeadbeef").exists()


OWNER = """
import sys, time
import orch
cluster = orch.local(agents=3, simulated=True)
job = cluster.submit("/sim/job", cmd="true", count=5000, cpus=0.1, mem=16)
job.wait(timeout=60)
assert job.exit_codes.tolist() == [0] * 5000
print(cluster.info()["cluster"], cluster.data_dir, flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """A process with an embedded cluster of simulated machines."""
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env={**os.environ})
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_an_embedded_cluster_dies_with_its_owner(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    cluster, _, folder = owner.stdout.readline().strip().partition(" ")
    assert Path(folder).exists()
    owner.kill()
    eventually(lambda: not of_cluster(cluster, runtime_base()), "processes are left")
    eventually(lambda: not Path(folder).exists())
    assert not runtime_dir(cluster).exists()


def test_an_embedded_cluster_ends_with_its_block() -> None:
    with local(agents=1, agent_cpus=0.5) as cluster:
        found = cluster.info()["cluster"]
        assert cluster.agents()[0]["total"]["cpus"] == 0.5
        assert cluster.info()["tenancy"] == "single"
    assert of_cluster(found, runtime_base()) == []
    assert not cluster.data_dir.exists()
    cluster.close()
