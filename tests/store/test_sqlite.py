"""The journal keeps what it said it kept, in order, and says clearly when it cannot."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.store import Entry, SqliteStore, StoreError, snapshots


def entries(first: int, *bodies: bytes) -> list[Entry]:
    return [Entry(first + i, 1000 + first + i, body) for i, body in enumerate(bodies)]


class Acks:
    """Collects what became durable, and lets a test wait for an index."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._changed = threading.Condition()

    def __call__(self, index: int) -> None:
        with self._changed:
            self.seen.append(index)
            self._changed.notify_all()

    def wait_for(self, index: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: index in self.seen, timeout=20), (index, self.seen)


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    acks = Acks()
    store = SqliteStore(tmp_path)
    store.append(entries(1, b"a", b"b"), acks)
    store.append(entries(3, b"c"), acks)
    acks.wait_for(3)
    store.close()
    again = SqliteStore(tmp_path)
    assert again.last_index() == 3
    assert list(again.replay(0)) == entries(1, b"a", b"b", b"c")
    assert list(again.replay(2)) == entries(3, b"c")
    assert list(again.replay(3)) == []
    assert acks.seen == [2, 3]
    again.close()


def test_an_index_out_of_order_is_our_own_mistake(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(AssertionError, match="entry 2 after 0"):
        store.append(entries(2, b"x"), Acks())
    store.close()


def test_what_queues_behind_a_commit_goes_into_the_next_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    acks = Acks()
    commits: list[int] = []
    insert = store._insert
    store._insert = lambda batch: (commits.append(len(batch)), insert(batch))[1]  # type: ignore[method-assign, func-returns-value]
    for i in range(2_000):
        store.append(entries(i + 1, b"x" * 100), acks)
    store.flush()
    assert acks.seen == list(range(1, 2_001))
    assert sum(commits) == 2_000
    assert len(commits) < 1_000
    store.close()


def test_a_second_writer_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match=f"written by process {os.getpid()}"):
        SqliteStore(tmp_path)
    store.close()
    SqliteStore(tmp_path).close()


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time; from orch.store import *; s = SqliteStore(pathlib.Path(sys.argv[1]));"
        "s.append([Entry(1, 5, b'kept')], lambda i: print(i, flush=True)); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    child.kill()
    store = SqliteStore(tmp_path, wait_s=10)
    child.wait()
    child.stdout.close()
    assert list(store.replay(0)) == [Entry(1, 5, b"kept")]
    store.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data")
    store.append(entries(1, b"x"), Acks())
    store.flush()
    store.snapshot(1, b"image")
    modes = {
        path.name: oct(path.stat().st_mode & 0o777) for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]
    }
    assert modes["data"] == "0o700"
    assert set(modes) >= {"journal.db", "journal.db-wal", "lock", f"snapshot-{1:020d}"}
    assert {mode for name, mode in modes.items() if name != "data"} == {"0o600"}
    store.close()


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    full = 2
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == full
    store.close()


def test_a_snapshot_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(fd: int) -> None:
        done.append("sync the folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync the file")
        fsync(fd)

    def watched_rename(source: Path, target: Path) -> None:
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    snapshots.write(tmp_path, 1, b"image")
    assert done == ["sync the file", "rename", "sync the folder"]


def test_a_snapshot_replaces_the_journal_below_the_older_of_two(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.append(entries(1, *[b"%d" % i for i in range(10)]), Acks())
    store.snapshot(4, b"four")
    store.snapshot(8, b"eight")
    store.flush()
    assert store.newest_snapshot() == (8, b"eight")
    assert [entry.index for entry in store.replay(4)] == [5, 6, 7, 8, 9, 10]
    with pytest.raises(StoreError, match="record 1 is missing, the next is 5"):
        list(store.replay(0))
    store.snapshot(10, b"ten")
    store.close()
    again = SqliteStore(tmp_path)
    assert again.last_index() == 10
    assert again.newest_snapshot() == (10, b"ten")
    assert sorted(path.name for path in tmp_path.glob("snapshot-*")) == [f"snapshot-{i:020d}" for i in (8, 10)]
    again.close()


def test_the_last_index_survives_a_journal_pruned_empty(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.append(entries(1, b"a", b"b"), Acks())
    store.snapshot(2, b"x")
    store.close()
    again = SqliteStore(tmp_path)
    assert again.last_index() == 2
    again.append(entries(3, b"c"), Acks())
    again.flush()
    assert list(again.replay(2)) == entries(3, b"c")
    again.close()


@pytest.mark.parametrize("damage", ["cut", "flip", "magic", "empty"])
def test_a_damaged_snapshot_is_passed_over_for_the_older_one(tmp_path: Path, damage: str) -> None:
    store = SqliteStore(tmp_path)
    store.append(entries(1, b"a", b"b"), Acks())
    store.snapshot(1, b"older")
    store.snapshot(2, b"newer")
    store.flush()
    path = tmp_path / f"snapshot-{2:020d}"
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-1], "flip": data[:-1] + b"X", "magic": b"other" + data[5:], "empty": b""}[damage])
    assert store.newest_snapshot() == (1, b"older")
    assert [entry.index for entry in store.replay(1)] == [2]
    (tmp_path / f"snapshot-{1:020d}").write_bytes(b"")
    with pytest.raises(StoreError, match="no snapshot is whole"):
        store.newest_snapshot()
    store.close()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.append(entries(1, b"aaaa", b"bbbb"), Acks())
    store.close()
    db = sqlite3.connect(tmp_path / "journal.db")
    with db:
        db.execute("UPDATE journal SET body = ? WHERE idx = 2", (b"bbbc",))
    db.close()
    again = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="damaged: the checksum of record 2 is wrong; restore it"):
        list(again.replay(0))
    again.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"this is not a database, but long enough to be taken for one" * 20)
    with pytest.raises(StoreError, match="is damaged: file is not a database"):
        SqliteStore(tmp_path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(tmp_path)


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="has version 99, this orch knows 1; use the newer orch"):
        SqliteStore(tmp_path)


def test_a_write_that_fails_is_tried_again_and_nothing_is_lost(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    acks = Acks()
    store.append(entries(1, b"before"), acks)
    acks.wait_for(1)
    page_count = store._db.execute("PRAGMA page_count").fetchone()[0]
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None, check_same_thread=False)
    store._db.execute("PRAGMA busy_timeout = 1")
    other.execute("BEGIN IMMEDIATE")  # somebody else holds the file, as a backup might
    assert page_count > 0
    store.append(entries(2, b"during"), acks)
    with pytest.raises(StoreError, match="cannot be written: database is locked"):
        store.flush(timeout_s=1.0)
    assert store.problem is not None
    assert acks.seen == [1]
    other.execute("ROLLBACK")
    other.close()
    acks.wait_for(2)
    store.flush()
    assert store.problem is None
    assert list(store.replay(0)) == entries(1, b"before", b"during")
    store.close()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.just("snapshot"), st.just("reopen")),
        max_size=12,
    )
)
def test_snapshot_and_replay_give_back_every_entry(steps: list[list[bytes] | str]) -> None:
    """Against a plain list: whatever the order of appends, snapshots and restarts, image + replay is everything."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store, plain = SqliteStore(Path(folder)), []
        for step in steps:
            if step == "snapshot" and plain:
                store.snapshot(len(plain), b"|".join(plain))
            elif step == "reopen":
                store.close()
                store = SqliteStore(Path(folder))
            elif isinstance(step, list):
                store.append(entries(len(plain) + 1, *step), lambda index: None)
                plain.extend(step)
        store.flush()
        index, image = store.newest_snapshot() or (0, b"")
        assert image == b"|".join(plain[:index])
        assert [entry.body for entry in store.replay(index)] == plain[index:]
        assert store.last_index() == len(plain)
        store.close()
