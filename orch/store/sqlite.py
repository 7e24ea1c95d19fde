"""The journal in SQLite: write-ahead log, synchronous=FULL, one writer thread, group commit.

Whatever queues up while a commit waits for the disk goes into the next one: an idle cluster pays one sync per event,
a busy one a sync per hundreds.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from orch.store import snapshots
from orch.store.interface import Durable, Entry, StoreError
from orch.store.lock import DirLock
from orch.store.migrations import migrate

_PRUNE_ROWS = 5_000
"""Rows pruned per transaction, so that appends never wait long behind a prune."""

_RETRY_S = 0.5
"""Between two tries of a write that failed."""

_Append = tuple[Sequence[Entry], Durable]


class SqliteStore:
    """`Store` in a folder: `journal.db`, `snapshot-<index>` and `lock`. Raises StoreError with the remedy.

    wait_s: how long to wait for a predecessor that is dying to drop its lock.
    """

    def __init__(self, folder: Path, wait_s: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._file = folder / "journal.db"
        self._lock = DirLock(folder, wait_s)
        try:
            _create_private(self._file)
            self._db = self._open()
            self._last = self._read_last()
        except BaseException:
            self._lock.release()
            raise
        self._queue: queue.SimpleQueue[_Append | threading.Event | int | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def append(self, entries: Sequence[Entry], durable: Durable) -> None:
        """See `Store.append`."""
        for entry in entries:
            assert entry.index == self._last + 1, f"entry {entry.index} after {self._last}"
            self._last = entry.index
        if entries:
            self._queue.put((entries, durable))

    def flush(self, timeout_s: float = 30.0) -> None:
        """See `Store.flush`."""
        written = threading.Event()
        self._queue.put(written)
        if not written.wait(timeout_s):
            raise StoreError(
                self._problem or f"the journal {self._file} was not written within {timeout_s} s; is the disk slow?"
            )

    @property
    def problem(self) -> str | None:
        """See `Store.problem`."""
        return self._problem

    def last_index(self) -> int:
        """See `Store.last_index`."""
        return self._last

    def replay(self, after_index: int) -> Iterator[Entry]:
        """See `Store.replay`. Reads on a connection of its own; flush first for what was just appended."""
        db = self._connect()
        try:
            expected = after_index
            rows = db.execute("SELECT idx, at_ms, crc, body FROM journal WHERE idx > ? ORDER BY idx", (after_index,))
            for index, at_ms, crc, body in rows:
                expected += 1
                if index != expected:
                    raise self._damaged(f"record {expected} is missing, the next is {index}")
                if zlib.crc32(body) != crc:
                    raise self._damaged(f"the checksum of record {index} is wrong")
                yield Entry(index, at_ms, body)
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error
        finally:
            db.close()

    def snapshot(self, index: int, image: bytes) -> None:
        """See `Store.snapshot`. May be called from any thread but the writer's."""
        try:
            snapshots.write(self._folder, index, image)
        except OSError as error:
            raise StoreError(f"no snapshot could be written to {self._folder}: {error}; free some disk") from error
        # Down to the older of the kept ones: should the newest be damaged, the other still leads to the present.
        self._queue.put(snapshots.indices(self._folder)[0])

    def newest_snapshot(self) -> tuple[int, bytes] | None:
        """See `Store.newest_snapshot`."""
        return snapshots.newest(self._folder)

    def close(self) -> None:
        """See `Store.close`."""
        self._closing.set()
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._db.close()
        self._lock.release()

    # ---- the writer's thread -----------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            batch: list[_Append] = []
            after: list[threading.Event | int | None] = []
            item = self._queue.get()
            while True:
                if isinstance(item, tuple):
                    batch.append(item)
                else:
                    after.append(item)
                    break
                if self._queue.empty():
                    break
                item = self._queue.get()
            self._commit(batch)
            for other in after:
                if other is None:
                    return
                if isinstance(other, threading.Event):
                    other.set()
                else:
                    self._prune(other)

    def _commit(self, batch: list[_Append]) -> None:
        """One transaction for all, tried until it succeeds: to leave one out would leave a gap."""
        while batch:
            try:
                self._insert(batch)
                break
            except sqlite3.Error as error:
                self._problem = (
                    f"the journal {self._file} cannot be written: {error}; free some disk, or check the file"
                )
                if self._closing.wait(_RETRY_S):
                    return
        self._problem = None
        for entries, durable in batch:
            durable(entries[-1].index)

    def _insert(self, batch: list[_Append]) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO journal (idx, at_ms, crc, body) VALUES (?, ?, ?, ?)",
                ((e.index, e.at_ms, zlib.crc32(e.body), e.body) for entries, _ in batch for e in entries),
            )

    def _prune(self, up_to: int) -> None:
        try:
            while True:
                with self._db:
                    gone = self._db.execute(
                        "DELETE FROM journal WHERE idx IN (SELECT idx FROM journal WHERE idx <= ? LIMIT ?)",
                        (up_to, _PRUNE_ROWS),
                    ).rowcount
                if gone < _PRUNE_ROWS or not self._queue.empty():
                    return  # what is left goes with the next prune
        except sqlite3.Error:
            return  # a longer journal is no harm, and a write that fails will say why

    # ---- opening -----------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self._file, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"the journal {self._file} cannot be opened: {error}") from error

    def _open(self) -> sqlite3.Connection:
        db = self._connect()
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA journal_size_limit = 16777216")
            db.execute("PRAGMA cache_size = -1024")
            migrate(db, str(self._file))
        except sqlite3.OperationalError as error:
            db.close()
            raise StoreError(
                f"the journal {self._file} cannot be opened: {error}; check its owner and the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            db.close()
            raise self._damaged(str(error)) from error
        except StoreError:
            db.close()
            raise
        return db

    def _read_last(self) -> int:
        found = self._db.execute("SELECT max(idx) FROM journal").fetchone()[0] or 0
        return max([found, *snapshots.indices(self._folder)[-1:]])

    def _damaged(self, what: str) -> StoreError:
        remedy = f"restore it from a copy, or move {self._folder} away to start empty"
        return StoreError(f"the journal {self._file} is damaged: {what}; {remedy}")


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
