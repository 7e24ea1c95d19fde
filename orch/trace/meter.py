"""What a replay measures as it goes: exact sums over time, and samples for the curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orch.model.resources import R

SAMPLES = 400
FEWEST = 24
WORK = 400_000_000
"""What fragmentation may cost in all: agents times kinds times columns compared."""


@dataclass(frozen=True)
class Sample:
    """One instant: milliseconds, what is used of each resource, pods that wait, and fragmentation of each resource."""

    at_ms: int
    used: tuple[int, ...]
    waiting: int
    fragmentation: tuple[float, ...]


@dataclass(eq=False)
class Meter:
    """Sums are of ints, so they are exact. used: now, of each resource. area: used times milliseconds. peak: the most.

    fragmented: each sample's fragmentation, weighed by the time until the next one.
    """

    begin_ms: int
    step_ms: int
    most: int
    used: list[int] = field(default_factory=lambda: [0] * R)
    area: list[int] = field(default_factory=lambda: [0] * R)
    peak: list[int] = field(default_factory=lambda: [0] * R)
    samples: list[Sample] = field(default_factory=list)
    now_ms: int = 0
    next_ms: int = 0

    @staticmethod
    def of(begin_ms: int, span_ms: int, cost: int) -> Meter:
        """A meter for about this span. cost: agents times kinds of one sample; where it is high there are fewer."""
        most = max(FEWEST, min(SAMPLES, WORK // max(5 * cost, 1)))
        return Meter(begin_ms, max(1, span_ms // most), most, now_ms=begin_ms, next_ms=begin_ms)

    def until(self, now_ms: int) -> None:
        """The clock goes on; things were as they are since it last did."""
        passed = now_ms - self.now_ms
        if passed:
            self.area = [area + used * passed for area, used in zip(self.area, self.used, strict=True)]
            self.now_ms = now_ms

    def change(self, amounts: list[int], sign: int) -> None:
        """More (1) or less (-1) is used now."""
        self.used = [used + sign * amount for used, amount in zip(self.used, amounts, strict=True)]

    def sample(self, waiting: int, fragmentation: Callable[[], list[float]], always: bool = False) -> None:
        """Look at things as they are, where it is time to."""
        self.peak = [max(pair) for pair in zip(self.peak, self.used, strict=True)]
        if not always and self.now_ms < self.next_ms:
            return
        if len(self.samples) >= 2 * self.most:
            self.samples = self.samples[::2]
            self.step_ms *= 2
        self.samples.append(Sample(self.now_ms, tuple(self.used), waiting, tuple(fragmentation())))
        self.next_ms = self.now_ms + self.step_ms

    def mean_fragmentation(self) -> list[float]:
        """float[R], the mean over time of the samples'."""
        if not self.samples:
            return [0.0] * R
        spans = [b.at_ms - a.at_ms for a, b in zip(self.samples, self.samples[1:], strict=False)]
        whole = sum(spans)
        if not whole:
            return list(self.samples[-1].fragmentation)
        return [
            sum(span * one.fragmentation[d] for span, one in zip(spans, self.samples, strict=False)) / whole
            for d in range(R)
        ]
