"""The books: what is free on each agent and used by each group. Derived from the instances, kept up to date by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator import Tree
from orch.master.agents import Agents
from orch.model.columns import distinct
from orch.model.messages import I32, I64, U8
from orch.model.resources import R
from orch.placement import Books, commit, release

Rows = NDArray[np.int64]

FEW_SHAPES = 8
"""Up to so many different requests are charged one after the other, by counting their rows."""


class Ledger:
    """Charges and gives back; the compiled commit and release work on the agents' and groups' own columns."""

    def __init__(self, agents: Agents, tree: Tree) -> None:
        self._agents = agents
        self.tree = tree
        self._has_debt = False
        self.total: I64 = np.zeros(R, dtype=np.int64)
        """int64[R]: what all agents have together, whatever their state."""

    def commit(self, agents: I32, shape: I32, requests: I32, sessions: I64, gangs: I32, groups: I32) -> U8:
        """Charge the rows that may launch, in order; verdicts uint8[k] of `placement.Reason`, 0 = charged."""
        verdicts = commit(self.books(), agents, shape, requests, sessions, gangs, groups)
        self._agents.touch(agents[verdicts == 0])
        return verdicts

    def charge(self, agents: I32, shape: I32, requests: I32, groups: I32) -> None:
        """Charge rows that were committed by another master's life, without a question.

        shape int32[k] indexes requests int32[S, R].
        """
        if len(requests) > FEW_SHAPES:
            self._add(agents, -requests[shape])
            self.tree.charge(groups, requests[shape].astype(np.int64))
        else:
            for number, request in enumerate(requests):
                here = slice(None) if len(requests) == 1 else shape == number
                self._charge_alike(agents[here], request, groups[here])
        self._settle(agents)

    def _charge_alike(self, agents: I32, request: I32, groups: I32) -> None:
        """Charge rows that all ask for int32[R]: counted first, so that a million rows are one pass."""
        count = np.bincount(agents, minlength=len(self._agents["free"])).astype(np.int32)
        self._agents["free"][:] -= count[:, None] * request
        some = distinct(groups)
        many = np.bincount(groups)[some]
        self.tree.charge(some.astype(np.int32), many[:, None] * request.astype(np.int64))

    def release(self, agents: I32, requests: I32, groups: I32) -> None:
        """Give back what ended instances held. requests int32[k, R], one row each."""
        if self._has_debt:
            self._owe(agents)
        release(self.books(), agents, np.arange(len(agents), dtype=np.int32), requests, groups)
        if self._has_debt:
            self._settle(agents)
        self._agents.touch(agents)

    def resize(self, rows: Rows, totals: I32) -> None:
        """Agents have other totals int32[n, R]: what their instances hold stays charged, as a debt if need be."""
        agents = self._agents
        used = agents["total"][rows] - agents["free"][rows] + agents["debt"][rows]
        self.total += (totals.astype(np.int64) - agents["total"][rows]).sum(axis=0)
        agents["total"][rows] = totals
        agents["free"][rows], agents["debt"][rows] = totals - used, 0
        self._settle(rows.astype(np.int32))
        agents.rename(rows)

    def rebuild(self, agents: I32, requests: I32, groups: I32) -> None:
        """Everything anew, from all rows that hold something."""
        self._agents["free"][:] = self._agents["total"]
        self._agents["debt"][:] = 0
        self.tree["used"][:] = 0
        self._has_debt = False
        self.total = self._agents["total"].sum(axis=0, dtype=np.int64)
        self.charge(agents, np.arange(len(agents), dtype=np.int32), requests, groups)

    def check(self, agents: I32, requests: I32, groups: I32) -> None:
        """Assert that a recount of all rows that hold something gives the same books."""
        columns = self._agents
        used = np.zeros((columns.table.length, R), dtype=np.int64)
        by_group = np.zeros_like(self.tree["used"])
        for column in range(R):
            np.add.at(used[:, column], agents, requests[:, column])
            for group, request in zip(groups.tolist(), requests[:, column].tolist(), strict=True):
                by_group[self.tree.lineage(group), column] += request
        free, debt, total = (columns[name].astype(np.int64) for name in ("free", "debt", "total"))
        assert np.array_equal(free - debt + used, total), "free and used do not add up to the total"
        assert np.all(free >= 0) and np.all(debt >= 0), "free or debt is negative"
        assert not np.any((free > 0) & (debt > 0)), "an agent has something free and owes it"
        assert self._has_debt or not debt.any(), "a debt that the ledger does not know of"
        assert np.array_equal(total.sum(axis=0), self.total), "the sum of the totals is another"
        assert np.array_equal(by_group, self.tree["used"]), "a group's use is not what its instances hold"

    def books(self) -> Books:
        """The columns that a commit reads and changes: views."""
        agents, tree = self._agents, self.tree
        return Books(
            free=agents["free"],
            total=agents["total"],
            usable=agents["usable"],
            session=agents["session"],
            ancestors=tree["ancestors"],
            group_used=tree["used"],
            group_limit=tree["limit"],
        )

    def _add(self, agents: I32, amounts: NDArray[Any]) -> None:
        free = self._agents["free"]
        for column in range(R):
            np.add.at(free[:, column], agents, amounts[:, column])

    def _owe(self, agents: I32) -> None:
        """Show debts as negative amounts free, for the time of a release."""
        rows = distinct(agents)
        self._agents["free"][rows] -= self._agents["debt"][rows]
        self._agents["debt"][rows] = 0

    def _settle(self, agents: I32) -> None:
        """What is below nothing becomes a debt."""
        rows = distinct(agents)
        free = self._agents["free"][rows] - self._agents["debt"][rows]
        self._agents["free"][rows], self._agents["debt"][rows] = np.maximum(free, 0), np.maximum(-free, 0)
        self._has_debt = bool(self._agents["debt"].any())
        self._agents.touch(rows)
