"""Headroom: what each group may take, and the laws that hold for every tree and demand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from orch.allocator import Tree, Wanted, headroom
from orch.model.resources import R

PATHS = ("/a", "/a/x", "/a/y", "/b", "/b/x/deep", "/c")


class Row(NamedTuple):
    path: str
    request: tuple[int, ...]
    count: int
    gang: int


class Group(NamedTuple):
    used: tuple[int, ...] = (0,) * R
    weight: int = 1
    guarantee: tuple[int, ...] = (0,) * R
    limit: tuple[int, ...] = (-1,) * R


amounts = st.tuples(*[st.integers(0, 40)] * 3, st.just(0), st.integers(0, 3))


@st.composite
def groups(draw: st.DrawFn) -> dict[str, Group]:
    found = {}
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True)):
        least = tuple(part * draw(st.integers(0, 1)) for part in draw(amounts))
        limit = tuple(draw(st.one_of(st.just(-1), st.integers(part, 100))) for part in least)
        found[path] = Group(draw(amounts), draw(st.integers(1, 3)), least, limit)
    return found


@st.composite
def demands(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(0, 5))):
        gang = draw(st.integers(0, 3))
        rows.append(Row(draw(st.sampled_from(PATHS)), draw(amounts), draw(st.integers(0, 4)) * max(gang, 1), gang))
    return rows


def tree_of(settings: dict[str, Group], order: tuple[str, ...] = PATHS) -> Tree:
    tree = Tree()
    for path in order:
        tree.number(path)
    for path, group in settings.items():
        tree.set(path, group.weight, group.guarantee, group.limit)
        tree.charge(np.array([tree.number(path)], dtype=np.int32), np.array([group.used], dtype=np.int64))
    return tree


def wanted_of(tree: Tree, rows: list[Row]) -> Wanted:
    return Wanted(
        group=np.array([tree.number(row.path) for row in rows], dtype=np.int64),
        requests=np.array([row.request for row in rows], dtype=np.int64).reshape(-1, R),
        counts=np.array([row.count for row in rows], dtype=np.int64),
        gangs=np.array([row.gang for row in rows], dtype=np.int64),
    )


def shared(
    settings: dict[str, Group], rows: list[Row], capacity: tuple[int, ...], order: tuple[str, ...] = PATHS
) -> tuple[Tree, dict[str, list[int]]]:
    """The headroom by path, in the order of turns."""
    tree = tree_of(settings, order)
    total = np.array(capacity, dtype=np.int64) + tree["used"][tree["parent"] < 0].sum(axis=0)
    turns, room = headroom(tree, wanted_of(tree, rows), np.array(capacity, dtype=np.int64), total)
    assert len(set(turns)) == len(turns) == len(room)
    return tree, {tree.paths[group]: amounts.tolist() for group, amounts in zip(turns, room, strict=True)}


def unit(row: Row) -> np.ndarray:
    return np.array(row.request) * max(row.gang, 1)


def could(tree: Tree, row: Row, capacity: tuple[int, ...]) -> bool:
    """Whether one pod or gang of a row fits by itself."""
    room = tree.room()[tree.lineage(tree.number(row.path))].min(axis=0)
    return row.count > 0 and bool(np.all(unit(row) <= np.minimum(room, capacity)))


@given(groups(), demands(), amounts)
def test_all_together_take_no_more_than_there_is(settings: dict[str, Group], rows: list[Row], capacity: tuple) -> None:
    _, room = shared(settings, rows, capacity)
    assert np.all(np.array(list(room.values()) or [[0] * R]).sum(axis=0) <= capacity)
    assert all(min(amounts) >= 0 for amounts in room.values())


@given(groups(), demands(), amounts)
def test_no_group_passes_its_limit_or_one_above_it(
    settings: dict[str, Group], rows: list[Row], capacity: tuple
) -> None:
    tree, room = shared(settings, rows, capacity)
    most = tree.room()
    for path in PATHS:
        below = [np.array(room[each]) for each in room if each == path or each.startswith(path + "/")]
        assert np.all(sum(below, start=np.zeros(R, dtype=np.int64)) <= most[tree.number(path)])


@given(groups(), demands(), amounts)
def test_whoever_is_named_may_take_a_whole_pod_or_gang(
    settings: dict[str, Group], rows: list[Row], capacity: tuple
) -> None:
    _, room = shared(settings, rows, capacity)
    for path, most in room.items():
        assert any(np.all(unit(row) <= most) for row in rows if row.path == path and row.count)


@given(groups(), demands(), amounts)
def test_nobody_starves_the_first_in_turn_may_take_any_one_pod_that_fits(
    settings: dict[str, Group], rows: list[Row], capacity: tuple
) -> None:
    tree, room = shared(settings, rows, capacity)
    assert bool(room) == any(could(tree, row, capacity) for row in rows)
    for path, most in list(room.items())[:1]:
        assert all(np.all(unit(row) <= most) for row in rows if row.path == path and could(tree, row, capacity))


@given(groups(), demands(), amounts, st.permutations(PATHS))
def test_the_order_in_which_groups_were_made_does_not_matter(
    settings: dict[str, Group], rows: list[Row], capacity: tuple, order: list[str]
) -> None:
    _, room = shared(settings, rows, capacity)
    _, again = shared(settings, rows, capacity, tuple(order))
    assert list(room.items()) == list(again.items())


@given(groups(), demands(), amounts)
def test_nobody_is_given_what_it_did_not_ask_for(settings: dict[str, Group], rows: list[Row], capacity: tuple) -> None:
    _, room = shared(settings, rows, capacity)
    for path, most in room.items():
        asked = sum(np.array(row.request) * row.count for row in rows if row.path == path)
        assert np.all(np.array(most) <= asked)


@given(st.dictionaries(st.sampled_from(("/a", "/b", "/c/x")), st.integers(0, 30)), st.integers(0, 60))
@example({"/a": 10, "/b": 7}, 17)
def test_guarantees_come_first(guarantees: dict[str, int], rest: int) -> None:
    settings = {path: Group(guarantee=(least, 0, 0, 0, 0)) for path, least in guarantees.items()}
    rows = [Row(path, (1, 1, 0, 0, 0), 100, 0) for path in ("/a", "/b", "/c/x", "/greedy")]
    _, room = shared(settings, rows, (sum(guarantees.values()) + rest, 1000, 0, 0, 0))
    for path, least in guarantees.items():
        assert least == 0 or room[path][0] >= least


def test_a_guarantee_deep_in_the_tree_holds_against_siblings() -> None:
    settings = {"/a": Group(limit=(10, -1, -1, -1, -1)), "/a/x": Group(guarantee=(8, 0, 0, 0, 0))}
    rows = [Row(path, (1, 0, 0, 0, 0), 50, 0) for path in ("/a/x", "/a/y", "/b")]
    _, room = shared(settings, rows, (20, 0, 0, 0, 0))
    assert {path: most[0] for path, most in room.items()} == {"/a/x": 8, "/a/y": 2, "/b": 10}


def test_a_group_with_many_subgroups_gets_no_more_than_one_without() -> None:
    rows = [Row(path, (1, 0, 0, 0, 0), 50, 0) for path in ("/a/x", "/a/y", "/b")]
    _, room = shared({}, rows, (20, 0, 0, 0, 0))
    assert {path: most[0] for path, most in room.items()} == {"/a/x": 5, "/a/y": 5, "/b": 10}


def test_what_a_group_wants_for_itself_stands_beside_its_subgroups() -> None:
    rows = [Row(path, (1, 0, 0, 0, 0), 50, 0) for path in ("/a", "/a/x", "/b")]
    settings = {"/a": Group(used=(4, 0, 0, 0, 0))}
    _, room = shared(settings, rows, (16, 0, 0, 0, 0))
    assert {path: most[0] for path, most in room.items()} == {"/a": 1, "/a/x": 5, "/b": 10}


def test_a_gang_gets_its_whole_headroom_or_none() -> None:
    rows = [Row("/gang", (3, 0, 0, 0, 0), 4, 4), Row("/single", (1, 0, 0, 0, 0), 50, 0)]
    _, room = shared({}, rows, (16, 0, 0, 0, 0))
    assert room == {"/gang": [12, 0, 0, 0, 0], "/single": [4, 0, 0, 0, 0]}
    _, room = shared({}, rows, (11, 0, 0, 0, 0))
    assert room == {"/single": [11, 0, 0, 0, 0]}
    _, room = shared({"/gang": Group(used=(3, 0, 0, 0, 0))}, rows, (16, 0, 0, 0, 0))
    assert list(room) == ["/single"]


def test_raising_to_whole_gangs_stops_at_a_limit_above() -> None:
    rows = [Row(path, (1, 0, 0, 0, 0), 2, 2) for path in ("/a/x", "/a/y")]
    _, room = shared({"/a": Group(limit=(3, -1, -1, -1, -1))}, rows, (10, 0, 0, 0, 0))
    assert room == {"/a/x": [2, 0, 0, 0, 0]}


def test_one_group_alone_may_take_what_it_wants_of_what_there_is() -> None:
    _, room = shared({}, [Row("/a", (3, 1, 0, 0, 0), 4, 0), Row("/a", (30, 0, 0, 0, 0), 2, 0)], (20, 20, 20, 0, 0))
    assert room == {"/a": [12, 4, 0, 0, 0]}
    assert shared({}, [], (20, 20, 20, 0, 0))[1] == {}


def test_pods_that_ask_for_nothing_are_placed_where_nothing_is_free() -> None:
    _, room = shared({}, [Row("/a", (0,) * R, 5, 0), Row("/b", (1, 0, 0, 0, 0), 5, 0)], (0,) * R)
    assert room == {"/a": [0] * R}


def test_a_pod_that_no_limit_lets_in_takes_nothing_from_the_others() -> None:
    rows = [Row("/a/x", (4, 0, 0, 0, 0), 5, 0), Row("/a/x", (1, 0, 0, 0, 0), 1, 0), Row("/b", (1, 0, 0, 0, 0), 9, 0)]
    _, room = shared({"/a": Group(limit=(3, -1, -1, -1, -1))}, rows, (10, 0, 0, 0, 0))
    assert room == {"/a/x": [1, 0, 0, 0, 0], "/b": [9, 0, 0, 0, 0]}


def test_what_is_guaranteed_to_several_subgroups_adds_up() -> None:
    settings = {path: Group(guarantee=(6, 0, 0, 0, 0)) for path in ("/a/x", "/a/y")}
    rows = [Row(path, (1, 0, 0, 0, 0), 50, 0) for path in ("/a/x", "/a/y", "/b")]
    _, room = shared(settings, rows, (16, 0, 0, 0, 0))
    assert {path: most[0] for path, most in room.items()} == {"/a/x": 6, "/a/y": 6, "/b": 4}
