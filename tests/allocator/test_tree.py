"""The tree of groups."""

from __future__ import annotations

import numpy as np
import pytest

from orch.allocator import MAX_DEPTH, Tree
from orch.allocator.tree import PRUNE_LEAST, UNLIMITED
from orch.model.resources import R


def amounts(*each: int) -> np.ndarray:
    return np.array([each], dtype=np.int64)


def test_a_group_is_made_with_those_above_it() -> None:
    tree = Tree()
    web = tree.number("/team/shop/web")
    assert tree.paths == ["/team", "/team/shop", "/team/shop/web"]
    assert [tree.paths[number] for number in tree.lineage(web)] == tree.paths
    assert tree["ancestors"][web].tolist() == [1, 0, *[-1] * (MAX_DEPTH - 2)]
    assert tree["parent"].tolist() == [-1, 0, 1]
    assert len(tree) == 3


def test_a_group_has_one_number_however_its_path_is_written() -> None:
    tree = Tree()
    number = tree.number("/team/shop")
    assert {tree.number(path) for path in ("/team/shop", "/team/shop/", "team/shop", "//team//shop")} == {number}
    assert {tree.find(path) for path in ("/team/shop", "/team/shop/")} == {number}
    assert tree.find("/other") == -1
    assert tree.paths[tree.number("/")] == "/"


def test_a_deep_path_counts_as_its_first_eight_segments() -> None:
    tree = Tree()
    deep = tree.number("/1/2/3/4/5/6/7/8/9/10")
    assert tree.paths[deep] == "/1/2/3/4/5/6/7/8"
    assert deep == tree.number("/1/2/3/4/5/6/7/8/other") == tree.find("/1/2/3/4/5/6/7/8/9/10")
    assert len(tree.lineage(deep)) == MAX_DEPTH


def test_a_charge_counts_for_the_group_and_all_above_it() -> None:
    tree = Tree()
    shop, wiki = tree.number("/team/shop"), tree.number("/team/wiki")
    tree.charge(np.array([shop, wiki, shop], dtype=np.int32), np.repeat(amounts(1, 2, 3, 4, 5), 3, axis=0))
    assert tree["used"][shop].tolist() == [2, 4, 6, 8, 10]
    assert tree["used"][wiki].tolist() == [1, 2, 3, 4, 5]
    assert tree["used"][tree.find("/team")].tolist() == [3, 6, 9, 12, 15]
    tree.charge(np.array([shop], dtype=np.int32), -amounts(2, 4, 6, 8, 10))
    assert tree["used"][tree.find("/team")].tolist() == [1, 2, 3, 4, 5]


def test_room_is_what_the_limit_leaves_and_never_negative() -> None:
    tree = Tree()
    group = tree.number("/team")
    assert not tree.has_quota
    assert np.all(tree.room()[group] == np.iinfo(np.int64).max)
    tree.set("/team", limit=[100, UNLIMITED, 5, UNLIMITED, UNLIMITED])
    tree.charge(np.array([group], dtype=np.int32), amounts(30, 30, 9, 0, 0))
    assert tree.has_quota
    assert tree.room()[group, [0, 2]].tolist() == [70, 0]
    assert tree.room()[group, 1] == np.iinfo(np.int64).max


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": 0}, "weight of /team is 0"),
        ({"guarantee": -1}, "guaranteed"),
        ({"guarantee": 10, "limit": 5}, "guaranteed"),
        ({"guarantee": 1, "limit": 0}, "guaranteed"),
    ],
)
def test_a_senseless_quota_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tree().set("/team", **settings)


def test_a_weight_alone_is_no_quota() -> None:
    tree = Tree()
    tree.set("/team", weight=3)
    assert tree["weight"].tolist() == [3]
    assert not tree.has_quota


def test_groups_that_nobody_uses_are_forgotten_and_the_others_keep_their_numbers() -> None:
    tree = Tree()
    tree.set("/kept/by/quota", limit=1)
    used = tree.number("/used/group")
    tree.charge(np.array([used], dtype=np.int32), np.ones((1, R), dtype=np.int64))
    for number in range(PRUNE_LEAST):
        assert not tree.crowded or number > PRUNE_LEAST - 10
        tree.number(f"/run-{number}")
    assert tree.crowded
    tree.prune([used])
    assert not tree.crowded
    assert len(tree) == 5
    assert tree.number("/used/group") == used
    assert tree.find("/run-7") == -1 and tree.find("/kept/by/quota") >= 0
    again = tree.number("/new")
    assert tree.paths[again] == "/new" and tree["weight"][again] == 1
    assert not tree["used"][again].any() and tree["limit"][again].tolist() == [UNLIMITED] * R


def test_a_group_in_use_is_not_forgotten() -> None:
    tree = Tree()
    tree.charge(np.array([tree.number("/team")], dtype=np.int32), np.ones((1, R), dtype=np.int64))
    with pytest.raises(AssertionError, match="is used"):
        tree.prune([])
