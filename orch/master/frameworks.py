"""The frameworks: who subscribed, what each wants to launch now, and what it does not want to be offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator import Wanted
from orch.master.refusals import Refusals
from orch.model.facts_master import FrameworkAdded
from orch.model.messages import Decline, Demand, ResendRequest, Revive, Subscribe, Subscribed, Suppress
from orch.model.resources import R

if TYPE_CHECKING:
    from orch.master.master import Master

Column = NDArray[np.integer[Any]]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

_NOTHING = np.zeros(0, dtype=np.int64)
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F,
     0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3],
    dtype=np.uint64,
)  # fmt: skip
"""Odd multipliers, one a column: they spread small differences over 64 bits."""


def prints(group: Column, requests: Column, priorities: Column, ganged: NDArray[np.bool_]) -> U64:
    """uint64[k]: a number for each kind of pod (group, request int[k, R], priority, in a gang or not)."""
    columns = np.empty((len(group), 3 + R), dtype=np.uint64)
    columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3:] = group, priorities, ganged, requests
    columns += np.uint64(1)  # so that zeros count too
    columns *= _ODD[: 3 + R]
    mixed = np.bitwise_xor.reduce(columns ^ (columns >> np.uint64(29)), axis=1)
    mixed *= _ODD[0]
    spread: U64 = mixed ^ (mixed >> np.uint64(32))
    return spread


class Framework:
    """One framework. Its name and number are kept; all else is of this master only.

    Demand, in columns of D rows: `wanted` (groups by number), `priorities` and `durations` int64[D], and `kinds`
    uint64[D]; what is launched is taken off.
    """

    def __init__(self, name: str, number: int, hosted: bool) -> None:
        self.name, self.number, self.hosted = name, number, hosted
        self.subscribed = False
        self.reset()

    def reset(self) -> None:
        """It starts, or starts again: it wants nothing and refuses nothing."""
        self.suppressed = False
        self.wanted = Wanted(_NOTHING, np.zeros((0, R), dtype=np.int64), _NOTHING, _NOTHING)
        self._wants_pods = False
        self.priorities: I64 = _NOTHING
        self.durations: I64 = _NOTHING
        self._highest = 0
        self.kinds: U64 = np.zeros(0, dtype=np.uint64)
        self.offered_version = 0
        """`Agents.generation` at its last offer; 0: it needs a full one."""
        self.offered_ms = 0
        self.deadline_ms: int | None = None
        """It has an offer, and answers by then."""
        self.missed = False
        """Its turn came while it had an offer."""
        self.refusals = Refusals()
        self.passes = 0
        """Offers in a row from which it took nothing, at one time."""
        self.rests_until_ms = 0
        """It is not asked before; 0: it may be asked."""
        self._stuck: dict[int, bool] = {}
        self._stuck_in = 0

    @property
    def address(self) -> str:
        """Where messages for it go."""
        return self.name if self.hosted else f"framework/{self.name}"

    def wants(self) -> bool:
        """Whether it may be offered something at all."""
        return self._wants_pods and self.subscribed and not self.suppressed

    def outranks(self, priority: int | None) -> NDArray[np.bool_] | None:
        """bool[D]: rows of which pods are wanted that have a higher priority; None where there are none."""
        if priority is None or not self._wants_pods or self._highest <= priority:
            return None
        rows: NDArray[np.bool_] = (self.priorities > priority) & (self.wanted.counts > 0)
        return rows if rows.any() else None

    def highest(self) -> int | None:
        """The highest priority of the pods that are wanted; None where it wants none."""
        wanted = self.priorities[self.wanted.counts > 0] if self.wants() else _NOTHING
        return int(wanted.max()) if len(wanted) else None

    def stuck(self, cycle: int) -> dict[int, bool]:
        """The groups for which it took nothing in this cycle, as keys; who takes nothing again is added to them."""
        if self._stuck_in != cycle:
            self._stuck, self._stuck_in = {}, cycle
        return self._stuck

    def print(self) -> int:
        """One number for all that it wants: equal multisets of pods have equal prints."""
        return int((self.kinds * self.wanted.counts.astype(np.uint64)).sum(dtype=np.uint64))

    def demand(self, wanted: Wanted, kinds: U64, priorities: I64 | None = None, durations: I64 | None = None) -> bool:
        """It wants this now; whether that is anything else than what it wanted and has not got."""
        before = self.print()
        self.wanted, self.kinds = wanted, kinds
        self.priorities = np.zeros(len(kinds), dtype=np.int64) if priorities is None else priorities
        self.durations = np.zeros(len(kinds), dtype=np.int64) if durations is None else durations
        self._highest = int(self.priorities.max(initial=np.iinfo(np.int32).min))
        self._wants_pods = bool((wanted.counts > 0).any())
        return self.print() != before

    def got(self, kinds: U64, pods: Column) -> None:
        """Pods of these kinds, so many of each, were launched: wanted no more.

        Of two rows of one kind the first may go below 0.
        """
        order = np.argsort(self.kinds, kind="stable")
        if len(order) == 0:
            return
        at = np.minimum(np.searchsorted(self.kinds[order], kinds), len(order) - 1)
        rows = order[at]
        known = self.kinds[rows] == kinds
        np.subtract.at(self.wanted.counts, rows[known], pods[known])
        self._wants_pods = bool((self.wanted.counts > 0).any())


class Frameworks:
    """Frameworks by name, in the order of their numbers."""

    def __init__(self, hosted: tuple[str, ...]) -> None:
        self._hosted = hosted
        self.by_name: dict[str, Framework] = {}
        self._top: int | None = None
        """The highest priority that anybody asked for; None: to be looked up."""

    def add(self, name: str, number: int) -> Framework:
        """A framework with its number; numbers count from 1."""
        assert number == len(self.by_name) + 1, f"framework {name} got number {number}"
        self.by_name[name] = Framework(name, number, name in self._hosted)
        self.asked_anew()
        return self.by_name[name]

    def asked_anew(self) -> None:
        """Somebody wants something else now."""
        self._top = None

    def may_outrank(self, priority: int) -> bool:
        """Whether anybody may want pods of a higher priority; False is certain. Asked after each word of a thousand."""
        if self._top is None:
            self._top = max((one._highest for one in self.by_name.values()), default=priority)
        return self._top > priority

    def numbered(self, number: int) -> Framework:
        """The framework of a number that was given."""
        return list(self.by_name.values())[number - 1]

    def groups(self) -> list[int]:
        """Numbers of the groups that something is wanted for."""
        return [group for one in self.by_name.values() for group in np.unique(one.wanted.group).tolist()]

    def named(self, name: str) -> Framework:
        """The framework of a message. Raises ValueError where it never subscribed."""
        if name not in self.by_name:
            raise ValueError(f"framework {name} sent a message before it subscribed; send Subscribe first")
        return self.by_name[name]


def added(m: Master, fact: FrameworkAdded) -> None:
    """A new framework."""
    m.frameworks.add(fact.name, fact.number)


def subscribe(m: Master, now_ms: int, event: Subscribe) -> None:
    """A framework starts (again): it is told all that it has here, and its old wishes are void."""
    if event.framework not in m.frameworks.by_name:
        m.emit(FrameworkAdded(event.framework, len(m.frameworks.by_name) + 1))
    framework = m.frameworks.named(event.framework)
    m.offers.answered(now_ms, framework, _NOTHING)
    framework.reset()
    m.frameworks.asked_anew()
    framework.subscribed = True
    rows = m.instances.of_framework(framework.number)
    m.send(framework.address, Subscribed(number=framework.number, epoch=m.epoch, **m.instances.told(rows)))
    lost = rows[m.instances["resend"][rows] == 1]
    if len(lost):
        m.send(framework.address, ResendRequest(m.instances["id"][lost], m.instances["attempt"][lost]))
    m.story_book.note(now_ms, "subscribed", framework.name, instances=len(rows))


def demand(m: Master, now_ms: int, event: Demand) -> None:
    """All that a framework wants now. The same again, or less by what it got, is no reason for an offer."""
    framework = m.frameworks.named(event.framework)
    numbers = np.array([m.tree.number(path) for path in event.groups], dtype=np.int64)
    wanted = Wanted(
        group=numbers[event.group] if len(event.group) else _NOTHING,
        requests=event.requests.astype(np.int64),
        counts=event.counts.astype(np.int64),
        gangs=event.gangs.astype(np.int64),
    )
    durations = event.durations if len(event.durations) else np.zeros(len(event.group), dtype=np.int64)
    priorities = event.priorities.astype(np.int64)
    kinds = prints(wanted.group, event.requests, priorities + (durations << 32), event.gangs > 1)
    m.frameworks.asked_anew()
    if framework.demand(wanted, kinds, priorities, durations):
        m.offers.again_for(framework)
        m.offers.press()


def decline(m: Master, now_ms: int, event: Decline) -> None:
    """None of these agents for a while; it also answers an offer."""
    framework = m.frameworks.named(event.framework)
    framework.refusals.add(event.agents, m.agents.table.length, now_ms + event.refuse_ms)
    m.wake_by(now_ms + event.refuse_ms)
    m.offers.answered(now_ms, framework, _NOTHING)


def suppress(m: Master, now_ms: int, event: Suppress) -> None:
    """No offers until it revives."""
    framework = m.frameworks.named(event.framework)
    framework.suppressed = True
    m.offers.answered(now_ms, framework, _NOTHING)


def revive(m: Master, now_ms: int, event: Revive) -> None:
    """Offers again, of everything."""
    framework = m.frameworks.named(event.framework)
    framework.suppressed = False
    framework.refusals = Refusals()
    framework.offered_version = 0
    m.offers.again_for(framework)
