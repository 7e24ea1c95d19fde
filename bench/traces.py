"""Traces of GPU clusters: nodes and pods from CSV files in the layout of openb (Alibaba, 2023), read strictly.

Nodes: `sn,cpu_milli,memory_mib,gpu,model`. Pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]`, where
gpu_milli is of each device and gpu_spec lists the models that will do (`A|B`; empty: any). Columns may come in any
order, and others are ignored. A row that is broken in one of these columns is an error that names file, row and column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from orch.placement import GpuShapes
from orch.placement.gpu_shapes import ANY_MODEL, DEVICES, MILLI

INT32_MOST = 2**31 - 1
NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
MODELS_MOST = 64


class TraceError(ValueError):
    """A trace that can not be read: the file, and where it is one row's fault its row (the header is 1) and column."""

    def __init__(self, file: Path, problem: str, row: int | None = None, column: str | None = None) -> None:
        self.file, self.row, self.column, self.problem = file, row, column, problem
        place = "" if row is None else f", row {row}" + ("" if column is None else f", column {column}")
        super().__init__(f"{file}{place}: {problem}")


@dataclass(frozen=True)
class Node:
    """One node: its name, CPU milli, memory MiB, number of GPUs, and their model ("" without any)."""

    name: str
    cpu: int
    memory: int
    gpus: int
    model: str


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
    rows = [node for node in _rows(path, NODE_COLUMNS, _node) if node.gpus]
    rows.sort(key=lambda node: node.name)
    if not rows:
        raise TraceError(path, "no node has a GPU")
    models = tuple(sorted({node.model for node in rows}))
    if len(models) > MODELS_MOST:
        raise TraceError(path, f"{len(models)} models of GPUs; at most {MODELS_MOST} can be told apart")
    code = {model: at for at, model in enumerate(models)}
    columns = [[node.cpu, node.memory, node.gpus, code[node.model]] for node in rows]
    cpu, memory, gpus, model = np.array(columns, np.int32).T.copy()
    return Nodes(cpu, memory, gpus, model, models)


def read_pods(path: Path, models: Sequence[str]) -> Pods:
    """The pods of a file, in its order. models: of the nodes; what no node has fits nowhere. Raises TraceError."""
    return pods_of(_rows(path, POD_COLUMNS, _pod), models)


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


Row = TypeVar("Row", Node, Pod)


class Fields:
    """The fields of one row by column; each read checks one, or raises TraceError that names it."""

    def __init__(self, path: Path, row: int, fields: dict[str, str]) -> None:
        self._path, self._row, self._fields = path, row, fields

    def text(self, column: str) -> str:
        """What stands there, without the blanks around it."""
        return self._fields.get(column, "").strip()

    def name(self, column: str) -> str:
        """What stands there, and something does."""
        return self.text(column) or self.wrong(column, "is empty")

    def integer(self, column: str, most: int = INT32_MOST) -> int:
        """An integer from 0 to `most`."""
        text = self.text(column)
        if not re.fullmatch("[0-9]{1,18}", text) or int(text) > most:
            self.wrong(column, f"holds {text!r}, and must hold an integer from 0 to {most}")
        return int(text)

    def wrong(self, column: str, problem: str) -> NoReturn:
        """This column of this row is not as it must be."""
        raise TraceError(self._path, problem, self._row, column)


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file, the header first; blank lines are left out. Raises TraceError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(path, f"can not be read: {error}") from error


def _rows(path: Path, needed: tuple[str, ...], make: Callable[[Fields], Row]) -> list[Row]:
    """Every row of a file, checked."""
    header, *rows = read_rows(path) or [[]]
    columns = [column.strip() for column in header]
    for column in needed:
        if columns.count(column) != 1:
            raise TraceError(path, "is missing" if column not in columns else "is there twice", 1, column)
    made: list[Row] = []
    seen: dict[str, int] = {}
    for number, fields in enumerate(rows, 2):
        if not fields:
            continue
        if len(fields) != len(columns):
            at = columns[min(len(fields), len(columns) - 1)]
            raise TraceError(path, f"the row has {len(fields)} fields, the header {len(columns)}", number, at)
        read = Fields(path, number, dict(zip(columns, fields, strict=True)))
        one = make(read)
        if one.name in seen and isinstance(one, Node):
            read.wrong(needed[0], f"{one.name} is in row {seen[one.name]} too")
        seen[one.name] = number
        made.append(one)
    return made


def _node(read: Fields) -> Node:
    gpus = read.integer("gpu", DEVICES)
    model = read.name("model") if gpus else ""
    return Node(read.name("sn"), read.integer("cpu_milli"), read.integer("memory_mib"), gpus, model)


def _pod(read: Fields) -> Pod:
    gpus, milli = read.integer("num_gpu", DEVICES), read.integer("gpu_milli", MILLI)
    if (gpus == 0) != (milli == 0):
        read.wrong("gpu_milli", f"holds {milli}, but num_gpu {gpus}: both are 0, or neither is")
    models = tuple(model.strip() for model in read.text("gpu_spec").split("|") if model.strip())
    return Pod(read.name("name"), read.integer("cpu_milli"), read.integer("memory_mib"), gpus, milli, models)
