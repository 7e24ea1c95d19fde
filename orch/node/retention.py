"""How long files of finished instances are kept: by age, by count, and by what the disk has left.

Oldest ends go first. Only instances that are over and acknowledged are candidates; removing one takes its sandbox and
its logs. What is still there after a restart of the supervisor is counted from the sandboxes' own times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from orch.node import sandbox
from orch.node.folders import SHARD_ROWS, Folders, instances_in

log = structlog.get_logger("orch.node")

_AT_ONCE = 200
_PAUSE_S = 0.02
"""Between two handfuls: a clean-up is in nobody's way."""


@dataclass(frozen=True, slots=True)
class Rules:
    """age_s: of an end. count: instances of one agent. free_share_milli, free_mib: what the disk shall keep free."""

    age_s: int = 24 * 3600
    count: int = 50_000
    free_share_milli: int = 50
    free_mib: int = 1024


class Retention:
    """The finished instances of one agent. live: which (id, attempt) must stay, whatever the rules say."""

    def __init__(self, folders: Folders, rules: Rules, live: Callable[[], set[tuple[int, int]]]) -> None:
        self._folders, self._rules, self._live = folders, rules, live
        self._ended: deque[tuple[float, NDArray[np.int64], NDArray[np.int32]]] = deque()
        self._count = 0
        self.removed = 0

    def find(self) -> None:
        """After a restart: take in what lies there and is not live."""
        live = self._live()
        found = []
        for name in os.listdir(self._folders.sandboxes):
            if name.isdecimal():
                shard = self._folders.sandboxes / name
                for key in instances_in(shard):
                    if key not in live:
                        found.append(((shard / f"{key[0]}-{key[1]}").stat().st_mtime, *key))
        for at, one, attempt in sorted(found):
            self._ended.append((at, np.array([one], np.int64), np.array([attempt], np.int32)))
        self._count = len(found)

    def ended(self, ids: NDArray[np.int64], attempts: NDArray[np.int32]) -> None:
        """These are over, and the master knows it."""
        if len(ids):
            self._ended.append((time.time(), ids, attempts))
            self._count += len(ids)

    async def run(self) -> None:
        """Remove what the rules say, by handfuls."""
        while (batch := self._due()) is not None:
            ids, attempts = batch
            await asyncio.to_thread(self._remove, ids, attempts)
            self.removed += len(ids)
            await asyncio.sleep(_PAUSE_S)

    def _due(self) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
        """The next handful that has to go."""
        if not self._ended:
            return None
        at, ids, attempts = self._ended[0]
        over = self._count - self._rules.count
        if at > time.time() - self._rules.age_s and over <= 0 and not self._disk_is_short():
            return None
        self._ended.popleft()
        count = min(len(ids), _AT_ONCE, over) if over > 0 else min(len(ids), _AT_ONCE)
        if count < len(ids):
            self._ended.appendleft((at, ids[count:], attempts[count:]))
        self._count -= count
        return ids[:count], attempts[:count]

    def _disk_is_short(self) -> bool:
        found = os.statvfs(self._folders.sandboxes)
        free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        return free < min(self._rules.free_mib << 20, whole * self._rules.free_share_milli // 1000)

    def _remove(self, ids: NDArray[np.int64], attempts: NDArray[np.int32]) -> None:
        live = self._live()
        keys = [key for key in zip(ids.tolist(), attempts.tolist(), strict=True) if key not in live]
        remove(self._folders, keys)


def remove(folders: Folders, keys: Iterable[tuple[int, int]]) -> None:
    """Remove the sandboxes and logs of instances (id, attempt), and the shards that are empty then."""
    wanted = {f"{key[0]}-{key[1]}": key for key in keys}
    shards = {str(key[0] // SHARD_ROWS) for key in wanted.values()}
    for key in wanted.values():
        sandbox.remove(folders.sandbox(*key))
    for shard in shards:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folders.logs / shard):
                if name.partition(".")[0] in wanted:
                    (folders.logs / shard / name).unlink(missing_ok=True)
        for folder in (folders.sandboxes, folders.logs):
            with contextlib.suppress(OSError):  # it holds others
                (folder / shard).rmdir()
