"""Pods onto agents with GPU devices: shares of a device, whole devices, models of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any, Literal

import numpy as np

from orch import _gpus as kernel
from orch.placement import columns
from orch.placement.columns import Int32, Int64, UInt16
from orch.placement.errors import ShapeError
from orch.placement.gpu_shapes import DEVICES, MILLI, GpuShapes
from orch.placement.mix import WHOLE, Mix

GpuPolicy = Literal["first-fit", "best-fit", "fgd-stepped", "fgd", "fgd-fill"]
MODELS = 64


@dataclass(frozen=True)
class Weights:
    """What a placement is worth to a policy. Decision 19 says where the numbers come from.

    one: thousandths of the waste that it avoids: FGD's measure (Weng et al., USENIX ATC'23).  fill: of the leftover
    after as many pods of a kind as an agent holds.  gap: of what shares of a device would leave of each device.
    cpu, gpu: millionths of a device that an agent loses for having all of the largest agent's free afterwards.
    stepped: the waste avoided is mapped to 0..99 as in the authors' simulator, by 100 / (1 + exp(-devices)) cut off.
    ease, rare: how the usual mix is weighed: see `Mix.eased` and `Mix.left`, rare in thousandths of the mix.
    """

    one: int = 0
    fill: int = 0
    gap: int = 0
    cpu: int = 0
    gpu: int = 0
    stepped: bool = False
    ease: int = 0
    rare: int = 0

    def mix(self, usual: Mix) -> Mix:
        """The mix as this policy weighs it."""
        return usual.eased(self.ease) if self.ease else usual

    def left(self, mix: Mix) -> Int64:
        """int64[1001], what the mix would leave of a device; all 0 where that is worth nothing."""
        return mix.left(WHOLE * self.rare // 1000) if self.gap else np.zeros(MILLI + 1, np.int64)


GPU_POLICIES: dict[str, Weights] = {
    "first-fit": Weights(),
    "best-fit": Weights(cpu=1_000_000, gpu=1_000_000),
    "fgd-stepped": Weights(one=1, stepped=True),
    "fgd": Weights(one=1000, cpu=25_000, gpu=25_000, ease=1),
    "fgd-fill": Weights(one=1000, fill=30, gap=3000, gpu=1500, ease=5, rare=40),
}


@dataclass(frozen=True, eq=False)
class GpuMatch:
    """Per pod, in the order they were placed: agent int32[P] (-1: none holds it), devices uint16[P] (a bit each)."""

    agent: Int32
    devices: UInt16


def steps() -> Int64:
    """int64[99]: the least decrease of waste, in milli of the whole mix, that scores each of 1 to 99."""
    with localcontext(prec=50):
        odds = [(Decimal(step) / (kernel.STEPS + 1 - step)).ln() for step in range(1, kernel.STEPS + 1)]
        exact = [(MILLI * WHOLE * odd).to_integral_value(ROUND_CEILING) for odd in odds]
    return np.array([int(value) for value in exact], np.int64)


def policy_row(weights: Weights, largest: Sequence[int]) -> Int64:
    """int64[5] as the kernel takes it: [one, fill, gap, and per milli that is left of CPU, of devices].

    largest: the most milli that an agent has of CPU, and of devices.
    """
    pulls = (weights.cpu, weights.gpu)
    per_unit = [MILLI * WHOLE * pull // (1000 * max(most, 1)) for pull, most in zip(pulls, largest, strict=True)]
    return np.array([weights.one, weights.fill, weights.gap, *per_unit], np.int64)


class GpuCluster:
    """Agents with devices, idle at first, charged with what was placed. Rows are agents; ties go to the lowest row.

    Keeps a score for each shape and agent (8 bytes), so the next pod of a shape only looks at agents that changed.
    Not for use by two threads at once.
    """

    def __init__(self, cpu: Any, memory: Any, devices: Any, model: Any, shapes: GpuShapes, mix: Mix) -> None:
        """cpu, memory: int32[N], milli and MiB of each agent.  devices: int32[N], how many it has, up to 16.
        model: int32[N], 0 to 63, of its devices.  mix: what FGD measures waste by.

        Raises ShapeError where dimensions differ or a value is out of range.
        """
        room, count, code = agent_columns(cpu, memory, devices, model)
        device = np.where(np.arange(DEVICES) < count[:, None], np.int32(MILLI), np.int32(0))
        self._shapes = shapes
        self._total = room, device
        self._largest = [int(column.max(initial=0)) for column in (room[:, 0], device.sum(axis=1))]
        self._agents = len(code)
        asked = np.stack([shapes.cpu, shapes.memory, shapes.milli, shapes.number], axis=1)
        bits = np.left_shift(np.uint64(1), code.astype(np.uint64))
        self._room, self._device = _spare(room), _spare(device)  # the kernel changes them in place
        self._kernel = kernel.Devices(self._room, self._device, _spare(bits), _spare(asked), _spare(shapes.models))
        self._mix = mix
        self._policy: str | None = None

    def __len__(self) -> int:
        """How many agents."""
        return self._agents

    def columns(self) -> tuple[Int32, Int32]:
        """Copies of what is free: int32[N, 2] CPU (milli) and memory (MiB), int32[N, 16] milli of each device."""
        room, device = self._kernel.columns()
        return room, device

    def free_of(self, rows: Any) -> tuple[Int32, Int32]:
        """As `columns`, of some agents. rows: int32[k]. Raises ShapeError."""
        row = columns.column("rows", rows, np.int32, None)
        columns.at_least("rows", row, 0)
        columns.below("rows", row, self._agents, "agents")
        return self._room[row], self._device[row]

    def place(self, shape: Any, policy: GpuPolicy = "fgd") -> GpuMatch:
        """Place pods one after the other, in this order, and charge them. shape: int32[P], rows of the shapes.

        Raises ShapeError. O(agents) a pod at worst; with K kinds in the mix, O(K) for each agent that changed.
        """
        pods = self._pods(shape)
        if policy not in GPU_POLICIES:
            raise ShapeError(f"policy is {policy!r}, and must be one of {', '.join(GPU_POLICIES)}")
        if policy != self._policy:
            weights = GPU_POLICIES[policy]
            mix = weights.mix(self._mix)
            self._kernel.mix(*mix_columns(mix), weights.left(mix))
            cuts = steps() if weights.stepped else np.empty(0, np.int64)
            self._kernel.use(policy_row(weights, self._largest), cuts)
            self._policy = policy
        match = GpuMatch(np.full(len(pods), -1, np.int32), np.zeros(len(pods), np.uint16))
        if self._agents:
            self._kernel.place(pods, match.agent, match.devices)
        return match

    def release(self, shape: Any, match: GpuMatch) -> None:
        """Give back what pods hold: the shapes and the answer of `place`, or matching rows of both. O(pods).

        Raises ShapeError, and then nothing has changed, where an agent would have more free than it has.
        """
        pods = self._pods(shape)
        agent = columns.column("agent", match.agent, np.int32, len(pods))
        taken = columns.column("devices", match.devices, np.uint16, len(pods))
        columns.at_least("agent", agent, -1)
        columns.below("agent", agent, self._agents, "agents")
        held = np.flatnonzero(agent >= 0)
        row, at = np.unique(agent[held], return_inverse=True)
        room, device = self._room[row].astype(np.int64), self._device[row].astype(np.int64)
        bits = (taken[held, None] >> np.arange(DEVICES, dtype=np.uint16)) & 1
        for d, asked in enumerate((self._shapes.cpu, self._shapes.memory)):
            np.add.at(room[:, d], at, asked[pods[held]])
        np.add.at(device, at, bits.astype(np.int64) * self._shapes.milli[pods[held], None])
        if (room > self._total[0][row]).any() or (device > self._total[1][row]).any():
            raise ShapeError(
                "more would be given back than these agents have: was it placed here, and not yet given back?"
            )
        self._kernel.release(pods, agent, taken)

    def _pods(self, shape: Any) -> Int32:
        pods = columns.column("shape", shape, np.int32, None)
        columns.at_least("shape", pods, 0)
        columns.below("shape", pods, len(self._shapes), "shapes")
        return pods


def agent_columns(cpu: Any, memory: Any, devices: Any, model: Any) -> tuple[Int32, Int32, Int32]:
    """(CPU and memory int32[N, 2], devices int32[N], model int32[N]), checked. Raises ShapeError."""
    code = columns.column("model", model, np.int32, None)
    columns.at_least("model", code, 0)
    columns.below("model", code, MODELS, "models")
    count = columns.column("devices", devices, np.int32, len(code))
    columns.at_least("devices", count, 0)
    columns.below("devices", count, DEVICES + 1, f"to {DEVICES} devices of an agent")
    room = [columns.column(name, have, np.int32, len(code)) for name, have in (("cpu", cpu), ("memory", memory))]
    for name, have in zip(("cpu", "memory"), room, strict=True):
        columns.at_least(name, have, 0)
    return np.stack(room, axis=1), count, code


def mix_columns(mix: Mix) -> tuple[Int32, Any, Int64, int, Int32]:
    """A mix as the kernel takes it: the kinds that ask for devices, the weight of the others, the levels of milli."""
    sharing = np.flatnonzero(mix.number > 0)
    level = np.unique(mix.milli[sharing])
    at = np.searchsorted(level, mix.milli[sharing])
    kind = np.stack([mix.cpu[sharing], at.astype(np.int32), mix.number[sharing]], axis=1)
    idle = int(mix.weight[mix.number == 0].sum())
    return _spare(kind), _spare(mix.models[sharing]), _spare(mix.weight[sharing]), idle, _spare(level)


def _spare(array: Any) -> Any:
    """With a row of zeros more: never empty."""
    return np.concatenate([array, np.zeros((1, *array.shape[1:]), array.dtype)])
