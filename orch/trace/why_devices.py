"""Why a pod that asks for devices waits: how many agents each predicate ruled out."""

from __future__ import annotations

from typing import Any

import numpy as np

from orch.placement import GpuShapes
from orch.placement.gpu_shapes import DEVICES, MILLI
from orch.trace.lists import Agents, Int32


def why_of(shapes: GpuShapes, kind: int, gang: int, agents: Agents, free: tuple[Int32, Int32]) -> dict[str, Any]:
    """`{agents, feasible, ruled_out: [{predicate, agents}], never, sentence}` for one kind. free: `GpuCluster.columns`.

    An agent is charged to the first that it fails of model, cpus, mem and gpus. never: no agent could hold such a pod,
    even if nothing ran on it.
    """
    number, milli = int(shapes.number[kind]), int(shapes.milli[kind])
    left, ruled, parts = np.ones(len(agents), bool), [], []
    for predicate, fails, words in _predicates(shapes, kind, agents, *free):
        out = left & fails
        if out.any():
            ruled.append({"predicate": predicate, "agents": int(out.sum())})
            parts.append(_phrase(int(out.sum()), predicate, words(out)))
        left &= ~fails
    feasible = int(left.sum())
    device = np.where(np.arange(DEVICES) < agents.devices[:, None], np.int32(MILLI), np.int32(0))
    empty = np.ones(len(agents), bool)
    for _, fails, _ in _predicates(shapes, kind, agents, agents.total[:, :2], device):
        empty &= ~fails
    never = not empty.any()
    if feasible:
        parts.append(f"{feasible} would hold {'one of its pods' if gang > 1 else 'it'}")
    many = f"{len(agents)} agent{'s' if len(agents) != 1 else ''}"
    sentence = f"{many}: {', '.join(parts)}"
    if never:
        sentence += "; no agent could hold it even when empty: ask for less, or add a larger agent"
    elif gang > 1:
        sentence += f"; a gang of {gang} is placed whole or not at all"
    elif not feasible and number and milli < MILLI:
        sentence += "; a part of a GPU has to come from one device"
    return {"agents": len(agents), "feasible": feasible, "ruled_out": ruled, "never": never, "sentence": sentence}


def _predicates(shapes: GpuShapes, kind: int, agents: Agents, room: Int32, device: Int32) -> list[Any]:
    """(predicate, bool[N] that fail, what is said of those that it rules out)."""
    number, milli = int(shapes.number[kind]), int(shapes.milli[kind])
    cpu, memory = int(shapes.cpu[kind]), int(shapes.memory[kind])
    model = np.left_shift(np.uint64(1), agents.model.astype(np.uint64))
    other = ((model & shapes.models[kind]) == 0) & (number > 0) & (agents.devices > 0)
    most = ", most on one agent: "
    able = (device >= max(milli, 1)).sum(axis=1)

    def devices(out: Any) -> str:
        asked = f"{number} whole" if milli == MILLI else f"{number} with {milli / MILLI:g} free"
        best = f"{int(able[out].max())}" if milli == MILLI or number > 1 else f"{device[out].max() / MILLI:g} of one"
        return f"asked {asked}{most}{best}"

    return [
        ("model", other, lambda out: ""),
        ("cpus", room[:, 0] < cpu, lambda out: f"asked {cpu / 1000:g}{most}{room[out, 0].max() / 1000:g}"),
        ("mem", room[:, 1] < memory, lambda out: f"asked {memory} MiB{most}{room[out, 1].max()} MiB"),
        ("gpus", able < number, devices),
    ]


def _phrase(agents: int, predicate: str, particulars: str) -> str:
    one = agents == 1
    if predicate == "model":
        return f"{agents} {'has' if one else 'have'} GPUs of another model"
    few = "too little" if predicate == "mem" else "too few"
    return f"{agents} {'has' if one else 'have'} {few} {predicate} ({particulars})"
