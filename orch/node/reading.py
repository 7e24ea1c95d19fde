"""Reading what pods wrote: logs by offset, outputs of jobs, files of a sandbox.

A log is the bytes of one stream from its beginning; rotation takes the oldest away, so that an offset always means the
same byte. Files of a sandbox are opened step by step and never through a link that leads out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orch.model.errors import ExpiredError, NotFoundError, UsageError
from orch.node.folders import STREAMS, Folders, instances_in

_LINKS = 16


@dataclass(frozen=True, slots=True)
class LogSpan:
    """The part of a log that is still there: offsets of its first byte and behind its last one."""

    first: int
    end: int


class Log:
    """One stream of one container. path: the file that is written now; it appears at the first byte."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def span(self) -> LogSpan:
        """What is there; (0, 0) where nothing was written yet."""
        first, older, current = self._sizes()
        return LogSpan(first, first + older + current)

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """(offset of the first byte, bytes): at most `limit`, from `offset` or from the oldest that is left."""
        first, older, _ = self._sizes()
        offset = max(offset, first)
        if offset < first + older:
            data = _read_at(self._older(), offset - first, limit)
            if data:
                return offset, data
        return offset, _read_at(self._path, offset - first - older, limit)

    def _sizes(self) -> tuple[int, int, int]:
        """(offset of the oldest byte, bytes of the older file, bytes of the current one)."""
        older = _size(self._older())
        base = 0
        with contextlib.suppress(OSError, ValueError):
            base = int(self._path.with_name(self._path.name + ".base").read_text())
        return (base if older else 0), older, _size(self._path)

    def _older(self) -> Path:
        return self._path.with_name(self._path.name + ".1")


class Reader:
    """The files of one agent's instances."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def log(self, id: int, attempt: int, container: str, stream: str) -> Log:
        """A log; attempt -1: the latest. container "": the only one. Raises NotFoundError, ExpiredError, UsageError."""
        if stream not in STREAMS:
            raise UsageError(f"there is no stream {stream!r}; it is stdout or stderr")
        attempt = self.attempt(id, attempt)
        names = self._containers(id, attempt)
        if names and container and container not in names:
            raise NotFoundError(f"instance {id} has no container {container!r}; it has {', '.join(names)}")
        if names and not container:
            if len(names) > 1:
                raise UsageError(f"instance {id} has several containers ({', '.join(names)}); name one")
            container = names[0]
        path = self._folders.log(id, attempt, container if names else "")
        return Log(path.with_name(f"{path.name}.{stream}"))

    def output(self, id: int, attempt: int, file: str, limit: int) -> bytes | None:
        """The beginning of a job's log stream, or of a file in its sandbox; None where there is no such file.

        A job that ran and wrote nothing has an empty log. The sandbox must be there (`latest`).
        """
        if file in STREAMS:
            path = self._folders.log(id, attempt)
            return Log(path.with_name(f"{path.name}.{file}")).read(0, limit)[1]
        try:
            return self.file(id, attempt, file, 0, limit)[1]
        except (NotFoundError, UsageError):
            return None

    def latest(self, shard: int) -> dict[int, int]:
        """The latest attempt of every instance of a shard whose sandbox is here."""
        found: dict[int, int] = {}
        for one, attempt in instances_in(self._folders.sandboxes / str(shard)):
            found[one] = max(attempt, found.get(one, 0))
        return found

    def files(self, id: int, attempt: int, path: str) -> list[dict[str, Any]]:
        """The entries of a folder of the sandbox: `[{path, name, size, mode, mtime_ms, folder}]`, by name."""
        fd, found = self._open(id, attempt, path)
        try:
            if not stat.S_ISDIR(found.st_mode):
                return [_entry(path.strip("/"), found)]
            entries = []
            for name in sorted(os.listdir(fd)):
                with contextlib.suppress(OSError):
                    one = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    entries.append(_entry(f"{path.strip('/')}/{name}".lstrip("/"), one))
            return entries
        finally:
            os.close(fd)

    def file(self, id: int, attempt: int, path: str, offset: int, limit: int) -> tuple[int, bytes]:
        """(size, bytes) of a plain file of the sandbox; a negative offset counts from its end."""
        fd, found = self._open(id, attempt, path)
        try:
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path!r} is no plain file")
            start = max(0, found.st_size + offset) if offset < 0 else offset
            return found.st_size, os.pread(fd, limit, start)
        finally:
            os.close(fd)

    def attempt(self, id: int, attempt: int) -> int:
        """The attempt that is meant. Raises ExpiredError where its sandbox is gone."""
        attempts = self._folders.attempts(id)
        if attempts and (attempt < 0 or attempt in attempts):
            return attempts[-1] if attempt < 0 else attempt
        raise ExpiredError(f"the files of instance {id} are gone: they went by age, count or disk, or it never started")

    def _containers(self, id: int, attempt: int) -> list[str]:
        """Names of a service instance's containers, from its logs and stubs; empty for a job."""
        path = self._folders.log(id, attempt)
        stubs = self._folders.stub(id, attempt)
        names = {entry.name for entry in stubs.iterdir()} if stubs.is_dir() else set()
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(path.parent):
                if entry.startswith(path.name + "."):
                    rest = entry[len(path.name) + 1 :].removesuffix(".1").removesuffix(".base")
                    name, _, stream = rest.rpartition(".")
                    if stream in STREAMS and name:
                        names.add(name)
        return sorted(names)

    def _open(self, id: int, attempt: int, path: str) -> tuple[int, os.stat_result]:
        """A descriptor of something in the sandbox; links are followed only as far as they stay inside."""
        sandbox = self._folders.sandbox(id, self.attempt(id, attempt))
        root = os.open(sandbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = _walk(root, path)
        except OSError as error:
            raise NotFoundError(f"the sandbox of instance {id} has no {path!r}: {error.strerror}") from None
        finally:
            os.close(root)
        return fd, os.fstat(fd)


def _walk(root: int, path: str) -> int:
    """Open a path below a folder, one step at a time, links resolved by hand: `..` never leads above the root."""
    steps = [step for step in path.split("/") if step not in ("", ".")]
    stack = [os.dup(root)]
    links = 0
    try:
        while steps:
            step = steps.pop(0)
            if step == "..":
                if len(stack) > 1:
                    os.close(stack.pop())
                continue
            try:
                stack.append(os.open(step, _FLAGS, dir_fd=stack[-1]))
            except OSError as error:
                target = _link(step, stack[-1])
                links += 1
                if target is None or links > _LINKS or target.startswith("/"):
                    raise error from None
                steps = [part for part in target.split("/") if part not in ("", ".")] + steps
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _link(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _entry(path: str, found: os.stat_result) -> dict[str, Any]:
    return {
        "path": path,
        "name": path.rpartition("/")[2],
        "size": found.st_size,
        "mode": stat.filemode(found.st_mode),
        "mtime_ms": found.st_mtime_ns // 1_000_000,
        "folder": stat.S_ISDIR(found.st_mode),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_at(path: Path, offset: int, limit: int) -> bytes:
    if offset < 0 or limit <= 0:
        return b""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), limit, offset)
    except FileNotFoundError:
        return b""
