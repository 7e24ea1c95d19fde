"""Agents whose resources are counted: what a replay asks of `placement.Cluster`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.placement import Cluster, Demand, Policy
from orch.placement.mix import WHOLE
from orch.trace.lists import Agents, Int32, Int64, Pods

PERCENT = 95
KINDS_MOST = 64
BLOCK = 1 << 16
"""Agents times kinds that are compared at a time."""


class Whole:
    """Agents, idle at first. Kinds are rows of the pods' kinds; ties go to the agent whose name sorts first."""

    policies = ("best-fit", "first-fit", "spread")

    def __init__(self, agents: Agents, pods: Pods, policy: Policy) -> None:
        usable = np.ones(len(agents), np.uint8)
        self._names, self._total, self._policy = agents.names, agents.total, policy
        self._request, self._gang = pods.request, pods.gang
        self._cluster = Cluster(agents.total, agents.total, usable)
        self._usual = usual_kinds(pods)
        self._asked = np.flatnonzero(pods.request.any(axis=0)).tolist()
        self._columns = [(d, np.ascontiguousarray(pods.request[:, d])) for d in self._asked]

    def place(self, kind: Int64, count: Int64, rank: Int64) -> tuple[Int64, Int32, NDArray[np.uint16] | None]:
        """(pods placed of each row int64[D], their agents row after row, no devices). kind, count, rank: int64[D].

        The higher rank first; of equals the larger shape, then the lower row.
        """
        rows = np.arange(len(kind), dtype=np.int32)  # of these kinds alone: there may be a hundred thousand others
        demand = Demand.of(rows, count, self._gang[kind], rank)
        match = self._cluster.match(self._request[kind], demand, policy=self._policy)
        return match.placed, match.agent[match.agent >= 0], None

    def release(self, kind: Int64, agent: Int32, devices: Any) -> Int64:
        """Pods left: their kinds, and where they were. Returns int64[k], the agents with more free now."""
        if len(agent) == 1:
            more = self._cluster.free_of(agent) + self._request[kind]
            self._cluster.update(agent, more, np.ones(1, np.uint8))
            return agent.astype(np.int64)
        row, at = np.unique(agent, return_inverse=True)
        free = self._cluster.free_of(row.astype(np.int32)).astype(np.int64)
        np.add.at(free, at, self._request[kind])
        self._cluster.update(row.astype(np.int32), free.astype(np.int32), np.ones(len(row), np.uint8))
        return row.astype(np.int64)

    def room(self, kind: Int64, agent: Int64 | None) -> Int64:
        """int64[k], at most so many pods of each kind fit on these agents (None: on all) now."""
        free = self._free(agent)
        able = (self._request[kind] <= free.max(axis=0, initial=-1)).all(axis=1)
        room = np.zeros(len(kind), np.int64)
        asked = self._request[kind[able]]
        step = max(1, BLOCK // max(len(free), 1))
        parts = [fit_counts(free, asked[at : at + step]).sum(axis=0) for at in range(0, len(asked), step)]
        room[able] = np.concatenate(parts) if parts else 0
        return room

    def able(self, agent: Int64) -> NDArray[np.bool_]:
        """bool[K], might these agents hold a pod of each kind now? True where one of them does. agent: int64[k]."""
        most = self._free(agent).max(axis=0, initial=-1)
        able = np.ones(len(self._request), bool)
        for d, column in self._columns:
            able &= column <= most[d]
        return able

    def fits(self, agent: Int64, kind: Int64) -> NDArray[np.bool_]:
        """bool[A, k], does each of these agents hold a pod of each of these kinds now? agent: int64[A]."""
        free = self._free(agent)
        fits = np.ones((len(free), len(kind)), bool)
        for d, column in self._columns:
            fits &= column[kind] <= free[:, d, None]
        return fits

    def fragmentation(self) -> list[float]:
        """float[R], of what is free of each resource, the part on agents where a usual pod does not fit."""
        free = self._free(None)
        kind, weight = self._usual
        step = max(1, BLOCK // max(len(free), 1))
        lost = [0] * free.shape[1]
        for at in range(0, len(kind), step):
            asked = self._request[kind[at : at + step]]
            fits = np.ones((len(free), len(asked)), bool)
            for d in self._asked:
                fits &= free[:, d, None] >= asked[:, d]
            add_lost(lost, free, fits, weight[at : at + step])
        return parts_of(lost, free, weight)

    def why(self, kind: int) -> dict[str, Any]:
        """Why a pod (or gang) of this kind does not fit now, as `orch.placement.Why.to_dict` has it."""
        why = self._cluster.explain(self._request[kind], gang=max(int(self._gang[kind]), 1))
        return why.to_dict(self._names)

    @property
    def usual(self) -> int:
        """How many kinds fragmentation is measured by."""
        return len(self._usual[0])

    def _free(self, agent: Int64 | None) -> Int32:
        return self._cluster.columns()[0] if agent is None else self._cluster.free_of(agent.astype(np.int32))


def usual_kinds(pods: Pods) -> tuple[Int64, Int64]:
    """(kinds, weights): the most popular that make up 95% of the pods, at most 64; ties: the lower row.

    The weights add up to WHOLE.
    """
    amount = pods.of_kind()
    popular = np.argsort(-amount, kind="stable")
    up_to = int(np.searchsorted(np.cumsum(amount[popular]), -(-PERCENT * int(amount.sum()) // 100))) + 1
    kept = popular[: min(up_to, KINDS_MOST)]
    bounds = [WHOLE * int(part) // int(amount[kept].sum()) for part in np.cumsum(amount[kept])]
    return kept, np.diff([0, *bounds]).astype(np.int64)


def fit_counts(free: Int32, asked: Int32) -> Int64:
    """int64[N, S], how many pods of each request int32[S, R] each agent with this free int32[N, R] holds."""
    most = np.full((len(free), len(asked)), np.iinfo(np.int32).max, np.int64)
    for d in range(free.shape[1]):
        wants = asked[:, d] > 0
        most[:, wants] = np.minimum(most[:, wants], free[:, d, None] // asked[wants, d])
    return most


def add_lost(lost: list[int], free: Int32, fits: NDArray[np.bool_], weight: Int64) -> None:
    """Add to `lost` int[R] what is free on agents where each kind does not fit. fits: [N, S], weight: int64[S]."""
    # Sums of whole numbers below 2**53, which floats add up exactly in any order.
    sums = (~fits).astype(np.float64).T @ free.astype(np.float64)
    for d, column in enumerate(sums.T.tolist()):
        lost[d] += sum(one * int(amount) for one, amount in zip(weight.tolist(), column, strict=True))


def parts_of(lost: list[int], free: Int32, weight: Int64) -> list[float]:
    """What is lost of each resource, as a part of what is free; 0 where nothing is."""
    whole = [int(column.sum(dtype=np.int64)) * int(weight.sum()) for column in free.T]
    return [part / all_of if all_of else 0.0 for part, all_of in zip(lost, whole, strict=True)]
