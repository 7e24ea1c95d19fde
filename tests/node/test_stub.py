"""The stub by itself: a program that needs no supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from orch.node import _spawn
from orch.node.procfs import Identity, boot_id, hold
from orch.node.stubs import PROGRAM, ExitRecord, read_exit
from tests.node.driving import DEADLINE_S


class Stubbed:
    """One stub in a folder."""

    def __init__(self, folder: Path, argv: Sequence[str], **fields: object) -> None:
        self.folder, self.logs = folder / "records", folder / "log"
        self.folder.mkdir()
        pairs: list[tuple[str, object]] = [("arg", word) for word in argv]
        pairs += [("cwd", folder), ("logs", self.logs), *fields.items()]
        spec = b"".join(f"{key}\0{value}\0".encode() for key, value in pairs)
        self.process = subprocess.Popen(
            [PROGRAM, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, start_new_session=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(spec)
        self.process.stdin.close()
        self.said = self.process.stdout.readline().split()

    def end(self) -> ExitRecord:
        """Its record, once it has ended."""
        assert self.process.wait(DEADLINE_S) == 0
        record = read_exit(self.folder)
        assert record is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        return record

    def output(self, stream: str = "stdout") -> str:
        """What its command printed."""
        return Path(f"{self.logs}.{stream}").read_text()


def shell(folder: Path, line: str, **fields: object) -> Stubbed:
    """A stub around a line for the shell."""
    return Stubbed(folder, ["/bin/sh", "-c", line], **fields)


def gone(pid: int) -> bool:
    """Wait until a process has ended."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.002)
    return False


def wait_for(path: Path) -> str:
    """The text of a file, once there is some."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.002)
    raise AssertionError(f"{path} did not appear")


def test_it_keeps_output_and_exit_code(tmp_path: Path) -> None:
    stub = shell(tmp_path, "echo out; echo err >&2; pwd; exit 3")
    assert stub.said[0] == b"started"
    record = stub.end()
    assert (record.exited, record.code, record.lost_bytes) == (True, 3, 0)
    assert 0 < record.started_ms <= record.ended_ms
    assert (stub.output(), stub.output("stderr")) == (f"out\n{tmp_path}\n", "err\n")


def test_a_crash_is_a_signal(tmp_path: Path) -> None:
    assert shell(tmp_path, "kill -SEGV $$").end().code == -signal.SIGSEGV


def test_a_command_that_is_not_there_is_told_on_the_pipe_and_in_the_record(tmp_path: Path) -> None:
    stub = Stubbed(tmp_path, ["no-such-command"])
    assert stub.said == [b"failed", b"8", b"2"]
    record = stub.end()
    assert (record.exited, record.stage, record.error) == (False, 8, 2)


def test_a_stop_reaches_the_whole_tree_and_the_grace_is_kept(tmp_path: Path) -> None:
    stub = shell(
        tmp_path, "trap 'echo stopping; exit 0' TERM; setsid sleep 100 & echo $!; while :; do sleep 0.01; done"
    )
    child = int(wait_for(Path(f"{stub.logs}.stdout")))
    stub.process.send_signal(signal.SIGTERM)
    assert stub.end().code == 0
    assert stub.output().endswith("stopping\n")
    assert gone(child)


@pytest.mark.parametrize("how", ["spec", "queued"])
def test_what_ignores_a_stop_is_killed_after_the_grace(tmp_path: Path, how: str) -> None:
    stub = shell(tmp_path, "trap '' TERM; echo; while :; do sleep 1; done", grace_ms=100 if how == "spec" else 60_000)
    wait_for(Path(f"{stub.logs}.stdout"))
    pidfd = os.pidfd_open(stub.process.pid)
    began = time.monotonic()
    assert _spawn.pidfd_signal(pidfd, signal.SIGTERM, 100 if how == "queued" else None)
    os.close(pidfd)
    assert stub.end().code == -signal.SIGKILL
    assert 0.1 <= time.monotonic() - began < 10


def test_it_can_be_told_to_kill_at_once(tmp_path: Path) -> None:
    stub = shell(tmp_path, "trap '' TERM; sleep 100")
    stub.process.send_signal(signal.SIGUSR1)
    assert stub.end().code == -signal.SIGKILL


def test_what_the_command_leaves_behind_is_killed_wherever_it_went(tmp_path: Path) -> None:
    stub = shell(tmp_path, "(setsid sh -c 'echo $$; sleep 100; sleep 100' &) ; sleep 0.1; exit 0")
    assert stub.end().code == 0
    assert gone(int(stub.output()))


def test_it_goes_on_when_nobody_reads_its_pipe_or_has_it_as_a_child(tmp_path: Path) -> None:
    stub = shell(tmp_path, "sleep 0.1; echo after; exit 5")
    assert stub.process.stdout is not None
    stub.process.stdout.close()
    words = wait_for(stub.folder / "pid").split()
    assert words[:2] == ["1", boot_id()] and int(words[2]) == stub.process.pid
    pidfd = hold(Identity(words[1], int(words[2]), int(words[3])))
    assert pidfd is not None
    os.close(pidfd)
    assert hold(Identity(words[1], int(words[2]), int(words[3]) + 1)) is None
    assert hold(Identity("another-boot", int(words[2]), int(words[3]))) is None
    stub.process.wait(DEADLINE_S)
    record = read_exit(stub.folder)
    assert record is not None and record.code == 5
    assert stub.output() == "after\n"
    assert hold(Identity(words[1], int(words[2]), int(words[3]))) is None


def test_its_logs_are_turned_over(tmp_path: Path) -> None:
    stub = shell(tmp_path, "seq 60000", log_max_bytes=8192)
    stub.end()
    base = int(Path(f"{stub.logs}.stdout.base").read_text())
    kept = Path(f"{stub.logs}.stdout.1").read_text() + stub.output()
    whole = "".join(f"{row}\n" for row in range(1, 60_001))
    assert base > 0 and whole[base:] == kept


def test_it_is_small(tmp_path: Path) -> None:
    stub = shell(tmp_path, "sleep 100")
    with open(f"/proc/{stub.process.pid}/smaps_rollup") as file:
        pss_kib = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    stub.process.send_signal(signal.SIGUSR1)
    stub.end()
    assert pss_kib < 1500


def test_half_a_record_is_none(tmp_path: Path) -> None:
    assert read_exit(tmp_path) is None
    (tmp_path / "exit").write_text("1 exited 0")
    assert read_exit(tmp_path) is None
