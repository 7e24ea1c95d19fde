"""Numbered SQL files, applied in order and once; `PRAGMA user_version` is the number of the last one."""

from __future__ import annotations

import sqlite3
from importlib import resources

from orch.store.interface import StoreError

APPLICATION_ID = 0x6F726368
"""`orch` in ASCII: marks the file as ours."""


def migrations() -> list[tuple[int, str]]:
    """`[(number, sql), ...]`, numbers 1, 2, 3, ..."""
    found = sorted(
        (int(entry.name[:4]), entry.read_text(encoding="utf-8"))
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(".sql")
    )
    assert [number for number, _ in found] == list(range(1, len(found) + 1)), "a migration is missing"
    return found


def migrate(db: sqlite3.Connection, name: str) -> None:
    """Bring an open database to the newest version. Raises StoreError for a file that is not ours or is newer."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    owner = int(db.execute("PRAGMA application_id").fetchone()[0])
    steps = migrations()
    if version > len(steps):
        raise StoreError(f"{name} has version {version}, this orch knows {len(steps)}; use the newer orch")
    if (version > 0 or owner != 0 or _has_tables(db)) and owner != APPLICATION_ID:
        raise StoreError(f"{name} is a database of another program; move it away or use another data dir")
    for number, sql in steps[version:]:
        db.executescript(
            f"BEGIN IMMEDIATE; {sql}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT"
        )


def _has_tables(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
