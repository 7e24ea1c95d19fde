"""What happened to one thing and why, kept as columns so that a note on a million instances is one entry."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Story:
    """A bounded memory of notes; each note is about one key (str) or many ids (int64[k])."""

    def __init__(self, max_notes: int = 20_000, max_ids: int = 500_000) -> None:
        self._notes: deque[tuple[int, str, str, NDArray[np.int64] | str, dict[str, Any]]] = deque()
        self._max_notes, self._max_ids = max_notes, max_ids
        self._held = 0

    def note(self, at_ms: int, what: str, about: NDArray[np.int64] | int | str, why: str = "", **data: Any) -> None:
        """Remember that `what` happened to `about`. Columns of `data` as long as `about` are picked apart by id."""
        if isinstance(about, int | np.integer):
            about = np.array([about], dtype=np.int64)
        size = 1 if isinstance(about, str) else len(about)
        self._notes.append((at_ms, what, why, about, data))
        self._held += size
        while len(self._notes) > self._max_notes or (self._held > self._max_ids and len(self._notes) > 1):
            old = self._notes.popleft()[3]
            self._held -= 1 if isinstance(old, str) else len(old)

    def of(self, thing: int | str) -> list[dict[str, Any]]:
        """The notes about one id or key, oldest first. O(everything remembered)."""
        found = []
        for at_ms, what, why, about, data in self._notes:
            if isinstance(about, str) or isinstance(thing, str):
                if about is thing or (isinstance(about, str) and about == thing):
                    found.append({"at_ms": at_ms, "what": what, "why": why, **data})
                continue
            for at in np.flatnonzero(about == thing):
                picked = {key: _pick(value, int(at), len(about)) for key, value in data.items()}
                found.append({"at_ms": at_ms, "what": what, "why": why, **picked})
        return found


def _pick(value: Any, at: int, length: int) -> Any:
    if isinstance(value, np.ndarray) and len(value) == length:
        return value[at].item() if value.ndim == 1 else value[at].tolist()
    return value
