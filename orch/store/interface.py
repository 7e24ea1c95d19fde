"""What a journal must be able to do. Small, so that another database can take the place of SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from orch.model.errors import OrchError


class StoreError(OrchError):
    """The journal cannot be opened, read or written. `detail` names the file and the remedy."""

    kind = "store"
    title = "The journal cannot be used"
    status = 503


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the journal: its index (1, 2, 3, ... without a gap), when, and its encoded form."""

    index: int
    at_ms: int
    body: bytes


Durable = Callable[[int], None]
"""Called with an index: every entry up to it is on disk. Comes from the writer's thread."""


class Store(Protocol):
    """One journal with one writer."""

    def append(self, entries: Sequence[Entry], durable: Durable) -> None:
        """Queue entries behind all earlier ones and return; `durable(last index)` once they are on disk.

        A write that fails (a full disk) is tried again until it succeeds; meanwhile `problem` says what is wrong.
        """

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when all that was appended is on disk. Raises StoreError if it is not by then."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be written at the moment, for people; None if all is well."""

    def last_index(self) -> int:
        """Index of the newest entry or snapshot, 0 if there is none."""

    def replay(self, after_index: int) -> Iterator[Entry]:
        """The entries above `after_index`, in order. Raises StoreError where one is missing or damaged."""

    def snapshot(self, index: int, image: bytes) -> None:
        """Keep an image of everything up to `index`; entries that no kept snapshot needs are pruned. Blocks."""

    def newest_snapshot(self) -> tuple[int, bytes] | None:
        """Index and image of the newest snapshot that is whole, or None."""

    def close(self) -> None:
        """Write what is queued and let go of the files."""
