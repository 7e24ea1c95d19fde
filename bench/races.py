"""Conflicts: busy frameworks elsewhere match the same offers at once, each its own copy, and their accepts race."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.far import Far, accept_of, demand_of
from bench.rows import Rows
from orch.model import messages as say
from orch.model.codec import decode
from orch.model.ids import first_id
from orch.model.resources import R
from orch.placement import Demand
from orch.placement.offered import FarOffers, Offered, most_pods

BUSY = (2, 4, 8)
AGENTS = 1_000
LOAD = 0.9
"""Of what the cluster holds of the scarcest resource, by all frameworks together."""
SHAPES = 10
MOST_CYCLES = 100
STEP_MS = 1_000


@dataclass
class Racer:
    """One framework: what it still wants, and the columns that it was shown."""

    name: str
    number: int
    requests: NDArray[np.int32]
    counts: NDArray[np.int64]
    shown: FarOffers = field(default_factory=FarOffers)
    offered: Offered = field(default_factory=Offered)
    launched: int = 0
    shape: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    agents: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))

    def demand(self) -> say.Demand:
        """What it wants now."""
        return demand_of(self.name, f"/{self.name}", self.requests, self.counts)

    def accept(self, message: say.OfferChanges) -> say.Accept:
        """Match what it wants within its headroom, best fit."""
        offer = self.shown.take(message)
        cluster, room = self.offered.update(offer), offer.headroom[0].copy()
        shape, agents = [], []
        for row in range(len(self.counts)):
            request = self.requests[row : row + 1]
            pods = most_pods(request, self.counts[row : row + 1], np.zeros(1, dtype=np.int32), room)
            match = cluster.match(request, Demand.of([0], pods))
            placed = match.agent[match.agent >= 0]
            room -= len(placed) * request[0].astype(np.int64)
            shape += [np.full(len(placed), row, dtype=np.int32)]
            agents += [placed]
        self.shape, self.agents = np.concatenate(shape), np.concatenate(agents)
        ids = first_id(self.number) + self.launched + np.arange(len(self.agents), dtype=np.int64)
        return accept_of(
            self.name, ids, self.agents, offer.sessions[self.agents], self.shape, self.requests, f"/{self.name}"
        )

    def answered(self, result: say.AcceptResult) -> int:
        """Count what launched; the rows that came back as conflicts."""
        lost = result.verdicts != 0
        self.offered.refuse(self.agents[lost])
        self.counts = self.counts - np.bincount(self.shape[~lost], minlength=len(self.counts))
        self.launched += len(result.ids)
        return int(lost.sum())


def one(rows: Rows, busy: int, seed: int, agents: int = AGENTS) -> None:
    """One row: the percentage of accepted rows that came back, and the cycles until all pods are placed."""
    begun = time.perf_counter()
    far = Far(agents, seed)
    draw = np.random.default_rng([seed, busy])
    racers = _racers(far, busy, draw)
    offers: dict[str, list[bytes]] = {}
    for racer in racers:
        offers.update(far.say(racer.demand()))
    sent = lost = cycles = 0
    while any(racer.counts.any() for racer in racers) and cycles < MOST_CYCLES:
        far.master.wake_by(far.now_ms + STEP_MS)
        offers.update(far.tick(far.now_ms + STEP_MS))
        asked = [racer for racer in racers if f"framework/{racer.name}" in offers]
        accepts = [(racer, racer.accept(_only(offers, racer.name))) for racer in asked]
        cycles += 1
        offers = {}
        for at in draw.permutation(len(accepts)).tolist():
            answer = far.say(accepts[at][1])
            for racer, result in _results_of(answer, asked):
                sent, lost = sent + len(result.ids), lost + racer.answered(result)
            offers.update(_offers_of(answer))
    left = int(sum(racer.counts.sum() for racer in racers))
    far.master.check()
    placed = sum(racer.launched for racer in racers) - lost
    rows.add(
        "offers", f"conflicts {busy} busy", 100 * lost / max(sent, 1), "%", sent, seed=seed,
        verified=left == 0 and placed == len(far.master.instances.table), wall_s=time.perf_counter() - begun,
        cycles=cycles, placed=placed, conflicts=lost, unplaced=left,
    )  # fmt: skip


def _racers(far: Far, busy: int, draw: np.random.Generator) -> list[Racer]:
    """Frameworks with equal parts of a demand that fills the cluster to LOAD."""
    racers = []
    free = far.master.agents["free"].sum(axis=0, dtype=np.int64)
    for at in range(busy):
        requests = np.ascontiguousarray(far.made.requests[draw.integers(0, len(far.made.requests), SHAPES), :R])
        share = LOAD * free / busy / SHAPES
        counts = np.where(requests > 0, share // np.maximum(requests, 1), np.inf).min(axis=1).astype(np.int64)
        far.say(say.Subscribe(f"busy{at}"))
        racers.append(Racer(f"busy{at}", far.master.frameworks.by_name[f"busy{at}"].number, requests, counts))
    return racers


def _only(offers: dict[str, list[bytes]], name: str) -> say.OfferChanges:
    [message] = offers[f"framework/{name}"]
    found = decode(message)
    assert isinstance(found, say.OfferChanges)
    return found


def _results_of(answer: dict[str, list[bytes]], racers: list[Racer]) -> list[tuple[Racer, say.AcceptResult]]:
    """The results among what left, of whomever: an accept is committed when those before it have answered."""
    found = [(racer, decode(each)) for racer in racers for each in answer.get(f"framework/{racer.name}", [])]
    return [(racer, result) for racer, result in found if isinstance(result, say.AcceptResult)]


def _offers_of(answer: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    found = {
        to: [message for message in messages if isinstance(decode(message), say.OfferChanges)]
        for to, messages in answer.items()
    }
    return {to: messages for to, messages in found.items() if messages}
