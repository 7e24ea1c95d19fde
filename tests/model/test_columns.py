"""Tables and the index of ids, against dicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orch.model.codec import decode, encode
from orch.model.columns import IdIndex, Table, as_slice, distinct, tally

COLUMNS = {"id": np.int64, "amount": (np.int32, (3,)), "flag": np.uint8}


def test_rows_are_added_with_values_and_zeros() -> None:
    table = Table(COLUMNS)
    rows = table.add(2, id=np.array([7, 8]), flag=1)
    assert rows.tolist() == [0, 1] and len(table) == 2
    assert table["id"].tolist() == [7, 8]
    assert table["amount"].tolist() == [[0, 0, 0]] * 2
    assert table["flag"].tolist() == [1, 1]


def test_freed_rows_are_used_again_lowest_first() -> None:
    table = Table(COLUMNS, capacity=1)
    table.add(5, id=np.arange(5), flag=1)
    table.remove(np.array([3, 1]))
    assert table.rows().tolist() == [0, 2, 4] and len(table) == 3
    assert table["flag"].tolist() == [1, 0, 1, 0, 1]
    assert table.next_row() == 1
    assert table.add(3, id=np.array([10, 11, 12])).tolist() == [1, 3, 5]
    assert table["id"].tolist() == [0, 10, 2, 11, 4, 12]
    assert table["flag"].tolist() == [1, 0, 1, 0, 1, 0]
    assert table.next_row() == 6


def test_a_row_removed_twice_is_a_bug() -> None:
    table = Table(COLUMNS)
    table.add(2)
    table.remove(np.array([0]))
    with pytest.raises(AssertionError, match="removed twice"):
        table.remove(np.array([0]))
    table.remove(np.array([], dtype=np.int64))
    assert len(table) == 1


def test_a_column_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Table(COLUMNS).add(1, colour=3)


def test_a_table_comes_back_from_its_snapshot() -> None:
    table = Table(COLUMNS)
    table.add(40, id=np.arange(40), amount=np.arange(120).reshape(40, 3), flag=2)
    table.remove(np.array([5, 6]))
    again = Table({**COLUMNS, "later": np.int64})
    again.restore(decode(encode(table.to_dict())))
    assert again.rows().tolist() == table.rows().tolist()
    assert np.array_equal(again["amount"], table["amount"]) and not again["later"].any()
    assert again.add(3, id=np.array([1, 2, 3]), later=9).tolist() == [5, 6, 40]


def test_a_snapshot_of_some_columns_brings_back_those() -> None:
    table = Table(COLUMNS)
    table.add(2, id=np.array([1, 2]), flag=1)
    image = table.to_dict(("id",))
    assert list(image["columns"]) == ["id"]
    again = Table(COLUMNS)
    again.restore(image)
    assert again["id"].tolist() == [1, 2] and again["flag"].tolist() == [0, 0]


def ids(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.int64)


def test_what_was_never_inserted_is_not_found() -> None:
    index = IdIndex()
    assert index.find(ids(1, 2)).tolist() == [-1, -1]
    index.insert(ids(5, 3), ids(0, 1))
    assert index.find(ids(3, 4, 5, 9)).tolist() == [1, -1, 0, -1]
    assert index.find(ids()).tolist() == []


@pytest.mark.parametrize("again", [ids(3), ids(5), ids(9, 9), ids(1, 5)])
def test_an_id_inserted_twice_is_a_bug(again: np.ndarray) -> None:
    index = IdIndex()
    index.insert(ids(3, 5), ids(0, 1))
    with pytest.raises(AssertionError, match="twice"):
        index.insert(again, np.arange(len(again)))


@pytest.mark.parametrize("absent", [ids(4), ids(9), ids(2)])
def test_forgetting_an_id_that_is_not_there_is_a_bug(absent: np.ndarray) -> None:
    index = IdIndex()
    index.insert(ids(1, 2, 3, 5), ids(0, 1, 2, 3))
    index.remove(ids(2))
    with pytest.raises(AssertionError, match="not in the index"):
        index.remove(absent)


class IndexAgainstDict(RuleBasedStateMachine):
    """Any mix of inserts and removals leaves what a dict would hold."""

    @initialize()
    def start(self) -> None:
        self.index = IdIndex()
        self.plain: dict[int, int] = {}
        self.row = 0

    @rule(new=st.lists(st.integers(-5, 60), unique=True, max_size=20))
    def insert(self, new: list[int]) -> None:
        new = [number for number in new if number not in self.plain]
        rows = list(range(self.row, self.row + len(new)))
        self.row += len(new)
        self.index.insert(ids(*new), ids(*rows))
        self.plain.update(zip(new, rows, strict=True))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.plain:
            gone = data.draw(st.lists(st.sampled_from(sorted(self.plain)), unique=True))
            self.index.remove(ids(*gone))
            for number in gone:
                del self.plain[number]

    @invariant()
    def same(self) -> None:
        asked = ids(*range(-6, 62))
        assert self.index.find(asked).tolist() == [self.plain.get(number, -1) for number in asked.tolist()]
        assert self.index.ids().tolist() == sorted(self.plain)
        assert len(self.index) == len(self.plain)


class TableAgainstDict(RuleBasedStateMachine):
    """Any mix of additions, removals and snapshots leaves what a dict of rows would hold."""

    @initialize()
    def start(self) -> None:
        self.table = Table(COLUMNS, capacity=1)
        self.plain: dict[int, tuple[int, int]] = {}

    @rule(count=st.integers(0, 9), flag=st.integers(0, 255))
    def add(self, count: int, flag: int) -> None:
        rows = self.table.add(count, id=np.arange(count), flag=flag)
        assert not any(row in self.plain for row in rows.tolist())
        self.plain.update({row: (number, flag) for number, row in enumerate(rows.tolist())})

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone: Any = data.draw(st.lists(st.sampled_from(sorted(self.plain)), unique=True)) if self.plain else []
        self.table.remove(ids(*gone))
        for row in gone:
            del self.plain[row]

    @rule()
    def snapshot(self) -> None:
        again = Table(COLUMNS)
        again.restore(self.table.to_dict())
        self.table = again

    @invariant()
    def same(self) -> None:
        rows = self.table.rows()
        assert rows.tolist() == sorted(self.plain) and len(self.table) == len(rows)
        held = zip(self.table["id"][rows].tolist(), self.table["flag"][rows].tolist(), strict=True)
        assert list(held) == [self.plain[row] for row in rows.tolist()]


def test_ids_that_went_take_no_room() -> None:
    index = IdIndex()
    for first in range(1, 10_000, 100):
        some = np.arange(first, first + 100)
        index.insert(some, some)
        index.remove(some)
    assert len(index) == 0 and len(index._ids) <= 200


TestIndexAgainstDict = IndexAgainstDict.TestCase
TestTableAgainstDict = TableAgainstDict.TestCase


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(-1, 3))
def test_tallies_and_distinct_values_are_those_of_a_plain_count(numbers: list[int], weight: int) -> None:
    column = np.array(numbers, dtype=np.int32)
    assert distinct(column).tolist() == sorted(set(numbers))
    for room in (41, 400):
        into = np.arange(room, dtype=np.int32)
        tally(column, into, weight)
        assert into.tolist() == [at + weight * numbers.count(at) for at in range(room)]


@given(st.lists(st.integers(-1, 9), max_size=4), st.integers(-1, 5), st.integers(1, 5))
def test_rows_as_a_slice_read_the_same(odd: list[int], first: int, count: int) -> None:
    column = np.arange(10) * 7
    for rows in (np.array(odd, dtype=np.int64), np.arange(first, first + count)):
        assert column[as_slice(rows)].tolist() == column[rows].tolist()


def test_next_rows_are_those_that_add_gives() -> None:
    table = Table({"n": np.int64})
    table.remove(table.add(5)[1:3])
    for count in (0, 1, 2, 4):
        expected = table.next_rows(count).tolist()
        rows = table.add(count)
        assert rows.tolist() == expected
        table.remove(rows)
