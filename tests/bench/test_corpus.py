"""The traces that ORCH_CORPUS names, where it does: what the policies promise on whatever lists lie there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench import arrivals, gpu
from bench.traces import Nodes, Pods, read_nodes, read_pods

FOLDER = Path(os.environ.get("ORCH_CORPUS", "/nonexistent")) / "traces" / "openb"
LISTS = sorted(FOLDER.glob(gpu.POD_LIST))


@pytest.fixture(params=LISTS or [None], ids=[gpu.label(path) for path in LISTS] or ["none"])
def trace(request: pytest.FixtureRequest) -> tuple[Nodes, Pods, np.ndarray]:
    """The GPU nodes, a list, and one order of it at 130%."""
    if request.param is None:
        pytest.skip("ORCH_CORPUS names no traces")
    nodes = read_nodes(gpu.node_list(FOLDER))
    pods = read_pods(request.param, nodes.models)
    return nodes, pods, arrivals.resampled(pods, 2023, nodes.milli * gpu.PERCENT // 100)


def test_fgd_allocates_more_than_best_fit_and_is_quick(trace: tuple[Nodes, Pods, np.ndarray]) -> None:
    runs = {policy: gpu.measure(*trace, policy) for policy in ("best-fit", "fgd-stepped", "fgd", "fgd-fill")}
    assert all(one.verified and one.alloc_100 and one.alloc_130 for one in runs.values())
    for policy in ("fgd-stepped", "fgd", "fgd-fill"):
        assert runs[policy].alloc > runs["best-fit"].alloc + 0.8
        assert runs[policy].cpu_s < 1
