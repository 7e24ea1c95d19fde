"""What a process was at, and from when to when: a short memory that is always on, for the benchmarks.

What ends in `WAIT` was waited for: the process may have done something else meanwhile. Times are of the monotonic
clock, which all processes of one machine share, so that spans of several can be laid side by side. Noting one costs
less than a microsecond.
"""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

KEPT = 8_192
WAIT = " wait"


class Spans:
    """The last `KEPT` spans: (what, began, ended) in seconds."""

    def __init__(self) -> None:
        self._spans: deque[tuple[str, float, float]] = deque(maxlen=KEPT)

    def of(self, what: str) -> Span:
        """A context whose duration is noted; `began` may be set back."""
        return Span(self, what)

    def note(self, what: str, began: float, ended: float) -> None:
        """Something that lasted from `began` to `ended`."""
        self._spans.append((what, began, ended))

    def since(self, began: float) -> list[tuple[str, float, float]]:
        """Those that ended after `began`, oldest first."""
        return [span for span in self._spans if span[2] > began]


class Span:
    """One span while it lasts."""

    __slots__ = ("_spans", "began", "what")

    def __init__(self, spans: Spans, what: str) -> None:
        self._spans, self.what, self.began = spans, what, 0.0

    def __enter__(self) -> Span:
        self.began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._spans.note(self.what, self.began, time.monotonic())
