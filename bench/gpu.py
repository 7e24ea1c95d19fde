"""GPU sharing: the experiment of the FGD paper (Weng et al., USENIX ATC'23) on traces in the layout of openb.

Pods arrive one by one at the GPU nodes, none leaves, and one that fits nowhere is lost. `alloc_100` and `alloc_130` are
the percent of the GPUs that are allocated when the pods that have arrived ask for 100% and 130% of them. Pods are
resampled to 130% and shuffled, once for each seed; `--order FILE` gives the very order instead: either pods (a CSV file
in the layout of a pod list) or names, one a line, of pods of a list. The whole backlog at once, largest pods first, is
reported apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import arrivals
from bench.rows import Rows
from bench.traces import Nodes, Pods, TraceError, read_nodes, read_pods
from orch.placement import GPU_POLICIES, GpuCluster, GpuMatch, GpuShapes, Mix

SEEDS = range(42, 52)
PERCENT = 130
PEER = "best-fit"
NODE_LIST, GPU_NODE_LIST, POD_LIST = "*node_list*.csv", "*node_list_gpu_node.csv", "*pod_list*.csv"


@dataclass(frozen=True)
class Run:
    """One order under one policy: percent of the GPUs allocated at 100% and 130% of demand (None: less arrived) and in
    the end, percent that arrived, pods, seconds of CPU and wall that the kernel took, and whether it was checked."""

    alloc_100: float | None
    alloc_130: float | None
    alloc: float
    arrived: float
    pods: int
    unplaced: int
    cpu_s: float
    wall_s: float
    verified: bool


def run(
    rows: Rows,
    quick: bool = False,
    traces: Path | None = None,
    order: Path | None = None,
    seed: int | None = None,
) -> None:
    """Print a row for each pod list, policy and seed, their mean, and the backlog. Raises TraceError."""
    if traces is None:
        raise TraceError(Path("traces"), "are not part of the project: say where they are, `--traces DIR`")
    nodes = read_nodes(node_list(traces))
    lists = {label(path): read_pods(path, nodes.models) for path in pod_lists(traces)}
    seeds = [seed] if seed is not None else list(SEEDS[:2] if quick else SEEDS)
    ordered = 0
    for name, pods, one in in_order(order, lists, nodes) if order else ((n, p, None) for n, p in lists.items()):
        ordered += 1
        if not pods.shapes.devices_milli()[pods.shape].any():
            raise TraceError(traces, f"no pod of {name} asks for a GPU")
        limit = nodes.milli * PERCENT // 100
        orders: dict[int | None, NDArray[np.int32]] = {None: one} if one is not None else {}
        orders |= {s: arrivals.resampled(pods, s, limit) for s in seeds if one is None}
        arriving(rows, name, nodes, pods, orders)
        backlog(rows, name, nodes, pods, next(iter(orders.values())))
    if not ordered and order:
        raise TraceError(order, f"names pods that no list in {traces} has")


def node_list(folder: Path) -> Path:
    """The file of GPU nodes in a folder, or its only file of nodes. Raises TraceError."""
    for pattern in (GPU_NODE_LIST, NODE_LIST):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
    raise TraceError(folder, f"holds no file like {GPU_NODE_LIST}, or several")


def pod_lists(folder: Path) -> list[Path]:
    """The files of pods in a folder. Raises TraceError where there is none."""
    found = sorted(folder.glob(POD_LIST))
    if not found:
        raise TraceError(folder, f"holds no file like {POD_LIST}")
    return found


def label(path: Path) -> str:
    """What the rows call a pod list; nothing else reads a name."""
    return path.stem.rpartition("pod_list")[2].strip("_") or path.stem


def in_order(order: Path, lists: dict[str, Pods], nodes: Nodes) -> Iterator[tuple[str, Pods, NDArray[np.int32]]]:
    """(label, pods, order) of an order file: its own pods, or each list that has all pods it names. Raises TraceError.

    Where the file holds pods of its own, these are also what is usual; else the list is.
    """
    if arrivals.is_pod_list(order):
        pods = read_pods(order, nodes.models)
        yield label(order), pods, pods.shape
        return
    for name, pods in lists.items():
        rows = arrivals.named(order, pods)
        if rows is None:
            print(f"gpu: {name} lacks pods that {order} names, and is left out", file=sys.stderr)
        elif len(rows):
            yield name, pods, rows


def arriving(rows: Rows, name: str, nodes: Nodes, pods: Pods, orders: dict[int | None, NDArray[np.int32]]) -> None:
    """A row for each order and policy, and one for their mean."""
    peer: dict[int | None, float] = {}
    for policy in sorted(GPU_POLICIES, key=lambda policy: policy != PEER):
        runs = {s: measure(nodes, pods, order, policy) for s, order in orders.items()}
        figures = {s: one.alloc if one.alloc_130 is None else one.alloc_130 for s, one in runs.items()}
        peer = peer or figures
        for s, one in runs.items():
            add(rows, f"{name}/{policy}", policy, [one], figures[s], peer[s], seed=s)
        if len(runs) > 1:
            mean = sum(figures.values()) / len(figures)
            beside = sum(peer.values()) / len(peer)
            add(rows, f"{name}/{policy}/mean", policy, list(runs.values()), mean, beside, seed=None, seeds=list(runs))


def backlog(rows: Rows, name: str, nodes: Nodes, pods: Pods, order: NDArray[np.int32]) -> None:
    """All pods of one order at once: the largest first, those that take least CPU for it first."""
    shapes = pods.shapes
    largest = np.lexsort((shapes.cpu, -shapes.milli, -shapes.devices_milli()))
    place = np.empty(len(shapes), np.int64)
    place[largest] = np.arange(len(shapes))
    at_once = order[np.argsort(place[order], kind="stable")]
    peer = None
    for policy in sorted(GPU_POLICIES, key=lambda policy: policy != PEER):
        one = measure(nodes, pods, at_once, policy)
        peer = one.alloc if peer is None else peer
        add(rows, f"{name}/{policy}/backlog", policy, [one], one.alloc, peer, seed=None)


def add(rows: Rows, case: str, policy: str, runs: list[Run], figure: float, peer: float, **more: Any) -> None:
    """One row: the figure is the percent of the GPUs that are allocated in the end, or at 130% if so much arrived."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return round(sum(known) / len(known), 4) if len(known) == len(values) else None

    pods, cpu_s = sum(one.pods for one in runs), sum(one.cpu_s for one in runs)
    rows.add(
        "gpu", case, figure, "% GPU", pods, verified=all(one.verified for one in runs),
        wall_s=sum(one.wall_s for one in runs), cpu_s=cpu_s, ratio=figure / peer if peer else None, peer=PEER,
        policy=policy, alloc_100=mean([one.alloc_100 for one in runs]), alloc_130=mean([one.alloc_130 for one in runs]),
        alloc=mean([one.alloc for one in runs]), arrived=mean([one.arrived for one in runs]),
        unplaced=sum(one.unplaced for one in runs), us_per_pod=round(1e6 * cpu_s / max(pods, 1), 2), **more,
    )  # fmt: skip


def measure(nodes: Nodes, pods: Pods, order: NDArray[np.int32], policy: str) -> Run:
    """Place the pods in this order on idle nodes."""
    mix = Mix.of(pods.shapes, pods.count)
    cluster = GpuCluster(nodes.cpu, nodes.memory, nodes.gpus, nodes.model, pods.shapes, mix)
    wall, cpu = time.perf_counter(), time.process_time()
    match = cluster.place(order, policy)  # type: ignore[arg-type]  # one of GPU_POLICIES
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    asks = pods.shapes.devices_milli()[order].astype(np.int64)
    arrived = np.cumsum(asks)
    allocated = np.cumsum(np.where(match.agent >= 0, asks, 0))

    def at(percent: int) -> float | None:
        """Percent allocated when no more than this has arrived; None: a pod more would still be less."""
        limit = percent * nodes.milli // 100
        last = int(np.searchsorted(arrived, limit, side="right")) - 1
        if last < 0 or int(arrived[-1]) + int(asks.max()) <= limit:
            return None
        return 100 * int(allocated[last]) / nodes.milli

    total, asked = (int(column[-1]) if len(order) else 0 for column in (allocated, arrived))
    return Run(
        at(100), at(PERCENT), 100 * total / nodes.milli, 100 * asked / nodes.milli, len(order),
        int((match.agent < 0).sum()), cpu, wall, is_right(nodes, pods.shapes, order, match),
    )  # fmt: skip


def is_right(nodes: Nodes, shapes: GpuShapes, order: NDArray[np.int32], match: GpuMatch) -> bool:
    """Nothing is overcommitted, every pod has what it asks for, and none that still fits was left out."""
    held = match.agent >= 0
    agent, shape = match.agent[held], order[held]
    bits = (match.devices[held, None] >> np.arange(16, dtype=np.uint16)) & 1
    free = np.stack([nodes.cpu, nodes.memory], axis=1).astype(np.int64)
    device = np.where(np.arange(16) < nodes.gpus[:, None], 1000, 0).astype(np.int64)
    np.subtract.at(free, agent, np.stack([shapes.cpu, shapes.memory], axis=1)[shape])
    np.subtract.at(device, agent, bits * shapes.milli[shape, None].astype(np.int64))
    model = np.left_shift(np.uint64(1), nodes.model.astype(np.uint64))
    placed_right = bool(
        (bits.sum(axis=1) == shapes.number[shape]).all()
        and ((shapes.number[shape] == 0) | ((shapes.models[shape] & model[agent]) != 0)).all()
    )
    left_out = np.unique(order[~held])
    fits = any(
        (
            (free >= [shapes.cpu[s], shapes.memory[s]]).all(axis=1)
            & ((device >= max(shapes.milli[s], 1)).sum(axis=1) >= shapes.number[s])
            & ((shapes.number[s] == 0) | ((model & shapes.models[s]) != 0))
        ).any()
        for s in left_out
    )
    return placed_right and not fits and bool((free >= 0).all() and (device >= 0).all())
