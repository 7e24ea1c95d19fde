"""Four agents in two zones, what each constraint makes of them, and why one more pod does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch import placement
from orch.placement.constraints import Limits
from tests.batch.plain import Rig

AGENT = [1000, 4096, 0, 0, 10]
ZONES = [
    {"hostname": "h0", "zone": "a", "disk": "ssd"},
    {"hostname": "h1", "zone": "a", "disk": "hdd"},
    {"hostname": "h2", "zone": "b", "disk": "ssd2"},
    {"zone": "b"},
]
NAMES = ["a0", "a1", "a2", "a3"]

each_operator = pytest.mark.parametrize(
    ("count", "rule", "agents"),
    [
        (6, ("hostname", "UNIQUE", None), [0, 1, 2, 3]),
        (6, ("@zone", "UNIQUE", None), [0, 2]),
        (3, ("zone", "CLUSTER", "b"), [2, 2, 2]),
        (3, ("zone", "CLUSTER", None), [0, 0, 0]),
        (4, ("zone", "GROUP_BY", None), [0, 0, 2, 2]),
        (4, ("zone", "GROUP_BY", "3"), [0, 2]),
        (2, ("hostname", "GROUP_BY", "2"), [0, 1]),
        (3, ("disk", "LIKE", "ssd.*"), [0, 0, 0]),
        (3, ("disk", "LIKE", "ss"), []),
        (3, ("disk", "LIKE", "("), []),
        (3, ("disk", "UNLIKE", "ssd.*"), [1, 1, 1]),
        (3, ("disk", "UNLIKE", "("), [0, 0, 0]),
        (5, ("zone", "MAX_PER", "2"), [0, 0, 2, 2]),
        (5, ("zone", "MAX_PER", "many"), []),
        (2, ("disk", "IS", "hdd"), [1, 1]),
        (2, ("disk", "IS", None), []),
        (2, ("gpu", "UNIQUE", None), []),
    ],
)
"""Of a test with `count` pods under one rule, and the agents, ascending, where they go."""


def rig_of(framework: type[Any]) -> Rig:
    """A framework before these agents, which are idle."""
    rig = Rig(framework, [AGENT] * len(ZONES))
    rig.master.attributes = ZONES
    return rig


def ruled_out_by(rig: Rig, limits: Limits) -> dict[str, int]:
    """How many agents each predicate rules out for one more pod."""
    rules, allowed = limits
    columns = [np.array(column, dtype=np.int32) for column in (rig.master.free, rig.master.total)]
    mask = None if allowed is None else allowed[0]
    why = placement.explain([100, 16, 0, 0, 0], *columns, rig.master.usable, mask, 1, rules)
    return {out.predicate: out.agents for out in why.ruled_out}
