"""A cluster without Ray and without processes: the real machines, journal, feed, app and HTTP server, and a tiny agent.

It lives on a thread of its own; tests speak HTTP to it, and use `world.do` to reach in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvicorn

from orch.api.app import create_app
from orch.api.backend import Answer
from orch.api.follower import Follower
from orch.api.room import Room
from orch.api.settings import Settings
from orch.client.cluster import Cluster
from orch.client.places import Place
from orch.machine.host import Host
from orch.model import messages as m
from orch.model.codec import decode, encode
from orch.model.errors import ExpiredError, NotFoundError, from_dict
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import FIRST_TERMINAL, State
from orch.node.line import Line
from orch.runtime.machines import make_machines
from orch.runtime.runner import Runner
from orch.store import SqliteStore

T = TypeVar("T")
TOKEN, NODE_TOKEN = "secret-of-users", "secret-of-nodes"
PATIENT = {"master": {"unreachable_ms": 3_600_000, "gone_ms": 3_600_000}}


class Server(uvicorn.Server):
    """uvicorn, but signals are the tests' own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Row:
    """What the tiny agent has of one instance."""

    def __init__(self, template: Template, index: int, job: int, env: dict[str, str], attempt: int) -> None:
        self.template, self.index, self.job, self.env, self.attempt = template, index, job, env, attempt
        self.state, self.code, self.reason = State.STAGING, NO_EXIT_CODE, Reason.NONE
        self.started_ms = self.changed_ms = 0
        self.files: dict[str, bytes] = {}

    @property
    def command(self) -> str:
        """What its first container runs."""
        container = self.template.containers[0]
        return container.shell or " ".join(container.argv)


class TinyAgent:
    """Speaks the link's protocol and pretends. `program(row)`: the exit code, or None to run until stopped."""

    def __init__(self, world: World, name: str, total: list[int]) -> None:
        self.world, self.name, self.total = world, name, np.array(total, dtype=np.int32)
        self.program: Callable[[Row], int | None] = by_command
        self.rows: dict[int, Row] = {}
        self.paused = False
        self._session = self._epoch = self._seq = self._received = 0
        self._held: list[Any] = []

    def register(self) -> None:
        attributes = {"hostname": "127.0.0.1", "zone": self.name, "ports": "31000-31999"}
        self.world.to_master(m.Register(self.name, f"nonce-{self.name}", self.total, attributes))

    def take(self, message: Any) -> None:
        if self.paused:
            self._held.append(message)
            return
        if isinstance(message, m.Registered):
            self._session, self._epoch, self._seq, self._received = message.session, message.epoch, 0, 0
            self._image()
        elif isinstance(message, m.ImageRequest):
            self._image()
        elif isinstance(message, m.LaunchBatch):
            self._received = message.seq
            self._launch(message)
        elif isinstance(message, m.StopBatch):
            self._received = message.seq
            for number, reason in zip(message.ids.tolist(), message.reasons.tolist(), strict=True):
                if number in self.rows and self.rows[number].state < FIRST_TERMINAL:
                    self.become([number], State.KILLED, -15, Reason(reason))

    def resume(self) -> None:
        self.paused = False
        held, self._held = self._held, []
        for message in held:
            self.take(message)

    def become(self, ids: list[int], state: State, code: int = NO_EXIT_CODE, reason: Reason = Reason.NONE) -> None:
        """Instances change by themselves: tell the master."""
        now_ms = int(time.time() * 1000)
        details = {}
        for number in ids:
            row = self.rows[number]
            row.state, row.code, row.reason, row.changed_ms = state, code, reason, now_ms
            row.started_ms = row.started_ms or now_ms
            if row.job < 0:
                details[number] = details_of(row, number)
        self._seq += 1
        self.world.to_master(
            m.UpdateBatch(self.name, self._session, self._epoch, self._seq, **self._columns(ids), details=details)
        )

    def _launch(self, message: m.LaunchBatch) -> None:
        payload = message.payload
        for at, number in enumerate(message.ids.tolist()):
            raw = payload.env_blob[int(payload.env_off[at]) : int(payload.env_off[at + 1])] if payload.env_blob else b""
            env = dict(pair.decode().split("=", 1) for pair in raw.split(b"\0") if pair)
            template = Template.from_wire(payload.templates[int(payload.template[at])])
            self.rows[number] = Row(
                template, int(payload.index[at]), int(payload.job[at]), env, int(message.attempts[at])
            )
        self.become(message.ids.tolist(), State.RUNNING)
        ends: dict[int, list[int]] = {}
        for number in message.ids.tolist():
            code = self.program(self.rows[number])
            if code is not None:
                ends.setdefault(code, []).append(number)
        for code, ids in ends.items():
            self.become(ids, State.FINISHED if code == 0 else State.FAILED, code, Reason.EXITED)

    def _columns(self, ids: list[int]) -> dict[str, Any]:
        rows = [self.rows[number] for number in ids]
        return {
            "ids": np.array(ids, dtype=np.int64),
            "attempts": np.array([row.attempt for row in rows], dtype=np.int32),
            "states": np.array([row.state for row in rows], dtype=np.uint8),
            "exit_codes": np.array([row.code for row in rows], dtype=np.int16),
            "reasons": np.array([row.reason for row in rows], dtype=np.uint8),
            "started_ms": np.array([row.started_ms for row in rows], dtype=np.int64),
            "changed_ms": np.array([row.changed_ms for row in rows], dtype=np.int64),
        }

    def _image(self) -> None:
        ids = sorted(self.rows)
        self.world.to_master(m.Image(self.name, self._session, self._epoch, self._received, **self._columns(ids)))


def by_command(row: Row) -> int | None:
    """`exit N` ends with N, `true` with 0; a job's `sha256sum ...` prints; everything else runs on."""
    words = row.command.split()
    if words[0] == "exit":
        return int(words[1])
    if words[0] == "sha256sum":
        row.files["stdout"] = f"digest of {row.env['FILE']}\n".encode()
        return 0
    return 0 if words[0] in ("true", "echo") else None


def details_of(row: Row, number: int) -> dict[str, Any]:
    """What an agent tells of a service's instance."""
    containers, endpoints = [], []
    for at, container in enumerate(row.template.containers):
        containers.append({"name": container.name, "state": row.state.name, "exit_code": NO_EXIT_CODE, "healthy": None})
        for endpoint in container.endpoints:
            endpoints.append({"container": container.name, "name": endpoint.name, "port": 31000 + number % 900 + at})
    checked = any(container.health for container in row.template.containers)
    healthy = (row.state == State.RUNNING) if checked else None
    return {"containers": containers, "endpoints": endpoints, "healthy": healthy, "message": ""}


class TinyNode:
    """The supervisor of all tiny agents: answers the gateway's questions from what they pretend to have written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = 0
        self.more = asyncio.Event()
        """Set when something was written to a log that is followed."""
        self.expired: set[int] = set()
        hello = {"node": "n1", "agents": list(world.agents), "token": NODE_TOKEN}
        operations = {"log": self.log, "file": self.file, "files": self.files, "outputs": self.outputs}
        self.line = Line(f"http://127.0.0.1:{world.port}", hello, operations)
        self.task = asyncio.ensure_future(self.line.run())

    def row(self, number: int) -> Row:
        if number in self.expired:
            raise ExpiredError(f"the sandbox of instance {number} was removed")
        return next(agent.rows[number] for agent in self.world.agents.values() if number in agent.rows)

    async def log(self, args: dict[str, Any]) -> AsyncIterator[bytes]:
        self.asked.append(("log", args))
        row, name = self.row(args["instance"]), args["stream"]
        data = row.files.get(name, b"")
        at = args["offset"] if args["offset"] >= 0 else max(0, len(data) + args["offset"])
        end = len(data) if args["limit"] < 0 else at + args["limit"]
        try:
            if data[at:end]:
                yield data[at:end]
            while args["follow"] and row.state < FIRST_TERMINAL:
                at = len(row.files.get(name, b""))
                await self.more.wait()
                self.more.clear()
                yield row.files[name][at:]
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def file(self, args: dict[str, Any]) -> AsyncIterator[bytes]:
        self.asked.append(("file", args))
        files = self.row(args["instance"]).files
        if args["path"] not in files:
            raise NotFoundError(f"there is no file {args['path']!r} in the sandbox")
        yield files[args["path"]][args["offset"] : args["offset"] + args["limit"]]

    async def files(self, args: dict[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
        self.asked.append(("files", args))
        files = self.row(args["instance"]).files
        yield [{"name": name, "size": len(files[name]), "is_dir": False} for name in sorted(files)]

    async def outputs(self, args: dict[str, Any]) -> AsyncIterator[list[Any]]:
        self.asked.append(("outputs", args))
        for first in range(0, len(args["ids"]), 100):
            ids = args["ids"][first : first + 100]
            found = [None if n in self.expired else self.row(n).files.get(args["file"]) for n in ids.tolist()]
            sizes = [-1 if data is None else min(len(data), args["limit"]) for data in found]
            sizes = [-2 if n in self.expired else size for n, size in zip(ids.tolist(), sizes, strict=True)]
            yield [ids, np.array(sizes, dtype=np.int64), b"".join(data[: args["limit"]] for data in found if data)]


class World:
    """`with World(tmp_path) as world: world.cluster.submit(...)`."""

    def __init__(self, folder: Path, agents: int = 2, total: list[int] | None = None, **limits: Any) -> None:
        self._folder = folder
        self._total = total or [4000, 8192, 10_000, 0, 100]
        self._names = [f"a{number + 1}" for number in range(agents)]
        own = {"steady_ms": 50, **limits}
        self.settings = Settings(token=TOKEN, node_token=NODE_TOKEN, blob_dir=folder / "blobs", **own)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)
        self._failure: BaseException | None = None
        self.agents: dict[str, TinyAgent] = {}

    # ---- for the tests -----------------------------------------------------------------------------------------

    def __enter__(self) -> World:
        self._thread.start()
        assert self._ready.wait(30), "the world did not start"
        if self._failure is not None:
            raise self._failure
        self.url = f"http://127.0.0.1:{self.port}"
        self.cluster = Cluster(Place(self.url, TOKEN))
        deadline(lambda: self.do(lambda: self._ready_agents()) == len(self._names), "agents are not READY")
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.close()
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the world does not stop"

    def do(self, function: Callable[[], T]) -> T:
        """Call a function on the world's thread."""
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  handed to the caller
                future.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return future.result(20)

    def wait_for(self, task: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the world's loop."""
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(20)

    @property
    def room(self) -> Room:
        room = self.app.state.room
        assert isinstance(room, Room)
        return room

    def connect_node(self) -> TinyNode:
        """A supervisor dials in; returns once the gateway knows it."""
        node = self.do(lambda: TinyNode(self))
        self._lines.append(node)
        deadline(lambda: self.do(lambda: len(self.room.nodes)), "the supervisor is not connected")
        return node

    def restart_server(self) -> None:
        """The gateway's HTTP server goes, and comes back at the same port."""
        self.wait_for(self._stop_server())
        self.wait_for(self._start_server())

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    # ---- the backend -------------------------------------------------------------------------------------------

    async def call(self, machine: str, request: Any) -> Answer:
        answer = await self.runner.call(machine, decode(encode(request)))
        self.calls.append(request)
        if answer["error"] is not None:
            raise from_dict(answer["error"])
        return Answer(answer["body"], answer["index"])

    def info(self) -> dict[str, Any]:
        return {"cluster": "0123abcd", "url": self.url}

    async def join(self, node: str) -> dict[str, Any]:
        return {"node": node, "cluster": "0123abcd"}

    async def spans(self, since: float) -> dict[str, Any]:
        return {"master": self.runner.spans.since(since)}

    # ---- inside ------------------------------------------------------------------------------------------------

    def to_master(self, message: Any) -> None:
        self.loop.call_soon(lambda: self.runner.from_agents([(message.agent, encode(message))]))

    def _send(self, to: str, message: Any) -> None:
        agent = self.agents.get(to.removeprefix("agent/"))
        if agent is not None:
            self.loop.call_soon(agent.take, decode(encode(message)))

    def _ready_agents(self) -> int:
        from orch.api import reads

        return reads.agent_counts(self.follower.replica).get("READY", 0)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  handed to the test
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.calls: list[Any] = []
        self.runner = Runner(
            lambda: make_machines(PATIENT), SqliteStore(self._folder / "data"), self._send, self._folder, "life", _fatal
        )
        self.runner.start()
        self.follower = Follower(Host(make_machines(PATIENT)))
        await self.take_image()
        self.app = create_app(self, self.settings)
        self.port = 0
        self._lines: list[TinyNode] = []
        await self._start_server()
        following = asyncio.ensure_future(self._follow())
        for name in self._names:
            self.agents[name] = TinyAgent(self, name, self._total)
            self.agents[name].register()
        self._ready.set()
        await self._stop.wait()
        self.follower.close()
        for node in self._lines:
            node.task.cancel()
        following.cancel()
        await self._stop_server()
        await self.runner.stop()

    async def _start_server(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self.app, log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
        self._server = Server(config)
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[listener]))
        while not self._server.started:
            await asyncio.sleep(0.001)

    async def _stop_server(self) -> None:
        self._server.should_exit = True
        await self._serving

    async def take_image(self) -> None:
        """As a gateway does at its start, and after a gap of the feed."""
        found = decode(await self.runner.image())
        replica = Host(make_machines(PATIENT))
        replica.restore(found["image"])
        self._life = found["life"]
        self.follower.reset(replica, found["after"])

    async def _follow(self) -> None:
        while True:
            found = decode(await self.runner.follow(self._life, self.follower.position, 1_000))
            if "gap" in found:
                await self.take_image()
                continue
            self.follower.apply([decode(body) for body in found["records"]], int(time.time() * 1000))


def deadline(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Wait for a condition; returns what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return found


def _fatal(error: Exception) -> None:
    raise AssertionError("the machines could not be rebuilt") from error
