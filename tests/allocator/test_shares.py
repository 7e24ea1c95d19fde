"""Shares as integers, and whose turn it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.allocator import SCALE, Tree, shares, turns
from orch.model.resources import R

TOTAL = np.array([1000, 1000, 0, 100, 10], dtype=np.int64)


def column(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def using(tree: Tree, path: str, *used: int) -> int:
    number = tree.number(path)
    amounts = np.zeros((1, R), dtype=np.int64)
    amounts[0, : len(used)] = used
    tree.charge(np.array([number], dtype=np.int32), amounts)
    return number


def test_the_share_is_that_of_the_scarcest_resource_over_the_weight() -> None:
    used = column([[500, 100, 0, 0, 0], [100, 100, 0, 50, 0], [0, 0, 0, 0, 10], [0, 0, 0, 0, 0]])
    assert shares(used, column([1, 1, 1, 1]), TOTAL).tolist() == [SCALE // 2, SCALE // 2, SCALE, 0]
    assert shares(used, column([2, 1, 4, 1]), TOTAL).tolist() == [SCALE // 4, SCALE // 2, SCALE // 4, 0]


def test_a_resource_of_which_there_is_none_does_not_count() -> None:
    assert shares(column([[0, 0, 500, 0, 0]]), column([1]), TOTAL).tolist() == [0]
    assert shares(column([[5, 0, 0, 0, 0]]), column([1]), np.zeros(R, dtype=np.int64)).tolist() == [0]


@given(st.integers(0, 2**41), st.integers(1, 2**41), st.integers(1, 1000))
def test_a_share_never_overflows(used: int, total: int, weight: int) -> None:
    row = np.full((1, R), min(used, total), dtype=np.int64)
    share = shares(row, column([weight]), np.full(R, total, dtype=np.int64))
    assert share[0] == min(used, total) * SCALE // total // weight


def test_the_lowest_share_has_the_first_turn_and_ties_go_by_path() -> None:
    tree = Tree()
    b, a, d, c = (using(tree, path, amount) for path, amount in [("/b", 10), ("/a", 10), ("/d", 0), ("/c", 500)])
    assert turns(tree, [a, b, c, d], TOTAL) == [d, a, b, c]
    tree.set("/c", weight=1000)
    assert turns(tree, [a, b, c, d], TOTAL) == [d, c, a, b]
    assert turns(tree, [b], TOTAL) == [b]


def test_the_upper_levels_of_the_tree_count_first() -> None:
    tree = Tree()
    few, many, other = using(tree, "/team/few", 1), using(tree, "/team/many", 300), using(tree, "/other", 100)
    assert turns(tree, [many, few, other], TOTAL) == [other, few, many]


def test_who_is_owed_a_guarantee_goes_first() -> None:
    tree = Tree()
    low, owed = using(tree, "/low", 1), using(tree, "/team/owed", 400)
    tree.set("/team", guarantee=[500, 0, 0, 0, 0])
    assert turns(tree, [low, owed], TOTAL) == [owed, low]
    using(tree, "/team/owed", 100)
    assert turns(tree, [low, owed], TOTAL) == [low, owed]
