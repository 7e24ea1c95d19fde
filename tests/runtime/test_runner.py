"""The order of things: an event, its records, the disk, and only then replies and messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orch.machine.commands import Reply
from orch.machine.host import EventError, Host
from orch.machine.machine import Machine, Tick
from orch.model.codec import decode, encode, record
from orch.runtime.feed import Feed
from orch.runtime.runner import STRIKES, Runner, replay_all
from orch.runtime.setaside import KEPT, set_aside
from orch.store import Entry, SqliteStore


@record("test-add")
@dataclass(frozen=True)
class Add:
    request: str
    amount: int


@record("test-fail")
@dataclass(frozen=True)
class Fail:
    request: str
    ids: list[int]


@record("test-hello")
@dataclass(frozen=True)
class Hello:
    agent: str
    bad: bool = False


@record("test-added")
@dataclass(frozen=True)
class Added:
    amount: int


@record("test-seen")
@dataclass(frozen=True)
class Seen:
    agent: str


class Sum(Machine):
    """Adds up what it is told; greets agents; sends its sum when it wakes."""

    name = "master"

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.starts = 0
        self.seen: list[str] = []
        self._wake_ms: int | None = None

    def _add(self, now_ms: int, event: Add) -> None:
        self.emit(Added(event.amount))
        self.story_book.note(now_ms, "added", event.amount)
        if event.amount == 1000:
            self._wake_ms = now_ms + 20
        self.do(Reply(event.request, self.total))

    def _fail(self, now_ms: int, event: Fail) -> None:
        self.emit(Added(1_000_000))
        raise ValueError("a mistake of ours")

    def _hello(self, now_ms: int, event: Hello) -> None:
        assert not event.bad
        self.publish(Seen(event.agent))
        self.send(f"agent/{event.agent}", Hello("you"))

    def _tick(self, now_ms: int, event: Tick) -> None:
        self._wake_ms = None
        self.emit(Added(5))

    def _added(self, fact: Added) -> None:
        self.total += fact.amount

    def _seen(self, fact: Seen) -> None:
        self.seen.append(fact.agent)

    EVENTS = {Add: _add, Fail: _fail, Hello: _hello, Tick: _tick}  # noqa: RUF012
    FACTS = {Added: _added, Seen: _seen}  # noqa: RUF012

    @property
    def wake_ms(self) -> int | None:
        return self._wake_ms

    def started(self, now_ms: int) -> list[Any]:
        self.emit(Added(0))
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        return {"total": self.total, "seen": self.seen if soft else []}

    def restore(self, image: dict[str, Any]) -> None:
        self.total, self.seen = image["total"], list(image["seen"])


class SlowStore:
    """A real journal whose acknowledgements wait until the test lets them pass."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.held: list[Callable[[], None]] = []
        self.open = False
        self.problem: str | None = None

    def append(self, entries: Sequence[Entry], durable: Callable[[int], None]) -> None:
        last = entries[-1].index
        if self.open:
            self.store.append(entries, durable)
        else:
            self.store.append(entries, lambda index: None)
            self.held.append(lambda: durable(last))

    def let_pass(self) -> None:
        for one in self.held:
            one()
        self.held.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class World:
    """A runner over a journal in a folder, and what it sent."""

    def __init__(self, folder: Path, slow: bool = False) -> None:
        self.folder = folder
        self.store: Any = SqliteStore(folder)
        if slow:
            self.store = SlowStore(self.store)
        self.sent: list[tuple[str, Any]] = []
        self.fatal: list[Exception] = []
        self.runner = Runner(
            lambda: [Sum()],
            self.store,
            lambda to, message: self.sent.append((to, message)),
            folder / "aside",
            "life",
            self.fatal.append,
        )
        self.runner.start()

    @property
    def sum(self) -> Sum:
        machine = self.runner.host.machines["master"]
        assert isinstance(machine, Sum)
        return machine

    async def add(self, amount: int) -> Any:
        return await self.runner.call("master", Add(f"add-{amount}", amount))


def test_a_reply_comes_with_the_journals_index_and_survives_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        assert await world.add(3) == {"body": 3, "error": None, "index": 2}
        assert (await world.add(4))["body"] == 7
        await world.runner.stop()
        again = World(tmp_path)
        assert again.sum.total == 7
        assert (await again.add(1))["body"] == 8
        await again.runner.stop()

    run(test)


def test_nothing_leaves_before_its_facts_and_all_earlier_ones_are_durable(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, slow=True)
        first = asyncio.ensure_future(world.add(3))
        await asyncio.sleep(0)
        world.runner.from_agents([("a1", encode(Hello("a1")))])  # no fact of its own, but later than the first
        await eventually(lambda: len(world.store.held) == 2)
        world.store.store.flush()
        await asyncio.sleep(0)
        assert not first.done()
        assert world.sent == []
        assert world.runner.feed.shown == 0
        world.store.let_pass()
        assert (await first)["body"] == 3
        assert world.sent == [("agent/a1", Hello("you"))]
        assert world.runner.feed.shown == 3
        world.store.open = True
        await world.runner.stop()

    run(test)


def test_an_event_that_fails_changes_nothing_is_set_aside_and_answered(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        await world.add(7)
        life = world.runner.feed.life
        answer = await world.runner.call("master", Fail("bad", [7, 8]))
        assert answer["error"]["status"] == 500
        assert "ValueError: a mistake of ours; the event was set aside and changed nothing" in answer["error"]["detail"]
        assert world.sum.total == 7
        assert (await world.add(1))["body"] == 8
        assert world.runner.feed.life != life
        packed = decode(next((tmp_path / "aside").glob("*.msgpack")).read_bytes())
        assert packed["event"] == Fail("bad", [7, 8])
        assert [note["what"] for note in packed["story"]] == ["added"]
        text = next((tmp_path / "aside").glob("*.txt")).read_text()
        assert "a mistake of ours" in text
        assert world.fatal == []
        await world.runner.stop()

    run(test)


def test_requests_that_wait_for_the_disk_are_answered_when_another_event_fails(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, slow=True)
        waiting = asyncio.ensure_future(world.add(3))
        await eventually(lambda: len(world.store.held) == 2)
        failing = asyncio.ensure_future(world.runner.call("master", Fail("bad", [])))
        assert (await waiting)["body"] == 3
        assert (await failing)["error"]["status"] == 500
        world.store.open = True
        await world.runner.stop()

    run(test)


def test_an_agent_whose_messages_keep_failing_is_not_listened_to(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        for _ in range(STRIKES + 3):
            world.runner.from_agents([("a1", encode(Hello("a1", bad=True))), ("a2", encode(Hello("a2")))])
        assert world.runner.set_aside_count == STRIKES
        assert world.sum.seen.count("a2") >= 3
        world.runner.from_agents([("a1", b"\xc1 no message")])
        await world.runner.stop()

    run(test)


def test_a_machine_is_woken_when_it_asked_to_be(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        await world.add(1000)
        await eventually(lambda: world.sum.total == 1005)
        await world.runner.stop()

    run(test)


def test_a_follower_has_what_the_master_has(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        await world.add(3)
        start = decode(await world.runner.image())
        replica = Host([Sum()])
        replica.restore(start["image"])
        assert replica.machines["master"].total == 3  # type: ignore[attr-defined]
        following = asyncio.ensure_future(world.runner.follow(start["life"], start["after"], 20_000))
        await world.add(4)
        world.runner.from_agents([("a9", encode(Hello("a9")))])
        batch = decode(await following)
        assert batch["after"] == start["after"]
        after = start["after"] + len(replay_all(replica, batch["records"]))
        await eventually(lambda: world.runner.feed.shown == after + 1)
        rest = decode(await world.runner.follow(start["life"], after, 20_000))
        replay_all(replica, rest["records"])
        assert replica.snapshot(soft=True) == world.runner.host.snapshot(soft=True)
        assert replica.machines["master"].seen == ["a9"]  # type: ignore[attr-defined]
        late = decode(await world.runner.follow(start["life"], after + 1, 1))
        assert late == {"after": after + 1, "records": []}
        await world.runner.stop()

    run(test)


def test_a_follower_of_an_earlier_life_or_of_records_that_are_gone_gets_a_gap(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path)
        start = decode(await world.runner.image())
        assert decode(await world.runner.follow("another", start["after"], 1)) == {"gap": True}
        assert decode(await world.runner.follow(start["life"], start["after"] + 5, 1)) == {"gap": True}
        world.runner.feed._max_bytes = 100
        for amount in range(10):
            await world.add(amount)
        assert decode(await world.runner.follow(start["life"], start["after"], 1)) == {"gap": True}
        waiting = asyncio.ensure_future(world.runner.follow(start["life"], world.runner.feed.shown, 20_000))
        await asyncio.sleep(0)
        await world.runner.call("master", Fail("bad", []))
        assert decode(await waiting) == {"gap": True}
        await world.runner.stop()

    run(test)


def test_a_snapshot_bounds_what_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("orch.runtime.runner.SNAPSHOT_RECORDS", 10)
        world = World(tmp_path)
        for _ in range(30):
            await world.add(2)
        await eventually(lambda: world.store.newest_snapshot() is not None)
        await world.runner.save()
        index = world.store.newest_snapshot()[0]
        assert index >= 11
        await world.runner.stop()
        again = World(tmp_path)
        assert again.sum.total == 60
        assert again.runner._unsaved_records == world.runner.host.index - index + 1 - 1
        await again.runner.stop()

    run(test)


def test_while_the_disk_is_full_requests_are_refused_with_the_reason(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, slow=True)
        world.store.problem = "the journal cannot be written: disk full; free some disk"
        answer = await world.add(1)
        assert (answer["error"]["status"], answer["error"]["detail"]) == (503, world.store.problem)
        assert world.sum.total == 0
        world.store.problem = None
        world.store.open = True
        assert (await world.add(1))["body"] == 1
        assert (await world.runner.call("nobody", Add("x", 1)))["error"]["status"] == 500
        await world.runner.stop()

    run(test)


def test_requests_are_refused_while_too_much_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        world = World(tmp_path, slow=True)
        first = asyncio.ensure_future(world.add(3))
        await eventually(lambda: len(world.store.held) == 2)
        monkeypatch.setattr("orch.runtime.runner.MAX_PENDING_BYTES", 0)
        async with asyncio.timeout(20):
            refused = (await world.add(4))["error"]
        assert refused["status"] == 503 and "cannot keep up" in refused["detail"]
        world.store.let_pass()
        assert (await first)["body"] == 3
        world.store.open = True
        assert (await world.add(5))["body"] == 8
        await world.runner.stop()

    run(test)


def test_what_an_earlier_life_wrote_is_counted_once(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, slow=True)
        waiting = asyncio.ensure_future(world.add(3))
        await eventually(lambda: len(world.store.held) == 2)
        assert (await world.runner.call("master", Fail("bad", [])))["error"]["status"] == 500
        assert (await waiting)["body"] == 3
        world.store.let_pass()
        await eventually(lambda: world.runner.feed.shown == 1)
        assert world.runner._unsaved_records == world.runner.host.index == 3
        assert world.runner.stats()["pending_bytes"] == 0
        world.store.open = True
        await world.runner.stop()

    run(test)


def test_a_record_larger_than_the_feed_is_shown_all_the_same() -> None:
    async def test() -> None:
        feed = Feed("life", max_bytes=10)
        feed.add(1, bytes(100))
        feed.release(1)
        assert decode(await feed.follow("life", 0, 1)) == {"after": 0, "records": [bytes(100)]}

    run(test)


def test_of_events_that_were_set_aside_the_newest_are_kept(tmp_path: Path) -> None:
    for at_ms in range(KEPT + 5):
        set_aside(tmp_path, at_ms, EventError("master", Fail("bad", []), "a mistake of ours"), {})
    kept = {int(path.name.split("-")[1]) for path in tmp_path.iterdir()}
    assert kept == set(range(5, KEPT + 5))
    assert len(list(tmp_path.iterdir())) == 2 * KEPT
