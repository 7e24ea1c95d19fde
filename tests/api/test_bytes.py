"""Logs, files, outputs and payloads: bytes between supervisors and clients, through the gateway."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from orch.api.nodes import NodeHub, _Stream
from orch.client.flows.streams import FrameParser
from orch.model.codec import decode, encode
from orch.model.errors import NotFoundError, TooManyError, UnavailableError
from orch.model.states import State
from tests.api.world import NODE_TOKEN, TinyNode, World, deadline


@pytest.fixture
def node(world: World) -> Iterator[TinyNode]:
    """The supervisor's line, and a job of four pods of which three wrote something."""
    world.cluster.submit("/demo/job", cmd="sleep 100", count=4, cpus=0.1).wait(10, until="running")

    def write() -> None:
        for row in rows(world):
            if row.index < 3:
                row.files = {"stdout": b"line\n" * (row.index + 1), "result": bytes([row.index]) * 10}

    world.do(write)
    yield world.connect_node()


def rows(world: World) -> list[Any]:
    return [row for agent in world.agents.values() for row in agent.rows.values()]


def finish(world: World) -> None:
    for agent in world.agents.values():
        if agent.rows:
            agent.become(list(agent.rows), State.FINISHED, 0)


def get(world: World, path: str, **how: Any) -> httpx.Response:
    return httpx.get(world.url + path, headers=world.headers(), timeout=20, **how)


# ---- logs and files --------------------------------------------------------------------------------------------


def test_a_log_is_read_from_any_place(world: World, node: TinyNode) -> None:
    base = "/v2/instances/demo_job.j1.2/logs"
    assert get(world, base).content == b"line\n" * 3
    assert get(world, f"{base}?offset=5&limit=7").content == b"line\nli"
    assert get(world, f"{base}?offset=-5").content == b"line\n"
    assert get(world, f"{base}?lines=2").content == b"line\n" * 2
    assert get(world, f"{base}?stream=stderr").content == b""
    assert get(world, "/v2/instances/demo_job.j1.9/logs").status_code == 404
    args = {"attempt": -1, "container": "", "stream": "stdout", "offset": 0, "limit": -1, "follow": False}
    assert node.asked[0] == ("log", {**args, "instance": world.cluster.job(1).status()["first_id"] + 2})


def test_the_last_lines_of_a_long_log(world: World, node: TinyNode) -> None:
    text = b"".join(b"%05d %s\n" % (n, b"x" * 300) for n in range(2000))
    world.do(lambda: rows(world)[0].files.update(stdout=text))
    index = world.do(lambda: rows(world)[0].index)
    found = get(world, f"/v2/instances/demo_job.j1.{index}/logs?lines=50").content
    assert found == b"".join(text.splitlines(keepends=True)[-50:])
    assert len(node.asked) > 1, "a longer piece was asked for where the first was too short"


def test_a_log_is_followed_until_the_instance_ends(world: World, node: TinyNode) -> None:
    def write() -> None:
        row = next(row for row in rows(world) if row.index == 1)
        row.files["stdout"] += b"more\n"
        node.more.set()

    url = f"{world.url}/v2/instances/demo_job.j1.1/logs?follow=1&lines=1"
    with httpx.stream("GET", url, headers=world.headers(), timeout=20) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"line\n"
        world.do(write)
        assert next(pieces) == b"more\n"
        world.do(lambda: finish(world))
        world.do(write)
        assert b"".join(pieces) == b"more\n"


def test_a_reader_that_vanishes_ends_the_stream_at_the_supervisor(world: World, node: TinyNode) -> None:
    for path in (
        "demo_job.j1.1/logs?follow=1",
        "demo_job.j1.3/logs?follow=1",
    ):  # one that has printed, one that has not
        with httpx.stream("GET", f"{world.url}/v2/instances/{path}", headers=world.headers(), timeout=20) as answer:
            assert answer.status_code == 200
            assert world.do(lambda: world.room._streams.taken) == 1
        deadline(lambda: world.do(lambda: world.room._streams.taken) == 0, "the stream is still there")
    deadline(lambda: node.cancelled == 2, "the supervisor was not told")
    gateway = world.do(lambda: world.room.nodes.node_for("a1"))
    assert world.do(lambda: len(gateway._streams)) == 0


def test_files_of_a_sandbox(world: World, node: TinyNode) -> None:
    listed = get(world, "/v2/instances/demo_job.j1.1/files").json()["items"]
    assert [(one["name"], one["size"]) for one in listed] == [("result", 10), ("stdout", 10)]
    base = "/v2/instances/demo_job.j1.1/file"
    assert get(world, f"{base}?path=result").content == b"\1" * 10
    assert get(world, f"{base}?path=stdout&offset=5").content == b"line\n"
    assert get(world, f"{base}?path=result&limit=0").content == b""
    missing = get(world, f"{base}?path=nothing")
    assert missing.status_code == 404 and "nothing" in missing.json()["detail"]
    world.do(lambda: node.expired.update(world.agents["a1"].rows, world.agents["a2"].rows))
    gone = get(world, f"{base}?path=result")
    assert gone.status_code == 410 and gone.json()["type"] == "urn:orch:error:expired"
    assert "instance demo_job.j1.1 " in gone.json()["detail"], "people know it by its name"


def test_what_was_never_launched_has_no_files(world: World, node: TinyNode) -> None:
    world.cluster.submit("/demo/big", cmd="true", cpus=1000)
    answer = get(world, "/v2/instances/demo_big.j2.0/logs")
    assert answer.status_code == 404 and "not launched yet" in answer.json()["detail"]


def test_without_the_supervisor_bytes_are_not_available(world: World) -> None:
    world.cluster.submit("/demo/job", cmd="sleep 9", cpus=0.1).wait(10, until="running")
    answer = get(world, "/v2/instances/demo_job.j1.0/logs")
    assert answer.status_code == 503 and "not connected" in answer.json()["detail"]
    pieces = frames(get(world, "/v2/jobs/1/outputs"))
    assert pieces[-1]["error"]["status"] == 503


def test_a_lost_line_cuts_the_reply_off(world: World, node: TinyNode) -> None:
    url = f"{world.url}/v2/instances/demo_job.j1.1/logs?follow=1"
    with httpx.stream("GET", url, headers=world.headers(), timeout=20) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"line\nline\n"
        world.do(lambda: node.task.cancel())
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    deadline(lambda: world.do(lambda: len(world.room.nodes)) == 0, "the node is still known")
    assert get(world, "/v2/info::orch").json()["nodes"] == 0


# ---- outputs ---------------------------------------------------------------------------------------------------


def frames(answer: httpx.Response) -> list[Any]:
    parser = FrameParser()
    found = [decode(frame) for frame in parser.feed(answer.content)]
    assert parser.is_empty
    return found


def outputs(answer: httpx.Response) -> dict[int, tuple[int, bytes]]:
    *pieces, last = frames(answer)
    assert last == {"end": True}
    found = {}
    for piece in pieces:
        at = 0
        for index, size in zip(piece["index"].tolist(), piece["sizes"].tolist(), strict=True):
            found[index] = (size, piece["blob"][at : at + max(size, 0)])
            at += max(size, 0)
        assert at == len(piece["blob"])
    return found


def test_outputs_come_in_bulk(world: World, node: TinyNode) -> None:
    answer = get(world, "/v2/jobs/1/outputs")
    assert answer.headers["content-type"] == "application/vnd.orch.frames"
    assert outputs(answer) == {n: (5 * (n + 1), b"line\n" * (n + 1)) for n in range(3)} | {3: (-1, b"")}
    assert outputs(get(world, "/v2/jobs/1/outputs?file=result&offset=1&count=2&limit=4")) == {
        1: (4, b"\1" * 4),
        2: (4, b"\2" * 4),
    }
    assert outputs(get(world, "/v2/jobs/1/outputs?offset=99")) == {}


def test_what_retention_took_is_told_from_what_is_being_started(world: World, node: TinyNode) -> None:
    world.do(lambda: node.expired.update(number for agent in world.agents.values() for number in agent.rows))
    assert {size for size, _ in outputs(get(world, "/v2/jobs/1/outputs")).values()} == {-1}
    world.do(lambda: finish(world))
    world.cluster.job(1).wait(10)
    assert {size for size, _ in outputs(get(world, "/v2/jobs/1/outputs")).values()} == {-2}


def test_pods_that_wait_have_no_output(world: World, node: TinyNode) -> None:
    world.cluster.submit("/demo/big", cmd="true", cpus=1000, count=3)
    assert outputs(get(world, "/v2/jobs/2/outputs")) == dict.fromkeys(range(3), (-1, b""))


def test_a_large_output_goes_on_in_pieces(world: World, node: TinyNode) -> None:
    data = np.random.default_rng(1).bytes(3_000_000)
    world.do(lambda: rows(world)[0].files.update(stdout=data, result=data))
    index = world.do(lambda: rows(world)[0].index)
    job = world.cluster.job(1)
    assert job.output(index) == data and job.output(index, "result") == data
    assert job.outputs()[index] == data
    assert job.outputs(limit=5)[index] == data[:5]


def test_a_stream_that_ran_ahead_is_asked_for_the_rest() -> None:
    """Its node sends all at once into a small buffer; the reader gets everything nevertheless."""
    from orch.api import outputs as module

    class Node:
        asked = 0

        async def ask(self, op: str, args: dict[str, Any]) -> Any:
            self.asked += 1
            for at, number in enumerate(args["ids"].tolist()):
                if at == 3:
                    raise TooManyError("too slow")
                yield [np.array([number]), np.array([1]), b"x"]

    async def main() -> tuple[int, list[int]]:
        node = Node()
        found = []
        async for frame in module._ask(node, np.arange(10), 1000, "stdout", 10):  # type: ignore[arg-type]
            found += frame["index"].tolist()
        return node.asked, found

    assert asyncio.run(main()) == (4, list(range(10)))


# ---- the line --------------------------------------------------------------------------------------------------


class Wire:
    """A WebSocket made of two queues."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.coming: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send_bytes(self, data: bytes) -> None:
        self.sent.put_nowait(data)

    async def receive_bytes(self) -> bytes:
        data = await self.coming.get()
        if data is None:
            raise ConnectionResetError
        return data


async def no_blobs(_: str) -> Any:
    raise NotFoundError("there is no blob")
    yield b""


def test_a_slow_reader_of_an_unbounded_stream_is_ended_and_the_node_told() -> None:
    async def main() -> None:
        hub, wire = NodeHub(buffer_bytes=1000, silence_ms=1000), Wire()
        serving = asyncio.ensure_future(hub.serve(wire, {"node": "n", "agents": ["a"]}, no_blobs))
        await asyncio.sleep(0)
        answer = hub.ask("a", "log", {}, patient=True)
        first = asyncio.ensure_future(anext(answer))
        rid = decode(await wire.sent.get())[0]
        for _ in range(10):
            wire.coming.put_nowait(encode([rid, "data", b"x" * 300]))
        assert len(await first) == 300
        with pytest.raises(TooManyError, match="too slow"):
            async for _ in answer:
                pass
        assert decode(await wire.sent.get()) == [rid, "cancel", None]
        wire.coming.put_nowait(None)
        with pytest.raises(ConnectionResetError):
            await serving
        assert len(hub) == 0

    asyncio.run(main())


def test_a_silent_node_is_not_waited_for_forever() -> None:
    async def main() -> None:
        hub, wire = NodeHub(buffer_bytes=1000, silence_ms=20), Wire()
        serving = asyncio.ensure_future(hub.serve(wire, {"node": "n", "agents": ["a"]}, no_blobs))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="has not answered"):
            await anext(hub.ask("a", "file", {}))
        assert [decode(await wire.sent.get())[1] for _ in range(2)] == ["file", "cancel"]
        serving.cancel()

    asyncio.run(main())


def test_a_newer_line_takes_the_agents_over() -> None:
    async def main() -> None:
        hub, old, new = NodeHub(1000, 1000), Wire(), Wire()
        tasks = [
            asyncio.ensure_future(hub.serve(wire, {"node": "n", "agents": ["a"]}, no_blobs)) for wire in (old, new)
        ]
        await asyncio.sleep(0)
        asked = asyncio.ensure_future(anext(hub.ask("a", "file", {})))
        rid = decode(await new.sent.get())[0]
        old.coming.put_nowait(None)
        await asyncio.wait({tasks[0]})
        new.coming.put_nowait(encode([rid, "data", b"still here"]))
        assert await asked == b"still here" and hub.node_for("a").name == "n"
        tasks[1].cancel()

    asyncio.run(main())


def test_one_piece_larger_than_the_buffer_still_passes() -> None:
    stream = _Stream(10)
    assert stream.put(b"x" * 100, 100) is True
    assert stream.put(b"y", 1) is False and stream.overrun


def test_a_node_without_the_token_is_refused(world: World) -> None:
    for hello in ({"node": "n", "agents": ["a1"], "token": "wrong"}, {"node": "n", "agents": ["a1"]}, ["no"], 5):
        with connect(f"ws://127.0.0.1:{world.port}/internal/node") as socket:
            socket.send(encode(hello))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
    assert world.do(lambda: len(world.room.nodes)) == 0


def test_a_node_that_talks_nonsense_is_cut_off(world: World) -> None:
    hello = encode({"node": "n", "agents": ["a1"], "token": NODE_TOKEN})
    for frames_sent in ([b"\xc1"], ["text"], [hello, b"\xc1"], [hello, encode(5)], [hello, "text"]):
        with connect(f"ws://127.0.0.1:{world.port}/internal/node") as socket:
            for frame in frames_sent:
                socket.send(frame)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)
    deadline(lambda: world.do(lambda: len(world.room.nodes)) == 0, "the line is still known")


# ---- payloads --------------------------------------------------------------------------------------------------


def put(world: World, data: bytes, name: str | None = None) -> httpx.Response:
    name = hashlib.sha256(data).hexdigest() if name is None else name
    return httpx.put(f"{world.url}/v2/blobs/{name}", content=data, headers=world.headers())


def test_a_payload_is_kept_under_its_digest(world: World) -> None:
    data = b"payload" * 1000
    name = hashlib.sha256(data).hexdigest()
    head = httpx.head(f"{world.url}/v2/blobs/{name}", headers=world.headers())
    assert head.status_code == 404
    assert put(world, data).json() == {"sha256": name, "size": len(data)}
    assert put(world, data).status_code == 201
    head = httpx.head(f"{world.url}/v2/blobs/{name}", headers=world.headers())
    assert head.status_code == 200 and head.headers["content-length"] == str(len(data))
    assert get(world, f"/v2/blobs/{name}").content == data


def test_a_payload_that_is_not_what_its_name_says(world: World) -> None:
    answer = put(world, b"other", "0" * 64)
    assert answer.status_code == 422 and "sha256" in answer.json()["detail"]
    assert get(world, f"/v2/blobs/{'0' * 64}").status_code == 404
    assert list(world.settings.blob_dir.iterdir()) == []


def test_a_name_that_is_no_digest(world: World) -> None:
    for name in ("..%2Ftoken", "x", "A" * 64):
        assert put(world, b"x", name).status_code == 404
        assert get(world, f"/v2/blobs/{name}").status_code == 404


def test_a_supervisor_fetches_a_payload(world: World, node: TinyNode) -> None:
    data = b"p" * 3_000_000
    put(world, data)

    async def fetch(name: str) -> bytes:
        return b"".join([chunk async for chunk in node.line.blob(name)])

    assert world.wait_for(fetch(hashlib.sha256(data).hexdigest())) == data
    with pytest.raises(NotFoundError, match="there is no blob"):
        world.wait_for(fetch("0" * 64))


def test_old_payloads_make_room_and_fresh_ones_do_not(world: World) -> None:
    import os

    from orch.api.blobs import BlobStore
    from orch.model.errors import TooLargeError

    store = BlobStore(world.settings.blob_dir / "other", blob_bytes=100, total_bytes=250)

    async def chunks(data: bytes) -> Any:
        yield data

    async def keep(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        await store.put(name, chunks(data))
        return name

    async def main() -> None:
        names = [await keep(bytes([n]) * 100) for n in range(2)]
        with pytest.raises(TooLargeError, match="in use"):
            await keep(b"c" * 100)
        old = store._path(names[0])
        os.utime(old, (1, 1))
        third = await keep(b"c" * 100)
        assert [store.size(name) for name in (*names, third)] == [None, 100, 100]
        with pytest.raises(TooLargeError, match="100 bytes"):
            await keep(b"d" * 101)

    asyncio.run(main())
