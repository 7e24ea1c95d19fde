"""What frameworks elsewhere are shown of the agents: written once for all that were shown the same before."""

from __future__ import annotations

import numpy as np

from orch.master.agents import Agents
from orch.model.codec import encode
from orch.model.messages import OfferRows


class Shown:
    """`OfferRows` in bytes, by the generation that a framework has seen; kept until an agent changes."""

    def __init__(self) -> None:
        self._generation = 0
        self._written: dict[int, bytes] = {}

    def since(self, agents: Agents, generation: int) -> bytes:
        """What changed among the agents since a generation; all rows since 0. O(N) for the first who asks."""
        if self._generation != agents.generation:
            self._generation = agents.generation
            self._written.clear()
        written = self._written.get(generation)
        if written is None:
            written = self._written[generation] = encode(_rows(agents, generation))
        return written


def _rows(agents: Agents, since: int) -> OfferRows:
    whole = since == 0
    rows = np.flatnonzero((agents["version"] > since) | whole).astype(np.int32)
    named = rows if whole else np.flatnonzero(agents["named"] > since).astype(np.int32)
    return OfferRows(
        generation=max(agents.generation, 1),
        since=since,
        agents=agents.table.length,
        rows=rows,
        free=agents["free"][rows],
        usable=agents["usable"][rows],
        sessions=agents["session"][rows],
        named=named,
        total=agents["total"][named],
        attributes=agents.attributes if whole else [agents.attributes[row] for row in named.tolist()],
        names=agents.names if whole else [agents.names[row] for row in named.tolist()],
    )
