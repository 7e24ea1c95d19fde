"""Fleets: many agents behind one line. What one agent says alone, a fleet says at once of all of its agents.

The numbers of the line are in the row of the fleet's first agent, its lead; an agent alone is its own lead. A fleet
is soft: it begins when it registers, and is over when one of its agents goes, or comes back alone. Then it is refused
as an unknown agent is, and registers again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orch.model.facts_master import FleetRegistered

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """A fleet that is let in. rows int64[n]: of its agents, by place; the first is its lead."""

    name: str
    nonce: str
    rows: Rows


class Fleets:
    """The fleets of this master, by name and by lead."""

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}
        self.by_lead: dict[int, Fleet] = {}

    def add(self, fleet: Fleet) -> None:
        """A fleet is let in; it takes the place of the one of that name."""
        lead = int(fleet.rows[0])
        self.by_name[fleet.name], self.by_lead[lead] = lead, fleet

    def end(self, lead: int) -> None:
        """The fleet of this lead is over, if there is one."""
        fleet = self.by_lead.pop(lead, None)
        if fleet is not None:
            self.by_name.pop(fleet.name, None)


def members(m: Master, lead: int) -> Rows:
    """int64[n]: rows of the agents of one line."""
    fleet = m.fleets.by_lead.get(lead)
    return np.array([lead], dtype=np.int64) if fleet is None else fleet.rows


def registered(m: Master, fact: FleetRegistered) -> None:
    """All agents of a fleet at their rows, new or again; their free resources follow their totals."""
    agents = m.agents
    new = [at for at, name in enumerate(fact.agents) if name not in agents.by_name]
    if new:
        rows = agents.table.add(len(new))
        assert np.array_equal(rows, fact.rows[new]), "agents of a fleet got other rows than were decided"
        agents.lengthen()
        agents["lead"][rows] = rows
    for old in np.unique(agents["lead"][fact.rows]).tolist():
        m.fleets.end(old)
    nonce, names = fact.nonce, agents.names
    for row, name in zip(fact.rows.tolist(), fact.agents, strict=True):
        names[row], agents.nonces[row], agents.usage[row] = name, nonce, {}
        agents.attributes[row] = {**fact.attributes, "hostname": name}
        agents.by_name[name] = row
    rows = fact.rows.astype(np.int64)
    agents["session"][rows], agents["lead"][rows] = fact.session, rows
    m.ledger.resize(rows, fact.totals)
