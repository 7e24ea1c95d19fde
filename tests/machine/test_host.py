"""The host: what stays inside, what leaves, and when."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from orch.machine import host as room
from orch.machine.commands import Reply, Send
from orch.machine.host import EventError, Host, Record
from orch.machine.machine import Machine, Tick
from orch.model.codec import decode, encode, record


@record("test.added")
@dataclass(frozen=True)
class Added:
    """A durable fact of the counters below."""

    amount: int


@record("test.shown")
@dataclass(frozen=True)
class Shown:
    """A soft fact of the counters below."""

    amount: int


@dataclass(frozen=True)
class Add:
    amount: int
    then: tuple[tuple[str, Any], ...] = ()
    show: int = 0


class Counter(Machine):
    """Adds up; sends on what it is told to send on."""

    def __init__(self, name: str, wake: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.sum = self.shown = 0
        self.wake = wake
        self.woken: list[int] = []
        self.was_asked: list[Any] = []

    def _add(self, now_ms: int, event: Add) -> None:
        self.was_asked.append(event.amount)
        if event.amount < 0:
            raise ValueError("counters only go up")
        if event.amount:
            self.emit(Added(event.amount))
        if event.show:
            self.publish(Shown(event.show))
        for to, message in event.then:
            if isinstance(message, Reply):
                self.do(message)
            else:
                self.send(to, message)

    def _tick(self, now_ms: int, event: Tick) -> None:
        self.woken.append(now_ms)
        self.wake = None

    def _added(self, fact: Added) -> None:
        self.sum += fact.amount

    def _shown(self, fact: Shown) -> None:
        self.shown = fact.amount

    EVENTS: ClassVar = {Add: _add, Tick: _tick}
    FACTS: ClassVar = {Added: _added, Shown: _shown}

    @property
    def wake_ms(self) -> int | None:
        return self.wake

    def started(self, now_ms: int) -> list[Any]:
        self.send("out", f"{self.name} is there")
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        return {"sum": self.sum, **({"shown": self.shown} if soft else {})}

    def restore(self, image: dict[str, Any]) -> None:
        self.sum, self.shown = image["sum"], image.get("shown", 0)

    def check(self) -> None:
        assert self.sum >= 0


def two() -> Host:
    return Host([Counter("a"), Counter("b")])


def left(host: Host) -> list[Any]:
    return [outgoing.command for outgoing in host.take_commands()]


def test_nothing_leaves_before_the_facts_it_rests_on_are_durable() -> None:
    host = two()
    host.handle(1, "a", Add(1, (("out", "first"),)))
    host.handle(2, "a", Add(0, (("out", "rests on the first"),)))
    host.handle(3, "b", Add(2, (("out", "second"),)))
    assert left(host) == []
    host.durable(1)
    assert left(host) == [Send("out", "first"), Send("out", "rests on the first")]
    host.durable(2)
    assert left(host) == [Send("out", "second")]
    host.handle(4, "a", Add(0, (("", Reply("r1", 7)),)))
    assert left(host) == [Reply("r1", 7)]


def test_an_event_is_one_record_whatever_machines_it_went_through() -> None:
    host = two()
    host.handle(5, "a", Add(1, (("b", Add(2, (("a", Add(3)),))), ("b", Add(4)))))
    assert host.take_records() == [Record(1, 5, [["a", Added(1)], ["b", Added(2)], ["b", Added(4)], ["a", Added(3)]])]
    assert host.take_records() == []
    assert [machine.was_asked for machine in host.machines.values()] == [[1, 3], [2, 4]]


def test_soft_facts_are_a_record_of_their_own_with_the_same_index() -> None:
    host = two()
    host.handle(5, "a", Add(1, show=9))
    host.handle(6, "b", Add(0, show=8))
    assert host.take_records() == [
        Record(1, 5, [["a", Added(1)]]),
        Record(1, 5, [["a", Shown(9)]], soft=True),
        Record(1, 6, [["b", Shown(8)]], soft=True),
    ]


def test_who_asked_and_why_goes_along() -> None:
    host = two()
    host.handle(5, "a", Add(0, (("b", Tick()), ("b", Add(0, (("out", "x"),))))))
    [outgoing] = host.take_commands()
    assert (outgoing.machine, outgoing.cause, outgoing.command) == ("b", "Add", Send("out", "x"))


def test_a_copy_that_follows_the_records_becomes_equal() -> None:
    host, copy = two(), two()
    host.handle(1, "a", Add(5, show=1))
    copy.restore(decode(encode(host.snapshot(soft=True))))
    host.take_records()
    host.handle(2, "a", Add(7, (("b", Add(3)),), show=4))
    for each in host.take_records():
        copy.replay(decode(encode(each)))
    assert copy.snapshot(soft=True) == host.snapshot(soft=True)
    assert (copy.index, copy.durable_index) == (2, 2)


def test_a_restart_keeps_what_is_durable_and_says_hello() -> None:
    host = two()
    host.handle(1, "a", Add(5, show=1))
    again = Host([Counter("a")])
    again.restore(host.snapshot())
    again.start(2)
    assert again.machines["a"].snapshot(soft=True) == {"sum": 5, "shown": 0}
    assert left(again) == [Send("out", "a is there")]


def test_facts_of_a_machine_that_is_not_here_are_passed_over() -> None:
    host = Host([Counter("a")])
    host.replay(Record(1, 5, [["gone", Added(1)], ["a", Added(2)]]))
    assert host.snapshot() == {"index": 1, "machines": {"a": {"sum": 2}}}


def test_a_record_out_of_order_is_refused() -> None:
    host = two()
    with pytest.raises(AssertionError, match="record 2 after 0"):
        host.replay(Record(2, 5, []))
    host.replay(Record(0, 5, [["a", Shown(3)]], soft=True))
    assert host.machines["a"].snapshot(soft=True)["shown"] == 3


def test_an_event_that_raises_names_itself() -> None:
    host = two()
    with pytest.raises(EventError, match="b could not handle Add: ValueError: counters only go up") as caught:
        host.handle(1, "a", Add(1, (("b", Add(-1)),)))
    assert (caught.value.to, caught.value.event) == ("b", Add(-1))
    with pytest.raises(EventError, match="nobody could not handle Add: KeyError"):
        host.handle(1, "nobody", Add(1))
    with pytest.raises(EventError, match="a could not handle str"):
        host.handle(1, "a", "what?")


def test_machines_that_answer_each_other_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_HOPS", 3)
    host = two()
    message = Add(0)
    for to in ("a", "b", "a", "b"):
        message = Add(0, ((to, message),))
    with pytest.raises(AssertionError, match="without end"):
        host.handle(1, "a", message)


def test_time_never_goes_back() -> None:
    host = two()
    host.handle(9, "a", Add(1))
    host.handle(3, "a", Add(1))
    assert [each.at_ms for each in host.take_records()] == [9, 9]


def test_those_whose_time_has_come_are_woken() -> None:
    host = Host([Counter("a", wake=10), Counter("b"), Counter("c", wake=20)])
    assert host.wake_ms() == 10
    host.tick(9)
    assert host.wake_ms() == 10
    host.tick(15)
    assert host.machines["a"].woken == [15] and host.machines["c"].woken == []  # type: ignore[attr-defined]
    assert host.wake_ms() == 20
    host.tick(20)
    assert host.wake_ms() is None


def test_the_journal_can_not_be_ahead_of_the_host() -> None:
    host = two()
    with pytest.raises(AssertionError):
        host.durable(1)


def test_check_asks_every_machine() -> None:
    host = two()
    host.check()
    host.machines["b"].sum = -1  # type: ignore[attr-defined]
    with pytest.raises(AssertionError):
        host.check()


def test_a_watch_is_told_what_each_machine_handles_also_when_that_fails() -> None:
    host = Host([Counter("a"), Counter("b")])
    seen: list[str] = []

    @contextlib.contextmanager
    def watch(what: str) -> Iterator[None]:
        seen.append(what)
        try:
            yield
        finally:
            seen.append("done")

    host.watch = watch
    host.handle(1, "a", Add(1, then=(("b", Add(2)),)))
    with pytest.raises(EventError):
        host.handle(1, "b", Add(-1))
    assert seen == ["a.Add", "done", "b.Add", "done", "b.Add", "done"]
