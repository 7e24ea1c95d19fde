"""The cycle: whose turn, how much, when again, and when not."""

from __future__ import annotations

import numpy as np
import pytest

from orch.master import offers as room
from orch.model import messages as say
from orch.model.codec import decode
from orch.model.requests import DrainAgent
from orch.model.states import State
from tests.master.world import POD, TOTAL, Pass, Pod, Wish, World, accept_of, demand_of, i32, kinds, launched, only

SMALL = (500, 0, 0, 0, 0)


def test_a_pod_is_launched_in_the_event_that_asks_for_it() -> None:
    world = World("services")
    before = world.host.index
    [one] = world.submit("services", 1)
    assert launched(world) == {one: "a0"} and world.host.index == before + 1
    assert len(world.framework("services").offers) == 1


def test_an_offer_shows_the_columns_and_the_headroom() -> None:
    world = World("services", agents=2)
    world.submit("services", 1, group="/team/shop")
    [offer] = world.framework("services").offers
    assert offer.full and offer.changed.tolist() == [0, 1]
    assert offer.total.tolist() == [list(TOTAL)] * 2 and offer.usable.tolist() == [1, 1]
    assert offer.names == ["a0", "a1"] and offer.sessions.tolist() == [1, 1]
    assert offer.groups == ["/team/shop"] and offer.headroom.tolist() == [list(POD)]
    assert not offer.free.flags.writeable


def test_later_offers_name_the_rows_that_changed() -> None:
    world = World("services", agents=3)
    [one] = world.submit("services", 1)
    world.submit("services", 1)
    assert world.framework("services").offers[-1].changed.tolist() == [0]
    world.ask(DrainAgent, agent="a2")
    world.update("a0", (one, State.FINISHED))
    world.submit("services", 1)
    last = world.framework("services").offers[-1]
    assert (last.full, last.changed.tolist(), last.usable.tolist()) == (False, [0, 2], [1, 1, 2])


def test_what_was_freed_has_changed_too() -> None:
    world = World("services", agents=2)
    ids = world.submit("services", 8)
    world.submit("services", 1)
    world.update("a1", (ids[7], State.FINISHED))
    last = world.framework("services").offers[-1]
    assert last.changed.tolist() == [0, 1] and len(launched(world)) == 9
    world.update("a1", (ids[6], State.FINISHED))
    world.submit("services", 1, request=SMALL)
    last = world.framework("services").offers[-1]
    assert last.changed.tolist() == [1] and last.free[:, 0].tolist() == [0, 500]


def test_what_does_not_fit_waits_quietly_until_something_is_freed() -> None:
    world = World("services")
    ids = world.submit("services", 6)
    offers = world.framework("services").offers
    assert len(launched(world)) == 4 and len(offers) == 1
    world.beat("a0")
    world.until(world.now_ms + 5_000)
    world.beat("a0")
    world.update("a0", (ids[0], State.RUNNING))
    assert len(offers) == 1
    world.update("a0", (ids[0], State.FINISHED))
    assert len(launched(world)) == 5 and len(offers) == 2


def test_what_no_agent_could_hold_is_not_offered_at_all() -> None:
    world = World("services")
    world.submit("services", 1, request=(9000, 0, 0, 0, 0))
    assert world.framework("services").offers == []


def test_the_same_demand_again_is_no_reason_for_an_offer_but_another_is() -> None:
    world = World("services")
    framework = world.framework("services")
    framework.mood = "passes"
    world.submit("services", 2)
    assert len(framework.offers) == 1
    world.tell(Wish(), to="services")
    assert len(framework.offers) == 1
    world.submit("services", 1)
    assert len(framework.offers) == 2


def test_a_gang_is_offered_whole_headroom_and_launched_whole() -> None:
    world = World("services", agents=2)
    world.submit("services", 9, gang=1)
    assert launched(world) == {}
    world.tell(Wish(*world.pods("services", 1)), to="services")
    assert len(launched(world)) == 1
    world = World("services", agents=2)
    world.submit("services", 8, gang=1)
    assert len(launched(world)) == 8


def test_frameworks_take_turns_lowest_share_first_each_seeing_what_the_last_took() -> None:
    world = World("services", "batch", agents=2)
    world.submit("services", 2, group="/rich")
    for name in ("services", "batch"):
        world.framework(name).mood = "passes"
    world.submit("services", 8, group="/rich")
    world.submit("batch", 8, group="/poor")
    for name in ("services", "batch"):
        world.framework(name).mood = "takes"
    first = len(world.framework("batch").offers), len(world.framework("services").offers)
    world.tell(say.Revive("services"))
    poor, rich = world.framework("batch").offers[first[0]], world.framework("services").offers[first[1]]
    # 6 cpus are free. Shares rise together to 4 each.
    assert poor.groups == ["/poor"] and poor.headroom[0, 0] == 4000 and poor.free[:, 0].sum() == 0
    assert rich.groups == ["/rich"] and rich.headroom[0, 0] == 2000
    used = {group: int(world.master.tree["used"][world.master.tree.find(group), 0]) for group in ("/poor", "/rich")}
    assert used == {"/poor": 4000, "/rich": 4000}


def test_what_a_group_can_not_use_goes_to_the_others_in_the_same_event() -> None:
    world = World("services", "batch", agents=2)
    world.framework("services").mood = "passes"
    world.submit("services", 8, group="/picky")
    world.submit("batch", 8, group="/hungry")
    assert len(launched(world)) == 8


def test_a_group_that_fits_nowhere_does_not_starve_the_others() -> None:
    world = World("services", "batch", agents=2)
    # 5 cpus fit the free amounts of both agents together, and neither agent.
    world.submit("services", 3, group="/large", request=(5000, 0, 0, 0, 0))
    ids = world.submit("batch", 16, group="/small", request=SMALL)
    assert sorted(launched(world)) == ids


def test_frameworks_of_one_group_share_its_headroom() -> None:
    world = World("services", "batch")
    world.framework("services").mood = "passes"
    ids = world.submit("services", 3)
    world.framework("services").mood = "takes"
    more = world.submit("batch", 3)
    assert sorted(launched(world)) == [*ids, more[0]]
    assert world.framework("services").offers[-1].headroom[0, 0] == 4000
    assert world.framework("batch").offers[-1].headroom[0, 0] == 1000


def test_suppress_and_revive() -> None:
    world = World("services")
    framework = world.framework("services")
    world.tell(say.Suppress("services"))
    world.submit("services", 1)
    assert framework.offers == []
    world.tell(say.Revive("services"))
    assert len(framework.offers) == 1 and framework.offers[0].full and len(launched(world)) == 1


# ---- frameworks elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture
def far() -> World:
    world = World("services", agents=2, hosted=("services",), offer_ms=1_000, unreachable_ms=60_000)
    world.tell(say.Subscribe("far"))
    return world


def wish(world: World, pods: list[Pod]) -> list[say.OfferBatch]:
    messages = world.tell(demand_of("far", pods, {}))
    return [message for message in messages if isinstance(message, say.OfferBatch)]


def test_a_framework_elsewhere_gets_copies_and_is_not_waited_for(far: World) -> None:
    [offer] = wish(far, far.pods("far", 2))
    assert [send.to for send in far.sent if isinstance(send.message, say.OfferBatch)] == ["framework/far"]
    far.submit("services", 1)
    assert len(launched(far)) == 1
    assert offer.free[:, 0].tolist() == [4000, 4000]


def test_its_accept_is_committed_whenever_it_comes(far: World) -> None:
    pods = far.pods("far", 2)
    wish(far, pods)
    far.until(far.now_ms + 5_000)
    messages = far.tell(accept_of("far", [(pod, 0, 1) for pod in pods]))
    assert only(messages, say.AcceptResult).verdicts.tolist() == [0, 0]


def test_what_it_got_it_does_not_want_any_more_even_if_it_does_not_say_so(far: World) -> None:
    pods = far.pods("far", 2)
    wish(far, pods)
    far.tell(accept_of("far", [(pods[0], 0, 1)]))
    offer = only(far.join("a2"), say.OfferBatch)
    assert offer.headroom[0, 0] == 1000
    far.tell(accept_of("far", [(pods[1], 0, 1)]))
    assert far.join("a3") == []


def test_an_offer_that_is_not_answered_ends_and_others_may_have_it(far: World) -> None:
    wish(far, far.pods("far", 8))
    ids = far.submit("services", 8, group="/other")
    assert len(launched(far)) == 4
    far.until(far.now_ms + 1_000)
    assert sorted(launched(far)) == ids
    assert [note["what"] for note in far.master.story("far")] == ["subscribed", "offer timed out"]


def test_who_missed_its_turn_while_it_had_an_offer_is_asked_after_its_answer(far: World) -> None:
    [one] = far.submit("services", 1, request=(4000, 0, 0, 0, 0))
    pods = far.pods("far", 3, request=(4000, 0, 0, 0, 0))
    assert len(wish(far, pods)) == 1
    far.update("a0", (one, State.FINISHED))
    messages = far.tell(accept_of("far", [(pods[0], 1, 1)]))
    offer = only(messages, say.OfferBatch)
    assert not offer.full and offer.free[:, 0].tolist() == [4000, 0]


def test_a_conflict_is_offered_again_with_what_is_so_now(far: World) -> None:
    pods = far.pods("far", 4)
    wish(far, pods)
    ids = far.submit("services", 2, group="/other")
    assert launched(far) == dict.fromkeys(ids, "a0")
    messages = far.tell(accept_of("far", [(pod, 0, 1) for pod in pods]))
    assert only(messages, say.AcceptResult).verdicts.tolist() == [0, 0, 16, 16]
    offer = only(messages, say.OfferBatch)
    assert offer.changed.tolist() == [0] and offer.free[:, 0].tolist() == [0, 4000]
    messages = far.tell(accept_of("far", [(pod, 1, 1) for pod in pods[2:]]))
    assert only(messages, say.AcceptResult).verdicts.tolist() == [0, 0]


def test_declined_agents_are_not_shown_for_a_while(far: World) -> None:
    wish(far, far.pods("far", 1, request=(4000, 0, 0, 0, 0)))
    assert far.tell(say.Decline("far", i32(0, 7, -1), refuse_ms=2_000)) == []
    more = far.pods("far", 2, request=(4000, 0, 0, 0, 0))
    [offer] = wish(far, more)
    assert (offer.full, offer.changed.tolist(), offer.usable.tolist()) == (False, [0], [0, 1])
    far.tell(say.Decline("far", i32(), refuse_ms=500))
    messages = far.until(far.now_ms + 2_000)
    [offer] = [message for message in messages if isinstance(message, say.OfferBatch)]
    assert (offer.full, offer.changed.tolist(), offer.usable.tolist()) == (False, [0], [1, 1])


def test_an_agent_that_came_after_a_decline_is_shown(far: World) -> None:
    pods = far.pods("far", 1)
    wish(far, pods)
    far.tell(say.Decline("far", i32()))
    messages = far.join("a2")
    assert only(messages, say.OfferBatch).usable.tolist() == [0, 0, 1]
    assert far.tell(say.Suppress("far")) == []
    assert only(far.tell(say.Revive("far")), say.OfferBatch).usable.tolist() == [1, 1, 1]


def test_who_refused_all_that_there_is_is_not_asked_and_keeps_nothing_from_the_others(far: World) -> None:
    wish(far, far.pods("far", 8))
    assert far.tell(say.Decline("far", i32(), refuse_ms=2_000)) == []
    ids = far.submit("services", 8, group="/other")
    assert sorted(launched(far)) == ids
    assert [offer.headroom[0, 0] for offer in far.framework("services").offers] == [8000]
    world = World("services", agents=2, hosted=("services",), unreachable_ms=60_000)
    world.tell(say.Subscribe("far"))
    wish(world, world.pods("far", 8))
    assert world.tell(say.Decline("far", i32(0, 1), refuse_ms=2_000)) == []
    ids = world.submit("services", 8, group="/other")
    assert sorted(launched(world)) == ids
    assert [send.to for send in world.sent if isinstance(send.message, say.OfferBatch)] == ["framework/far"]


def test_changes_name_total_and_attributes_only_of_agents_that_have_others(far: World) -> None:
    pods = far.pods("far", 3)
    wish(far, pods)
    far.tell(accept_of("far", [(pods[0], 0, 1)]))
    far.register("a1", "again", (8000, 4096, 10_000, 0, 100), zone="z")
    far.image_of("a1")
    raw = decode(far.shown[-1].shown)
    assert raw.rows.tolist() == [0, 1] and raw.named.tolist() == [1] and raw.attributes == [{"zone": "z"}]
    far.tell(accept_of("far", [(pods[1], 0, 1)]))
    assert len(wish(far, far.pods("far", 4))) == 1
    raw = decode(far.shown[-1].shown)
    assert (raw.since > 0, raw.rows.tolist(), raw.named.tolist()) == (True, [0], [])


def test_frameworks_that_saw_the_same_are_sent_the_same_bytes(far: World) -> None:
    far.tell(say.Subscribe("farther"))
    for name in ("far", "farther"):
        far.tell(say.Suppress(name))
        far.tell(demand_of(name, far.pods(name, 1, group=f"/{name}", request=SMALL), {}))
    far.master.frameworks.by_name["far"].suppressed = False
    far.tell(say.Revive("farther"))
    first, second = far.shown
    assert first.shown == second.shown and (first.groups, second.groups) == (["/far"], ["/farther"])


def test_answers_of_frameworks_elsewhere_are_gathered_before_the_next_round(far: World) -> None:
    names = ("far", "far2", "far3")
    pods = {}
    for name in names:
        far.tell(say.Subscribe(name))
        far.tell(say.Suppress(name))
        pods[name] = far.pods(name, 8, group=f"/{name}")
        far.tell(demand_of(name, pods[name], {}))
    for name in names:
        far.master.frameworks.by_name[name].suppressed = False
    assert kinds(far.tell(say.Revive("far3"))) == ["OfferBatch"] * 3
    assert kinds(far.tell(say.Decline("far", i32()))) == []
    assert kinds(far.tell(accept_of("far2", [(pods["far2"][0], 0, 1)]))) == ["LaunchBatch", "AcceptResult"]
    last = far.tell(accept_of("far3", [(pods["far3"][0], 1, 1)]))
    assert kinds(last) == ["LaunchBatch", "AcceptResult", "OfferBatch", "OfferBatch"]
    assert kinds(far.tell(accept_of("far2", [(pods["far2"][1], 0, 1)]))) == ["LaunchBatch", "AcceptResult"]
    assert "OfferBatch" not in kinds(far.until(far.now_ms + room.GATHER_MS - 1))
    before = len(far.sent)
    far.until(far.now_ms + 1)
    again = [send.to for send in far.sent[before:] if isinstance(send.message, say.OfferBatch)]
    assert again == ["framework/far2"]


def test_a_framework_that_starts_again_wants_nothing_and_has_no_offer(far: World) -> None:
    pods = far.pods("far", 1)
    wish(far, pods)
    assert kinds(far.tell(say.Subscribe("far"))) == ["Subscribed"]
    far.join("a2")
    [offer] = wish(far, pods)
    assert offer.full


def test_a_framework_of_before_a_restart_is_not_offered_until_it_subscribes(far: World) -> None:
    far.restart()
    far.join("a0", "again")
    assert wish(far, far.pods("far", 1)) == []
    far.tell(say.Subscribe("far"))
    assert len(wish(far, far.pods("far", 1))) == 1


# ---- against endless loops -----------------------------------------------------------------------------------------


def test_a_framework_in_the_process_that_does_not_answer_holds_up_the_others_for_a_while_only() -> None:
    world = World("services", "batch", offer_ms=1_000)
    world.framework("services").mood = "silent"
    world.submit("services", 1)
    world.submit("batch", 1)
    assert launched(world) == {}
    world.until(world.now_ms + 1_000)
    assert len(launched(world)) == 1


class Fickle:
    """Pods whose demand is another each time, and that never take an offer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.framework = world.framework("services")
        self.framework.mood = "passes"
        self.asked = 0
        handle = self.framework._offered

        def offered(event: say.OfferBatch) -> None:
            handle(event)
            self.asked += 1
            pods = world.pods("services", 1, priority=self.asked)
            self.framework.send("master", demand_of("services", pods, {}))

        self.framework._offered = offered  # type: ignore[method-assign]


def test_a_framework_in_the_process_that_starts_again_while_it_has_an_offer_holds_up_nobody() -> None:
    world = World("services", "batch")
    world.framework("batch").mood = "silent"
    world.submit("batch", 1)
    world.tell(Pass(say.Subscribe("batch")), to="batch")
    [one] = world.submit("services", 1)
    assert launched(world) == {one: "a0"}


def test_a_framework_that_wants_something_else_each_time_gets_a_rest() -> None:
    world = World("services", unreachable_ms=60_000)
    fickle = Fickle(world)
    world.submit("services", 1)
    assert fickle.asked == room.MAX_PASSES
    world.until(world.now_ms + room.REST_MS - 1)
    assert fickle.asked == room.MAX_PASSES
    world.until(world.now_ms + 1)
    assert fickle.asked == 2 * room.MAX_PASSES
    fickle.framework.mood = "takes"
    world.until(world.now_ms + room.REST_MS)


def test_rounds_of_one_cycle_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_ROUNDS", 2)
    world = World("services", "batch", agents=2)
    for name in ("services", "batch"):
        world.framework(name).mood = "passes"
    for number in range(4):
        world.submit("services", 8, group=f"/g{number}")
    for name in ("services", "batch"):
        world.framework(name).mood = "takes"
    before = len(world.framework("services").offers)
    world.tell(Pass(say.Revive("services")), to="services")
    assert len(world.framework("services").offers) - before <= 2
    assert np.all(world.master.agents["free"] >= 0)
