"""What a request leads to, in its facts: which instances start where, which stop and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from orch.machine.host import Record
from orch.model.facts_batch import PodsLaunched
from orch.model.facts_master import StopWanted
from orch.model.facts_services import InstancesLaunched
from orch.model.messages import EMPTY_I32, EMPTY_I64, EMPTY_U8, I32, I64, U8


@dataclass(frozen=True, eq=False)
class Effect:
    """Columns, in the order in which it happens. Agents are rows of the master's table.

    started: ids int64[k], on agents int32[k].  stopped: ids int64[s], for reasons uint8[s] of `Reason`.
    """

    started: I64 = field(default_factory=lambda: EMPTY_I64)
    agents: I32 = field(default_factory=lambda: EMPTY_I32)
    stopped: I64 = field(default_factory=lambda: EMPTY_I64)
    reasons: U8 = field(default_factory=lambda: EMPTY_U8)


def effect_of(records: Iterable[Record]) -> Effect:
    """The effect of all these records together."""
    started: list[I64] = []
    agents: list[I32] = []
    stopped: list[I64] = []
    reasons: list[U8] = []
    for record in records:
        for _, fact in record.facts:
            if isinstance(fact, InstancesLaunched | PodsLaunched):
                started.append(fact.ids)
                agents.append(fact.agents)
            elif isinstance(fact, StopWanted):
                stopped.append(fact.ids)
                reasons.append(fact.reasons)
    return Effect(
        np.concatenate([EMPTY_I64, *started]),
        np.concatenate([EMPTY_I32, *agents]),
        np.concatenate([EMPTY_I64, *stopped]),
        np.concatenate([EMPTY_U8, *reasons]),
    )
