"""Preemption: who gives way is what the plain search finds; the fewest, of the lowest priority, no guarantee broken."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import Books, Candidates, Places, Reason, ShapeError, take_places
from orch.placement.reference_victims import Scene, Victim, Wish

DIMS = 4
LINES = [[0], [1], [2, 1], [3, 1], [4, 3, 1]]
"""Groups: two at the top, and a branch of three below the second."""


def run(scene: Scene, wishes: list[Wish]) -> Places:
    """The same by the kernel; columns of avail are split into what is free and what is owed."""
    avail = np.array(scene.avail, np.int32).reshape(len(scene.avail), DIMS)
    above = [line[1:] + [-1] * (3 - len(line)) for line in scene.line]
    free = np.maximum(avail, 0)
    books = Books(
        free, free + 1000, np.array(scene.usable, np.uint8), np.ones(len(avail), np.int64),
        np.array(above, np.int32), np.array(scene.used, np.int64), np.array(scene.limit, np.int64),
    )  # fmt: skip
    columns = {name: [getattr(one, name) for one in scene.victims] for name in ("agent", "priority", "age", "group")}
    requests = np.array([one.request for one in scene.victims], np.int32).reshape(len(scene.victims), DIMS)
    candidates = Candidates(request=requests, **{name: np.array(each, np.int64) for name, each in columns.items()})
    before = books.free.copy(), books.group_used.copy()
    places = take_places(
        books, np.maximum(-avail, 0), np.array(scene.guarantee, np.int64), candidates,
        agent=[one.agent for one in wishes], shape=np.arange(len(wishes)),
        requests=np.array([one.request for one in wishes], np.int32).reshape(len(wishes), DIMS),
        priority=[one.priority for one in wishes], group=[one.group for one in wishes],
        gang=[one.gang for one in wishes],
    )  # fmt: skip
    assert np.array_equal(books.free, before[0]) and np.array_equal(books.group_used, before[1])
    return places


def scene_of(
    avail: list[list[int]], victims: list[Victim], limit: dict[int, list[int]] | None = None,
    guarantee: dict[int, list[int]] | None = None, usable: list[int] | None = None,
) -> Scene:  # fmt: skip
    """Groups as LINES has them, which use what the victims hold."""
    used = [[0] * DIMS for _ in LINES]
    for one in victims:
        for group in LINES[one.group]:
            used[group] = [a + b for a, b in zip(used[group], one.request, strict=True)]
    sure = [(guarantee or {}).get(group, [0] * DIMS) for group in range(len(LINES))]
    most = [(limit or {}).get(group, [-1] * DIMS) for group in range(len(LINES))]
    return Scene(avail, usable or [1] * len(avail), victims, LINES, used, sure, most)


def cpu(amount: int, priority: int = 0, agent: int = 0, group: int = 0, age: int = 0) -> Victim:
    return Victim(agent, priority, age, [amount, 0, 0, 0], group)


def wish(amount: int, priority: int = 5, group: int = 0, agent: int = -1, gang: int = -1) -> Wish:
    return Wish(agent, [amount, 0, 0, 0], priority, group, gang)


amounts = st.lists(st.integers(0, 4), min_size=DIMS, max_size=DIMS)
groups = st.integers(0, len(LINES) - 1)


@st.composite
def scenes(draw: Any) -> tuple[Scene, list[Wish]]:
    agents = draw(st.integers(1, 3))
    avail = [draw(st.lists(st.integers(-2, 4), min_size=DIMS, max_size=DIMS)) for _ in range(agents)]
    one = st.builds(Victim, st.integers(0, agents - 1), st.integers(-1, 3), st.integers(0, 2), amounts, groups)
    victims = draw(st.lists(one, max_size=8))
    quota = draw(st.booleans())
    some = st.dictionaries(groups, st.lists(st.integers(0, 6), min_size=DIMS, max_size=DIMS), max_size=3)
    limit = {g: [x - 1 for x in each] for g, each in draw(some).items()} if quota else {}
    scene = scene_of(
        avail, victims, limit, draw(some) if quota else {}, draw(st.lists(st.sampled_from([1, 1, 1, 0, 2]),
        min_size=agents, max_size=agents)),
    )  # fmt: skip
    kinds = draw(st.lists(st.tuples(amounts, st.integers(-1, 4), groups), min_size=1, max_size=2))
    wishes = [
        Wish(draw(st.sampled_from([-1, -1, 0, agents - 1])), *draw(st.sampled_from(kinds)), draw(st.integers(-1, 1)))
        for _ in range(draw(st.integers(1, 5)))
    ]
    return scene, wishes


@settings(max_examples=400)
@given(scenes())
def test_the_kernel_takes_what_the_plain_search_takes(drawn: tuple[Scene, list[Wish]]) -> None:
    scene, wishes = drawn
    places = run(copy.deepcopy(scene), wishes)
    expected = scene.take(wishes)
    assert places.agent.tolist() == expected
    assert places.taken.tolist() == [one.taken for one in scene.victims]
    assert [verdict == 0 for verdict in places.verdict.tolist()] == [agent >= 0 for agent in expected]


@given(scenes())
def test_only_lower_priorities_give_way_and_no_guarantee_is_broken(drawn: tuple[Scene, list[Wish]]) -> None:
    scene, wishes = drawn
    places = run(scene, wishes)
    for victim, row in zip(scene.victims, places.taken.tolist(), strict=True):
        assert row < 0 or victim.priority < wishes[row].priority
        assert row < 0 or victim.agent == places.agent[row]
    left = np.array(scene.used)
    takers: dict[int, list[int]] = {}
    for victim, row in zip(scene.victims, places.taken.tolist(), strict=True):
        for group in LINES[victim.group] if row >= 0 else ():
            left[group] -= victim.request
            takers.setdefault(group, []).append(wishes[row].group)
    for group, by in takers.items():
        if not any(group in LINES[one] for one in by):
            fell = left[group] < np.array(scene.used[group])
            assert np.all(left[group][fell] >= np.array(scene.guarantee[group])[fell])


def test_one_large_victim_goes_rather_than_four_small_ones() -> None:
    scene = scene_of([[0] * 4, [0] * 4], [cpu(1), cpu(1), cpu(1), cpu(1), cpu(4, agent=1)])
    assert run(scene, [wish(4)]).taken.tolist() == [-1, -1, -1, -1, 0]


def test_two_of_low_priority_go_rather_than_one_of_a_higher() -> None:
    scene = scene_of([[0] * 4, [0] * 4], [cpu(4, priority=3), cpu(2, agent=1), cpu(2, agent=1)])
    assert run(scene, [wish(4)]).taken.tolist() == [-1, 0, 0]


def test_equal_priorities_stay() -> None:
    places = run(scene_of([[0] * 4], [cpu(4, priority=5)]), [wish(4, priority=5)])
    assert places.taken.tolist() == [-1] and places.verdict.tolist() == [Reason.NO_VICTIMS]


def test_what_a_victim_leaves_over_is_used_first() -> None:
    scene = scene_of([[0] * 4, [0] * 4], [cpu(1), cpu(4, agent=1)])
    places = run(scene, [wish(3), wish(1), wish(1)])
    assert places.agent.tolist() == [1, 1, 0] and places.taken.tolist() == [2, 0]


def test_a_gang_takes_no_place_unless_all_of_it_does() -> None:
    scene = scene_of([[0] * 4, [0] * 4], [cpu(2), cpu(1, agent=1)])
    places = run(scene, [wish(2, gang=9), wish(2, gang=9), wish(1)])
    assert places.verdict.tolist() == [Reason.GANG, Reason.NO_VICTIMS, Reason.PLACED]
    assert places.taken.tolist() == [2, -1]


def test_a_group_keeps_its_guarantee_against_others_and_not_against_itself() -> None:
    scene = scene_of([[0] * 4], [cpu(2, group=2), cpu(2, group=2)], guarantee={1: [3, 0, 0, 0]})
    assert run(scene, [wish(2, group=0)]).verdict.tolist() == [Reason.NO_VICTIMS]
    assert run(scene, [wish(2, group=4)]).taken.tolist() == [0, -1]


def test_at_its_limit_a_group_takes_places_of_its_own_pods() -> None:
    scene = scene_of([[5, 0, 0, 0], [0] * 4], [cpu(2, group=2, agent=1), cpu(2, group=0)], limit={1: [2, -1, -1, -1]})
    places = run(scene, [wish(2, group=3)])
    assert places.agent.tolist() == [1] and places.taken.tolist() == [0, -1]


def test_thousands_of_equal_pods_give_way_in_one_call() -> None:
    victims = [cpu(9, agent=agent) for agent in range(500) for _ in range(4)]
    places = run(scene_of([[4, 0, 0, 0]] * 500, victims), [wish(30)] * 600)
    assert np.bincount(places.taken[places.taken >= 0]).tolist() == [3] * 500
    assert places.verdict.tolist() == [0] * 500 + [Reason.NO_VICTIMS] * 100
    assert sorted(places.agent[:500].tolist()) == list(range(500))


def test_a_hard_choice_is_given_up_after_a_while_and_still_covers_the_need() -> None:
    rng = np.random.default_rng(7)
    victims = [Victim(0, 0, 0, rng.integers(1, 90, 4).tolist(), 0) for _ in range(80)]
    places = run(scene_of([[0] * 4], victims), [Wish(-1, [900, 901, 902, 903], 1, 0, -1)])
    taken = [one.request for one, row in zip(victims, places.taken.tolist(), strict=True) if row == 0]
    total = np.sum(taken, axis=0)
    assert (total >= [900, 901, 902, 903]).all()
    assert all(((total - one) < [900, 901, 902, 903]).any() for one in taken)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"group": 9}, "group"), ({"request": [1, -1, 0, 0]}, "request"), ({"gang": -2}, "gang")],
)
def test_columns_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    bad = {"agent": -1, "request": [1, 0, 0, 0], "priority": 1, "group": 0, "gang": -1, **fields}
    with pytest.raises(ShapeError, match=words):
        run(scene_of([[0] * 4], []), [Wish(**bad)])


def test_an_agent_that_is_not_there_or_not_usable_takes_nothing() -> None:
    scene = scene_of([[9] * 4, [9] * 4], [], usable=[2, 1])
    places = run(scene, [wish(1, agent=0), wish(1, agent=7), wish(1)])
    assert places.verdict.tolist() == [Reason.NOT_USABLE, Reason.UNKNOWN_AGENT, Reason.PLACED]
    assert places.agent.tolist() == [-1, -1, 1]
