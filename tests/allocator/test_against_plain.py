"""Headroom and turns in columns are those that a loop over groups finds, for every tree, demand and capacity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.allocator import Tree, Wanted, headroom, turns
from orch.allocator import whole as raising
from orch.model.resources import R
from tests.allocator import plain

PATHS = (
    "/a", "/a/x", "/a/x/1", "/a/y", "/b", "/b/x/deep", "/c/c/c/c/c/c/c/c", "/d/e", "/d/f/g", "/h",
    *(f"/{number}" for number in range(30)),
)  # fmt: skip
LARGE = 2**38
"""Amounts of which a product is no int64."""


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, Wanted, np.ndarray, np.ndarray]:
    """A tree with quota and use, what is wanted, the capacity, and the total."""
    scale = draw(st.sampled_from([1, 1, LARGE]))
    amounts = st.tuples(*[st.integers(0, 12)] * 3, st.just(0), st.integers(0, 3))
    tree = Tree()
    for path in draw(st.permutations(PATHS)):
        tree.number(path)
    rows = draw(st.lists(st.tuples(st.sampled_from(PATHS), amounts, st.integers(0, 6), st.integers(0, 3)), max_size=40))
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=8)) if draw(st.booleans()) else []:
        least = [scale * part * draw(st.integers(0, 1)) for part in draw(amounts)]
        limit = [draw(st.one_of(st.just(-1), st.just(part + scale * draw(st.integers(0, 60))))) for part in least]
        tree.set(path, draw(st.integers(1, 3)), least, limit)
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=8)):
        used = scale * np.array([draw(amounts)], dtype=np.int64)
        tree.charge(np.array([tree.number(path)], dtype=np.int32), used)
    wanted = Wanted(
        group=np.array([tree.number(row[0]) for row in rows], dtype=np.int64),
        requests=np.array([row[1] for row in rows], dtype=np.int64).reshape(-1, R) * scale,
        counts=np.array([row[2] * max(row[3], 1) for row in rows], dtype=np.int64),
        gangs=np.array([row[3] for row in rows], dtype=np.int64),
    )
    capacity = scale * np.array(draw(st.tuples(*[st.integers(0, 200)] * R)), dtype=np.int64)
    return tree, wanted, capacity, capacity + tree["used"][tree["parent"] < 0].sum(axis=0)


def listed(found: tuple[list[int], np.ndarray]) -> list[tuple[int, Any]]:
    return list(zip(found[0], found[1].tolist(), strict=True))


@pytest.fixture(autouse=True, params=[1, raising.FEW], ids=["one by one", "usual"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raising, "FEW", request.param)


@given(trees())
@settings(max_examples=300)
def test_each_group_may_take_what_the_plain_allocator_says(made: tuple[Tree, Wanted, np.ndarray, np.ndarray]) -> None:
    assert listed(headroom(*made)) == listed(plain.headroom(*made))


@given(trees())
def test_turns_are_those_of_the_plain_allocator(made: tuple[Tree, Wanted, np.ndarray, np.ndarray]) -> None:
    tree, wanted, _, total = made
    groups = np.unique(wanted.group).tolist()
    assert turns(tree, groups, total) == plain.turns(tree, groups, total)


def wanted_by(tree: Tree, rows: dict[str, tuple[tuple[int, int], int]]) -> Wanted:
    """Rows by path: ((cpus, mem), pods), each for itself."""
    return Wanted(
        group=np.array([tree.number(path) for path in rows], dtype=np.int64),
        requests=np.array([(*each, 0, 0, 0) for each, _ in rows.values()], dtype=np.int64),
        counts=np.array([count for _, count in rows.values()], dtype=np.int64),
        gangs=np.zeros(len(rows), dtype=np.int64),
    )


def test_who_comes_after_one_that_was_raised_stays_within_the_limit_above_both() -> None:
    tree = Tree()
    tree.set("/a", limit=10)
    wanted = wanted_by(tree, {"/a/x": ((6, 0), 9), "/a/y": ((1, 0), 90)})
    capacity = np.full(R, 100, dtype=np.int64)
    found = headroom(tree, wanted, capacity, capacity)
    assert found[1][:, 0].tolist() == [6, 4] and listed(found) == listed(
        plain.headroom(tree, wanted, capacity, capacity)
    )


def test_a_small_guarantee_of_a_large_want_is_exact() -> None:
    tree = Tree()
    tree.set("/a", guarantee=[2**29 + 1, 0, 0, 0, 0])
    wanted = wanted_by(tree, {"/a": ((3, 2**22), 2**30), "/b": ((1, 2**9), 2**31)})
    capacity = np.array([2**31, 2**50, 0, 0, 0], dtype=np.int64)
    found = headroom(tree, wanted, capacity, capacity)
    assert found[1][0, 0] >= 2**29 and listed(found) == listed(plain.headroom(tree, wanted, capacity, capacity))


@pytest.mark.parametrize("quota", [False, True])
def test_a_thousand_groups_that_contend_are_decided_as_one_by_one(quota: bool) -> None:
    draw = np.random.default_rng(7)
    tree = Tree()
    group = np.array([tree.number(f"/g{number:04}") for number in range(1000)], dtype=np.int64)
    for number in range(0, 1000, 3) if quota else []:
        least = draw.integers(0, 40, R)
        tree.set(f"/g{number:04}", int(draw.integers(1, 4)), least, least + draw.integers(0, 100, R))
    requests = draw.integers(0, 9, (1000, R))
    wanted = Wanted(group, requests, draw.integers(1, 60, 1000), draw.integers(0, 3, 1000))
    for part in (2, 20, 200, 2000):
        capacity = (requests * wanted.counts[:, None]).sum(axis=0) // part
        assert listed(headroom(tree, wanted, capacity, capacity)) == listed(
            plain.headroom(tree, wanted, capacity, capacity)
        )
