"""What a framework was last offered: its own cluster, kept up to date by the rows that changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orch.model.messages import EMPTY_I32, OfferBatch
from orch.placement.cluster import Cluster
from orch.placement.columns import Int32, Int64


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
