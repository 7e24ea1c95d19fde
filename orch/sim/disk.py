"""A disk that takes its time: what was written is durable only after the next sync, and a crash loses the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orch.machine.host import Host, Record
from orch.model.codec import decode, encode
from orch.sim.world import World


class Disk:
    """The journal of one process: records as bytes, and the newest snapshot."""

    def __init__(self, world: World, sync_ms: int) -> None:
        self._world = world
        self._sync_ms = sync_ms
        self._durable: list[bytes] = []
        self._snapshot: bytes | None = None
        self._writing = 0
        self._life = 0

    def write(self, records: list[Record], done: Callable[[int], None]) -> None:
        """Write durable records; `done(index)` is called once they, and all before them, are on disk."""
        blobs = [encode(record) for record in records if not record.soft]
        if not blobs:
            return
        last = records[-1].index
        life = self._life
        self._writing = max(self._writing, self._world.now_ms) + 1 + self._world.dice.randrange(self._sync_ms)

        def synced() -> None:
            if life == self._life:
                self._durable.extend(blobs)
                done(last)

        self._world.at(self._writing, synced)

    def keep(self, snapshot: dict[str, Any]) -> None:
        """Replace the journal up to now by a snapshot (of durable state only)."""
        self._snapshot = encode(snapshot)
        index = int(snapshot["index"])
        self._durable = [blob for blob in self._durable if decode(blob).index > index]

    def crash(self) -> None:
        """Forget what was not synced."""
        self._life += 1
        self._writing = 0

    def load(self, host: Host) -> None:
        """Bring new machines to the state on disk."""
        if self._snapshot is not None:
            host.restore(decode(self._snapshot))
        for blob in self._durable:
            host.replay(decode(blob))
