"""The cycle: who is shown what is free, in which order, and how much of it each may take.

Frameworks in this process are asked one after the other, so that each sees what the last one took; one elsewhere is
asked at its turn and not waited for. It keeps columns of its own behind what it is sent; what changed is written once
for all who were shown the same before. A round asks everybody once. While groups contend, or have quotas, another one
follows: shares were cut in favour of groups, or of pods, that could not use theirs. Then all is quiet until something
is freed, or somebody wants something else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator import Wanted, headroom
from orch.master.frameworks import Framework
from orch.master.holds import Hold, rows_within, within_ms
from orch.master.preemption import Bands, bands_of
from orch.master.refusals import Refusals
from orch.master.shown import Shown
from orch.model.columns import distinct
from orch.model.messages import EMPTY_I32, I32, Accept, OfferBatch, OfferChanges
from orch.model.resources import R

if TYPE_CHECKING:
    from orch.master.master import Master

I64 = NDArray[np.int64]

MAX_ROUNDS = 64
"""Of one cycle; what is left then waits for the next change."""
MAX_PASSES = 16
"""Offers a framework may leave unused without time going on; then it has a rest."""
REST_MS = 1_000
"""How long it rests. Who does not answer at all rests as long as it had the offer."""
PRESS_MS = 100
"""Between two rounds in which places may be taken, unless somebody wants something else."""
GATHER_MS = 50
"""So long after a round the answers of frameworks elsewhere are gathered, if not all have come: accepts are committed
by turn, and are a reason for the next round only together. A thousand answers are not a thousand rounds."""


class Offers:
    """The state of the cycle; all of it is of this master only."""

    def __init__(self, offer_ms: int) -> None:
        self.offer_ms = offer_ms
        self.dirty = False
        """Something was freed or wanted since the last cycle began."""
        self._later = False
        """The same, by word of a framework elsewhere: not before the others had time to answer."""
        self._again = self._again_later = False
        """There is to be another round, after an answer of a framework here; after one from elsewhere."""
        self._rounds = 0
        self._cycle = 0
        self._contended = False
        self._gather_until_ms = 0
        self._turns: deque[tuple[Framework, list[int], Hold | None]] = deque()
        """Who is asked next, for which groups; or for the gang that something is held for."""
        self._offered_hold: Hold | None = None
        """What the outstanding offer of a framework here is of, if it is of that."""
        self._within_ms = 0
        """In this round only pods that run no longer are asked for: they use what is held."""
        self._held_in = 0
        """The last cycle at the end of which it was looked who waits in vain."""
        self._filled = 0
        """The last cycle that had a round for pods that use what is held."""
        self._at: dict[int, int] = {}
        """Where each group of the round stands in the columns of its headroom and of what it used at the beginning."""
        self._headroom = self._used = np.zeros((0, R), dtype=np.int64)
        self._left = self._headroom
        self._left_of = -1
        """The generation of `_left`: what of the headroom was not taken by then."""
        self._asked: dict[str, list[int]] = {}
        """Groups of the outstanding offer, by framework, in the order of turns."""
        self.early: dict[str, Accept] = {}
        """Accepts that wait for those whose turn was before. Of this master only: they are lost with it."""
        self._shown = Shown()
        self._waiting: Framework | None = None
        self._bands: Bands | None = None
        """What the frameworks of this round may free; None: they may not."""
        self._pressed = 0
        """The last cycle that had such a round."""
        self._press_ms = 0
        """There is none before."""
        self._vain: list[Hold] = []
        """Whose gangs took nothing of what was held for them."""
        self._paused = False
        """A framework had enough for one event: the next tick goes on."""

    def run(self, m: Master, now_ms: int) -> None:
        """Go on with the cycle as far as it goes without an answer."""
        while self._waiting is None and not self._paused:
            if not self._turns and not any(begin(m, now_ms) for begin in self._rounds_in_order):
                return
            framework, groups, hold = self._turns.popleft()
            if framework.deadline_ms is not None:
                framework.missed = True
            elif hold is not None:
                self._offer_held(m, now_ms, framework, hold)
            elif framework.wants():
                self._offer(m, now_ms, framework, groups)

    def answered(self, now_ms: int, framework: Framework, groups: I64) -> None:
        """A framework's offer is over; `groups`: those of the pods that were launched of it."""
        asked = self._asked.pop(framework.name, None)
        if asked is None:
            return
        framework.deadline_ms = None
        if framework.missed:
            framework.missed = False
            self.again_for(framework)
        took = distinct(groups).tolist()
        if framework is self._waiting:
            self._waiting = None
            if self._offered_hold is not None:
                self._vain += [] if took else [self._offered_hold]
                self._offered_hold, self.dirty = None, True
        self._took(framework, asked, took)
        framework.passes = 0 if took else framework.passes + 1
        if framework.passes == MAX_PASSES:
            framework.passes, framework.rests_until_ms = 0, now_ms + REST_MS

    def _took(self, framework: Framework, asked: list[int], took: list[int]) -> None:
        """It launched pods of these groups only; whether others may have what was kept for the rest is to be seen."""
        stuck = framework.stuck(self._cycle)
        for group in asked:
            if group not in took:
                stuck[group] = True
        if framework.hosted:
            self._again |= self._contended
        else:
            self._again_later |= self._contended

    def again_for(self, framework: Framework) -> None:
        """There is to be another cycle, by word of this framework."""
        if framework.hosted:
            self.dirty = True
        else:
            self._later = True

    def waits_until(self, m: Master, now_ms: int, framework: Framework) -> int | None:
        """Until when a framework's accept waits for one whose turn was before and who has not answered; None: not."""
        if framework.hosted or framework.name not in self._asked:
            return None
        for name in self._asked:
            before = m.frameworks.by_name[name]
            if before is framework:
                break
            if not before.hosted and now_ms < before.offered_ms + GATHER_MS:
                return before.offered_ms + GATHER_MS
        return None

    def in_turn(self) -> list[str]:
        """The frameworks whose accepts are kept, in the order of their turns."""
        if not self.early:
            return []
        late = [name for name in self.early if name not in self._asked]
        return [*late, *(name for name in self._asked if name in self.early)]

    def press(self) -> None:
        """Places may be taken in the next cycle, however short ago the last time was."""
        self._press_ms = 0

    def pause(self, m: Master, now_ms: int) -> None:
        """Go on with a new cycle in an event of its own, as soon as others had their turn."""
        self._paused = True
        m.wake_by(now_ms)

    def resume(self) -> None:
        """The tick after a pause."""
        if self._paused:
            self._paused, self.dirty = False, True

    def expire(self, m: Master, now_ms: int) -> None:
        """Offers whose time is up are over; refusals end; who had a rest is asked again."""
        for framework in m.frameworks.by_name.values():
            if framework.deadline_ms is not None and framework.deadline_ms <= now_ms:
                m.story_book.note(now_ms, "offer timed out", framework.name)
                self.answered(now_ms, framework, np.zeros(0, dtype=np.int64))
                framework.rests_until_ms = now_ms + self.offer_ms
                self.dirty = True
            if 0 < framework.refusals.until_ms <= now_ms:
                framework.refusals = Refusals()
                if framework.hosted:
                    framework.offered_version = 0
                self.dirty = True
            if 0 < framework.rests_until_ms <= now_ms:
                framework.rests_until_ms = 0
                self.dirty = True

    def deadlines(self, m: Master) -> list[int]:
        """When something of this is due: the end of offers, refusals and rests."""
        times = []
        for framework in m.frameworks.by_name.values():
            times += [] if framework.deadline_ms is None else [framework.deadline_ms]
            times += [framework.refusals.until_ms] if framework.refusals.until_ms else []
            times += [framework.rests_until_ms] if framework.rests_until_ms else []
        return times

    def groups(self) -> list[int]:
        """Numbers of groups that the cycle refers to."""
        lists = [*self._asked.values(), *(groups for _, groups, _ in self._turns)]
        return sorted({group for groups in lists for group in groups})

    def _begin(self, m: Master, now_ms: int) -> bool:
        """Plan a round; whether there is anybody to ask."""
        if not self._due(m, now_ms):
            return False
        self._rounds += 1
        self._gather_until_ms = now_ms + GATHER_MS
        agents = m.agents.table.length
        asked = [
            framework
            for framework in m.frameworks.by_name.values()
            if framework.wants() and not self._rests(m, framework) and not framework.refusals.hides_all(now_ms, agents)
        ]
        if not any(framework.deadline_ms is None for framework in asked):
            for framework in asked:
                framework.missed = True
            return False
        self._bands, self._within_ms = None, 0
        if self._rounds == 1 and self._hold(m, now_ms, new=False):
            self._again = True
            return True
        wanted, whose = self._wanted(asked)
        self._contended = m.tree.has_quota or len(np.unique(wanted.group)) > 1
        return self._plan(m, asked, wanted, whose)

    def _begin_to_press(self, m: Master, now_ms: int) -> bool:
        """Plan a round in which places may be taken, once a cycle, after all else; whether there is anybody to ask."""
        lowest, agents = m.instances.lowest, m.agents.table.length
        if self._pressed == self._cycle or lowest is None or not m.frameworks.may_outrank(lowest):
            return False
        asked = [
            framework
            for framework in m.frameworks.by_name.values()
            if framework.outranks(lowest) is not None and framework.subscribed and not framework.suppressed
            and framework.deadline_ms is None and not self._rests(m, framework)
            and not framework.refusals.hides_all(now_ms, agents)
        ]  # fmt: skip
        if not asked:
            return False
        if now_ms < self._press_ms:
            m.wake_by(self._press_ms)
            return False
        self._pressed, self._press_ms, self._within_ms = self._cycle, now_ms + PRESS_MS, 0
        rows = [framework.outranks(lowest) for framework in asked]
        self._bands = bands_of(m, np.concatenate([one.priorities[of] for one, of in zip(asked, rows, strict=True)]))
        if self._bands is None:
            return False
        least = int(self._bands.priorities[0])
        parts = [(framework.wanted, framework.outranks(least - 1)) for framework in asked]
        wanted = {
            name: np.concatenate([getattr(part, name)[of] for part, of in parts if of is not None])
            for name in Wanted.__slots__
        }
        pods = [0 if of is None else int(of.sum()) for _, of in parts]
        return self._plan(m, asked, Wanted(**wanted), np.repeat(np.arange(len(asked), dtype=np.int64), pods))

    @property
    def _rounds_in_order(self) -> tuple[Callable[[Master, int], bool], ...]:
        """What begins a round, each once the one before has nobody to ask any more."""
        return self._begin, self._begin_to_press, self._begin_to_hold, self._begin_to_fill

    def _hold(self, m: Master, now_ms: int, new: bool) -> bool:
        """Hold what is free now for gangs that wait; whether one of them has all that it needs, and is asked."""
        for hold in self._vain:
            m.holds.in_vain(hold)
        self._vain = []
        m.holds.refresh(m, now_ms, new)
        for hold in m.holds.all:
            framework = m.frameworks.by_name[hold.framework]
            if hold.complete and framework.deadline_ms is None and not framework.rests_until_ms:
                self._turns.append((framework, [hold.group], hold))
        return bool(self._turns)

    def _begin_to_hold(self, m: Master, now_ms: int) -> bool:
        """At the end of a cycle: who could not be placed by now waits, and what is free is held for some of them."""
        if self._held_in == self._cycle:
            return False
        self._held_in = self._cycle
        return self._hold(m, now_ms, new=True)

    def _begin_to_fill(self, m: Master, now_ms: int) -> bool:
        """Plan a round for pods that may use what is held, once a cycle; whether there is anybody to ask."""
        if self._filled == self._cycle or not m.holds.all:
            return False
        self._filled, self._bands = self._cycle, None
        most_ms = within_ms(m.holds.all, now_ms)
        asked = [
            framework
            for framework in m.frameworks.by_name.values()
            if framework.hosted and framework.wants() and framework.deadline_ms is None and not framework.rests_until_ms
            and rows_within(framework, most_ms, m.holds.all).any()
        ]  # fmt: skip
        if not asked:
            return False
        self._within_ms = most_ms
        rows = [rows_within(framework, most_ms, m.holds.all) for framework in asked]
        wanted = {
            name: np.concatenate([getattr(one.wanted, name)[of] for one, of in zip(asked, rows, strict=True)])
            for name in Wanted.__slots__
        }
        pods = [int(of.sum()) for of in rows]
        return self._plan(m, asked, Wanted(**wanted), np.repeat(np.arange(len(asked), dtype=np.int64), pods))

    def _offer_held(self, m: Master, now_ms: int, framework: Framework, hold: Hold) -> None:
        """Show a framework here what is held for its gang, and nothing else."""
        free = np.zeros_like(m.agents["free"])
        free[hold.agents] = hold.pods[:, None] * hold.request
        room = hold.request[None, :].astype(np.int64) * hold.size
        batch = _own_columns(m, framework, None, [m.tree.paths[hold.group]], room)
        self._offered_hold = hold
        self._send(m, now_ms, framework, [hold.group], replace(
            batch, full=True, free=_read_only(free), gang=hold.size, request=hold.request
        ))  # fmt: skip
        framework.offered_version = 0

    def _plan(self, m: Master, asked: list[Framework], wanted: Wanted, whose: I64) -> bool:
        """Who is asked in which turn, and what each group may take; whether there is anybody."""
        usable = m.agents["usable"] == 1
        capacity = m.agents["free"].sum(axis=0, dtype=np.int64, where=usable[:, None])
        freed, held = None, self._held(m)
        if held is not None and self._bands is None:  # places beside what is held may be taken; the commit knows whose
            capacity = capacity - held.sum(axis=0, dtype=np.int64)
        if self._bands is not None:
            capacity, freed = capacity + self._bands.capacity, self._bands.by_group
        order, self._headroom = headroom(m.tree, wanted, capacity, m.ledger.total, freed)
        self._used, self._left_of = m.tree["used"][order], -1
        self._at = dict(zip(order, range(len(order)), strict=True))
        turns: dict[int, list[int]] = {}
        for group, at in _in_turn(order, wanted.group, whose):
            turns.setdefault(at, []).append(group)
        self._turns.extend((asked[at], groups, None) for at, groups in turns.items())
        return bool(self._turns)

    def _due(self, m: Master, now_ms: int) -> bool:
        """Whether there is to be a round now: of a new cycle, or another one of this."""
        gathers = bool(self._asked) and now_ms < self._gather_until_ms
        if gathers and (self._later or self._again_later):
            m.wake_by(self._gather_until_ms)
        if self.dirty or (self._later and not gathers):
            self.dirty = self._later = False
            self._cycle += 1
            self._rounds = 0
        elif not (self._again or (self._again_later and not gathers)) or self._rounds == MAX_ROUNDS:
            return False
        self._again = self._again_later = False
        return True

    def _rests(self, m: Master, framework: Framework) -> bool:
        if framework.rests_until_ms:
            m.wake_by(framework.rests_until_ms)
        return framework.rests_until_ms > 0

    def _wanted(self, asked: list[Framework]) -> tuple[Wanted, I64]:
        """All that is wanted by who is not stuck, and int64[D] whose each row is, as a position in `asked`."""
        stuck = [list(framework.stuck(self._cycle)) for framework in asked]
        if len(asked) == 1 and not stuck[0]:
            return asked[0].wanted, np.zeros(len(asked[0].wanted.group), dtype=np.int64)
        parts = [framework.wanted for framework in asked]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Wanted.__slots__}
        whose = np.repeat(np.arange(len(asked), dtype=np.int64), [len(part.group) for part in parts])
        open_ = joined["counts"] > 0
        if any(stuck):
            shut = [group * len(asked) + at for at, groups in enumerate(stuck) for group in groups]
            open_ &= ~np.isin(joined["group"] * len(asked) + whose, np.array(shut, dtype=np.int64))
        return Wanted(**{name: column[open_] for name, column in joined.items()}), whose[open_]

    def _offer(self, m: Master, now_ms: int, framework: Framework, groups: list[int]) -> None:
        if self._left_of != m.agents.generation:
            taken = np.maximum(m.tree["used"][list(self._at)] - self._used, 0)
            self._left, self._left_of = np.maximum(self._headroom - taken, 0), m.agents.generation
        room = self._left[[self._at[group] for group in groups]]
        paths = [m.tree.paths[group] for group in groups]
        hidden = framework.refusals.hides(now_ms, m.agents.table.length)
        if hidden is not None and not np.any((m.agents["usable"] == 1) & ~hidden):
            self._took(framework, groups, [])
            return
        batch: OfferBatch | OfferChanges
        if framework.hosted:
            batch = _own_columns(m, framework, hidden, paths, room)
            held = self._held(m)
            if held is not None:
                free = np.maximum(m.agents["free"] - held, 0)
                batch = replace(batch, full=True, free=_read_only(free))
            batch = replace(batch, within_ms=self._within_ms) if self._within_ms else batch
            if self._bands is not None:
                batch = replace(batch, bands=self._bands.priorities, freeable=self._bands.freeable)
        else:
            rows = EMPTY_I32 if hidden is None else np.flatnonzero(hidden).astype(np.int32)
            batch = OfferChanges(self._shown.since(m.agents, framework.offered_version), rows, paths, room)
            if self._bands is not None:
                batch = replace(batch, bands=self._bands.priorities, freeable=self._bands.freeable)
        self._send(m, now_ms, framework, groups, batch)
        if framework.hosted and m.holds.all:  # what is shown free is not what is: it is shown anew
            framework.offered_version = 0

    def _held(self, m: Master) -> I32 | None:
        """int32[N, R]: what the frameworks of this round are not shown; None where that is nothing."""
        if not m.holds.all or self._within_ms:
            return None
        return m.holds.amounts(m.agents.table.length)

    def _send(
        self, m: Master, now_ms: int, framework: Framework, groups: list[int], batch: OfferBatch | OfferChanges
    ) -> None:
        if framework.hosted:
            self._waiting = framework
        if now_ms > framework.offered_ms:
            framework.passes = 0
        framework.offered_version = max(m.agents.generation, 1)
        framework.offered_ms = now_ms
        framework.deadline_ms = now_ms + self.offer_ms
        m.wake_by(framework.deadline_ms)
        self._asked[framework.name] = groups
        m.send(framework.address, batch)


def _in_turn(order: list[int], group: I64, whose: I64) -> list[tuple[int, int]]:
    """(group, who wants it) in the order of turns, each pair once."""
    turn = np.full(1 + int(group.max(initial=-1)), len(order), dtype=np.int64)
    turn[order] = np.arange(len(order))
    asking = 1 + int(whose.max(initial=0))
    pairs = np.unique(turn[group] * asking + whose)
    pairs = pairs[pairs < len(order) * asking]
    return [(order[at], by) for at, by in zip((pairs // asking).tolist(), (pairs % asking).tolist(), strict=True)]


def _own_columns(
    m: Master, framework: Framework, hidden: NDArray[np.bool_] | None, paths: list[str], room: I64
) -> OfferBatch:
    """What a framework in this process is shown: the master's own columns, read-only."""
    agents = m.agents
    full = framework.offered_version == 0 or hidden is not None
    since = 0 if full else framework.offered_version
    return OfferBatch(
        generation=agents.generation,
        full=full,
        changed=np.flatnonzero(agents["version"] > since).astype(np.int32),
        free=_read_only(agents["free"]),
        total=_read_only(agents["total"]),
        usable=_read_only(agents["usable"] if hidden is None else agents["usable"] * ~hidden),
        sessions=_read_only(agents["session"]),
        attributes=agents.attributes,
        names=agents.names,
        groups=paths,
        headroom=room,
    )


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    view = column.view()
    view.setflags(write=False)
    return view
