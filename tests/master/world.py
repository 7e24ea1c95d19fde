"""What the master's tests share: a host with a master and small frameworks, agents that say what they are told to say,
and a follower that sees only the records and must stay equal.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from orch.machine.commands import Command, Reply, Send
from orch.machine.host import Host, Record
from orch.machine.machine import Machine
from orch.master import Master, views
from orch.model import messages as say
from orch.model import payload as payloads
from orch.model.codec import decode, encode
from orch.model.ids import first_id
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.resources import R
from orch.model.states import FIRST_TERMINAL, State
from orch.placement.offered import FarOffers

TOTAL = (4000, 4096, 10_000, 0, 100)
POD = (1000, 512, 0, 0, 0)


def i64(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.int64)


def i32(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.int32)


def u8(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.uint8)


def payload_of(ids: Sequence[int]) -> say.Payload:
    """Every instance's environment is its own id, so that a mixed-up payload shows."""
    envs = [f"ID={number}\0".encode() for number in ids]
    return say.Payload(
        templates={5: {"cmd": "true"}},
        template=np.full(len(ids), 5, dtype=np.int32),
        index=np.array(ids, dtype=np.int64) & 0xFFFF,
        job=np.full(len(ids), -1, dtype=np.int64),
        env_off=np.cumsum([0, *map(len, envs)], dtype=np.int64),
        env_blob=b"".join(envs),
    )


def ids_in(payload: say.Payload) -> list[int]:
    """The ids that `payload_of` wrote into the environments."""
    ends = payload.env_off.tolist()
    envs = [payload.env_blob[a:b] for a, b in itertools.pairwise(ends)]
    return [int(env.decode().removeprefix("ID=").rstrip("\0")) for env in envs]


class Pod:
    """One pod that a framework below wants."""

    def __init__(self, number: int, group: str, request: Sequence[int], gang: int, priority: int) -> None:
        self.number, self.group, self.request, self.gang, self.priority = number, group, tuple(request), gang, priority
        self.attempt = 1
        self.state = State.SCHEDULED


def demand_of(name: str, pods: Sequence[Pod], gang_size: dict[int, int]) -> say.Demand:
    kinds: dict[tuple[str, tuple[int, ...], int, int], int] = {}
    for pod in pods:
        key = (pod.group, pod.request, gang_size.get(pod.gang, 0), pod.priority)
        kinds[key] = kinds.get(key, 0) + 1
    groups = sorted({key[0] for key in kinds})
    return say.Demand(
        framework=name,
        groups=groups,
        group=i32(*(groups.index(key[0]) for key in kinds)),
        requests=np.array([key[1] for key in kinds], dtype=np.int32).reshape(-1, R),
        counts=i64(*kinds.values()),
        gangs=i32(*(key[2] for key in kinds)),
        priorities=i32(*(key[3] for key in kinds)),
    )


def accept_of(name: str, rows: Sequence[tuple[Pod, int, int]]) -> say.Accept:
    """rows: (pod, agent row, the agent's session)."""
    pods = [row[0] for row in rows]
    shapes = sorted({pod.request for pod in pods})
    groups = sorted({pod.group for pod in pods})
    return say.Accept(
        framework=name,
        ids=i64(*(pod.number for pod in pods)),
        attempts=i32(*(pod.attempt for pod in pods)),
        agents=i32(*(row[1] for row in rows)),
        sessions=i64(*(row[2] for row in rows)),
        shape=i32(*(shapes.index(pod.request) for pod in pods)),
        requests=np.array(shapes, dtype=np.int32).reshape(-1, R),
        gangs=i32(*(pod.gang for pod in pods)),
        groups=groups,
        group=i32(*(groups.index(pod.group) for pod in pods)),
        priorities=i32(*(pod.priority for pod in pods)),
        payload=payload_of([pod.number for pod in pods]),
    )


class Greedy(Machine):
    """A framework in plain Python: first fit within headroom, in the order in which pods were asked for.

    `mood`: "takes" (as it should be), "passes" (takes nothing), "silent" (does not even answer).
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.mood = "takes"
        self.number = 0
        self.pods: dict[int, Pod] = {}
        self.gang_size: dict[int, int] = {}
        self.offers: list[say.OfferBatch] = []
        self.heard: list[Any] = []
        self.acknowledges = True
        self._flying: set[int] = set()

    def handle(self, now_ms: int, event: Any) -> list[Command]:
        self.heard.append(event)
        handlers = {
            say.Subscribed: self._subscribed, say.OfferBatch: self._offered, say.AcceptResult: self._answered,
            say.InstanceUpdates: self._updated, say.ResendRequest: self._resend, Wish: self._wish, Pass: self._say,
        }  # fmt: skip
        handlers[type(event)](event)
        commands, self._commands = self._commands, []
        return commands

    def started(self, now_ms: int) -> list[Command]:
        self.send("master", say.Subscribe(self.name))
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        return {}

    def restore(self, image: dict[str, Any]) -> None:
        return

    def waiting(self) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.state == State.SCHEDULED and pod.number not in self._flying]

    def _subscribed(self, event: say.Subscribed) -> None:
        self.number = event.number

    def _wish(self, event: Wish) -> None:
        for pod in event.pods:
            self.pods[pod.number] = pod
            if pod.gang >= 0:
                self.gang_size[pod.gang] = self.gang_size.get(pod.gang, 0) + 1
        self._ask()

    def _say(self, event: Pass) -> None:
        self.send("master", event.message)

    def _ask(self) -> None:
        self.send("master", demand_of(self.name, self.waiting(), self.gang_size))

    def _offered(self, event: say.OfferBatch) -> None:
        self.offers.append(event)
        if self.mood == "silent":
            return
        presses = len(event.bands) > 0
        choose = self._pressing if presses else self._chosen
        rows = [] if self.mood == "passes" else choose(event)
        self._flying |= {pod.number for pod, _, _ in rows}
        self.send("master", dataclasses.replace(accept_of(self.name, rows), preempt=u8(*[presses] * len(rows))))

    def _pressing(self, offer: say.OfferBatch) -> list[tuple[Pod, int, int]]:
        pods = [pod for pod in self.waiting() if pod.priority >= offer.bands[0] and pod.group in offer.groups]
        return [(pod, -1, 0) for pod in pods]

    def _chosen(self, offer: say.OfferBatch) -> list[tuple[Pod, int, int]]:
        free, room = offer.free.astype(np.int64), dict(zip(offer.groups, offer.headroom.copy(), strict=True))
        rows: list[tuple[Pod, int, int]] = []
        units: dict[int, list[Pod]] = {}
        for pod in self.waiting():
            units.setdefault(pod.gang if pod.gang >= 0 else -1 - pod.number, []).append(pod)
        for unit in units.values():
            trial, left, placed = free.copy(), room.get(unit[0].group), []
            if left is None:
                continue
            left = left.copy()
            for pod in unit:
                fits = np.flatnonzero(np.all(trial >= pod.request, axis=1) & (offer.usable == 1))
                if len(fits) and np.all(left >= pod.request):
                    trial[fits[0]] -= pod.request
                    left -= pod.request
                    placed.append((pod, int(fits[0]), int(offer.sessions[fits[0]])))
            if len(placed) == len(unit):
                free, room[unit[0].group] = trial, left
                rows += placed
        return rows

    def _answered(self, event: say.AcceptResult) -> None:
        for number, verdict in zip(event.ids.tolist(), event.verdicts.tolist(), strict=True):
            self._flying.discard(number)
            if verdict == 0 and number in self.pods and self.pods[number].state == State.SCHEDULED:
                self.pods[number].state = State.STAGING
        self._ask()

    def _updated(self, event: say.InstanceUpdates) -> None:
        for number, attempt, state in zip(
            event.ids.tolist(), event.attempts.tolist(), event.states.tolist(), strict=True
        ):
            if number in self.pods and self.pods[number].attempt == attempt:
                self.pods[number].state = State(state)
        over = event.states >= FIRST_TERMINAL
        if self.acknowledges and over.any():
            self.send("master", say.Acknowledge(self.name, event.ids[over], event.attempts[over]))

    def _resend(self, event: say.ResendRequest) -> None:
        self.send("master", say.Relaunch(self.name, event.ids, event.attempts, payload_of(event.ids.tolist())))


class Wish:
    """To a framework above: want these pods."""

    def __init__(self, *pods: Pod) -> None:
        self.pods = pods


class Pass:
    """To a framework above: say this to the master."""

    def __init__(self, message: Any) -> None:
        self.message = message


class World:
    """One host, its journal, its follower, and what left it."""

    def __init__(self, *frameworks: str, agents: int = 1, **options: Any) -> None:
        self.options = {"hosted": frameworks, **options}
        self.names = frameworks
        self.now_ms = 1_000
        self.journal: list[bytes] = []
        self.image: bytes | None = None
        self.sent: list[Send] = []
        self.replies: list[Reply] = []
        self.seqs: dict[str, int] = {}
        self.far: dict[str, FarOffers] = {}
        """What frameworks elsewhere have been shown; only their offers are sent as changes."""
        self.shown: list[say.OfferChanges] = []
        self._next = 0
        self._start()
        for number in range(agents):
            self.join(f"a{number}")

    # ---- the host ------------------------------------------------------------------------------------------------

    def _machines(self) -> list[Machine]:
        return [Master(**self.options), *(Greedy(name) for name in self.names)]

    def _start(self) -> None:
        self.host = Host(self._machines())
        if self.image is not None:
            self.host.restore(decode(self.image))
        for body in self.journal:
            self.host.replay(decode(body))
        self.host.start(self.now_ms)
        self.follower: Host | None = None
        self.settle()

    def restart(self, snapshot: bool = False) -> None:
        """The process dies and comes back from its journal, or from a snapshot of now."""
        if snapshot:
            self.image, self.journal = encode(self.host.snapshot()), []
        self._start()

    def settle(self) -> None:
        """Journal what was emitted, let leave what may, and compare the follower."""
        records = self.host.take_records()
        self.journal += [encode(record) for record in records if not record.soft]
        self.host.durable(self.host.index)
        for outgoing in self.host.take_commands():
            command = outgoing.command
            if isinstance(command, Send):
                self.sent.append(Send(command.to, self._as_seen(command.to, decode(encode(command.message)))))
            else:
                assert isinstance(command, Reply)
                self.replies.append(command)
        self.host.check()
        self._follow(records)

    def _as_seen(self, to: str, message: Any) -> Any:
        """A message as its receiver sees it: changes are a whole offer, which must be what the master has."""
        if not isinstance(message, say.OfferChanges):
            return message
        self.shown.append(message)
        offer = self.far.setdefault(to, FarOffers()).take(message)
        agents = self.master.agents
        assert offer.names == agents.names and offer.attributes == agents.attributes
        columns = {name: getattr(offer, name).copy() for name in ("free", "total", "usable", "sessions")}
        usable = agents["usable"].copy()
        usable[message.hidden] = 0
        for name, column in {**agents_shown(agents), "usable": usable}.items():
            assert np.array_equal(columns[name], column), name
        return dataclasses.replace(offer, **columns)

    def _follow(self, records: list[Record]) -> None:
        whole = encode(self.host.snapshot(soft=True))
        if self.follower is None:
            self.follower = Host(self._machines())
            self.follower.restore(decode(whole))
        else:
            for record in records:
                self.follower.replay(decode(encode(record)))
            self.follower.check()
        assert encode(self.follower.snapshot(soft=True)) == whole, "the follower differs"

    @property
    def master(self) -> Master:
        machine = self.host.machines["master"]
        assert isinstance(machine, Master)
        return machine

    def framework(self, name: str) -> Greedy:
        machine = self.host.machines[name]
        assert isinstance(machine, Greedy)
        return machine

    def tell(self, event: Any, to: str = "master") -> list[Any]:
        """One event at the present time; returns the messages that left because of it."""
        before = len(self.sent)
        self.host.handle(self.now_ms, to, event)
        self.settle()
        return [send.message for send in self.sent[before:]]

    def until(self, at_ms: int) -> list[Any]:
        """Let time go on to `at_ms`, with a tick whenever one is due."""
        before = len(self.sent)
        while (wake := self.host.wake_ms()) is not None and wake <= at_ms:
            self.now_ms = max(self.now_ms, wake)
            self.host.tick(self.now_ms)
            self.settle()
        self.now_ms = at_ms
        return [send.message for send in self.sent[before:]]

    def ask(self, request: Any, **fields: Any) -> Any:
        """A user's request; returns the reply's body, or its error."""
        self.tell(request(request="r", key="", user="ann", at_ms=self.now_ms, **fields))
        reply = self.replies.pop()
        assert not self.replies
        return reply.body if reply.error is None else reply.error

    # ---- agents --------------------------------------------------------------------------------------------------

    def register(self, name: str, nonce: str = "n", total: Sequence[int] = TOTAL, **attributes: str) -> list[Any]:
        return self.tell(say.Register(name, nonce, i32(*total), attributes))

    def join(self, name: str, nonce: str = "n", total: Sequence[int] = TOTAL, rows: Sequence[Any] = ()) -> list[Any]:
        """Register and send an image; returns what followed the image."""
        self.register(name, nonce, total)
        return self.image_of(name, rows)

    def session(self, name: str) -> int:
        agents = self.master.agents
        return int(agents["session"][agents.by_name[name]]) if name in agents.by_name else 0

    def columns(self, rows: Sequence[Any]) -> dict[str, Any]:
        """rows: (id, state), or (id, state, {attempt, exit_code, reason, started_ms})."""
        full = [(row[0], row[1], row[2] if len(row) > 2 else {}) for row in rows]
        return {
            "ids": i64(*(row[0] for row in full)),
            "attempts": i32(*(row[2].get("attempt", 1) for row in full)),
            "states": u8(*(row[1] for row in full)),
            "exit_codes": np.array([row[2].get("exit_code", NO_EXIT_CODE) for row in full], dtype=np.int16),
            "reasons": u8(*(row[2].get("reason", Reason.NONE) for row in full)),
            "started_ms": i64(*(row[2].get("started_ms", 0) for row in full)),
            "changed_ms": np.full(len(full), self.now_ms, dtype=np.int64),
        }

    def image_of(self, name: str, rows: Sequence[Any] = (), **fields: Any) -> list[Any]:
        more = {"session": self.session(name), "epoch": self.master.epoch, "received_seq": 0, **fields}
        self.seqs.setdefault(name, 0)
        return self.tell(say.Image(name, **{**self.columns(rows), **more}))

    def update(self, name: str, *rows: Any, **fields: Any) -> list[Any]:
        """An update batch of the next seq of the agent's session (or of the given one)."""
        session = self.session(name)
        key = f"{name}.{session}.{self.master.epoch}"
        self.seqs[key] = fields.get("seq", self.seqs.get(key, 0) + 1)
        more = {"session": session, "epoch": self.master.epoch, "seq": self.seqs[key], **fields}
        return self.tell(say.UpdateBatch(name, **{**self.columns(rows), **more}))

    def beat(self, name: str, **fields: Any) -> list[Any]:
        row = self.master.agents.by_name.get(name)
        received = 0 if row is None else int(self.master.agents["out_seq"][row])
        more = {"session": self.session(name), "epoch": self.master.epoch, "received_seq": received, **fields}
        return self.tell(say.Heartbeat(name, sent_ms=self.now_ms, **more))

    # ---- frameworks ----------------------------------------------------------------------------------------------

    def pods(
        self,
        framework: str,
        count: int,
        request: Sequence[int] = POD,
        group: str = "/demo",
        gang: int = -1,
        priority: int = 0,
    ) -> list[Pod]:
        """New pods of a framework, with ids of their own."""
        self._next += count
        first = first_id(self.master.frameworks.by_name[framework].number) + self._next - count
        return [Pod(first + at, group, request, gang, priority) for at in range(count)]

    def submit(self, framework: str, count: int, **fields: Any) -> list[int]:
        """The framework wants new pods; returns their ids."""
        pods = self.pods(framework, count, **fields)
        self.tell(Wish(*pods), to=framework)
        return [pod.number for pod in pods]

    # ---- what is so ----------------------------------------------------------------------------------------------

    def states(self, *numbers: int) -> list[str | None]:
        """The states of instances; None where the master has none."""
        found = [views.instance(self.master, number) for number in numbers]
        return [None if one is None else one["state"] for one in found]

    def agent(self, name: str) -> dict[str, Any]:
        found = views.agent(self.master, name)
        assert found is not None
        return found

    def free(self, name: str) -> list[int]:
        agents = self.master.agents
        amounts: list[int] = agents["free"][agents.by_name[name]].tolist()
        return amounts


def agents_shown(agents: Any) -> dict[str, np.ndarray]:
    return {"free": agents["free"], "total": agents["total"], "sessions": agents["session"]}


def only(messages: Sequence[Any], kind: type) -> Any:
    """The one message of a kind."""
    [found] = [message for message in messages if type(message) is kind]
    return found


def kinds(messages: Sequence[Any]) -> list[str]:
    return [type(message).__name__ for message in messages]


def launched(world: World) -> dict[int, str]:
    """Every id in every `LaunchBatch` that left, and its agent; payloads are compared on the way."""
    found: dict[int, str] = {}
    for send in world.sent:
        if isinstance(send.message, say.LaunchBatch):
            ids = send.message.ids.tolist()
            assert ids_in(send.message.payload) == ids and payloads.rows_of(send.message.payload) == len(ids)
            found.update(dict.fromkeys(ids, send.to.removeprefix("agent/")))
    return found
