"""Traces of GPU clusters: nodes and pods from CSV files in the layout of openb (Alibaba, 2023), read strictly.

Nodes: `sn,cpu_milli,memory_mib,gpu,model`. Pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]`, where
gpu_milli is of each device and gpu_spec lists the models that will do (`A|B`; empty: any). Columns may come in any
order, and others are ignored. A row that is broken in one of these columns is an error that names file, row and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orch.placement import GpuShapes
from orch.placement.gpu_shapes import ANY_MODEL, MILLI
from orch.trace.rows import openb_node_rows, openb_pod_rows
from orch.trace.table import TraceError, lines

MODELS_MOST = 64


@dataclass(frozen=True)
class Pod:
    """One pod: its name, CPU milli, memory MiB, number of GPUs, milli of each, and models that will do (none: any)."""

    name: str
    cpu: int
    memory: int
    gpus: int
    milli: int
    models: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Nodes:
    """The GPU nodes as columns, by name, so that the order of the file's rows is of no account."""

    cpu: NDArray[np.int32]
    memory: NDArray[np.int32]
    gpus: NDArray[np.int32]
    model: NDArray[np.int32]
    models: tuple[str, ...]

    @property
    def milli(self) -> int:
        """All GPUs, in milli."""
        return MILLI * int(self.gpus.sum())


@dataclass(frozen=True, eq=False)
class Pods:
    """Pods of one list: the different shapes, and each pod's row in them. Names as in the file."""

    shapes: GpuShapes
    shape: NDArray[np.int32]
    names: tuple[str, ...]

    @property
    def count(self) -> NDArray[np.int64]:
        """int64[S], how many pods there are of each shape."""
        return np.bincount(self.shape, minlength=len(self.shapes)).astype(np.int64)


def read_nodes(path: Path) -> Nodes:
    """The nodes of a file that have GPUs. Raises TraceError for a broken row, a name twice, and no GPU at all."""
    rows = openb_node_rows(path)
    listed = zip(rows.name, rows.cpu.tolist(), rows.memory.tolist(), rows.gpus.tolist(), rows.model, strict=True)
    nodes = sorted(node for node in listed if node[3])
    if not nodes:
        raise TraceError(path, "no node has a GPU")
    models = tuple(sorted({model for *_, model in nodes}))
    if len(models) > MODELS_MOST:
        raise TraceError(path, f"{len(models)} models of GPUs; at most {MODELS_MOST} can be told apart")
    code = {model: at for at, model in enumerate(models)}
    columns = [[cpu, memory, gpus, code[model]] for _, cpu, memory, gpus, model in nodes]
    cpu, memory, gpus, model = np.array(columns, np.int32).T.copy()
    return Nodes(cpu, memory, gpus, model, models)


def read_pods(path: Path, models: Sequence[str]) -> Pods:
    """The pods of a file, in its order. models: of the nodes; what no node has fits nowhere. Raises TraceError."""
    rows = openb_pod_rows(path)
    numbers = (column.tolist() for column in (rows.cpu, rows.memory, rows.gpus, rows.milli))
    wanted = [tuple(model.strip() for model in text.split("|") if model.strip()) for text in rows.models]
    return pods_of([Pod(*one) for one in zip(rows.name, *numbers, wanted, strict=True)], models)


def pods_of(pods: Sequence[Pod], models: Sequence[str]) -> Pods:
    """Pods as columns. Shapes are sorted, so they do not depend on the order of the pods."""
    bit = {model: 1 << at for at, model in enumerate(models)}
    asked = [
        (pod.cpu, pod.memory, pod.milli, pod.gpus, sum(bit.get(m, 0) for m in pod.models) if pod.models else ANY_MODEL)
        for pod in pods
    ]
    different = sorted(set(asked))
    row = {shape: at for at, shape in enumerate(different)}
    cpu, memory, milli, gpus = ([shape[column] for shape in different] for column in range(4))
    shapes = GpuShapes.of(cpu, memory, milli, gpus, np.array([shape[4] for shape in different], np.uint64))
    return Pods(shapes, np.array([row[one] for one in asked], np.int32), tuple(pod.name for pod in pods))


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file, the header first; blank lines are left out. Raises TraceError."""
    return list(lines(path))
