"""Rows of node and pod lists, in either layout: orch's own, or that of openb (Alibaba, 2023). See docs/simulate.md.

Columns may come in any order. A row that is broken is a TraceError that names file, row and column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from orch.placement.gpu_shapes import DEVICES, MILLI
from orch.trace.table import Chunk, Int64, TraceError, chunks, header

OWN_NODES = ("name", "cpus", "mem")
OWN_NODES_MORE = ("disk", "gpus", "ports", "model", "count")
OWN_PODS = ("cpus", "mem")
OWN_PODS_MORE = (
    "name", "disk", "gpus", "ports", "models", "arrival_s", "duration_s", "count", "gang", "priority",
)  # fmt: skip
OPENB_NODES = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
OPENB_PODS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
OPENB_PODS_MORE = ("gpu_spec", "creation_time", "scheduled_time", "deletion_time")
OPENB_UNREAD = ("qos", "pod_phase")
CPUS_MOST = 2_147_483
"""A CPU more, and its thousandths would not fit int32."""
SECONDS_MOST = 10**10
"""Three hundred years."""
COUNT_MOST = 10**8


@dataclass(eq=False)
class NodeRows:
    """Nodes, one a row. cpu (milli), memory, disk (MiB), ports, count; gpus up to 16 of one model ("" without any)."""

    number: list[int]
    name: list[str]
    cpu: Int64
    memory: Int64
    disk: Int64
    ports: Int64
    gpus: Int64
    model: list[str]
    count: Int64


@dataclass(eq=False)
class PodRows:
    """Pods, one kind a row, `count` of it. milli: of each of its `gpus` devices. models: `A|B`, "" for any.

    arrival, duration: milliseconds; a duration of -1 never ends. gang: started so many at a time or not at all.
    """

    number: list[int]
    name: list[str]
    cpu: Int64
    memory: Int64
    disk: Int64
    ports: Int64
    gpus: Int64
    milli: Int64
    models: list[str]
    arrival: Int64
    duration: Int64
    count: Int64
    gang: Int64
    priority: Int64


Rows = TypeVar("Rows", NodeRows, PodRows)


def node_rows(path: Path) -> NodeRows:
    """The rows of a node list. Raises TraceError, also for a name that is there twice."""
    own = is_own(path)
    return _named_once(path, _all(path, OWN_NODES if own else OPENB_NODES, _own_node if own else _openb_node, NodeRows))


def openb_node_rows(path: Path) -> NodeRows:
    """The rows of a node list in the layout of openb. Raises TraceError."""
    return _named_once(path, _all(path, OPENB_NODES, _openb_node, NodeRows))


def pod_rows(path: Path) -> PodRows:
    """The rows of a pod list. Raises TraceError."""
    own = is_own(path)
    return _all(path, OWN_PODS if own else OPENB_PODS, _own_pod if own else _openb_pod, PodRows)


def openb_pod_rows(path: Path) -> PodRows:
    """The rows of a pod list in the layout of openb, but for its times, which are not read. Raises TraceError."""
    return _all(path, OPENB_PODS, partial(_openb_pod, times=False), PodRows)


def is_own(path: Path) -> bool:
    """Whether a list has orch's layout, or that of openb. Raises TraceError where it has neither."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TraceError(path, "is a pipe or a device, and is read more than once: a file, please")
    columns = header(path)
    if not columns:
        raise TraceError(path, "is empty: a header and rows, please (docs/simulate.md)")
    if "cpus" not in columns and "cpu_milli" not in columns:
        raise TraceError(path, "has neither a column cpus nor cpu_milli: docs/simulate.md has both layouts", 1)
    return "cpus" in columns


def unread(path: Path, nodes: bool) -> list[str]:
    """Columns of a list that nothing reads, in their order: perhaps one is misspelt."""
    known = (
        *((*OWN_NODES, *OWN_NODES_MORE) if nodes else (*OWN_PODS, *OWN_PODS_MORE)),
        *(OPENB_NODES if nodes else (*OPENB_PODS, *OPENB_PODS_MORE, *OPENB_UNREAD)),
    )
    return [column for column in header(path) if column and column not in known]


def _all(path: Path, needed: Iterable[str], read: Callable[[Chunk], Rows], kind: Callable[..., Rows]) -> Rows:
    """Every chunk of a table, read and checked, as one."""
    parts: list[Rows] = []
    for chunk in chunks(path, needed):
        parts.append(read(chunk))
        chunk.check()
    if not parts:
        parts = [read(Chunk(path, [], {column: [] for column in needed}))]
    return kind(**{one.name: _joined([getattr(part, one.name) for part in parts]) for one in fields(parts[0])})


def _joined(columns: list[Any]) -> Any:
    if isinstance(columns[0], list):
        return [one for column in columns for one in column]
    return np.concatenate(columns)


def _named_once(path: Path, rows: NodeRows) -> NodeRows:
    column = "name" if is_own(path) else "sn"
    seen: dict[str, int] = {}
    for number, name in zip(rows.number, rows.name, strict=True):
        if name in seen:
            raise TraceError(path, f"{name} is in row {seen[name]} too", number, column)
        seen[name] = number
    return rows


def _own_node(read: Chunk) -> NodeRows:
    gpus = read.integers("gpus", DEVICES, 0)
    rows = NodeRows(
        number=read.number, name=read.names("name"), cpu=read.thousandths("cpus", CPUS_MOST),
        memory=read.integers("mem"), disk=read.integers("disk", default=0), ports=read.integers("ports", default=0),
        gpus=gpus, model=read.texts("model"), count=read.integers("count", COUNT_MOST, 1),
    )  # fmt: skip
    return _without_idle_models(rows)


def _openb_node(read: Chunk) -> NodeRows:
    gpus = read.integers("gpu", DEVICES)
    model = read.texts("model")
    bare = [at for at, (number, one) in enumerate(zip(gpus.tolist(), model, strict=True)) if number and not one]
    if bare:
        read.wrong(bare[0], "model", "is empty")
    none = np.zeros(len(read), np.int64)
    rows = NodeRows(
        number=read.number, name=read.names("sn"), cpu=read.integers("cpu_milli"), memory=read.integers("memory_mib"),
        disk=none, ports=none, gpus=gpus, model=model, count=none + 1,
    )  # fmt: skip
    return _without_idle_models(rows)


def _without_idle_models(rows: NodeRows) -> NodeRows:
    rows.model = [model if gpus else "" for model, gpus in zip(rows.model, rows.gpus.tolist(), strict=True)]
    return rows


def _own_pod(read: Chunk) -> PodRows:
    asked = read.thousandths("gpus", DEVICES, 0)
    odd = np.flatnonzero((asked > MILLI) & (asked % MILLI != 0))
    if len(odd):
        at = int(odd[0])
        read.wrong(at, "gpus", f"holds {asked[at] / MILLI:g}: a part of one GPU, or whole ones, please")
    count, gang = read.integers("count", COUNT_MOST, 1), read.integers("gang", COUNT_MOST, 0)
    uneven = np.flatnonzero(count % np.maximum(gang, 1))
    if len(uneven):
        at = int(uneven[0])
        read.wrong(at, "gang", f"holds {gang[at]}, and count {count[at]}: not a whole number of gangs")
    return PodRows(
        number=read.number, name=read.texts("name"), cpu=read.thousandths("cpus", CPUS_MOST),
        memory=read.integers("mem"), disk=read.integers("disk", default=0), ports=read.integers("ports", default=0),
        gpus=-(-asked // MILLI), milli=np.minimum(asked, MILLI), models=read.texts("models"),
        arrival=read.thousandths("arrival_s", SECONDS_MOST, 0),
        duration=read.thousandths("duration_s", SECONDS_MOST, -1),
        count=count, gang=gang, priority=read.signed("priority", 2**31 - 1, 0),
    )  # fmt: skip


def _openb_pod(read: Chunk, times: bool = True) -> PodRows:
    gpus, milli = read.integers("num_gpu", DEVICES), read.integers("gpu_milli", MILLI)
    odd = np.flatnonzero((gpus == 0) != (milli == 0))
    if len(odd):
        at = int(odd[0])
        read.wrong(at, "gpu_milli", f"holds {milli[at]}, but num_gpu {gpus[at]}: both are 0, or neither is")
    if not times:
        for column in OPENB_PODS_MORE[1:]:
            read.columns.pop(column, None)
    arrival = read.thousandths("creation_time", SECONDS_MOST, 0)
    begun = read.thousandths("scheduled_time", SECONDS_MOST, -1)
    gone = read.thousandths("deletion_time", SECONDS_MOST, -1)
    early = np.flatnonzero((gone >= 0) & (gone < np.maximum(begun, arrival)))
    if len(early) and not read.faults:
        read.wrong(int(early[0]), "deletion_time", "is before the pod was created or scheduled")
    none = np.zeros(len(read), np.int64)
    return PodRows(
        number=read.number, name=read.names("name"), cpu=read.integers("cpu_milli"),
        memory=read.integers("memory_mib"), disk=none, ports=none, gpus=gpus, milli=milli,
        models=read.texts("gpu_spec"), arrival=arrival,
        duration=np.where(gone < 0, -1, gone - np.where(begun < 0, arrival, begun)),
        count=none + 1, gang=none, priority=none,
    )  # fmt: skip
