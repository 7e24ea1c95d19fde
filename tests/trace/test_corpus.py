"""The traces that ORCH_CORPUS names, where it does: every list is replayed, and the answer adds up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench import gpu
from orch.trace.lists import read_agents, read_pods
from orch.trace.replay import replay

FOLDER = Path(os.environ.get("ORCH_CORPUS", "/nonexistent")) / "traces" / "openb"
LISTS = sorted(FOLDER.glob(gpu.POD_LIST))


@pytest.mark.parametrize("path", LISTS or [None], ids=[gpu.label(path) for path in LISTS] or ["none"])
def test_a_list_is_replayed_and_no_agent_holds_more_than_it_has(path: Path | None) -> None:
    if path is None:
        pytest.skip("ORCH_CORPUS names no traces")
    agents = read_agents(gpu.node_list(FOLDER))
    pods = read_pods(path, agents)
    outcome = replay(agents, pods, "fgd")
    assert len(outcome.start) == pods.pods
    placed = outcome.start >= 0
    assert (outcome.start[placed] >= outcome.arrival[placed]).all()
    never = placed & (pods.duration[outcome.row] < 0)
    held = np.zeros((len(agents), 5), np.int64)
    np.add.at(held, outcome.agent[never], pods.request[pods.kind[outcome.row[never]]])
    assert (held <= agents.total).all()
    assert sum(why["pods"] for why in outcome.why) <= int((~placed).sum())
