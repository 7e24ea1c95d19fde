"""One trace by one policy: arrivals and departures over a virtual clock.

At each instant pods leave first; then those that wait, and those that have just come, are one match: by priority, then
by arrival. A pod that does not fit waits, and others pass it. What fits nowhere is not tried again before an agent has
more free, so a step costs about what changed. The same input gives the same output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from orch.model.errors import UsageError
from orch.model.resources import DISK, NAMES, PORTS
from orch.placement import GPU_POLICIES, POLICIES, Policy
from orch.placement.gpu_shapes import ANY_MODEL, MILLI
from orch.placement.gpus import GpuPolicy
from orch.trace.departures import Departures
from orch.trace.devices import Devices
from orch.trace.lists import Agents, Int32, Int64, Pods
from orch.trace.meter import Meter, Sample
from orch.trace.queue import Queue
from orch.trace.whole import Whole

EVERY_POLICY = tuple(dict.fromkeys((*POLICIES, *GPU_POLICIES)))
SCORES_MOST = 1 << 29
"""Shapes times agents: a GPU policy keeps 8 bytes for each."""
WHYS = 5
CELLS = 1 << 21
"""Agents with more free, times kinds that may fit there: up to so many it is asked again and again who fits."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a replay. Pods are in the order of arrival; `row` int64[P] is each one's row of the trace.

    agent: int32[P], -1 = never placed.  arrival, start: int64[P] in milliseconds, start -1 = never placed.
    used_mean, used_peak, used_last: of each resource over time, at most, and after the last arrival.
    fragmentation_mean, fragmentation_last: float of each resource.  why: the kinds of which most are unplaced.
    ignored: resources that the policy does not look at though pods ask for them.
    """

    policy: str
    row: Int64
    agent: Int32
    arrival: Int64
    start: Int64
    begin_ms: int
    last_arrival_ms: int
    end_ms: int
    used_mean: tuple[float, ...]
    used_peak: tuple[int, ...]
    used_last: tuple[int, ...]
    fragmentation_mean: tuple[float, ...]
    fragmentation_last: tuple[float, ...]
    samples: tuple[Sample, ...]
    why: tuple[dict[str, Any], ...]
    ignored: tuple[str, ...]


def replay(agents: Agents, pods: Pods, policy: str) -> Outcome:
    """Replay a trace. Raises UsageError for a policy that there is not, or that can not place these pods; or no pod."""
    if not pods.pods:
        raise UsageError("there is no pod to place.")
    return _Replay(agents, pods, policy).run()


def placer_of(agents: Agents, pods: Pods, policy: str) -> Whole | Devices:
    """What places: by devices where a pod asks for one or the policy is for them, else by amounts.

    Raises UsageError.
    """
    if policy not in EVERY_POLICY:
        raise UsageError(f"no policy {policy!r}; there are {', '.join(EVERY_POLICY)}.")
    asks = pods.number > 0
    if policy not in GPU_POLICIES:
        if (asks & ((pods.milli < MILLI) | (pods.models != ANY_MODEL))).any():
            raise UsageError(
                f"{policy} counts whole GPUs of any model, and these pods ask for parts or models: "
                f"take one of {', '.join(GPU_POLICIES)}."
            )
        return Whole(agents, pods, cast(Policy, policy))
    if policy in POLICIES and not asks.any():
        return Whole(agents, pods, cast(Policy, policy))
    if len(pods.gang) * len(agents) > SCORES_MOST:
        raise UsageError(
            f"{len(pods.gang)} different pods on {len(agents)} agents: with GPUs, the product may be "
            f"{SCORES_MOST} at most. Round what they ask for, so that more of them are equal."
        )
    return Devices(agents, pods, cast(GpuPolicy, policy))


class _Replay:
    """The state of one replay."""

    def __init__(self, agents: Agents, pods: Pods, policy: str) -> None:
        self._policy, self._agents, self._pods = policy, agents, pods
        self._placer = placer_of(agents, pods, policy)
        order = np.lexsort((np.arange(len(pods.kind)), pods.kind, -pods.priority.astype(np.int64), pods.arrival))
        keys = [column[order] for column in (pods.arrival, pods.priority, pods.kind)]
        starts = np.zeros(len(order), bool)
        starts[:1] = True
        for key in keys:
            starts[1:] |= key[1:] != key[:-1]
        count = pods.count[order].astype(np.int64)
        group = np.cumsum(starts) - 1  # of each row: equal pods that come together are one group
        amount = np.zeros(int(starts.sum()), np.int64)
        np.add.at(amount, group, count)
        kept = amount > 0  # a row may say count 0
        self._arrival, priority, self._kind = (key[starts].astype(np.int64)[kept] for key in keys)
        amount = amount[kept]
        self._first = np.concatenate([[0], np.cumsum(amount)]).tolist()
        self._row = np.repeat(order, count)
        self._pod_kind = np.repeat(self._kind, amount)
        self._duration = pods.duration[self._row]
        self._queue = Queue(self._kind, priority, self._arrival, amount, pods.gang)
        self._taken = [0] * len(amount)
        self._departures = Departures()
        self._request = pods.request.astype(np.int64)
        self._agent = np.full(len(self._row), -1, np.int32)
        self._devices: NDArray[np.uint16] | None = (
            np.zeros(len(self._row), np.uint16) if isinstance(self._placer, Devices) else None
        )
        self._start = np.full(len(self._row), -1, np.int64)
        begin, last = int(self._arrival[0]), int(self._arrival[-1])
        usual = np.sort(self._duration, kind="stable")[99 * (len(self._duration) - 1) // 100]  # 1% are longer
        self._meter = Meter.of(begin, max(last - begin, int(usual)), len(agents) * self._placer.usual)

    def run(self) -> Outcome:
        """Every instant, then what came of it."""
        meter, arrival = self._meter, self._arrival
        instants, bounds = np.unique(arrival, return_index=True)
        bound = [*bounds.tolist(), len(arrival)]
        came, at_last = 0, (meter.used, [0.0])
        last_ms = int(instants[-1])
        now_ms: int | None = int(instants[0])
        while now_ms is not None:
            meter.until(now_ms)
            freed = self._leave(now_ms)
            fresh: list[int] = []
            if came < len(instants) and instants[came] == now_ms:
                fresh = self._queue.add(bound[came], bound[came + 1])
                came += 1
            if fresh or freed is not None:
                self._match(now_ms, fresh, freed)
            next_ms = self._departures.next_ms
            if came < len(instants):
                next_ms = int(instants[came]) if next_ms is None else min(next_ms, int(instants[came]))
            # A pod of no duration leaves at once: the instant is over when nobody else does.
            if next_ms != now_ms:
                meter.sample(self._queue.pods, self._placer.fragmentation, always=now_ms == last_ms or next_ms is None)
                if now_ms == last_ms:
                    at_last = (meter.used, list(meter.samples[-1].fragmentation))
            now_ms = next_ms
        return self._outcome(last_ms, *at_last)

    def _leave(self, now_ms: int) -> Int64 | None:
        """Pods whose time is over. Returns the agents that have more free now."""
        if self._departures.next_ms != now_ms:
            return None
        pods = self._departures.pop(now_ms)
        kind = self._pod_kind[pods]
        self._meter.change(self._asked(kind), -1)
        return self._placer.release(kind, self._agent[pods], None if self._devices is None else self._devices[pods])

    def _match(self, now_ms: int, fresh: list[int], freed: Int64 | None) -> None:
        """Try what could fit, in the order of the queue: all of it at once, or what is first again and again.

        The second is for many kinds that fit singly while few pods of them will: it asks anew who still fits.
        """
        if freed is not None:
            kinds = self._queue.waiting(fresh, self._placer.able(freed))
            if len(freed) * len(kinds) <= CELLS:
                self._by_turns(now_ms, fresh, freed, kinds)
                return
        self._place(now_ms, self._queue.candidates(fresh, freed, self._placer.room))

    def _by_turns(self, now_ms: int, fresh: list[int], freed: Int64, kinds: Int64) -> None:
        """kinds: int64[k] ascending, all that may fit on `freed`, and the fresh ones, which may fit anywhere."""
        on = self._placer.fits(freed, kinds)
        holds = on.sum(axis=0)
        anywhere = self._pods.gang[kinds] > 1  # the rest of a gang may fit where one pod always did
        new = np.searchsorted(kinds, np.array(fresh, np.int64))
        anywhere[new] = True
        holds[new] += len(freed) + 1  # tried whatever the freed ones hold
        while tried := self._queue.first(kinds, self._most(freed, kinds, holds > 0, anywhere)):
            placed, agent = self._place(now_ms, tried)
            took = set(agent.tolist())
            touched = [at for at, one in enumerate(freed.tolist()) if one in took]
            if touched:
                now = self._placer.fits(freed[touched], kinds)
                holds -= on[touched].sum(axis=0) - now.sum(axis=0)
                on[touched] = now
            short = self._kind[[group for (group, pods), got in zip(tried, placed.tolist(), strict=True) if got < pods]]
            holds[np.searchsorted(kinds, short)] = -len(freed)  # of these no more fits now: free only shrinks

    def _most(self, freed: Int64, kinds: Int64, fits: NDArray[np.bool_], anywhere: NDArray[np.bool_]) -> Int64:
        """int64[k], no more pods of each kind fit now: only `freed` hold any, but of the kinds `anywhere`, bool[k]."""
        most = np.where(fits, np.iinfo(np.int64).max, 0)
        asked = np.flatnonzero(fits & ~anywhere)
        most[asked] = self._placer.room(kinds[asked], freed)
        return most

    def _place(self, now_ms: int, tried: list[tuple[int, int]]) -> tuple[Int64, Int32]:
        """One match of (group, pods). Returns (pods placed of each, their agents)."""
        groups = np.array([group for group, _ in tried], np.int64)
        count = np.array([pods for _, pods in tried], np.int64)
        placed, agent, devices = self._placer.place(self._kind[groups], count, -self._queue.turns(groups))
        begins = [self._first[group] + self._taken[group] for group, _ in tried]
        amounts = placed.tolist()
        for (group, _), amount in zip(tried, amounts, strict=True):
            self._taken[group] += amount
        self._queue.placed([(group, amount) for (group, _), amount in zip(tried, amounts, strict=True)])
        if not len(agent):
            return placed, agent
        ends = np.cumsum(placed)
        pods = np.arange(len(agent)) + np.repeat(np.array(begins, np.int64) - (ends - placed), placed)
        self._agent[pods], self._start[pods] = agent, now_ms
        if self._devices is not None and devices is not None:
            self._devices[pods] = devices
        self._meter.change(self._asked(self._pod_kind[pods]), 1)
        stay = self._duration[pods]
        leaving = stay >= 0
        self._departures.add(now_ms + stay[leaving], pods[leaving])
        return placed, agent

    def _asked(self, kind: Int64) -> list[int]:
        """What pods of these kinds take of each resource."""
        amounts: list[int] = self._request[kind].sum(axis=0).tolist()
        return amounts

    def _outcome(self, last_ms: int, used_last: list[int], fragmentation_last: list[float]) -> Outcome:
        meter = self._meter
        passed = meter.now_ms - meter.begin_ms
        whys = [
            {"pods": pods, "asks": self._pods.request[kind].tolist(), **self._why(kind)}
            for pods, kind in self._queue.kinds()[:WHYS]
        ]
        ignored = [NAMES[d] for d in (DISK, PORTS) if self._devices is not None and self._request[:, d].any()]
        return Outcome(
            self._policy, self._row, self._agent, self._pods.arrival[self._row], self._start, meter.begin_ms, last_ms,
            meter.now_ms,
            tuple(area / passed if passed else float(used) for area, used in zip(meter.area, used_last, strict=True)),
            tuple(meter.peak), tuple(used_last), tuple(meter.mean_fragmentation()), tuple(fragmentation_last),
            tuple(meter.samples), tuple(whys), tuple(ignored),
        )  # fmt: skip

    def _why(self, kind: int) -> dict[str, Any]:
        return {**self._placer.why(kind), "gang": int(self._pods.gang[kind])}
