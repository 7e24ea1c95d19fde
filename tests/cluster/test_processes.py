"""Processes are found by their environment, and named by pid and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orch.cluster.processes import Process, end_all, named, note_session, of_cluster, start_of

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(
    cluster: str, code: str = "print('up', flush=True); import time; time.sleep(60)", **marks: str
) -> subprocess.Popen[str]:
    env = {**os.environ, "ORCH_CLUSTER": cluster, **marks}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(cluster: str, runtime_base: Path | None, grace_s: float, *ours: int) -> int:
    """`end_all` of a cluster, but nothing beside `ours`: a mistake in the search must not end the machine."""
    found = of_cluster(cluster, runtime_base)
    assert {process.pid for process in found} <= set(ours)
    return end_all(lambda: [process for process in of_cluster(cluster, runtime_base) if process.pid in ours], grace_s)


def finish(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    process.stdout.close()
    return process.wait(timeout=20)


def test_processes_of_a_cluster_are_found_with_their_marks() -> None:
    one, other = child("test-aa", ORCH_ROLE="ray", ORCH_NODE="head"), child("test-aab")
    assert [(p.pid, p.role, p.node) for p in of_cluster("test-aa")] == [(one.pid, "ray", "head")]
    assert of_cluster("test-a") == []
    assert end("test-aa", None, 20, one.pid) == 1
    assert finish(one) == -signal.SIGTERM
    assert other.poll() is None
    assert end("test-aab", None, 0, other.pid) == 1
    assert finish(other) == -signal.SIGKILL


def test_one_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    stubborn = child("test-bb", STUBBORN)
    assert end("test-bb", None, 0.1, stubborn.pid) == 1
    assert finish(stubborn) == -signal.SIGKILL


def test_another_process_with_the_same_pid_is_not_the_same() -> None:
    started = start_of(os.getpid())
    assert named(os.getpid(), started) is not None
    assert named(os.getpid(), started + 1) is None
    assert named(0, 0) is None
    Process(os.getpid(), started + 1, "", "").kill(signal.SIGKILL)


def session_of_two() -> subprocess.Popen[str]:
    """A session whose leader has one child, both without the mark of a cluster."""
    leader = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 60 & echo up; wait"],
        env={**os.environ, "ORCH_CLUSTER": ""},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    assert leader.stdout.readline() == "up\n"
    return leader


def end_session(leader: subprocess.Popen[str]) -> None:
    os.killpg(leader.pid, signal.SIGKILL)
    finish(leader)


def test_a_process_that_overwrote_its_environment_is_found_by_its_session(tmp_path: Path) -> None:
    runtime = tmp_path / "0123abcd-n1"
    runtime.mkdir()
    leader = session_of_two()
    note_session(runtime, leader.pid)
    found = of_cluster("0123abcd45", tmp_path)
    assert [(p.role, p.node) for p in found] == [("ray", "n1")] * 2
    assert of_cluster("0123abcd45") == []
    child_pid = next(p.pid for p in found if p.pid != leader.pid)
    leader.kill()
    leader.wait()
    assert [p.pid for p in of_cluster("0123abcd45", tmp_path)] == [child_pid]
    assert end("0123abcd45", tmp_path, 0, child_pid) == 1
    finish(leader)


@pytest.mark.parametrize("spoil", [
    pytest.param(lambda pid, started, boot: f"{pid} {started + 1} {boot}", id="the number was taken by another since"),
    pytest.param(lambda pid, started, boot: f"{pid} {started} another-boot", id="noted before a reboot"),
    pytest.param(lambda pid, started, boot: f"0 1 {boot}", id="session 0 is everybody without one"),
])  # fmt: skip
def test_a_session_that_is_not_surely_ours_is_left_alone(tmp_path: Path, spoil: Callable[[int, int, str], str]) -> None:
    runtime = tmp_path / "0123abcd-n1"
    runtime.mkdir()
    leader = session_of_two()
    note_session(runtime, leader.pid)
    pid, started, boot = (runtime / "ray-sessions").read_text().split()
    (runtime / "ray-sessions").write_text(spoil(int(pid), int(started), boot) + "\n")
    assert of_cluster("0123abcd45", tmp_path) == []
    end_session(leader)
