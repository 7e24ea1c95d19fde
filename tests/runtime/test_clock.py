"""The clock never goes back, and never leaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orch.runtime.clock import Clock

MS = 1_000_000


class Times:
    def __init__(self) -> None:
        self.wall = 1_000_000 * MS
        self.steady = 0

    def clock(self, not_before_ms: int = 0) -> Clock:
        return Clock(not_before_ms, lambda: self.wall, lambda: self.steady)

    def pass_ms(self, ms: int) -> None:
        self.wall += ms * MS
        self.steady += ms * MS


def test_it_shows_wall_time_and_starts_no_earlier_than_the_journal_ended() -> None:
    times = Times()
    assert times.clock().now_ms() == 1_000_000
    assert times.clock(not_before_ms=5_000_000).now_ms() == 5_000_000


def test_a_step_of_the_systems_clock_is_made_up_for_slowly() -> None:
    times = Times()
    clock = times.clock()
    times.wall += 1_000 * MS
    times.pass_ms(1_000)
    assert clock.now_ms() == 1_000_000 + 1_100
    times.pass_ms(20_000)
    assert clock.now_ms() == times.wall // MS
    times.wall -= 1_000 * MS
    times.pass_ms(1_000)
    assert clock.now_ms() == 1_022_900


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**5))))
def test_it_never_goes_back_and_passes_at_most_a_tenth_off(steps: list[tuple[int, int]]) -> None:
    times = Times()
    clock = times.clock()
    before = clock.now_ms()
    for leap_ms, passed_ms in steps:
        times.wall += leap_ms * MS
        times.pass_ms(passed_ms)
        now = clock.now_ms()
        assert passed_ms * 0.9 - 1 <= now - before <= passed_ms * 1.1 + 1
        before = now
