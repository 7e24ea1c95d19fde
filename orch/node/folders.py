"""Where things of one agent lie.

    <root>/facts.N, snapshot       what the agent remembers (factlog.py)
    <root>/logs/<shard>/           <id>-<attempt>[.<container>].stdout, .stderr; `.1` the older file, `.base` its offset
    <root>/stubs/<id>-<attempt>/   <container>/pid, exit: records of the stubs
    <root>/sandboxes/<shard>/<id>-<attempt>/              the sandbox of a job
    <root>/sandboxes/<shard>/<id>-<attempt>/<container>/  of a container of a service, `shared` linked to ../shared

Logs and records lie outside the sandboxes, because a pod may do as it likes in its own: a link in place of a log file
would make the supervisor, which may be root, write elsewhere. A shard is the id divided by 1000.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

SHARD_ROWS = 1000
"""Instances per folder; the same number is in _engine.h."""

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one agent."""

    root: Path

    def make(self) -> None:
        """Create what is missing. Pods of every user may pass through to their sandboxes; all else is the owner's."""
        for folder in (self.root, self.sandboxes):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            folder.chmod(0o711)  # whatever the umask is
        for folder in (self.logs, self.stubs):
            folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def sandboxes(self) -> Path:
        """The folder of sandboxes."""
        return self.root / "sandboxes"

    @property
    def logs(self) -> Path:
        """The folder of log files."""
        return self.root / "logs"

    @property
    def stubs(self) -> Path:
        """The folder of the stubs' records."""
        return self.root / "stubs"

    def sandbox(self, id: int, attempt: int, container: str = "") -> Path:
        """The sandbox of an instance, or of one of its containers."""
        return self.sandboxes / str(id // SHARD_ROWS) / f"{id}-{attempt}" / container

    def log(self, id: int, attempt: int, container: str = "") -> Path:
        """The log files' common beginning: `.stdout` and `.stderr` are added."""
        return self.logs / str(id // SHARD_ROWS) / (f"{id}-{attempt}.{container}" if container else f"{id}-{attempt}")

    def stub(self, id: int, attempt: int, container: str = "") -> Path:
        """The records of a container's stub, or of all stubs of an instance."""
        return self.stubs / f"{id}-{attempt}" / container

    def attempts(self, id: int) -> list[int]:
        """The attempts of an instance that have a sandbox here, ascending."""
        shard = self.sandboxes / str(id // SHARD_ROWS)
        return sorted(attempt for one, attempt in instances_in(shard) if one == id)


def instances_in(shard: Path) -> list[tuple[int, int]]:
    """(id, attempt) of every sandbox in one shard, in no order. Empty where the shard is not there."""
    try:
        names = os.listdir(shard)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        number, _, attempt = name.partition("-")
        if number.isdecimal() and attempt.isdecimal():
            found.append((int(number), int(attempt)))
    return found


def open_to_others(path: Path) -> bool:
    """Whether another user may pass through every folder of a path (those that are not there yet count as passable)."""
    for folder in (path, *path.parents):
        try:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return False
        except FileNotFoundError:
            continue
    return True
