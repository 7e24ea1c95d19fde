"""Holds: a gang that does not fit yet gets what becomes free; others go around it, if they end in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.batch import Batch
from orch.batch import views as batch_views
from orch.machine.commands import Reply, Send
from orch.machine.host import Host
from orch.master import Master, holds
from orch.model import messages as say
from orch.model.codec import decode, encode
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.requests import StopJob, SubmitJob
from orch.model.states import State
from tests.batch.test_batch import job, template
from tests.master.world import POD, World, launched

TOTAL = (400, 4096, 0, 0, 100)


class Whole:
    """The real master and the real batch, and agents of 4 pods each that do as they are told."""

    def __init__(self, agents: int) -> None:
        self.now_ms = 1_000
        self.launched: list[int] = []
        self.asked = 0
        self.replies: list[Reply] = []
        self.host = Host([Master(hosted=("batch",)), Batch()])
        self.follower: Host | None = None
        self.host.start(self.now_ms)
        self.settle()
        for row in range(agents):
            self.tell(say.Register(f"a{row}", "n", np.array(TOTAL, dtype=np.int32), {}))
            self.tell(say.Image(f"a{row}", 1, 1, 0, **self.columns([], State.RUNNING)))
        self.seqs = [0] * agents

    @property
    def master(self) -> Master:
        machine = self.host.machines["master"]
        assert isinstance(machine, Master)
        return machine

    @property
    def batch(self) -> Batch:
        machine = self.host.machines["batch"]
        assert isinstance(machine, Batch)
        return machine

    def columns(self, ids: list[int], state: State) -> dict[str, Any]:
        count = len(ids)
        return {
            "ids": np.array(ids, dtype=np.int64), "attempts": np.ones(count, dtype=np.int32),
            "states": np.full(count, state, dtype=np.uint8), "exit_codes": np.full(count, NO_EXIT_CODE, dtype=np.int16),
            "reasons": np.full(count, Reason.NONE, dtype=np.uint8),
            "started_ms": np.full(count, self.now_ms, dtype=np.int64),
            "changed_ms": np.full(count, self.now_ms, dtype=np.int64),
        }  # fmt: skip

    def tell(self, event: Any, to: str = "master") -> None:
        self.host.handle(self.now_ms, to, event)
        self.settle()

    def settle(self) -> None:
        records = self.host.take_records()
        self.host.durable(self.host.index)
        for outgoing in self.host.take_commands():
            if isinstance(outgoing.command, Send) and isinstance(outgoing.command.message, say.LaunchBatch):
                self.launched += outgoing.command.message.ids.tolist()
            if isinstance(outgoing.command, Reply):
                self.replies.append(outgoing.command)
        self.host.check()
        whole = encode(self.host.snapshot(soft=True))
        if self.follower is None:
            self.follower = Host([Master(hosted=("batch",)), Batch()])
            self.follower.restore(decode(whole))
        else:
            for record in records:
                self.follower.replay(decode(encode(record)))
        assert encode(self.follower.snapshot(soft=True)) == whole, "the follower differs"

    def submit(self, count: int, cpus_milli: int = 100, timeout_ms: int = 0, path: str = "/demo/x", **more: Any) -> int:
        """A job; its number."""
        self.asked += 1
        made = template(path=path, cpus_milli=cpus_milli, timeout_ms=timeout_ms)
        fields = job(count, template=made, attempts=1, **more)
        fields = {"gang": 0, "priority": 0, **fields}
        self.tell(SubmitJob(request=f"r{self.asked}", key="", user="ada", at_ms=self.now_ms, **fields), "batch")
        body = self.replies[-1].body
        assert body is not None
        return int(body["job"])

    def states(self, number: int) -> dict[str, int]:
        found = batch_views.job(self.batch, number)
        assert found is not None
        return dict(found["states"])

    def say(self, number: int, state: State, first: int = 0, count: int | None = None) -> None:
        """Pods of a job are in this state now, each as its agent says."""
        columns = batch_views.columns(self.batch, number, first, None if count is None else first + count)
        found = batch_views.job(self.batch, number)
        assert columns is not None and found is not None
        for row in np.unique(columns.agents[columns.agents >= 0]).tolist():
            ids = [found["first_id"] + first + at for at in np.flatnonzero(columns.agents == row).tolist()]
            self.seqs[row] += 1
            self.tell(say.UpdateBatch(f"a{row}", 1, 1, self.seqs[row], **self.columns(ids, state)))

    def held(self) -> list[tuple[int, int]]:
        """(pods that have room, of how many) of each hold."""
        return [(hold["pods"], hold["gang"]) for hold in self.master.holds.seen.holds]


@pytest.fixture
def whole() -> Whole:
    """Two agents with room for four pods each, six of them taken by a job that does not say how long it runs."""
    whole = Whole(2)
    whole.first = whole.submit(6)  # type: ignore[attr-defined]
    whole.say(1, State.RUNNING)
    return whole


def test_what_is_free_is_held_for_a_gang_and_small_pods_do_not_get_it(whole: Whole) -> None:
    gang = whole.submit(4, gang=4, path="/demo/gang")
    assert whole.held() == [(2, 4)]
    small = whole.submit(2, path="/demo/small")
    assert whole.states(small) == {"SCHEDULED": 2}
    whole.say(1, State.FINISHED, 0, 1)
    assert whole.held() == [(3, 4)] and whole.states(small) == {"SCHEDULED": 2}
    whole.say(1, State.FINISHED, 1, 1)
    assert whole.states(gang) == {"STAGING": 4} and whole.held() == []
    whole.say(1, State.FINISHED, 2, 2)
    assert whole.states(small) == {"STAGING": 2}


def test_the_hold_says_since_when(whole: Whole) -> None:
    whole.submit(4, gang=4)
    since = whole.now_ms
    whole.now_ms += 500
    whole.say(1, State.FINISHED, 0, 1)
    [hold] = whole.master.holds.seen.holds
    assert (hold["since_ms"], hold["pods"], hold["until_ms"]) == (since, 3, 0)


def test_pods_that_say_when_they_end_go_around_it(whole: Whole) -> None:
    whole.submit(4, gang=4, path="/demo/gang")
    short = whole.submit(2, timeout_ms=1_000, path="/demo/short")
    assert whole.states(short) == {"STAGING": 2}


def test_they_do_not_if_they_would_end_after_the_gang_could_start() -> None:
    whole = Whole(2)
    whole.submit(6, timeout_ms=5_000)
    whole.say(1, State.RUNNING)
    whole.now_ms += 1_000
    whole.submit(4, gang=4, path="/demo/gang")
    [hold] = whole.master.holds.seen.holds
    assert hold["until_ms"] == 6_000
    long, short = whole.submit(1, timeout_ms=4_001, path="/demo/l"), whole.submit(1, timeout_ms=4_000, path="/demo/s")
    assert whole.states(long) == {"SCHEDULED": 1} and whole.states(short) == {"STAGING": 1}


def test_a_group_has_one_hold_for_its_oldest_gang_and_each_group_has_its_own(whole: Whole) -> None:
    whole.submit(4, gang=4, path="/demo/first")
    whole.now_ms += 5
    whole.submit(3, cpus_milli=90, gang=3, path="/demo/second")
    assert whole.held() == [(2, 4)]
    whole.submit(3, gang=3, path="/other/third")
    assert whole.held() == [(2, 4), (0, 3)]


def test_only_the_gang_gets_what_is_held_for_it(whole: Whole) -> None:
    large = whole.submit(1, cpus_milli=400, path="/demo/large")
    gang = whole.submit(4, gang=4, path="/demo/gang")
    whole.say(1, State.FINISHED, 4, 2)
    assert whole.states(gang) == {"STAGING": 4} and whole.states(large) == {"SCHEDULED": 1}


def test_what_was_held_is_shown_again_once_it_is_not() -> None:
    whole = Whole(2)
    whole.submit(1, cpus_milli=350, path="/demo/a"), whole.submit(1, cpus_milli=200, path="/demo/b")
    gang = whole.submit(4, cpus_milli=160, gang=4, path="/demo/gang")
    assert whole.held() == [(1, 4)]
    assert whole.states(whole.submit(1, cpus_milli=50, path="/demo/c")) == {"STAGING": 1}
    waits = whole.submit(1, path="/demo/d")
    assert whole.states(waits) == {"SCHEDULED": 1}
    whole.tell(StopJob("r", "", "ada", whole.now_ms, gang), "batch")
    assert whole.states(waits) == {"STAGING": 1}


def test_a_gang_takes_places_beside_what_is_held_for_it() -> None:
    whole = Whole(2)
    first, same = whole.submit(4), whole.submit(1, cpus_milli=200, path="/demo/same")
    whole.say(first, State.RUNNING), whole.say(same, State.RUNNING)
    gang = whole.submit(3, cpus_milli=200, gang=3, path="/demo/gang")
    whole.say(first, State.FINISHED, 0, 2)
    assert whole.held() == [(2, 3)]
    short = whole.submit(2, timeout_ms=1_000, priority=-1, path="/demo/short")
    assert whole.states(short) == {"STAGING": 2}
    whole.now_ms += 200  # places were asked for a moment ago
    whole.say(first, State.FINISHED, 2, 2)
    assert whole.states(gang) == {"STAGING": 3} and whole.states(short) == {"KILLING": 2}


def test_agents_that_nothing_was_held_on_are_shown_after_the_gang_has_started() -> None:
    whole = Whole(3)
    whole.submit(1, cpus_milli=350, path="/demo/a")
    whole.submit(1, path="/demo/b")
    whole.say(1, State.RUNNING), whole.say(2, State.RUNNING)
    gang = whole.submit(2, cpus_milli=400, gang=2, path="/demo/gang")
    assert whole.held() == [(1, 2)]
    whole.say(2, State.FINISHED)
    assert whole.states(gang) == {"STAGING": 2}
    assert whole.states(whole.submit(1, cpus_milli=50, path="/demo/small")) == {"STAGING": 1}


def test_a_pod_of_the_gangs_priority_takes_places_and_not_what_is_held() -> None:
    whole = Whole(2)
    low, same = whole.submit(4, priority=-1, path="/demo/low"), whole.submit(1, cpus_milli=200, path="/demo/same")
    whole.say(low, State.RUNNING), whole.say(same, State.RUNNING)
    whole.submit(4, cpus_milli=200, gang=4, path="/demo/gang")
    assert whole.held() == [(1, 4)]
    one = whole.submit(1, path="/demo/one")
    assert whole.states(one) == {"STAGING": 1} and whole.states(low) == {"RUNNING": 3, "KILLING": 1}


def test_a_gang_that_takes_nothing_of_what_is_held_for_it_holds_nothing_more() -> None:
    world = World("services")
    world.submit("services", 2)
    services = world.framework("services")
    services.mood = "passes"
    world.submit("services", 2, gang=7)
    assert [(offer.gang, offer.request.tolist()) for offer in services.offers if offer.gang] == [(2, list(POD))]
    assert world.master.holds.all == [] and world.master.holds.seen.holds == []
    services.mood = "takes"
    world.submit("services", 1)
    assert len(launched(world)) == 4


def test_nobody_is_offered_capacity_that_is_held() -> None:
    world = World("services")
    world.submit("services", 2)
    world.submit("services", 4, gang=7)
    offers = len(world.framework("services").offers)
    world.submit("services", 1)
    assert len(world.framework("services").offers) == offers and len(world.master.holds.all) == 1


def test_a_gang_that_can_never_fit_holds_nothing(whole: Whole) -> None:
    whole.submit(9, gang=9, path="/demo/gang")
    small = whole.submit(2, path="/demo/small")
    assert whole.held() == [] and whole.states(small) == {"STAGING": 2}


def test_a_gang_that_is_stopped_holds_nothing_any_more(whole: Whole) -> None:
    gang = whole.submit(4, gang=4, path="/demo/gang")
    small = whole.submit(2, path="/demo/small")
    whole.tell(StopJob("r", "", "ada", whole.now_ms, gang), "batch")
    assert whole.held() == [] and whole.states(small) == {"STAGING": 2}


def test_a_gang_beyond_its_quota_holds_nothing(whole: Whole) -> None:
    whole.master.tree.set("/demo", limit=[900, -1, -1, -1, -1])
    whole.submit(4, gang=4, path="/demo/gang")
    assert whole.held() == []


def test_a_higher_priority_does_not_wait_behind_a_hold(whole: Whole) -> None:
    whole.submit(4, gang=4, path="/demo/gang")
    high = whole.submit(2, path="/demo/high", priority=5)
    assert whole.states(high) == {"STAGING": 2} and whole.states(1) == {"RUNNING": 6}


def test_nothing_is_held_against_a_higher_priority_that_drives_nobody_out(whole: Whole) -> None:
    whole.submit(4, gang=4, path="/demo/gang", priority=-5)
    assert whole.held() == [(2, 4)]
    one = whole.submit(1, path="/demo/one")
    assert whole.states(one) == {"STAGING": 1} and whole.held() == [(1, 4)]


@pytest.mark.parametrize(
    ("free", "request_", "expected"),
    [([[10, 10], [3, 9]], [3, 2], [3, 1]), ([[10, 1]], [0, 2], [0]), ([[5, 5]], [0, 0], [1 << 30])],
)
def test_how_many_pods_a_row_holds(free: list[list[int]], request_: list[int], expected: list[int]) -> None:
    assert holds.times(np.array(free, dtype=np.int64), np.array(request_, dtype=np.int64)).tolist() == expected
