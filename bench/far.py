"""A master in this process, with fleets of agents that are told of, and frameworks elsewhere: for `offers`.

What goes in and out are the real messages, as bytes of the real codec; only the wires between are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.workloads import Case, workload
from orch.machine.commands import Send
from orch.machine.host import Host
from orch.master import Master
from orch.model import messages as say
from orch.model.codec import decode, encode
from orch.model.ids import first_id
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.resources import R
from orch.model.states import State

LINE = 10_000
"""Agents behind one line."""
FILLER = "filler"
"""The framework whose pods end, so that there is something to offer."""
YEAR_MS = 365 * 86_400_000


class Far:
    """The cluster. Messages that leave are bytes by their receiver.

    `keeps`: the only receivers whose messages are kept, None: all; `bytes`: how many each was sent of what left last.
    """

    def __init__(self, agents: int, seed: int) -> None:
        self.now_ms = 1_000
        self.keeps: list[str] | None = None
        self.bytes: dict[str, int] = {}
        self.master = Master(unreachable_ms=YEAR_MS, gone_ms=YEAR_MS, remove_ms=YEAR_MS, hosted=())
        self.host = Host([self.master])
        self.host.start(self.now_ms)
        self.made = workload(Case(20 * agents, agents, 1000), seed)
        self._seqs: dict[str, int] = {}
        for at in range(0, agents, LINE):
            self._let_in(at, min(at + LINE, agents))
        self.say(say.Subscribe(FILLER))

    def _let_in(self, first: int, stop: int) -> None:
        fleet, names = f"fleet{first // LINE}", [f"agent-{row:07}" for row in range(first, stop)]
        total = np.ascontiguousarray(self.made.total[first:stop, :R])
        self.say(say.FleetRegister(fleet, "n", names, total, {"zone": f"z{first // LINE % 16}"}))
        session = int(self.master.agents["session"][first])
        self.say(say.Image(fleet, session, self.master.epoch, 0, **_columns([], State.RUNNING, self.now_ms)))
        self._seqs[fleet] = 0

    def say(self, message: Any) -> dict[str, list[bytes]]:
        """One message to the master; what it answers."""
        return self.hear(encode(message))

    def hear(self, message: bytes) -> dict[str, list[bytes]]:
        """The same for bytes as they come off the wire."""
        self.host.handle(self.now_ms, "master", decode(message))
        return self.taken()

    def tick(self, at_ms: int) -> dict[str, list[bytes]]:
        """Let time go on to `at_ms`, with one tick there."""
        self.now_ms = at_ms
        self.host.tick(at_ms)
        return self.taken()

    def taken(self) -> dict[str, list[bytes]]:
        """What may leave, encoded, by its receiver; the journal is said to be durable at once."""
        self.host.take_records()
        self.host.durable(self.host.index)
        sent: dict[str, list[bytes]] = {}
        self.bytes = {}
        for outgoing in self.host.take_commands():
            command = outgoing.command
            assert isinstance(command, Send), command
            message = encode(command.message)
            self.bytes[command.to] = self.bytes.get(command.to, 0) + len(message)
            if self.keeps is None or command.to in self.keeps:
                sent.setdefault(command.to, []).append(message)
        return sent

    def fill(self, agents: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        """Launch one small pod of the filler on each of these agents; their ids."""
        rows = np.asarray(agents, dtype=np.int32)
        of = first_id(self.master.frameworks.by_name[FILLER].number)
        ids = of + len(self.master.instances.table) + np.arange(len(rows), dtype=np.int64)
        sessions = self.master.agents["session"][rows]
        self.say(accept_of(FILLER, ids, rows, sessions, np.zeros(len(rows), np.int32), SMALL, "/filler"))
        return ids

    def end(self, ids: NDArray[np.int64], agents: NDArray[Any]) -> dict[str, list[bytes]]:
        """These pods of the filler end, as the fleets of their agents report; what left because of it."""
        sent: dict[str, list[bytes]] = {}
        for line in np.unique(agents // LINE).tolist():
            fleet, here = f"fleet{line}", agents // LINE == line
            self._seqs[fleet] += 1
            numbers = (int(self.master.agents["session"][line * LINE]), self.master.epoch, self._seqs[fleet])
            columns = _columns(ids[here].tolist(), State.FINISHED, self.now_ms)
            sent.update(self.say(say.UpdateBatch(fleet, *numbers, **columns)))
        self.say(say.Acknowledge(FILLER, ids, np.ones(len(ids), dtype=np.int32)))
        return sent


SMALL = np.array([[100, 64, 0, 0, 0]], dtype=np.int32)


def accept_of(
    framework: str, ids: NDArray[np.int64], agents: NDArray[np.int32], sessions: NDArray[np.int64],
    shape: NDArray[np.int32], requests: NDArray[np.int32], group: str,
) -> say.Accept:  # fmt: skip
    """An accept of one group's pods, first attempts all, each for itself."""
    count = len(ids)
    payload = say.Payload(
        templates={0: {"cmd": "true"}}, template=np.zeros(count, dtype=np.int32), index=np.arange(count),
        job=np.full(count, -1, dtype=np.int64), env_off=np.zeros(count + 1, dtype=np.int64), env_blob=b"",
    )  # fmt: skip
    return say.Accept(
        framework=framework, ids=ids, attempts=np.ones(count, dtype=np.int32), agents=agents, sessions=sessions,
        shape=shape, requests=requests, gangs=np.full(count, -1, dtype=np.int32), groups=[group],
        group=np.zeros(count, dtype=np.int32), priorities=np.zeros(count, dtype=np.int32), payload=payload,
    )  # fmt: skip


def demand_of(framework: str, group: str, requests: NDArray[np.int32], counts: NDArray[np.int64]) -> say.Demand:
    """A demand of one group, each pod for itself."""
    none = np.zeros(len(counts), dtype=np.int32)
    return say.Demand(framework, [group], none, requests, counts, none, none)


def _columns(ids: list[int], state: State, now_ms: int) -> dict[str, Any]:
    count = len(ids)
    return {
        "ids": np.array(ids, dtype=np.int64),
        "attempts": np.ones(count, dtype=np.int32),
        "states": np.full(count, state, dtype=np.uint8),
        "exit_codes": np.full(count, NO_EXIT_CODE, dtype=np.int16),
        "reasons": np.full(count, Reason.NONE, dtype=np.uint8),
        "started_ms": np.full(count, now_ms, dtype=np.int64),
        "changed_ms": np.full(count, now_ms, dtype=np.int64),
    }
