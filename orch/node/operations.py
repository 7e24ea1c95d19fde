"""What the gateway may ask of a supervisor: `log`, `file`, `files`, `outputs`. Files are read on other threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.errors import ExpiredError
from orch.node.folders import SHARD_ROWS
from orch.node.line import Answer
from orch.node.reading import Reader

CHUNK_BYTES = 256 << 10
NOT_THERE, EXPIRED = -1, -2
"""In place of a size: the agent has no such file; it had one, and retention took it."""
_FOLLOW_S = (0.05, 0.5)
_MAX_LIMIT = 1 << 40

Ints = NDArray[np.int64]
IsLive = Callable[[int, int], bool]


class Operations:
    """Questions to the agents of one supervisor. is_live(id, attempt): whether more may still be written."""

    def __init__(self, readers: Iterable[Reader], is_live: IsLive) -> None:
        self._readers, self._is_live = list(readers), is_live

    def all(self) -> Mapping[str, Answer]:
        """By the name that the gateway uses."""
        return {"log": self.log, "file": self.file, "files": self.files, "outputs": self.outputs}

    async def log(self, args: dict[str, Any]) -> AsyncIterator[bytes]:
        """`{instance, attempt, container, stream, offset, limit, follow}` -> bytes; followed, until the instance ends.

        offset: of the whole output, negative from its end; limit: negative or none for all.
        """
        number, wanted = int(args["instance"]), int(args.get("attempt", -1))
        follow = bool(args.get("follow"))
        reader, attempt = await self._find(number, wanted, follow)
        log = reader.log(number, attempt, str(args.get("container") or ""), str(args.get("stream") or "stdout"))
        limit = args.get("limit")
        left = _MAX_LIMIT if limit is None or int(limit) < 0 else int(limit)
        offset = int(args.get("offset") or 0)
        if offset < 0:
            span = log.span()
            offset = max(span.first, span.end + offset)
        pause = _FOLLOW_S[0]
        while left > 0:
            live = self._is_live(number, attempt)
            start, data = await asyncio.to_thread(log.read, offset, min(left, CHUNK_BYTES))
            if data:
                offset, left, pause = start + len(data), left - len(data), _FOLLOW_S[0]
                yield data
            elif not follow or not live:
                return
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _FOLLOW_S[1])

    async def file(self, args: dict[str, Any]) -> AsyncIterator[bytes]:
        """`{instance, path, offset, limit}` -> the bytes of a plain file of the sandbox."""
        number = int(args["instance"])
        reader, attempt = self._owner(number, -1)
        offset, left = int(args.get("offset") or 0), int(args.get("limit") or _MAX_LIMIT)
        while left > 0:
            size, data = await asyncio.to_thread(
                reader.file, number, attempt, str(args["path"]), offset, min(left, CHUNK_BYTES)
            )
            if not data:
                return
            offset = (max(0, size + offset) if offset < 0 else offset) + len(data)
            left -= len(data)
            yield data

    async def files(self, args: dict[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
        """`{instance, path}` -> the entries of a folder of the sandbox."""
        number = int(args["instance"])
        reader, attempt = self._owner(number, -1)
        yield await asyncio.to_thread(reader.files, number, attempt, str(args.get("path") or ""))

    async def outputs(self, args: dict[str, Any]) -> AsyncIterator[list[Any]]:
        """`{ids int64[k], file, limit}` -> `[ids int64[m], sizes int64[m], blob]`, of the latest attempt of each.

        Each about `CHUNK_BYTES`; sizes NOT_THERE or EXPIRED where there are no bytes.
        """
        ids = np.asarray(args["ids"], dtype=np.int64)
        name, limit = str(args["file"]), int(args.get("limit") or CHUNK_BYTES)
        order = np.argsort(ids, kind="stable")
        done = 0
        while done < len(ids):
            found, sizes, blob = await asyncio.to_thread(self._some, ids[order[done:]], name, limit)
            done += len(found)
            yield [found, sizes, blob]

    def _some(
        self, ids: NDArray[np.int64], name: str, limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], bytes]:
        """The first of these ids (ascending): of one shard, and until there are `CHUNK_BYTES`."""
        shard = int(ids[0]) // SHARD_ROWS
        ids = ids[ids // SHARD_ROWS == shard]
        latest = [reader.latest(shard) for reader in self._readers]
        sizes: list[int] = []
        parts: list[bytes] = []
        total = 0
        for one in ids.tolist():
            attempts = [found.get(one, -1) for found in latest]
            best = max(range(len(attempts)), key=attempts.__getitem__)
            data = self._readers[best].output(one, attempts[best], name, limit) if attempts[best] >= 0 else None
            if data is None:
                sizes.append(NOT_THERE if attempts[best] >= 0 else EXPIRED)
                continue
            sizes.append(len(data))
            parts.append(data)
            total += len(data)
            if total >= CHUNK_BYTES:
                break
        return ids[: len(sizes)].copy(), np.array(sizes, dtype=np.int64), b"".join(parts)

    def _owner(self, number: int, attempt: int) -> tuple[Reader, int]:
        """Which agent has the latest (or the given) attempt's sandbox. Raises ExpiredError."""
        best: tuple[int, Reader] | None = None
        refusal: ExpiredError | None = None
        for reader in self._readers:
            try:
                found = reader.attempt(number, attempt)
            except ExpiredError as error:
                refusal = error
                continue
            if best is None or found > best[0]:
                best = (found, reader)
        if best is None:
            raise refusal or ExpiredError(f"no agent here has files of instance {number}")
        return best[1], best[0]

    async def _find(self, number: int, attempt: int, follow: bool) -> tuple[Reader, int]:
        """`_owner`, but one who follows waits for an instance that is about to start."""
        while True:
            try:
                return self._owner(number, attempt)
            except ExpiredError:
                if not follow or not self._is_live(number, attempt):
                    raise
            await asyncio.sleep(_FOLLOW_S[0])
