"""The time that machines are told: never back, never a leap."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLEW = 10
"""The clock runs at most a tenth too fast or too slow while it makes up for a difference."""


class Clock:
    """Wall time in ms, forced monotone: it follows steps of the system's clock slowly, by running faster or slower.

    A step forward, taken at once, would look as if every agent had been silent for that long.
    not_before_ms: the last time in the journal; the clock starts there if the system's clock is behind.
    """

    def __init__(
        self,
        not_before_ms: int = 0,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._steady = steady_ns()
        self._now = max(wall_ns(), not_before_ms * 1_000_000)

    def now_ms(self) -> int:
        """ms since 1970, never less than before."""
        steady = self._steady_ns()
        passed, self._steady = steady - self._steady, steady
        self._now += passed
        behind = self._wall_ns() - self._now
        self._now += max(-passed // _SLEW, min(behind, passed // _SLEW))
        return self._now // 1_000_000
