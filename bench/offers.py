"""Offers to frameworks elsewhere, each in a group of its own: a cycle that offers all of them what is free.

They all decline. Before a cycle pods end on one agent of a hundred, while all still refuse. Timed: the tick at
which the refusals end, the offers until they are bytes, and the declines from bytes until all is quiet. Demand
is twice of what is free. Checked outside of the timing: each framework is offered once, its own group, within limits
and, all together, within what is free; nobody before its refusal ends; what a framework keeps is what the master has.
Then the conflicts of busy frameworks (`bench.races`), and a cycle with nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median
from typing import Any

import numpy as np

from bench import races
from bench.far import Far, demand_of
from bench.rows import Rows
from bench.workloads import number, short
from orch.model import messages as say
from orch.model.codec import decode, encode
from orch.model.resources import R
from orch.placement.offered import FarOffers

CASES = tuple(f"{agents},{frameworks}" for agents in ("1k", "10k", "50k") for frameworks in (1, 50, 1000))
QUICK = ("1k,50", "10k,1000")
CYCLES = 7
WARM = 2
CHANGED = 0.01
"""Of the agents, in each cycle."""
REFUSE_MS = 5_000
IDLE_AGENTS = 100_000
IDLE_CYCLES = 100
SHAPES = 3
"""Different pods that each framework wants."""
WATCHED = 3
"""Frameworks whose columns are kept and compared; the others are sent the same bytes."""


def run(rows: Rows, quick: bool = False, case: str | None = None, seed: int = 1) -> None:
    """Print the rows of each case (`AGENTS,FRAMEWORKS`), plain and under quotas; without a case also the others."""
    for text in [case] if case else QUICK if quick else CASES:
        agents, frameworks = parsed(text)
        for quotas in (False, True):
            one(rows, agents, frameworks, quotas, seed, 5 if quick else CYCLES)
    if case is None:
        idle(rows, IDLE_AGENTS, seed)
        for busy in races.BUSY:
            races.one(rows, busy, seed)


def parsed(text: str) -> tuple[int, int]:
    """`10k,1000` -> (10000, 1000). Raises ValueError."""
    words = text.split(",")
    if len(words) != 2:
        raise ValueError(f"a case is AGENTS,FRAMEWORKS, such as 10k,1000, not {text!r}")
    agents, frameworks = number(words[0]), number(words[1])
    if min(agents, frameworks) < 1:
        raise ValueError(f"each number of a case is at least 1: {text!r}")
    return agents, frameworks


class Cycles:
    """A cluster of a case, and what its frameworks were sent."""

    def __init__(self, agents: int, frameworks: int, quotas: bool, seed: int) -> None:
        self.far = Far(agents, seed)
        self.names = [f"f{number:04}" for number in range(frameworks)]
        self.draw = np.random.default_rng([seed, agents, frameworks])
        self.wrong: list[str] = []
        self.watched = {self.names[at]: FarOffers() for at in np.linspace(0, frameworks - 1, WATCHED).astype(int)}
        self.filled = self.draw.permutation(agents)
        self.ids = self.far.fill(self.filled)
        self._quotas(quotas)
        for name in self.names:
            self.far.say(say.Subscribe(name))
            self.far.say(say.Suppress(name))
        free = self.free()
        for name in self.names:
            shape = self.draw.integers(0, len(self.far.made.requests), SHAPES)
            requests = self.far.made.requests[shape, :R]
            part = 2 * free / frameworks / SHAPES / np.maximum(requests, 1)
            part = part.min(axis=1, where=requests > 0, initial=1e9)
            self.far.say(demand_of(name, f"/{name}", requests, np.maximum(part, 1).astype(np.int64)))

    def _quotas(self, quotas: bool) -> None:
        tree, share = self.far.master.tree, self.free() // len(self.names)
        for at, name in enumerate(self.names if quotas else []):
            tree.set(f"/{name}", weight=1 + at % 3, guarantee=share // 2, limit=np.maximum(3 * share // 2, 1))

    def free(self) -> np.ndarray:
        """int64[R]: what is free on all agents together."""
        return self.far.master.agents["free"].sum(axis=0, dtype=np.int64)

    def first(self) -> tuple[float, int]:
        """Seconds and bytes of the first offers, which show all rows: asked for by the last of all who revive."""
        *others, last = self.names
        for framework in self.far.master.frameworks.by_name.values():
            framework.suppressed = framework.suppressed and framework.name not in others
        self.far.keeps = [f"framework/{name}" for name in self.watched]  # all of them would be gigabytes
        begun = time.perf_counter()
        sent = self.far.say(say.Revive(last))
        took, size = time.perf_counter() - begun, sum(self.far.bytes.values())
        self.far.keeps = None
        self._check(sent, self.far.bytes, list(self.watched))
        for name in self.draw.permutation(self.names).tolist():
            self.far.say(say.Decline(name, say.EMPTY_I32, REFUSE_MS))
        return took, size

    def cycle(self, last: bool = False) -> tuple[float, float, int]:
        """(wall seconds, processor seconds, bytes) of one cycle."""
        count = max(1, int(CHANGED * len(self.filled)))
        self._freed(count)
        declines = [encode(say.Decline(name, say.EMPTY_I32, REFUSE_MS)) for name in self.draw.permutation(self.names)]
        begun, cpu = time.perf_counter(), time.process_time()
        sent = self.far.tick(self.far.now_ms + REFUSE_MS)
        for decline in declines:
            if self.far.hear(decline):
                self.wrong.append("a decline was answered by an offer")
        took, used = time.perf_counter() - begun, time.process_time() - cpu
        self._check(sent, sent, self.names)
        return took, used, sum(len(message) for messages in sent.values() for message in messages)

    def _freed(self, count: int) -> None:
        ended, self.ids = self.ids[:count], self.ids[count:]
        rows, self.filled = self.filled[:count], self.filled[count:]
        sent = self.far.end(ended, rows)
        if any(name.startswith("framework/f0") for name in sent):
            self.wrong.append("somebody was offered what it refuses")

    def _check(self, sent: dict[str, list[bytes]], receivers: Iterable[str], names: list[str]) -> None:
        """The offers of one cycle, those of `names` looked at, against the laws that they promise."""
        told = sorted(receivers)
        if told != sorted(f"framework/{name}" for name in self.names):
            self.wrong.append(f"{len(told)} of {len(self.names)} frameworks were offered something")
        tree, total, shown = self.far.master.tree, np.zeros(R, dtype=np.int64), set[bytes]()
        room = tree.room()
        for name in names:
            offers = [decode(message) for message in sent.get(f"framework/{name}", [])]
            if [type(offer) for offer in offers] != [say.OfferChanges] or offers[0].groups != [f"/{name}"]:
                self.wrong.append(f"{name} got other messages than one offer of its group")
                continue
            headroom = offers[0].headroom[0]
            total += headroom
            shown.add(offers[0].shown)
            if (headroom > room[tree.find(f"/{name}")]).any() or not headroom.any() or (headroom < 0).any():
                self.wrong.append(f"{name} may take {headroom.tolist()}")
            if name in self.watched:
                self._same(self.watched[name].take(offers[0]))
        if (total > self.free()).any():
            self.wrong.append("all together may take more than is free")
        if len(shown) != 1:
            self.wrong.append("frameworks that saw the same were shown something else")

    def _same(self, offer: say.OfferBatch) -> None:
        agents = self.far.master.agents
        pairs = (
            (offer.free, "free"), (offer.total, "total"), (offer.usable, "usable"), (offer.sessions, "session"),
        )  # fmt: skip
        if not all(np.array_equal(column, agents[name]) for column, name in pairs) or offer.names != agents.names:
            self.wrong.append("what a framework keeps is not what the master has")


def one(rows: Rows, agents: int, frameworks: int, quotas: bool, seed: int, cycles: int) -> None:
    """The rows of one case: the first offers, which show everything, and the cycles after it."""
    case = f"{short(agents)},{frameworks}{' quotas' if quotas else ''}"
    made = Cycles(agents, frameworks, quotas, seed)
    first_s, first_bytes = made.first()
    timed = [made.cycle() for _ in range(WARM + cycles)][WARM:]
    more: dict[str, Any] = {"seed": seed, "wrong": made.wrong[:5]}
    rows.add(
        "offers", f"{case} first", 1000 * first_s, "ms", 1, verified=not made.wrong, wall_s=first_s, bytes=first_bytes,
        **more,
    )  # fmt: skip
    took = median(wall for wall, _, _ in timed)
    rows.add(
        "offers", case, 1000 * took, "ms", cycles, verified=not made.wrong, wall_s=took,
        cpu_s=median(cpu for _, cpu, _ in timed), bytes=int(median(sent for _, _, sent in timed)),
        rounds=[round(1000 * wall, 3) for wall, _, _ in timed], **more,
    )  # fmt: skip


def idle(rows: Rows, agents: int, seed: int, cycles: int = IDLE_CYCLES) -> None:
    """A cycle with nothing to do: somebody wants what there is not, says so again, and a tick comes."""
    far = Far(agents, seed)
    far.say(say.Subscribe("waits"))
    demand = demand_of("waits", "/waits", np.array([[0, 0, 0, 0, 2**30]], dtype=np.int32), np.ones(1, dtype=np.int64))
    heard = encode(demand)
    wrong = ["an offer of nothing"] if far.hear(heard) else []
    timed = []
    for _ in range(cycles):
        wake = far.host.wake_ms()
        far.master.wake_by(far.now_ms + 1)
        begun = time.perf_counter()
        sent = {**far.hear(heard), **far.tick(far.now_ms + 1)}
        timed.append(time.perf_counter() - begun)
        if sent or wake is None:
            wrong.append("something was sent, or nobody waits for the agents' silence")
    took = median(timed)
    rows.add(
        "offers", f"idle cycle {agents} agents", 1000 * took, "ms", cycles, verified=not wrong, wall_s=took, seed=seed,
        wrong=wrong[:5],
    )  # fmt: skip
