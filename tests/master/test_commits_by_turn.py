"""Accepts of frameworks elsewhere are committed in the order of turns, whichever comes first."""

from __future__ import annotations

from typing import Any

import pytest

from orch.machine.host import EventError
from orch.master.offers import GATHER_MS
from orch.model import messages as say
from tests.master.world import Pass, Pod, World, accept_of, demand_of, i32, kinds, launched, only

NAMES = ("poor", "rich", "richer")


class Race:
    """Frameworks elsewhere with equal shares, whose turns are in the order of their names, all with an offer of a0."""

    def __init__(self, names: tuple[str, ...] = NAMES, **options: Any) -> None:
        self.world = World("services", hosted=("services",), **{"offer_ms": 1_000, "unreachable_ms": 60_000, **options})
        self.pods: dict[str, list[Pod]] = {}
        for name in names:
            self.world.tell(say.Subscribe(name))
            self.world.tell(say.Suppress(name))
            self.pods[name] = self.world.pods(name, 4, group=f"/{name}")
            self.world.tell(demand_of(name, self.pods[name], {}))
        for name in names:
            self.world.master.frameworks.by_name[name].suppressed = False
        sent = self.world.tell(say.Revive(names[-1]))
        assert kinds(sent) == ["OfferBatch"] * len(names)

    def accept(self, name: str, pods: slice = slice(None)) -> list[Any]:
        """It accepts for its pods, all on a0; what left because of it."""
        return self.world.tell(accept_of(name, [(pod, 0, 1) for pod in self.pods[name][pods]]))

    def ids(self, name: str) -> list[int]:
        return [pod.number for pod in self.pods[name]]


def verdicts(messages: list[Any]) -> dict[str, list[int]]:
    found = [message for message in messages if isinstance(message, say.AcceptResult)]
    return {result.framework: result.verdicts.tolist() for result in found}


def test_the_first_in_turn_has_what_it_chose_though_another_was_faster() -> None:
    race = Race()
    assert race.accept("richer") == [] and race.accept("rich", slice(1)) == []
    answers = verdicts(race.accept("poor", slice(2)))
    assert list(answers) == ["poor", "rich", "richer"]
    assert answers == {"poor": [0, 0], "rich": [0], "richer": [0, 16, 16, 16]}


def test_who_is_first_in_turn_is_not_put_off() -> None:
    race = Race()
    assert verdicts(race.accept("poor", slice(1))) == {"poor": [0]}
    assert verdicts(race.accept("rich", slice(1))) == {"rich": [0]}
    assert verdicts(race.accept("richer", slice(1))) == {"richer": [0]}


@pytest.mark.parametrize("kind", ["decline", "pass", "suppress", "subscribe"])
def test_who_is_before_and_does_not_want_it_puts_off_nobody(kind: str) -> None:
    race = Race(("poor", "rich"))
    assert race.accept("rich") == []
    words = {
        "decline": say.Decline("poor", i32()), "pass": accept_of("poor", []),
        "suppress": say.Suppress("poor"), "subscribe": say.Subscribe("poor"),
    }  # fmt: skip
    assert verdicts(race.world.tell(words[kind])) == {"rich": [0, 0, 0, 0]}


def test_the_slow_are_waited_for_a_while_only() -> None:
    race = Race()
    assert race.accept("richer", slice(2)) == []
    race.world.now_ms += 10
    assert race.accept("rich", slice(1)) == []
    assert verdicts(race.world.until(race.world.now_ms + GATHER_MS - 11)) == {}
    assert verdicts(race.world.until(race.world.now_ms + 1)) == {"rich": [0], "richer": [0, 0]}
    assert verdicts(race.accept("poor")) == {"poor": [0, 16, 16, 16]}


def test_a_framework_in_the_process_waits_for_nobody() -> None:
    race = Race(("poor", "rich"))
    assert race.accept("rich", slice(1)) == []
    [one] = race.world.submit("services", 1, group="/z")
    assert launched(race.world) == {one: "a0"}


def test_who_says_more_after_its_accept_has_it_committed_first() -> None:
    race = Race(("poor", "rich"))
    assert race.accept("rich", slice(1)) == []
    messages = race.world.tell(demand_of("rich", race.pods["rich"][1:], {}))
    assert verdicts(messages) == {"rich": [0]}
    wanted = race.world.master.frameworks.by_name["rich"].wanted
    assert wanted.counts.tolist() == [3]


def test_an_accept_that_comes_twice_is_answered_twice_and_launched_once() -> None:
    race = Race(("poor", "rich"))
    assert race.accept("rich", slice(1)) == []
    messages = race.accept("rich", slice(1))
    assert kinds(messages) == ["LaunchBatch", "AcceptResult", "AcceptResult"]


def test_an_accept_that_makes_no_sense_is_refused_when_it_comes() -> None:
    race = Race(("poor", "rich"))
    whole = accept_of("rich", [(pod, 0, 1) for pod in race.pods["rich"]])
    fields = {name: getattr(whole, name) for name in whole._fields}  # type: ignore[attr-defined]
    with pytest.raises(EventError, match="could not handle Accept"):
        race.world.host.handle(race.world.now_ms, "master", say.Accept(**{**fields, "shape": i32(0, 0, 0, 7)}))


def test_an_offer_that_ends_before_the_others_answered_loses_no_accept() -> None:
    race = Race(("poor", "rich"), offer_ms=GATHER_MS // 2)
    assert race.accept("rich") == []
    assert verdicts(race.world.until(race.world.now_ms + GATHER_MS)) == {"rich": [0, 0, 0, 0]}


def test_an_accept_that_a_dying_master_had_not_committed_is_as_if_never_sent() -> None:
    race = Race(("poor", "rich"))
    assert race.accept("rich") == []
    race.world.restart()
    race.world.join("a0", "again")
    told = only(race.world.tell(say.Subscribe("rich")), say.Subscribed)
    assert told.ids.tolist() == [] and launched(race.world) == {}
    assert race.world.tell(Pass(say.Revive("services")), to="services") == []
