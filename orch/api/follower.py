"""The replica of the machines, the condition that blocking reads wait on, and the fan-out of events.

The backend gives every record of the feed to `apply`, in order; a restarted master gives a new image to `reset`.
Subscribers are bounded: one that lags gets a `gap` event, which says from where to read the present state.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orch.api import marathon_events
from orch.api.facts import events_of, names_before
from orch.machine.host import Host, Record

KEPT_EVENTS = 20_000
"""Events kept for subscribers that come back with `since`."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. index: the journal's. nth: counts the events at it, so that (index, nth) ascends.

    at_ms: None of a gap, which happened at no time.
    """

    index: int
    nth: int
    at_ms: int | None
    type: str
    data: dict[str, Any]

    @property
    def id(self) -> str:
        """As the event stream shows it, and takes it back in `since`."""
        return f"{self.index}.{self.nth}"


Filter = Callable[[Event], bool]
Form = Literal["orch", "marathon"]
"""In whose types and fields a reader gets events."""


class Subscription:
    """A bounded queue of events for one reader. Close it when the reader is gone."""

    def __init__(self, follower: Follower, wanted: Filter, limit: int, index: int, form: Form) -> None:
        self._follower, self._wanted, self._limit = follower, wanted, limit
        self.form = form
        self._queue: deque[Event] = deque()
        self._lost = False
        self._read_index = index
        """Of the last event that was read; before the first one, from where the reader begins."""
        self._ready = asyncio.Event()
        self.closed = False

    def offer(self, events: Iterable[Event]) -> None:
        """Queue what the reader wants; when it lags too far, drop everything and remember that."""
        for event in events:
            if not self._wanted(event):
                continue
            if not self._lost and len(self._queue) >= self._limit:
                self._lost = True
                self._queue.clear()
            if not self._lost:
                self._queue.append(event)
        if self._queue or self._lost:
            self._ready.set()

    def begin(self, events: Iterable[Event]) -> None:
        """Queue what the reader missed before it came: kept anyway, so it does not count as lagging."""
        self._queue.extend(event for event in events if self._wanted(event))
        self._limit += len(self._queue)

    def lose(self) -> None:
        """Events are missing after the last one that was read: the next one is a gap."""
        self._queue.clear()
        self._lost = True
        self._ready.set()

    async def next(self, timeout_ms: int) -> Event | None:
        """The next event; None when nothing came in time, or the follower was closed (then `closed`)."""
        if not self._queue and not self._lost and not self.closed:
            self._ready.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._ready.wait()
        event = self._queue.popleft() if self._queue else None
        if self._lost and not self.closed:
            self._lost = False
            event = self._follower.gap_now(self._read_index)
        if event is not None:
            self._read_index = event.index
        return event

    def close(self) -> None:
        """No more events."""
        self.closed = True
        self._queue.clear()
        self._ready.set()
        self._follower.forget(self)


class Follower:
    """A replica (a `Host` that only replays), how far it is, and who wants to know when it moves."""

    def __init__(self, replica: Host, position: int = 0, kept_events: int = KEPT_EVENTS) -> None:
        self.replica = replica
        self.position = position
        """The number of the last record of the feed that was applied; soft records count too."""
        self.lag_ms = 0
        """How old the last record was when it was applied, by the clocks of master and gateway."""
        self.closed = False
        self._kept: deque[Event] = deque(maxlen=kept_events)
        self.moves = 0
        """Counts what was applied and every reset; unlike `position` it never goes back."""
        self._complete_since = (replica.index, 0)
        """Events after this id are all in `_kept`."""
        self._subscriptions: list[Subscription] = []
        self._moved = asyncio.Event()
        self._last_id = (replica.index, 0)
        self._held: dict[int, str] = {}

    @property
    def index(self) -> int:
        """The journal's index that the replica has reached."""
        return self.replica.index

    @property
    def oldest(self) -> tuple[int, int]:
        """Events after this id are kept; what came before is not known any more."""
        return self._complete_since

    @property
    def subscribers(self) -> int:
        """How many event streams are open."""
        return len(self._subscriptions)

    def apply(self, records: Sequence[Record], now_ms: int = 0) -> None:
        """Replay records of the feed, tell subscribers and wake whoever waits. `now_ms`: the clock, to know the lag."""
        for record in records:
            names = names_before(record, self.replica)
            seen = self._seen(record)
            self.replica.replay(record)
            self.position += 1
            if now_ms:
                self.lag_ms = max(0, now_ms - record.at_ms)
            self._publish(events_of(record, self.replica, names), record)
            if seen is not None:
                self.tell(marathon_events.events_of(record, self.replica, seen), record.at_ms)
        if records:
            self._wake()

    def reset(self, replica: Host, position: int) -> None:
        """Start again from a new image (the feed had a gap, or its master a restart). Subscribers get a gap."""
        self.replica, self.position = replica, position
        self._kept.clear()
        self._held.clear()
        self._complete_since = (replica.index, 0)
        self._last_id = max(self._last_id, (replica.index, 0))
        for subscription in self._subscriptions:
            subscription.lose()
        self._wake()

    def close(self) -> None:
        """The process stops: end every stream and every blocking read."""
        self.closed = True
        for subscription in list(self._subscriptions):
            subscription.close()
        self._wake()

    async def wait_beyond(self, moves: int, timeout_ms: float) -> bool:
        """Return as soon as `self.moves` is beyond `moves`; False when the time is over, or all is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_ms) / 1000):
                while self.moves <= moves and not self.closed:
                    await self._moved.wait()
        return self.moves > moves

    async def wait_index(self, index: int, timeout_ms: float) -> bool:
        """Return as soon as the replica has reached an index of the journal; False when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_ms) / 1000):
                while self.index < index and not self.closed:
                    await self._moved.wait()
        return self.index >= index

    def tell(self, found: Iterable[tuple[str, dict[str, Any]]], at_ms: int) -> None:
        """Events in Marathon's form, for those who listen now; they are not kept."""
        events = [Event(*self._last_id, at_ms, kind, data) for kind, data in found]
        self._offer(events, "marathon")

    def subscribe(self, wanted: Filter, since: tuple[int, int] | None, limit: int, form: Form = "orch") -> Subscription:
        """Events from now on; with `since`, also those after it, behind a gap where not all of them are kept."""
        subscription = Subscription(self, wanted, limit, self.index if since is None else since[0], form)
        if self.closed:
            subscription.close()
            return subscription
        self._subscriptions.append(subscription)
        if since is None:
            return subscription
        oldest = self._complete_since
        missing = [_gap(oldest, since[0], oldest[0])] if since < oldest else []
        subscription.begin([*missing, *(event for event in self._kept if (event.index, event.nth) > since)])
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """The subscription is over. Twice does not matter."""
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)

    def gap_now(self, after_index: int) -> Event:
        """Says that events after `after_index` up to now are lost for a reader."""
        return _gap(self._last_id, after_index, self.index)

    def _publish(self, found: list[tuple[str, dict[str, Any]]], record: Record) -> None:
        events = []
        for kind, data in found:
            index, nth = self._last_id
            self._last_id = (record.index, 0) if record.index > index else (index, nth + 1)
            events.append(Event(*self._last_id, record.at_ms, kind, data))
        maxlen = self._kept.maxlen or 0
        overflow = len(self._kept) + len(events) - maxlen
        if overflow > 0 and self._kept:
            last = self._kept[min(overflow, len(self._kept)) - 1]
            self._complete_since = (last.index, last.nth)
        self._kept.extend(events)
        self._offer(events, "orch")

    def _seen(self, record: Record) -> marathon_events.Before | None:
        """What Marathon's events of a record need to know of the time before; None where nobody listens."""
        if not any(subscription.form == "marathon" for subscription in self._subscriptions):
            self._held.clear()
            return None
        return marathon_events.before(record, self.replica, self._held)

    def _offer(self, events: list[Event], form: Form) -> None:
        for subscription in self._subscriptions:
            if subscription.form == form:
                subscription.offer(events)

    def _wake(self) -> None:
        self.moves += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _gap(identity: tuple[int, int], after: int, to: int) -> Event:
    """Says that events after one index up to another are lost. identity: whoever comes back with it misses no more."""
    data = {"from": after, "to": to, "message": "events are missing: read the present state again"}
    return Event(*identity, None, "gap", data)
