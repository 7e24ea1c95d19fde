"""The follower: a replica that moves, readers that wait for it, subscribers that may lag."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from orch.api.follower import Event, Follower, Subscription
from orch.machine.host import Host, Record
from orch.model.facts_master import AgentRegistered, EpochBegan
from orch.model.resources import R
from orch.runtime.machines import make_machines


def epoch(index: int) -> Record:
    return Record(index, index * 1000, [["master", EpochBegan(index)]])


def follower(**how: Any) -> Follower:
    return Follower(Host(make_machines()), **how)


def anything(_: Event) -> bool:
    return True


def run(task: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await task

    return asyncio.run(bounded())


async def drained(subscription: Subscription) -> list[Event]:
    found = []
    while (event := await subscription.next(0)) is not None:
        found.append(event)
    return found


def test_records_move_the_replica_and_become_events() -> None:
    async def main() -> None:
        follows = follower()
        subscription = follows.subscribe(anything, None, 10)
        follows.apply([epoch(1), epoch(2)], now_ms=2_500)
        assert (follows.index, follows.position, follows.moves, follows.lag_ms) == (2, 2, 1, 500)
        events = await drained(subscription)
        assert [(event.id, event.type, event.data["epoch"]) for event in events] == [
            ("1.0", "master", 1),
            ("2.0", "master", 2),
        ]

    run(main())


def test_ids_ascend_through_soft_records() -> None:
    async def main() -> None:
        import numpy as np

        from orch.model.facts_master import AgentStatesSeen

        follows = follower()
        total = np.ones(R, dtype=np.int32)
        registered = AgentRegistered(0, "a1", "n", 1, total, {})
        seen = AgentStatesSeen(np.array([0], dtype=np.int32), np.array([2], dtype=np.uint8))
        subscription = follows.subscribe(anything, None, 10)
        soft = Record(1, 0, [["master", seen]], soft=True)
        follows.apply([Record(1, 0, [["master", registered]]), soft, soft, epoch(2)])
        assert [event.id for event in await drained(subscription)] == ["1.0", "1.1", "1.2", "2.0"]

    run(main())


def test_who_waits_is_woken_by_the_next_record() -> None:
    async def main() -> None:
        follows = follower()
        waits = asyncio.ensure_future(follows.wait_beyond(follows.moves, 5_000))
        index = asyncio.ensure_future(follows.wait_index(2, 5_000))
        await asyncio.sleep(0)
        follows.apply([epoch(1)])
        assert await waits is True and not index.done()
        follows.apply([epoch(2)])
        assert await index is True
        assert await follows.wait_beyond(follows.moves, 1) is False
        assert await follows.wait_index(3, 1) is False
        assert await follows.wait_index(2, 0) is True

    run(main())


def test_closing_wakes_everybody() -> None:
    async def main() -> None:
        follows = follower()
        waits = asyncio.ensure_future(follows.wait_beyond(follows.moves, 60_000))
        subscription = follows.subscribe(anything, None, 10)
        reads = asyncio.ensure_future(subscription.next(60_000))
        await asyncio.sleep(0)
        follows.close()
        assert await reads is None and subscription.closed and follows.subscribers == 0
        await waits
        assert follows.subscribe(anything, None, 10).closed

    run(main())


def test_a_subscriber_that_lags_gets_one_gap_and_then_what_is_new() -> None:
    async def main() -> None:
        follows = follower()
        subscription = follows.subscribe(anything, None, 3)
        follows.apply([epoch(n) for n in range(1, 10)])
        follows.apply([epoch(10)])
        gap = await subscription.next(0)
        assert gap is not None and gap.type == "gap"
        assert (gap.data["from"], gap.data["to"], gap.id) == (0, 10, "10.0")
        assert await subscription.next(0) is None
        follows.apply([epoch(11)])
        assert [event.id for event in await drained(subscription)] == ["11.0"]

    run(main())


def test_the_gap_begins_after_the_last_event_that_was_read() -> None:
    async def main() -> None:
        follows = follower()
        subscription = follows.subscribe(anything, None, 2)
        follows.apply([epoch(1), epoch(2)])
        first = await subscription.next(0)
        assert first is not None and first.index == 1
        follows.apply([epoch(n) for n in range(3, 9)])
        gap = await subscription.next(0)
        assert gap is not None and gap.data["from"] == 1

    run(main())


def test_since_gives_what_is_kept_and_a_gap_for_what_is_not() -> None:
    async def main() -> None:
        follows = follower(kept_events=4)
        follows.apply([epoch(n) for n in range(1, 9)])
        assert follows.oldest == (4, 0)
        kept = await drained(follows.subscribe(anything, (6, 0), 10))
        assert [event.index for event in kept] == [7, 8]
        assert [event.index for event in await drained(follows.subscribe(anything, follows.oldest, 10))] == [5, 6, 7, 8]
        lost = await drained(follows.subscribe(anything, (3, 0), 10))
        assert [(event.type, event.index) for event in lost] == [("gap", 4), *(("master", n) for n in (5, 6, 7, 8))]
        assert (lost[0].data["from"], lost[0].data["to"], lost[0].at_ms) == (3, 4, None)
        after = follows.subscribe(anything, (lost[0].index, lost[0].nth), 10)
        assert [event.index for event in await drained(after)] == [5, 6, 7, 8]
        assert await drained(follows.subscribe(anything, (8, 0), 10)) == []

    run(main())


def test_what_is_kept_comes_whole_however_little_a_reader_may_lag() -> None:
    async def main() -> None:
        follows = follower()
        follows.apply([epoch(n) for n in range(1, 9)])
        subscription = follows.subscribe(anything, (0, 0), 2)
        follows.apply([epoch(9), epoch(10)])
        assert [event.index for event in await drained(subscription)] == list(range(1, 11))

    run(main())


def test_a_new_image_is_a_gap_for_everybody() -> None:
    async def main() -> None:
        follows = follower()
        subscription = follows.subscribe(anything, None, 10)
        waits = asyncio.ensure_future(follows.wait_beyond(follows.moves, 5_000))
        follows.apply([epoch(1), epoch(2)])
        await waits
        other = Host(make_machines())
        for index in range(1, 6):
            other.replay(epoch(index))
        again = asyncio.ensure_future(follows.wait_beyond(follows.moves, 5_000))
        await asyncio.sleep(0)
        follows.reset(other, 0)
        assert await again is True
        assert follows.replica is other and (follows.index, follows.position) == (5, 0)
        gap = await subscription.next(0)
        assert gap is not None and (gap.type, gap.data["from"], gap.data["to"]) == ("gap", 0, 5)
        follows.apply([epoch(6)])
        assert [event.id for event in await drained(subscription)] == ["6.0"]

    run(main())


def test_filters_see_only_what_they_want() -> None:
    async def main() -> None:
        follows = follower()
        subscription = follows.subscribe(lambda event: event.index % 2 == 0, None, 10)
        follows.apply([epoch(n) for n in range(1, 6)])
        assert [event.index for event in await drained(subscription)] == [2, 4]
        subscription.close()
        subscription.close()
        assert follows.subscribers == 0

    run(main())
