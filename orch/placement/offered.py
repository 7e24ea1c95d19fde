"""What a framework was last offered: its own cluster, kept up to date by the rows that changed.

A framework in the master's process is shown the master's columns (`OfferBatch`); one elsewhere keeps columns of its own
behind the changes it is sent (`FarOffers`), and goes on from the same `OfferBatch`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orch.model.codec import decode
from orch.model.messages import (
    EMPTY_I32,
    EMPTY_I64,
    EMPTY_REQUESTS,
    Accept,
    OfferBatch,
    OfferChanges,
    OfferRows,
)
from orch.model.payload import empty
from orch.model.resources import R
from orch.placement.cluster import Cluster
from orch.placement.columns import Int32, Int64
from orch.placement.constraints import Limits
from orch.placement.demand import Demand


def passed(framework: str) -> Accept:
    """The answer of a framework that takes nothing of an offer."""
    return Accept(
        framework=framework, ids=EMPTY_I64, attempts=EMPTY_I32, agents=EMPTY_I32, sessions=EMPTY_I64, shape=EMPTY_I32,
        requests=EMPTY_REQUESTS, gangs=EMPTY_I32, groups=[], group=EMPTY_I32, priorities=EMPTY_I32, payload=empty(),
    )  # fmt: skip


class Offered:
    """A `Cluster` behind the offers of one framework. Derived: empty until the first offer, which is full."""

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self._total: Int32 = np.empty((0, 0), dtype=np.int32)
        self._refused = EMPTY_I32

    def update(self, offer: OfferBatch) -> Cluster:
        """Take the changed rows of an offer, and those refused since the last one; the cluster as it is offered now."""
        if self.cluster is None or offer.full:
            self.cluster = Cluster(offer.free, offer.total, offer.usable)
            self._total = offer.total.copy()
        else:
            rows = np.unique(np.concatenate([offer.changed, self._refused])) if len(self._refused) else offer.changed
            self._update(rows, offer, self.cluster)
        self._refused = EMPTY_I32
        return self.cluster

    def refuse(self, agents: Int32) -> None:
        """These accepted rows were not committed: what they were thought to take is free again with the next offer."""
        self._refused = np.concatenate([self._refused, agents])

    def _update(self, rows: Int32, offer: OfferBatch, cluster: Cluster) -> None:
        """Totals change seldom, and cost the cluster its order: they are given only where they did."""
        if len(rows) == 0:
            return
        total = offer.total[rows]
        known = int(rows.max()) < len(self._total)
        if known and np.array_equal(total, self._total[rows]):
            cluster.update(rows, offer.free[rows], offer.usable[rows])
            return
        cluster.update(rows, offer.free[rows], offer.usable[rows], total)
        self._total = offer.total.copy()


class FarOffers:
    """The master's agents as a framework elsewhere knows them. Empty until the first offer, which shows all rows."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.generation = 0
        self._free, self._total = np.zeros((2, 0, R), dtype=np.int32)
        self._usable = np.zeros(0, dtype=np.uint8)
        self._sessions: Int64 = np.zeros(0, dtype=np.int64)
        self._names: list[str] = []
        self._attributes: list[dict[str, str]] = []
        self._hidden = EMPTY_I32

    def take(self, offer: OfferChanges) -> OfferBatch:
        """Apply the changes; the whole offer, its columns views until the next one. A doubled offer changes nothing.

        Raises ValueError where an offer in between was lost: `Revive` makes the next one show all rows.
        """
        shown: OfferRows = decode(offer.shown)
        if shown.since == 0:
            self._forget()
        elif shown.since > self.generation:
            raise ValueError(
                f"an offer of what changed since generation {shown.since}, and the last one seen is of"
                f" {self.generation}; send Revive"
            )
        self._lengthen(shown.agents)
        self.generation = max(self.generation, shown.generation)
        rows = shown.rows
        self._free[rows], self._usable[rows], self._sessions[rows] = shown.free, shown.usable, shown.sessions
        self._total[shown.named] = shown.total
        for row, name, attributes in zip(shown.named.tolist(), shown.names, shown.attributes, strict=True):
            self._names[row], self._attributes[row] = name, attributes
        usable = self._usable.copy()
        usable[offer.hidden] = 0
        changed = np.unique(np.concatenate([rows, offer.hidden, self._hidden])).astype(np.int32)
        self._hidden = offer.hidden
        return OfferBatch(
            generation=self.generation, full=shown.since == 0, changed=changed, free=self._free, total=self._total,
            usable=usable, sessions=self._sessions, attributes=self._attributes, names=self._names,
            groups=offer.groups, headroom=offer.headroom, bands=offer.bands, freeable=offer.freeable,
        )  # fmt: skip

    def _lengthen(self, agents: int) -> None:
        more = agents - len(self._names)
        if more <= 0:
            return
        none = np.zeros((more, R), dtype=np.int32)
        self._free, self._total = np.concatenate([self._free, none]), np.concatenate([self._total, none])
        self._usable = np.concatenate([self._usable, np.zeros(more, dtype=np.uint8)])
        self._sessions = np.concatenate([self._sessions, np.zeros(more, dtype=np.int64)])
        self._names = [*self._names, *[""] * more]
        self._attributes = [*self._attributes, *({} for _ in range(more))]


def places_to_take(
    offer: OfferBatch, cluster: Cluster, request: Int32, pods: int, gang: int, priority: int, limits: Limits
) -> Int32:
    """int32[k]: agents for up to so many pods, in whole gangs, on which they are to take the place of others.

    For pods that may not be on any agent: matched onto what is free and what pods of lower priority hold, by the
    offer's bands. request int32[1, R]; limits: of that one shape. Empty where the priority is below the bands.
    """
    band = int(np.searchsorted(offer.bands, priority, side="right")) - 1
    if band < 0:
        return EMPTY_I32
    free, total, usable = cluster.columns()
    most = np.minimum(free.astype(np.int64) + offer.freeable[band], total).astype(np.int32)
    rules, allowed = limits
    match = Cluster(most, total, usable).match(request, Demand.of([0], [pods], [gang]), allowed=allowed, rules=rules)
    found: Int32 = match.agent[: match.placed[0]]
    return found


def most_pods(requests: Int32, counts: Int64, gangs: Int32, room: Int64) -> Int32:
    """int32[D]: how many of each row's pods `room` int64[R] could hold at best, in whole gangs and at most counts.

    So that a match of a million waiting pods against a few free cores looks at a few pods.
    """
    wide = requests.astype(np.int64)
    fits = np.where(wide > 0, np.maximum(room, 0) // np.maximum(wide, 1), np.iinfo(np.int32).max).min(axis=1)
    size = np.maximum(gangs, 1)
    pods: Int32 = (np.minimum(counts, fits) // size * size).astype(np.int32)
    return pods


def rows_by_group(groups: Sequence[str], offered: Sequence[str]) -> list[tuple[int, list[int]]]:
    """`[(position in offered, rows of that group)]` for the groups of a demand, in the order of their turn."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [(turn, rows[group]) for turn, group in enumerate(offered) if group in rows]
