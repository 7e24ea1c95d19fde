"""Parts that look at the machine: processes, strays, control groups, use of resources; and columns of the engine."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import ContainerTemplate
from orch.model.states import State
from orch.node import _spawn, memory, procfs, reasons
from orch.node.cgroups import Cgroups, limits_of
from orch.node.folders import open_to_others
from orch.node.jobs import changes, is_full
from orch.node.process import StartError, start
from orch.node.reasons import Stage
from orch.node.strays import Strays, clear_jobs
from orch.node.usage import Usage
from tests.node.driving import DEADLINE_S, until


def sleeper(**env: str) -> subprocess.Popen[bytes]:
    """A process with marks."""
    return subprocess.Popen(["sleep", "100"], env=env, start_new_session=True)


def marks(cluster: str, id: int, agent: str = "a1") -> dict[str, str]:
    """What a pod's process has in its environment."""
    return {"ORCH_CLUSTER": cluster, "ORCH_AGENT": agent, "ORCH_ID": str(id), "ORCH_ATTEMPT": "1"}


def test_processes_are_found_by_their_marks_and_only_the_right_ones_killed() -> None:
    cluster = f"marks{os.getpid()}"
    mine, other = sleeper(**marks(cluster, 1)), sleeper(**marks(cluster, 2, "a2"))
    stranger = sleeper(**marks("other", 1))
    try:
        assert procfs.marked(cluster) == {mine.pid: (1, 1), other.pid: (2, 1)}
        assert procfs.marked(cluster, "a2") == {other.pid: (2, 1)}
        assert clear_jobs(cluster, "a1", {(1, 1)}) == 0
        assert procfs.signal_marked(cluster, [(2, 1)], signal.SIGKILL, groups=[other.pid]) == 0
        assert clear_jobs(cluster, "a1", ()) == 1
        assert mine.wait(10) == -9
        assert other.poll() is None and stranger.poll() is None
    finally:
        for one in (mine, other, stranger):
            one.kill()
            one.wait()


def test_a_sweep_kills_children_of_instances_that_are_over_and_no_others() -> None:
    cluster = f"sweep{os.getpid()}"
    over, live, known = sleeper(**marks(cluster, 1)), sleeper(**marks(cluster, 2)), sleeper(**marks(cluster, 3))
    strays = Strays(cluster, lambda id, attempt: id == 2)
    try:
        assert set(procfs.children()) >= {over.pid, live.pid, known.pid}
        assert strays.sweep({known.pid}) == 1
        end = time.monotonic() + DEADLINE_S
        while (stat := procfs.stat_of(over.pid)) is not None and stat.alive:
            assert time.monotonic() < end
        strays.sweep({known.pid})
        strays.sweep({known.pid})
        assert procfs.stat_of(over.pid) is None
        assert live.poll() is None and known.poll() is None
    finally:
        for one in (over, live, known):
            one.kill()
            one.wait()


def test_a_child_tells_its_end_and_what_it_left_in_its_group_is_killed() -> None:
    async def body() -> None:
        child = start([b"sh", b"-c", b"sleep 100 & exit 7"], [])
        ends: list[bool] = []
        child.on_end(lambda: ends.append(True))
        assert await child.wait() == 7 and child.code == 7
        await asyncio.sleep(0)
        assert ends == [True]
        child.signal(signal.SIGKILL, group=True)
        await until("the end of the group", lambda: not alive(memory.members([child.pid])[child.pid]))
        with pytest.raises(StartError, match="no-such-command"):
            start([b"no-such-command"], [])

    asyncio.run(body())


def alive(pids: list[int]) -> list[int]:
    """Those that are no zombies."""
    return [pid for pid in pids if (stat := procfs.stat_of(pid)) is not None and stat.alive]


def test_there_is_no_stat_and_no_environment_of_nobody() -> None:
    assert procfs.stat_of(2**22 + 1) is None
    assert procfs.environment_of(2**22 + 1) == {}


def test_limits_come_from_what_was_asked_unless_the_spec_says_otherwise() -> None:
    asked = ContainerTemplate("a", mem_mib=64, cpus_milli=500)
    assert limits_of(asked) == limits_of(ContainerTemplate("a", mem_mib=32, mem_limit_mib=64, cpus_milli=500))
    assert limits_of(ContainerTemplate("a", mem_mib=64, mem_limit_mib=-1)).mem_mib is None
    assert limits_of(ContainerTemplate("a")).mem_mib is None
    assert limits_of(ContainerTemplate("a", cpus_limit_milli=250)).cpus_limit_milli == 250


def test_a_group_is_made_with_its_limits_and_removed_where_this_machine_allows_it() -> None:
    groups = Cgroups(f"orch-test-{os.getpid()}")
    container = ContainerTemplate("a", mem_mib=64, cpus_milli=500, cpus_limit_milli=1500)
    files = groups.make("1-1.a", container)
    assert bool(files) == (groups.version != "none")
    for file in files:
        assert file.exists() and file.read_text() == ""
    limit = {"v1": "memory.limit_in_bytes", "v2": "memory.max"}.get(groups.version)
    found = [file.with_name(limit or "") for file in files if limit and file.with_name(limit).exists()]
    assert all(path.read_text().strip() == str(64 << 20) for path in found)
    assert not groups.finish("1-1.a")
    assert not any(file.exists() for file in files)
    groups.close()


def test_no_groups_where_there_are_none(tmp_path: Path) -> None:
    groups = Cgroups("x", tmp_path)
    assert groups.version == "none"
    assert groups.make("1-1.a", ContainerTemplate("a", mem_mib=64)) == ()
    assert not groups.finish("1-1.a")


def test_use_of_the_machine_is_in_its_units(tmp_path: Path) -> None:
    seen = Usage(tmp_path).look()
    assert sorted(seen) == ["cpus", "disk", "mem"]
    assert 0 <= seen["cpus"] <= (os.cpu_count() or 1) and seen["mem"] > 0 and seen["disk"] > 0


def test_a_closed_folder_anywhere_above_closes_a_path(tmp_path: Path) -> None:
    (tmp_path / "closed" / "below").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert not open_to_others(tmp_path / "closed" / "below")
    assert not open_to_others(tmp_path / "closed" / "not-there-yet")
    assert open_to_others(Path("/usr"))


def test_a_disk_with_room_is_not_full(tmp_path: Path) -> None:
    assert not is_full(tmp_path) and not is_full(tmp_path / "not-there")


def events(*rows: dict[str, Any]) -> Any:
    """Events of the engine."""
    found = np.zeros(len(rows), _spawn.EVENT)
    for at, row in enumerate(rows):
        for name, value in {"attempt": 1, "started_ms": 10, "at_ms": 20, **row}.items():
            found[name][at] = value
    return found


def test_a_start_and_an_end_make_one_row_and_all_kinds_have_their_state(tmp_path: Path) -> None:
    told = changes(
        events(
            {"id": 1, "what": _spawn.STARTED, "at_ms": 10},
            {"id": 2, "what": _spawn.STARTED, "at_ms": 10},
            {"id": 1, "what": _spawn.EXITED, "code": 0},
            {"id": 3, "what": _spawn.EXITED, "code": -11},
            {"id": 4, "what": _spawn.NOT_STARTED, "stage": Stage.EXEC, "code": errno.ENOENT},
            {"id": 5, "what": _spawn.NOT_STARTED, "stage": Stage.FORK, "code": errno.EAGAIN},
            {"id": 6, "what": _spawn.CANCELLED, "code": -15},
            {"id": 7, "what": _spawn.EXITED, "code": 1, "lost_bytes": 5},
            {"id": 8, "what": _spawn.NOT_STARTED, "stage": Stage.SANDBOX, "code": errno.ENOSPC},
        ),
        tmp_path,
    )
    rows = dict(
        zip(
            told.ids.tolist(),
            zip(
                told.states.tolist(),
                told.exit_codes.tolist(),
                told.reasons.tolist(),
                told.started_ms.tolist(),
                strict=True,
            ),
            strict=True,
        )
    )
    assert rows == {
        1: (State.FINISHED, 0, Reason.EXITED, 10),
        2: (State.RUNNING, NO_EXIT_CODE, Reason.NONE, 10),
        3: (State.FAILED, -11, Reason.CRASHED, 10),
        4: (State.ERROR, NO_EXIT_CODE, Reason.COMMAND_NOT_FOUND, 0),
        5: (State.FAILED, NO_EXIT_CODE, Reason.SPAWN_FAILED, 0),
        6: (State.FAILED, -15, Reason.SIGNALED, 0),
        7: (State.FAILED, 1, Reason.DISK_FULL, 10),
        8: (State.FAILED, NO_EXIT_CODE, Reason.DISK_FULL, 0),
    }


def test_sentences_name_the_command_and_the_signal() -> None:
    assert reasons.not_started_sentence(Stage.EXEC, errno.ENOENT, "nope") == (
        "the command could not be executed: 'nope': No such file or directory"
    )
    assert reasons.ended_sentence(-11) == "ended by SIGSEGV"
    assert reasons.ended_sentence(-99) == "ended by signal 99"
    assert reasons.ended_sentence(3) == "exit code 3"
    assert reasons.ended(0) == (State.FINISHED, Reason.EXITED)
    assert reasons.not_started(Stage.USER, errno.EPERM) == (State.ERROR, Reason.USER_UNKNOWN)
