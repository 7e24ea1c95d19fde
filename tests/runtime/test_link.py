"""Batches gather behind the call in flight, in order, and what fails is dropped, not repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orch.runtime.link import Item, Link


class Receiver:
    """Takes batches, and answers when told to."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.answers: list[asyncio.Future[Any]] = []

    def __call__(self, batch: list[Item]) -> asyncio.Future[Any]:
        self.batches.append(batch)
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def test_an_idle_link_sends_at_once_and_a_busy_one_gathers() -> None:
    async def test() -> None:
        receiver, errors = Receiver(), list[Exception]()
        link = Link(receiver, errors.append)
        for i in range(50):
            link.send("a", b"%d" % i)
            await settle()
        assert [len(batch) for batch in receiver.batches] == [1]
        receiver.answers[0].set_result(None)
        await eventually(lambda: len(receiver.batches) == 2)
        assert [len(batch) for batch in receiver.batches] == [1, 49]
        receiver.answers[1].set_result(None)
        await eventually(lambda: link.idle)
        assert [body for batch in receiver.batches for _, body in batch] == [b"%d" % i for i in range(50)]
        assert (link.calls, link.items, errors) == (2, 50, [])

    asyncio.run(test())


def test_what_is_sent_in_one_turn_of_the_loop_goes_together() -> None:
    async def test() -> None:
        receiver = Receiver()
        link = Link(receiver, lambda error: None)
        link.send("a", b"ack")
        link.send("b", b"launch")
        await settle()
        assert receiver.batches == [[("a", b"ack"), ("b", b"launch")]]

    asyncio.run(test())


def test_a_failed_call_is_dropped_and_the_next_ones_go_on_after_a_pause() -> None:
    async def test() -> None:
        receiver, errors = Receiver(), list[Exception]()
        link = Link(receiver, errors.append)
        link.send("a", b"lost")
        await settle()
        receiver.answers[0].set_exception(ConnectionError("gone"))
        await settle()
        assert [str(error) for error in errors] == ["gone"]
        link.send("a", b"kept")
        await settle()
        assert len(receiver.batches) == 1
        await eventually(lambda: len(receiver.batches) == 2)
        assert receiver.batches[1] == [("a", b"kept")]

    asyncio.run(test())


def test_a_receiver_that_never_answers_costs_a_bounded_amount_of_memory() -> None:
    async def test() -> None:
        receiver, errors = Receiver(), list[Exception]()
        link = Link(receiver, errors.append)
        for _ in range(40):
            link.send("a", bytes(8 << 20))
            await asyncio.sleep(0)
        assert [type(error) for error in errors] == [BufferError, BufferError]
        assert sum(len(body) for _, body in link._queue) <= 140 << 20

    asyncio.run(test())


def test_a_message_larger_than_a_call_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("orch.runtime.link.MAX_CALL_BYTES", 10)
        receiver = Receiver()
        link = Link(receiver, lambda error: None)
        link.send("a", bytes(20))
        link.send("b", bytes(10))
        await settle()
        assert receiver.batches == [[("a", bytes(20))]]
        receiver.answers[0].set_result(None)
        await eventually(lambda: len(receiver.batches) == 2)
        assert receiver.batches[1] == [("b", bytes(10))]

    asyncio.run(test())
