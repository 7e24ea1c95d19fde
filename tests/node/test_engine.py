"""The compiled engine: rows of a template go in, events come out; everything by real processes."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orch.node import _spawn, exits
from orch.node.reasons import Stage
from tests.node.driving import DEADLINE_S

PATH = b"/usr/local/bin:/usr/bin:/bin"


class Bench:
    """An engine with a folder of its own."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.sandboxes, self.logs, self.journal = folder / "sandboxes", folder / "logs", folder / "exits"
        self.sandboxes.mkdir()
        self.logs.mkdir()
        fd = exits.open_journal(self.journal)
        self.engine = _spawn.Engine(workers, fd)
        os.close(fd)
        self.events: list[Any] = []

    def template(self, argv: list[bytes], env: list[bytes] = [], **options: Any) -> Any:  # noqa: B006  only read
        """A template of the folder."""
        name = options.pop("name", b"demo.j1")
        return _spawn.Template(
            argv, env, options.pop("path", PATH), os.fsencode(self.sandboxes), os.fsencode(self.logs), name, **options
        )

    def shell(self, text: str, **options: Any) -> Any:
        """A template of a line for the shell."""
        return self.template([b"/bin/sh", b"-c", text.encode()], **options)

    def launch(self, template: Any, ids: list[int], blob: bytes = b"", off: list[int] | None = None) -> None:
        """Launch first attempts, numbered from 0."""
        offsets = None if off is None else np.array(off, np.int64)
        count = len(ids)
        self.engine.launch(
            template, np.array(ids, np.int64), np.ones(count, np.int32), np.arange(count, dtype=np.int64), blob, offsets
        )

    def wait(self, what: int, count: int) -> Any:
        """Events of one kind, once there are so many."""
        poll = select.poll()
        poll.register(self.engine.fileno(), select.POLLIN)
        end = time.monotonic() + DEADLINE_S
        while True:
            self.events.append(self.engine.take())
            found = np.concatenate(self.events)
            found = found[found["what"] == what]
            if len(found) >= count:
                return np.sort(found, order="id", kind="stable")
            assert time.monotonic() < end, f"{len(found)} of {count} events, then nothing"
            poll.poll(100)

    def kill(self, ids: list[int], number: int) -> list[int]:
        """Signal first attempts."""
        found: list[int] = self.engine.kill(np.array(ids, np.int64), np.ones(len(ids), np.int32), number).tolist()
        return found

    def output(self, id: int, stream: str = "stdout") -> str:
        """What an instance printed."""
        return (self.logs / str(id // 1000) / f"{id}-1.{stream}").read_text()

    def printed(self, id: int) -> str:
        """What an instance printed, once there is something."""
        end = time.monotonic() + DEADLINE_S
        while not (self.logs / str(id // 1000) / f"{id}-1.stdout").exists() or not self.output(id):
            assert time.monotonic() < end
            time.sleep(0.001)
        return self.output(id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.close()


def test_a_batch_runs_each_row_with_its_number_and_reports_its_code(bench: Bench) -> None:
    bench.launch(bench.shell("echo $ORCH_INDEX; echo e$ORCH_ID >&2; exit $((ORCH_INDEX % 7))"), list(range(5000, 5100)))
    ended = bench.wait(_spawn.EXITED, 100)
    assert ended["code"].tolist() == [row % 7 for row in range(100)]
    assert [bench.output(5000 + row) for row in range(100)] == [f"{row}\n" for row in range(100)]
    assert bench.output(5042, "stderr") == "e5042\n"
    assert (ended["at_ms"] >= ended["started_ms"]).all() and bench.engine.live == 0


def test_a_row_s_own_environment_wins_over_the_template_s_and_nothing_else_gets_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_SECRET", "1")
    template = bench.template([b"/usr/bin/env"], [b"FILE=none", b"KEPT=1", b"ORCH_INDEX=77"])
    bench.launch(template, [1, 2], b"FILE=a b\0FILE=\0EXTRA=x\0", [0, 9, 23])
    bench.wait(_spawn.EXITED, 2)
    first, second = (dict(line.split("=", 1) for line in bench.output(one).splitlines()) for one in (1, 2))
    sandbox = str(bench.sandboxes / "0" / "1-1")
    assert first == {
        "ORCH_INDEX": "0", "ORCH_ID": "1", "ORCH_ATTEMPT": "1", "ORCH_INSTANCE": "demo.j1.0",
        "MESOS_TASK_ID": "demo.j1.0", "MESOS_SANDBOX": sandbox, "HOME": sandbox, "FILE": "a b", "KEPT": "1",
    }  # fmt: skip
    assert (second["FILE"], second["EXTRA"], second["ORCH_INDEX"]) == ("", "x", "1")


def test_a_row_has_a_session_and_a_sandbox_and_nothing_open_and_nothing_blocked(bench: Bench) -> None:
    script = (
        "pwd; ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status; ps -o sid= -p $$; echo $$; umask"
    )
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    bench.launch(bench.shell(script), [7])
    bench.wait(_spawn.EXITED, 1)
    os.close(held)
    folder, descriptors, blocked, ignored, session, pid, mask = bench.output(7).split("\n")[:7]
    assert folder == str(bench.sandboxes / "0" / "7-1")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert int(descriptors) == 4  # 0, 1, 2, and the folder that ls reads
    assert blocked.split()[1] == ignored.split()[1] == "0" * 16
    assert session.strip() == pid
    assert mask == "0022"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda folder: "no-such-command", errno.ENOENT),
        (lambda folder: "/no/such/path", errno.ENOENT),
        (lambda folder: _file(folder, 0o644, "#!/bin/sh\n"), errno.EACCES),
        (lambda folder: _file(folder, 0o755, "neither script nor binary"), errno.ENOEXEC),
        (lambda folder: str(folder), errno.EACCES),
    ],
)
def test_a_command_that_cannot_be_executed_says_so_by_its_errno(
    bench: Bench, tmp_path: Path, make: Any, error: int
) -> None:
    bench.launch(bench.template([make(tmp_path).encode()]), [1])
    failed = bench.wait(_spawn.NOT_STARTED, 1)[0]
    assert (failed["stage"], failed["code"]) == (Stage.EXEC, error)
    assert bench.engine.live == 0


def _file(folder: Path, mode: int, text: str) -> str:
    path = folder / "command"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_sandbox_that_cannot_be_made_says_so(bench: Bench) -> None:
    (bench.sandboxes / "0").write_text("in the way")
    bench.launch(bench.shell("true"), [1])
    failed = bench.wait(_spawn.NOT_STARTED, 1)[0]
    assert (failed["stage"], failed["code"]) == (Stage.SANDBOX, errno.ENOTDIR)


def test_a_kill_ends_the_whole_group_and_a_queued_row_never_starts(bench: Bench) -> None:
    bench.launch(bench.shell("sleep 100 & echo $!; wait"), [1])
    started = bench.wait(_spawn.STARTED, 1)
    bench.printed(1)
    assert bench.kill([1, 2], signal.SIGTERM) == [1, 0]
    ended = bench.wait(_spawn.EXITED, 1)
    assert (ended["code"][0], ended["pid"][0]) == (-signal.SIGTERM, started["pid"][0])
    child = int(bench.output(1))
    end = time.monotonic() + DEADLINE_S
    while _alive(child):
        assert time.monotonic() < end
    assert bench.kill([1], signal.SIGKILL) == [0]


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_rows_of_the_queue_can_be_cancelled_and_every_row_ends_in_one_event(bench: Bench) -> None:
    ids = list(range(1, 401))
    bench.launch(bench.shell("sleep 0.01"), ids)
    found = bench.kill(ids[200:], signal.SIGTERM)
    assert set(found) <= {0, 1, 2, 3} and 2 in found
    end = time.monotonic() + DEADLINE_S
    while bench.engine.live:
        assert time.monotonic() < end
        time.sleep(0.001)
    bench.events.append(bench.engine.take())
    events = np.concatenate(bench.events)
    over = events[events["what"] != _spawn.STARTED]
    assert sorted(over["id"].tolist()) == ids
    assert found.count(2) == np.count_nonzero(over["what"] == _spawn.CANCELLED)


def test_a_row_that_is_here_already_is_refused_and_nothing_is_queued(bench: Bench) -> None:
    template = bench.shell("sleep 100")
    bench.launch(template, [1])
    bench.wait(_spawn.STARTED, 1)
    with pytest.raises(ValueError, match="instance 1 attempt 1 is here already"):
        bench.launch(template, [2, 1, 3])
    assert bench.engine.live == 1
    bench.kill([1], signal.SIGKILL)
    bench.wait(_spawn.EXITED, 1)


@pytest.mark.parametrize(
    ("blob", "off"), [(b"A=1\0", [0, 3]), (b"A=1\0", [1, 4]), (b"A=1\0B", [0, 5]), (b"", [0, 0, 0])]
)
def test_an_environment_that_is_cut_wrong_is_refused(bench: Bench, blob: bytes, off: list[int]) -> None:
    with pytest.raises(ValueError, match=r"env_off|length"):
        bench.launch(bench.shell("true"), [1], blob, off)


def test_a_long_output_is_kept_whole_and_turned_over_at_its_limit(bench: Bench) -> None:
    bench.launch(bench.shell("seq 60000", log_max_bytes=8192), [1])
    bench.wait(_spawn.EXITED, 1)
    base = bench.logs / "0" / "1-1.stdout"
    older, current = Path(f"{base}.1").read_text(), base.read_text()
    whole = "".join(f"{row}\n" for row in range(1, 60_001))
    assert whole.endswith(older + current)
    assert int(Path(f"{base}.base").read_text()) == len(whole) - len(older) - len(current)
    assert len(older) + len(current) < len(whole)


def test_what_is_printed_while_a_job_runs_is_read_while_it_runs(bench: Bench) -> None:
    bench.launch(bench.shell("echo first; sleep 100"), [1])
    assert bench.printed(1) == "first\n"
    bench.kill([1], signal.SIGKILL)
    bench.wait(_spawn.EXITED, 1)


def test_a_job_that_prints_nothing_has_no_log_files(bench: Bench) -> None:
    bench.launch(bench.shell("true"), [1])
    bench.wait(_spawn.EXITED, 1)
    assert list(bench.logs.iterdir()) == []


def test_every_end_is_in_the_exit_journal_with_a_good_checksum(bench: Bench) -> None:
    bench.launch(bench.shell("exit $((ORCH_INDEX % 3))"), list(range(1, 51)))
    bench.launch(bench.template([b"nope"]), [60])
    ended, failed = bench.wait(_spawn.EXITED, 50), bench.wait(_spawn.NOT_STARTED, 1)
    kept = exits.read(bench.journal)
    assert len(kept) == 51
    for event in (*ended, *failed):
        assert event in kept
    one = kept[:1].tobytes()
    assert zlib.crc32(one[:-4]) == kept["crc"][0] == _spawn.crc(one[:-4])


def test_a_torn_record_ends_the_journal_and_a_turned_one_is_still_read(bench: Bench) -> None:
    bench.launch(bench.shell("true"), [1, 2])
    bench.wait(_spawn.EXITED, 2)
    fd = exits.rotate(bench.journal)
    bench.engine.rotate(fd)
    os.close(fd)
    bench.launch(bench.shell("true"), [3])
    bench.wait(_spawn.EXITED, 1 + 2)
    with open(bench.journal, "ab") as file:
        file.write(b"half a record")
    assert sorted(exits.read(bench.journal)["id"].tolist()) == [1, 2, 3]
    data = bytearray(bench.journal.read_bytes())
    data[3] ^= 1
    bench.journal.write_bytes(bytes(data))
    assert sorted(exits.read(bench.journal)["id"].tolist()) == [1, 2]
    exits.clear(bench.journal)
    assert len(exits.read(bench.journal)) == 0


def test_jobs_end_with_the_engine(bench: Bench) -> None:
    bench.launch(bench.shell("sleep 100 & wait"), [1])
    pid = int(bench.wait(_spawn.STARTED, 1)["pid"][0])
    assert bench.engine.running()[:, :3].tolist() == [[1, 1, pid]]
    bench.engine.close()
    assert not _alive(pid)
    with pytest.raises(ValueError, match="closed"):
        bench.engine.take()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_row_runs_as_the_template_s_user_and_owns_its_sandbox(bench: Bench) -> None:
    for folder in (bench.sandboxes, *bench.sandboxes.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    bench.launch(bench.shell("id -u; id -g; id -G; touch mine && echo ok", uid=234_567, gid=234_567), [1])
    bench.wait(_spawn.EXITED, 1)
    assert bench.output(1).split() == ["234567", "234567", "234567", "ok"]
    sandbox = bench.sandboxes / "0" / "1-1"
    assert (sandbox.stat().st_uid, sandbox.stat().st_mode & 0o777) == (234_567, 0o700)


def test_limits_are_set(bench: Bench) -> None:
    import resource

    limits = [(resource.RLIMIT_NOFILE, 64, 64), (resource.RLIMIT_CORE, 0, 0)]
    bench.launch(bench.shell("ulimit -n; ulimit -c", limits=limits), [1])
    bench.wait(_spawn.EXITED, 1)
    assert bench.output(1).split() == ["64", "0"]


def test_one_process_can_be_started_by_hand(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    pid, pidfd, stage, error = _spawn.spawn([b"sh", b"-c", b"pwd"], [], PATH, os.fsencode(tmp_path), stdout=write_end)
    os.close(write_end)
    assert (stage, error) == (0, 0) and os.read(read_end, 1000).decode() == f"{tmp_path}\n"
    os.close(read_end)
    assert os.waitpid(pid, 0)[1] == 0
    assert not _spawn.pidfd_signal(pidfd, signal.SIGTERM)
    os.close(pidfd)
    assert _spawn.spawn([b"no-such-command"], [], PATH) == (-1, -1, Stage.EXEC, errno.ENOENT)
    with pytest.raises(ValueError, match="NUL"):
        _spawn.spawn([b"a\0b"], [], PATH)
    with pytest.raises(ValueError, match="argv is empty"):
        _spawn.spawn([], [], PATH)
