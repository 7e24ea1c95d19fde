"""Agents with GPU devices: what a replay asks of `placement.GpuCluster`. Disk and ports are not looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.resources import GPUS, R
from orch.placement import GPU_POLICIES, GpuCluster, GpuMatch, GpuPolicy, GpuShapes, Mix
from orch.trace.lists import Agents, Int32, Int64, Pods
from orch.trace.whole import BLOCK, add_lost, fit_counts, parts_of, usual_kinds
from orch.trace.why_devices import why_of

_NO_AGENT = np.empty(0, np.int32)
_NO_DEVICE = np.empty(0, np.uint16)


class Devices:
    """As `Whole`, with devices. Of pods of one rank those with the most devices go first, then those with least CPU."""

    policies = tuple(GPU_POLICIES)

    def __init__(self, agents: Agents, pods: Pods, policy: GpuPolicy) -> None:
        shapes = GpuShapes.of(pods.request[:, 0], pods.request[:, 1], pods.milli, pods.number, pods.models)
        self._agents, self._policy, self._shapes = agents, policy, shapes
        self._gang, self._usual = pods.gang, usual_kinds(pods)
        self._model = np.left_shift(np.uint64(1), agents.model.astype(np.uint64))
        self._cluster = GpuCluster(
            agents.total[:, 0], agents.total[:, 1], agents.devices, agents.model, shapes, Mix.of(shapes, pods.of_kind())
        )
        order = np.lexsort((shapes.cpu, -shapes.milli, -shapes.devices_milli()))
        self._size = np.empty(len(order), np.int64)
        self._size[order] = np.arange(len(order))

    def place(self, kind: Int64, count: Int64, rank: Int64) -> tuple[Int64, Int32, NDArray[np.uint16] | None]:
        """(pods placed of each row int64[D], their agents row after row, their devices, a bit each)."""
        if len(kind) == 1 and self._gang[kind[0]] <= 1:
            match = self._cluster.place(np.repeat(kind, count), self._policy)
            held = match.agent >= 0
            return np.array([held.sum()]), match.agent[held], match.devices[held]
        found: list[GpuMatch] = [GpuMatch(_NO_AGENT, _NO_DEVICE)] * len(kind)
        order = np.lexsort((np.arange(len(kind)), self._size[kind], -rank))
        single = self._gang[kind[order]] <= 1
        begin = 0
        while begin < len(order):
            if not single[begin]:
                row = int(order[begin])
                found[row] = self._gangs(int(kind[row]), int(count[row]))
                begin += 1
                continue
            later = np.flatnonzero(~single[begin:])
            end = begin + (int(later[0]) if len(later) else len(order) - begin)
            rows = order[begin:end]
            match = self._cluster.place(np.repeat(kind[rows], count[rows]), self._policy)
            bound = [0, *np.cumsum(count[rows]).tolist()]
            for at, row in enumerate(rows.tolist()):
                agent = match.agent[bound[at] : bound[at + 1]]
                found[row] = GpuMatch(agent[agent >= 0], match.devices[bound[at] : bound[at + 1]][agent >= 0])
            begin = end
        placed = np.array([len(one.agent) for one in found], np.int64)
        return (
            placed,
            np.concatenate([_NO_AGENT, *(one.agent for one in found)]),
            np.concatenate([_NO_DEVICE, *(one.devices for one in found)]),
        )

    def _gangs(self, kind: int, count: int) -> GpuMatch:
        """Gang after gang of one kind, until one does not fit as a whole."""
        agents, devices = [_NO_AGENT], [_NO_DEVICE]
        shape = np.full(int(self._gang[kind]), kind, np.int32)
        for _ in range(count // len(shape)):
            match = self._cluster.place(shape, self._policy)
            if (match.agent < 0).any():
                self._cluster.release(shape, match)
                break
            agents.append(match.agent)
            devices.append(match.devices)
        return GpuMatch(np.concatenate(agents), np.concatenate(devices))

    def release(self, kind: Int64, agent: Int32, devices: Any) -> Int64:
        """Pods left: their kinds, where they were, and their devices. Returns the agents with more free now."""
        self._cluster.release(kind.astype(np.int32), GpuMatch(agent, devices))
        return np.unique(agent).astype(np.int64)

    def room(self, kind: Int64, agent: Int64 | None) -> Int64:
        """int64[k], at most so many pods of each kind fit on these agents (None: on all) now."""
        free, device, model = self._free(agent)
        sums = np.stack([free[:, 0], free[:, 1], device.sum(axis=1)], axis=1)
        shapes = self._shapes
        asked = np.stack([shapes.cpu[kind], shapes.memory[kind], shapes.devices_milli()[kind]], axis=1)
        able = np.flatnonzero((asked <= sums.max(axis=0, initial=-1)).all(axis=1))
        room = np.zeros(len(kind), np.int64)
        step = max(1, BLOCK // max(len(free), 1))
        for at in range(0, len(able), step):
            some = able[at : at + step]
            fits = self._fits(kind[some], free, device, model)
            room[some] = np.where(fits, fit_counts(sums, asked[some]), 0).sum(axis=0)
        return room

    def able(self, agent: Int64) -> NDArray[np.bool_]:
        """bool[K], might these agents hold a pod of each kind now? True where one of them does. agent: int64[k]."""
        free, device, _ = self._free(agent)
        most = [*free.max(axis=0, initial=-1).tolist(), int(device.sum(axis=1).max(initial=-1))]
        shapes = self._shapes
        able: NDArray[np.bool_] = shapes.cpu <= most[0]
        return able & (shapes.memory <= most[1]) & (shapes.devices_milli() <= most[2])

    def fits(self, agent: Int64, kind: Int64) -> NDArray[np.bool_]:
        """bool[A, k], does each of these agents hold a pod of each of these kinds now? agent: int64[A]."""
        return self._fits(kind, *self._free(agent))

    def fragmentation(self) -> list[float]:
        """float[R], of what is free of each resource, the part that a usual pod can not use. Of GPUs by FGD's measure.

        FGD (Weng et al., USENIX ATC'23): all free milli where the pod does not fit or asks for no device, and on others
        the devices with less free than it asks for. Of cpus and mem: what is free where it does not fit.
        """
        free, device, model = self._free(None)
        columns = np.zeros((len(free), R), np.int32)
        columns[:, :2], columns[:, GPUS] = free, device.sum(axis=1)
        kind, weight = self._usual
        step = max(1, BLOCK // max(len(free), 1))
        lost = [0] * R
        for at in range(0, len(kind), step):
            some = kind[at : at + step]
            fits = self._fits(some, free, device, model)
            add_lost(lost, columns[:, :2], fits, weight[at : at + step])
            for s, one in enumerate(some.tolist()):
                usable = fits[:, s, None] & (device >= max(int(self._shapes.milli[one]), 1))
                usable &= bool(self._shapes.number[one])
                lost[GPUS] += int(weight[at + s]) * int(device[~usable].sum(dtype=np.int64))
        return parts_of(lost, columns, weight)

    def why(self, kind: int) -> dict[str, Any]:
        """Why a pod (or gang) of this kind does not fit now: see `why_devices`."""
        return why_of(self._shapes, kind, max(int(self._gang[kind]), 1), self._agents, self._cluster.columns())

    @property
    def usual(self) -> int:
        """How many kinds fragmentation is measured by, times what one costs beside one without devices."""
        return 4 * len(self._usual[0])

    def _fits(self, kind: Int64, free: Int32, device: Int32, model: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """bool[N, k], does an agent hold a pod of the kind now?"""
        shapes = self._shapes
        number = shapes.number[kind]
        enough = np.zeros((len(free), len(kind)), np.int32)
        for milli in np.unique(shapes.milli[kind]).tolist():
            at = shapes.milli[kind] == milli
            enough[:, at] = (device >= max(milli, 1)).sum(axis=1)[:, None]
        return (
            (free[:, 0, None] >= shapes.cpu[kind])
            & (free[:, 1, None] >= shapes.memory[kind])
            & (enough >= number)
            & ((number == 0) | ((model[:, None] & shapes.models[kind]) != 0))
        )  # fmt: skip

    def _free(self, agent: Int64 | None) -> tuple[Int32, Int32, NDArray[np.uint64]]:
        if agent is None:
            return *self._cluster.columns(), self._model
        return *self._cluster.free_of(agent), self._model[agent]
