"""Clusters and batches for the benchmarks of the kernel, each made from a case and a seed alone.

Three classes of agents, six resources, log-normal sizes; the demand is 90% of the scarcest resource, or as much as the
pods of the case may ask for when none is larger than half of an agent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]

DIMS = 6
"""cpus (milli), memory (MiB), disk (MiB), gpus (milli), ports, network (Mbit/s)."""
CLASSES = np.array(
    [
        [16_000, 65_536, 500_000, 0, 1000, 10_000],
        [64_000, 262_144, 2_000_000, 0, 1000, 25_000],
        [96_000, 786_432, 4_000_000, 8_000, 1000, 100_000],
    ],
    np.int64,
)
SHARES = (0.5, 0.35, 0.15)
"""Of the agents, by class."""
GPU_SHAPES = 0.1
LOAD = 0.9
LARGEST = 0.5
"""Of an agent of the class that a shape fits on: no pod asks for more."""
WEIGHT = np.array([1.0, 0.9, 0.5, 0.5, 1.0, 0.3])
"""How much pods ask of a resource, beside cpus: one is scarce and others are left over, as on real machines."""
ALL_DIFFERENT = "all"


@dataclass(frozen=True)
class Case:
    """How many pods, agents and shapes. `shapes` equal to `pods`: every pod is different."""

    pods: int
    agents: int
    shapes: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """`1M,10k,100` or `10k,1k,all`. Raises ValueError."""
        words = text.split(",")
        if len(words) != 3:
            raise ValueError(f"a case is PODS,AGENTS,SHAPES, such as 1M,10k,100, not {text!r}")
        pods, agents = number(words[0]), number(words[1])
        shapes = pods if words[2] == ALL_DIFFERENT else number(words[2])
        if min(pods, agents, shapes) < 1:
            raise ValueError(f"each number of a case is at least 1: {text!r}")
        return cls(pods, agents, shapes)

    def __str__(self) -> str:
        shapes = ALL_DIFFERENT if self.shapes == self.pods else short(self.shapes)
        return f"{short(self.pods)},{short(self.agents)},{shapes}"


@dataclass(frozen=True)
class Workload:
    """total int32[N, R], nothing runs on the agents; requests int32[S, R]; shape int32[P], the id of each pod."""

    case: Case
    total: Int32
    requests: Int32
    shape: Int32


def number(text: str) -> int:
    """`10k` -> 10,000; `1M` -> 1,000,000. Raises ValueError."""
    unit = {"k": 1000, "M": 1_000_000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * unit


def short(value: int) -> str:
    """10,000 -> `10k`."""
    for unit, sign in ((1_000_000, "M"), (1000, "k")):
        if value >= unit and value % unit == 0:
            return f"{value // unit}{sign}"
    return str(value)


def workload(case: Case, seed: int) -> Workload:
    """The workload of a case; the same for the same seed."""
    draw = np.random.default_rng([seed, case.pods, case.agents, case.shapes])
    kind = draw.choice(len(CLASSES), size=case.agents, p=SHARES)
    total = CLASSES[kind]
    raw, on_gpus = _sizes(draw, case.shapes)
    shape = _pods(draw, case)
    requests = _scaled(raw, on_gpus, shape, total)
    return Workload(case, total.astype(np.int32), requests, shape)


def filled(made: Workload, load: float, seed: int) -> Workload:
    """The same with another demand: pods drawn anew until `load` of the scarcest resource is asked for."""
    draw = np.random.default_rng([seed, 7])
    pods = draw.permutation(made.shape)
    asked = made.requests[pods].astype(np.int64).cumsum(axis=0)
    room = made.total.astype(np.int64).sum(axis=0) * load
    return replace(made, shape=pods[: int((asked <= room).all(axis=1).sum())])


def _sizes(draw: np.random.Generator, shapes: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(float[S, R], in parts of a mean agent; bool[S], which ask for GPUs). A shape's resources correlate."""
    common = draw.lognormal(0.0, 0.8, (shapes, 1))
    raw = (0.5 * common + 0.5 * draw.lognormal(0.0, 0.8, (shapes, DIMS))) / np.exp(0.32)
    on_gpus = draw.random(shapes) < GPU_SHAPES
    raw[~on_gpus, 3] = 0.0
    raw[:, 4] = draw.integers(0, 4, shapes)
    return raw, on_gpus


def _pods(draw: np.random.Generator, case: Case) -> Int32:
    """int32[P] shape ids in random order; popularity falls as 1/rank, as it does in traces."""
    if case.shapes == case.pods:
        return np.arange(case.pods, dtype=np.int32)
    weight = 1.0 / np.arange(1, case.shapes + 1)
    return draw.choice(case.shapes, size=case.pods, p=weight / weight.sum()).astype(np.int32)


def _scaled(raw: NDArray[np.float64], on_gpus: NDArray[np.bool_], shape: Int32, total: NDArray[np.int64]) -> Int32:
    """int32[S, R]: sizes such that all pods together ask for LOAD of the scarcest resource."""
    mean = total.mean(axis=0)
    mean[4] = 1.0  # ports are counted, not measured out
    count = np.bincount(shape, minlength=len(raw)).astype(np.float64)
    sizes = raw * mean * WEIGHT
    asked = (sizes * count[:, None]).sum(axis=0)
    have = total.sum(axis=0)
    scale = LOAD * have / np.maximum(asked, 1e-9)
    common = scale[:3].min()  # cpus, memory and disk shrink together, the others are kept within their own limit
    factor = np.array([common, common, common, min(common, scale[3]), min(1.0, scale[4]), min(common, scale[5])])
    largest = np.where(on_gpus[:, None], CLASSES[2], CLASSES[1]) * LARGEST
    requests = np.minimum(sizes * factor, largest).astype(np.int32)
    requests[:, 0] = np.maximum(requests[:, 0], 1)
    requests[:, 1] = np.maximum(requests[:, 1], 1)
    return np.ascontiguousarray(requests)
