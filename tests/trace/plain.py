"""The plain replay that `orch.trace.replay` equals: at every instant all that waits is tried, by the plain scans."""

from __future__ import annotations

from dataclasses import dataclass, field

from orch.placement import GPU_POLICIES, Mix, reference, reference_gpus
from orch.placement.gpu_shapes import GpuShapes
from orch.placement.gpus import policy_row, steps
from orch.placement.mix import WHOLE
from orch.trace.lists import Agents, Pods


@dataclass
class Placed:
    """One pod: its row of the trace, when it began, where and on which devices; when it leaves (None: never)."""

    row: int
    start: int = -1
    agent: int = -1
    devices: tuple[int, ...] = ()
    leaves: int | None = None


@dataclass
class Group:
    """Pods of one kind that came together with one priority, in the order of the rows."""

    kind: int
    arrival: int
    priority: int
    pods: list[Placed] = field(default_factory=list)


class Amounts:
    """Agents whose resources are counted."""

    def __init__(self, agents: Agents, pods: Pods, policy: str) -> None:
        total = agents.total.tolist()
        self.agents = reference.Agents([list(row) for row in total], total, [True] * len(total))
        self.policy, self.requests, self.gang = policy, pods.request.tolist(), pods.gang.tolist()

    def place(self, groups: list[tuple[Group, list[Placed]]]) -> list[list[tuple[int, tuple[int, ...]]]]:
        """(agent or -1, devices) of each pod of each group."""
        turns = sorted({(-g.priority, g.arrival) for g, _ in groups})
        demand = [(g.kind, len(pods), self.gang[g.kind], -turns.index((-g.priority, g.arrival))) for g, pods in groups]
        answer = iter(
            reference.match(self.policy, self.agents, demand, self.requests, [None] * len(self.requests)).agent
        )
        return [[(next(answer), ()) for _ in pods] for _, pods in groups]

    def leave(self, kind: int, pod: Placed) -> None:
        """A pod has ended."""
        reference.charge(self.agents.free[pod.agent], self.requests[kind], -1)


class OnDevices:
    """Agents with GPU devices."""

    def __init__(self, agents: Agents, pods: Pods, policy: str) -> None:
        rows = zip(agents.total.tolist(), agents.devices.tolist(), agents.model.tolist(), strict=True)
        self.agents = [reference_gpus.Agent(row[0], row[1], [1000] * n, model) for row, n, model in rows]
        shapes = GpuShapes.of(pods.request[:, 0], pods.request[:, 1], pods.milli, pods.number, pods.models)
        columns = (shapes.cpu, shapes.memory, shapes.milli, shapes.number, shapes.models)
        self.shapes = [reference_gpus.Pod(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
        self.gang = pods.gang.tolist()
        weights = GPU_POLICIES[policy]
        mix = weights.mix(Mix.of(shapes, pods.of_kind()))
        kinds = zip(*(c.tolist() for c in (mix.cpu, mix.milli, mix.number, mix.models, mix.weight)), strict=True)
        self.kinds = [(reference_gpus.Pod(c, 0, milli, n, models), w) for c, milli, n, models, w in kinds]
        largest = [int(agents.total[:, 0].max()), 1000 * int(agents.devices.max())]
        cuts = steps().tolist() if weights.stepped else ()
        self.rule = reference_gpus.Rule(*policy_row(weights, largest).tolist(), cuts, WHOLE * weights.rare // 1000)

    def place(self, groups: list[tuple[Group, list[Placed]]]) -> list[list[tuple[int, tuple[int, ...]]]]:
        """(agent or -1, devices) of each pod of each group; in a turn most devices first, then least CPU."""

        def turn(at: int) -> tuple[int, ...]:
            group, shape = groups[at][0], self.shapes[groups[at][0].kind]
            size = (-shape.milli * shape.number, -shape.milli, shape.cpu, group.kind)
            return -group.priority, group.arrival, *size

        answer: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in groups]
        for at in sorted(range(len(groups)), key=turn):
            group, pods = groups[at]
            shape, gang = self.shapes[group.kind], max(self.gang[group.kind], 1)
            for _ in range(len(pods) // gang):
                block = reference_gpus.place(self.agents, [shape] * gang, self.rule, self.kinds)
                if any(agent < 0 for agent, _ in block):
                    for agent, devices in block:
                        if agent >= 0:
                            reference_gpus.charge(self.agents[agent], shape, devices, -1)
                    block = [(-1, ())] * gang
                answer[at] += block
        return answer

    def leave(self, kind: int, pod: Placed) -> None:
        """A pod has ended."""
        reference_gpus.charge(self.agents[pod.agent], self.shapes[kind], pod.devices, -1)


def replay(agents: Agents, pods: Pods, policy: str, on_devices: bool) -> list[Placed]:
    """Every pod, by arrival, priority, kind and row of the trace."""
    cluster = OnDevices(agents, pods, policy) if on_devices else Amounts(agents, pods, policy)
    rows = list(zip(*(c.tolist() for c in (pods.arrival, pods.priority, pods.kind, pods.count)), strict=True))
    groups: dict[tuple[int, int, int], Group] = {}
    for arrival, priority, kind, row in sorted((a, -p, k, row) for row, (a, p, k, _) in enumerate(rows)):
        group = groups.setdefault((arrival, priority, kind), Group(kind, arrival, -priority))
        group.pods += [Placed(row) for _ in range(rows[row][3])]
    known = list(groups.values())
    now: int | None = min(group.arrival for group in known if group.pods)
    while now is not None:
        for group in known:
            for pod in group.pods:
                if pod.leaves == now:
                    pod.leaves = None
                    cluster.leave(group.kind, pod)
        come = sorted((g for g in known if g.arrival <= now), key=lambda g: (-g.priority, g.arrival, g.kind))
        waiting = [(g, [pod for pod in g.pods if pod.start < 0]) for g in come]
        for (_, some), found in zip(waiting, cluster.place(waiting), strict=True):
            # Of equal pods the first ones have the agents, whichever gang it was that did not fit.
            for pod, (agent, devices) in zip(some, [one for one in found if one[0] >= 0], strict=False):
                stays = int(pods.duration[pod.row])
                pod.start, pod.agent, pod.devices = now, agent, devices
                pod.leaves = now + stays if stays >= 0 else None
        later = [g.arrival for g in known if g.pods and g.arrival > now]
        now = min([*later, *(p.leaves for g in known for p in g.pods if p.leaves is not None)], default=None)
    return [pod for group in known for pod in group.pods]
