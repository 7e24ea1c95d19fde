"""A trace as columns: the agents of a cluster, and the pods that come to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orch.model.resources import R
from orch.placement.gpu_shapes import ANY_MODEL, MILLI
from orch.trace.rows import PodRows, node_rows, pod_rows
from orch.trace.table import TraceError

MODELS_MOST = 64
AGENTS_MOST = 5_000_000
PODS_MOST = 50_000_000

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Agents:
    """Agents by name, so that the order of a file's rows is of no account.

    total: int32[N, R], columns of `orch.model.resources`.  devices: int32[N], GPUs.  model: int32[N], rows of `models`.
    """

    names: tuple[str, ...]
    total: Int32
    devices: Int32
    model: Int32
    models: tuple[str, ...]

    def __len__(self) -> int:
        """How many agents."""
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Pods:
    """Pods by kind and by row of their file. A kind is a shape and the size of its gang.

    Kinds: request int32[K, R]; milli, number int32[K] of devices; models uint64[K], a bit each; gang int32[K].
    Rows: kind, count, priority int32[F]; arrival, duration int64[F] in milliseconds, a duration of -1 never ends.
    """

    request: Int32
    milli: Int32
    number: Int32
    models: NDArray[np.uint64]
    gang: Int32
    kind: Int32
    count: Int32
    priority: Int32
    arrival: Int64
    duration: Int64

    @property
    def pods(self) -> int:
        """How many pods."""
        return int(self.count.sum(dtype=np.int64))

    def of_kind(self) -> Int64:
        """int64[K], how many pods there are of each kind."""
        amounts = np.zeros(len(self.gang), np.int64)
        np.add.at(amounts, self.kind, self.count)
        return amounts

    def dealt_anew(self, seed: int) -> Pods:
        """The same instants of arrival, dealt out anew among the rows."""
        arrival = np.random.default_rng(seed).permutation(self.arrival)
        kinds = (self.request, self.milli, self.number, self.models, self.gang)
        return Pods(*kinds, self.kind, self.count, self.priority, arrival, self.duration)


def read_agents(path: Path) -> Agents:
    """The agents of a node list. Raises TraceError: a broken row, a name twice, no node at all, too many."""
    rows = node_rows(path)
    if int(rows.count.sum()) > AGENTS_MOST:
        raise TraceError(path, f"holds {int(rows.count.sum())} nodes; at most {AGENTS_MOST} can be replayed")
    if not rows.count.sum():
        raise TraceError(path, "holds no node")
    models = tuple(sorted({model for model, gpus in zip(rows.model, rows.gpus.tolist(), strict=True) if gpus})) or ("",)
    if len(models) > MODELS_MOST:
        raise TraceError(path, f"{len(models)} models of GPUs; at most {MODELS_MOST} can be told apart")
    names: list[tuple[str, int]] = []
    for row, (name, count) in enumerate(zip(rows.name, rows.count.tolist(), strict=True)):
        names += [(name, row)] if count == 1 else [(f"{name}-{one}", row) for one in range(count)]
    names.sort()
    twice = next((a for (a, _), (b, _) in pairwise(names) if a == b), None)
    if twice is not None:
        raise TraceError(path, f"two nodes are called {twice}, one of them by its count")
    rank = np.array([row for _, row in names], np.int64)
    columns = np.stack([rows.cpu, rows.memory, rows.disk, rows.gpus * MILLI, rows.ports], axis=1)
    code = {model: at for at, model in enumerate(models)}
    coded = np.array([code.get(model, 0) for model in rows.model], np.int32)
    return Agents(
        tuple(name for name, _ in names), columns[rank].astype(np.int32), rows.gpus[rank].astype(np.int32), coded[rank],
        models,
    )  # fmt: skip


def read_pods(path: Path, agents: Agents) -> Pods:
    """The pods of a list; a model that no agent has fits nowhere. Raises TraceError: a broken row, no pod, too many."""
    rows = pod_rows(path)
    pods = int(rows.count.sum())
    if not pods:
        raise TraceError(path, "holds no pod")
    if pods > PODS_MOST:
        raise TraceError(path, f"holds {pods} pods; at most {PODS_MOST} can be replayed")
    last = float((np.maximum(rows.duration, 0).astype(float) * rows.count).sum())  # one pod after the other
    if last >= 2.0**62:
        raise TraceError(path, "its durations together are longer than a clock can count")
    return pods_of(rows, agents.models)


def pods_of(rows: PodRows, models: tuple[str, ...]) -> Pods:
    """Rows as columns. Kinds are sorted, so that they do not depend on the order of the rows."""
    bit = {model: np.uint64(1 << at) for at, model in enumerate(models)}
    known = {text: _bits(text, bit) for text in dict.fromkeys(rows.models)}
    wanted = np.array([known[text] for text in rows.models], np.uint64)
    wanted[rows.gpus == 0] = ANY_MODEL
    gang = np.where(rows.gang > 1, rows.gang, 0)
    asked = np.stack(
        [rows.cpu, rows.memory, rows.disk, rows.gpus * rows.milli, rows.ports, rows.milli, rows.gpus, gang,
         wanted.view(np.int64)], axis=1,
    )  # fmt: skip
    kinds, kind = np.unique(asked, axis=0, return_inverse=True)
    narrow = kinds[:, : R + 3].astype(np.int32)
    return Pods(
        np.ascontiguousarray(narrow[:, :R]), narrow[:, R].copy(), narrow[:, R + 1].copy(),
        kinds[:, R + 3].copy().view(np.uint64), narrow[:, R + 2].copy(), kind.reshape(-1).astype(np.int32),
        rows.count.astype(np.int32), rows.priority.astype(np.int32), rows.arrival, rows.duration,
    )  # fmt: skip


def asked_resources(pods: Pods) -> list[int]:
    """The columns of resources that some pod asks for, and cpus and mem in any case."""
    return [column for column in range(R) if column < 2 or bool(pods.request[:, column].any())]


def _bits(text: str, bit: dict[str, np.uint64]) -> np.uint64:
    names = [name.strip() for name in text.split("|") if name.strip()]
    wanted = 0 if names else ANY_MODEL
    for name in names:
        wanted |= int(bit.get(name, 0))
    return np.uint64(wanted)
