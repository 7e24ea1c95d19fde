"""The master's books: accepted rows are charged as the reference charges them, and given back whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import Books, Reason, ShapeError, by_agent, commit, reference, release

UNIT = [1000, 1024, 4096, 1000, 10]


def books_of(agents: int = 2, *, limit: list[list[int]] | None = None, above: list[list[int]] | None = None) -> Books:
    """Idle agents of one size, in session 1; groups with these limits and ancestors."""
    limits = np.array([[-1] * 5] if limit is None else limit, np.int64)
    total = np.array([UNIT] * agents, np.int32).reshape(agents, 5)
    return Books(
        total.copy(),
        total,
        np.ones(agents, np.uint8),
        np.ones(agents, np.int64),
        np.array([[-1]] * len(limits) if above is None else above, np.int32),
        np.zeros(limits.shape, np.int64),
        limits,
    )


@dataclass
class Scenario:
    """Books twice, as columns and as lists, and rows to commit."""

    ledger: reference.Ledger
    rows: list[reference.Accepted]

    def books(self) -> Books:
        ledger = self.ledger
        width = max(len(groups) for groups in ledger.above)
        above = [groups + [-1] * (width - len(groups)) for groups in ledger.above]
        return Books(
            np.array(ledger.free, np.int32),
            np.array(ledger.total, np.int32),
            np.array(ledger.usable, np.uint8),
            np.array(ledger.session, np.int64),
            np.array(above, np.int32).reshape(len(above), width),
            np.array(ledger.used, np.int64),
            np.array(ledger.limit, np.int64),
        )

    def columns(self, rows: list[reference.Accepted]) -> dict[str, Any]:
        return {
            "agent": [row.agent for row in rows],
            "shape": np.arange(len(rows)),
            "requests": np.array([row.request for row in rows], np.int32).reshape(len(rows), len(self.ledger.free[0])),
            "group": [row.group for row in rows],
        }


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Groups form a tree in which a group's parent has a lower number; some list themselves among their ancestors."""
    dims = draw(st.sampled_from([4, 5, 8]))
    value = st.integers(0, 4)
    agents, groups = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    total = [draw(st.lists(st.integers(0, 9), min_size=dims, max_size=dims)) for _ in range(agents)]
    above: list[list[int]] = []
    for group in range(groups):
        parent = draw(st.integers(-1, group - 1))
        above.append([] if parent < 0 else [parent, *(a for a in above[parent] if a != parent)])
    listed = [[group, *above[group]] if draw(st.booleans()) else above[group] for group in range(groups)]
    limit = [draw(st.lists(st.one_of(st.just(-1), st.integers(0, 12)), min_size=dims, max_size=dims)) for _ in above]
    session = draw(st.lists(st.integers(1, 2), min_size=agents, max_size=agents))
    usable = draw(st.lists(st.sampled_from([1, 1, 0, 2]), min_size=agents, max_size=agents))
    free, used = [list(row) for row in total], [[0] * dims for _ in above]
    ledger = reference.Ledger(free, total, usable, session, listed, used, limit)
    gangs = draw(st.sampled_from([[-1], [-1, 0, 1], [-1, 7, 10**9]]))
    rows = [
        reference.Accepted(
            draw(st.integers(-1, agents)),
            draw(st.lists(value, min_size=dims, max_size=dims)),
            draw(st.sampled_from([1, 1, 1, 2])),
            draw(st.sampled_from(gangs)),
            draw(st.integers(-1, groups - 1)),
        )
        for _ in range(draw(st.integers(0, 10)))
    ]
    return Scenario(ledger, rows)


def same(books: Books, ledger: reference.Ledger) -> bool:
    return books.free.tolist() == ledger.free and books.group_used.tolist() == ledger.used


@given(scenarios(), st.data())
@settings(max_examples=400)
def test_commits_and_releases_equal_the_reference(scenario: Scenario, data: st.DataObject) -> None:
    books, ledger = scenario.books(), scenario.ledger
    half = data.draw(st.integers(0, len(scenario.rows)))
    held: list[reference.Accepted] = []
    for rows in (scenario.rows[:half], scenario.rows[half:]):
        columns = scenario.columns(rows)
        verdict = commit(books, session=[r.session for r in rows], gang=[r.gang for r in rows], **columns)
        expected = reference.commit(ledger, rows)
        assert verdict.tolist() == expected
        assert same(books, ledger)
        held += [row for row, why in zip(rows, expected, strict=True) if why == Reason.PLACED]
        back = data.draw(st.integers(0, len(held)))
        release(books, **scenario.columns(held[:back]))
        assert reference.release(ledger, held[:back])
        assert same(books, ledger)
        held = held[back:]
    release(books, **scenario.columns(held))
    assert books.free.tolist() == ledger.total
    assert not books.group_used.any()


@given(scenarios(), st.data())
def test_a_release_of_more_than_is_held_changes_nothing(scenario: Scenario, data: st.DataObject) -> None:
    books, ledger = scenario.books(), scenario.ledger
    commit(books, session=[r.session for r in scenario.rows], **scenario.columns(scenario.rows))
    reference.commit(ledger, [reference.Accepted(r.agent, r.request, r.session, -1, r.group) for r in scenario.rows])
    inside = [r for r in scenario.rows if r.agent < len(ledger.free)]
    rows = data.draw(st.lists(st.sampled_from(inside), max_size=6)) if inside else []
    if reference.release(ledger, rows):
        release(books, **scenario.columns(rows))
    else:
        with pytest.raises(AssertionError, match="did not hold it"):
            release(books, **scenario.columns(rows))
    assert same(books, ledger)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"agent": [2]}, Reason.UNKNOWN_AGENT),
        ({"agent": [-1]}, Reason.UNKNOWN_AGENT),
        ({"session": [0]}, Reason.STALE_SESSION),
        ({"agent": [1]}, Reason.NOT_USABLE),
        ({"requests": [[1001, 0, 0, 0, 0]]}, Reason.TOO_FEW_CPUS),
        ({"requests": [[0, 1025, 0, 0, 0]]}, Reason.TOO_FEW_MEM),
        ({"requests": [[0, 0, 4097, 0, 0]]}, Reason.TOO_FEW_DISK),
        ({"requests": [[0, 0, 0, 1001, 0]]}, Reason.TOO_FEW_GPUS),
        ({"requests": [[0, 0, 0, 0, 11]]}, Reason.TOO_FEW_PORTS),
        ({"requests": [[501, 0, 0, 0, 0]], "group": [0]}, Reason.QUOTA),
        ({"requests": [[500, 0, 0, 0, 0]], "group": [0]}, Reason.PLACED),
    ],
)
def test_each_verdict(change: dict[str, Any], reason: Reason) -> None:
    books = books_of(2, limit=[[500, -1, -1, -1, -1]])
    books.usable[1] = 0
    row = {"agent": [0], "shape": [0], "requests": [[1, 0, 0, 0, 0]], "session": [1], **change}
    assert commit(books, **row).tolist() == [reason]
    assert (books.free[0, 0] < 1000) == (reason == Reason.PLACED)


def test_a_row_pays_for_its_group_and_all_above_it_once() -> None:
    books = books_of(1, limit=[[-1] * 5, [-1] * 5], above=[[-1, -1], [1, 0]])
    commit(books, [0], [0], [[100, 0, 0, 0, 0]], [1], group=[1])
    assert books.group_used[:, 0].tolist() == [100, 100]
    release(books, [0], [0], [[100, 0, 0, 0, 0]], group=[1])
    assert books.group_used[:, 0].tolist() == [0, 0]


def test_the_quota_of_a_group_above_stops_a_row() -> None:
    books = books_of(1, limit=[[150, -1, -1, -1, -1], [-1] * 5], above=[[-1], [0]])
    verdict = commit(books, [0, 0], [0, 0], [[100, 0, 0, 0, 0]], [1, 1], group=[1, 1])
    assert verdict.tolist() == [Reason.PLACED, Reason.QUOTA]


def test_a_broken_gang_is_undone_and_what_it_held_is_free_for_the_next_row() -> None:
    books = books_of(1)
    verdict = commit(books, [0, 0, 0, 0], [0] * 4, [[600, 0, 0, 0, 0]], [1, 1, 1, 1], gang=[5, 5, -1, 5])
    assert verdict.tolist() == [Reason.GANG, Reason.TOO_FEW_CPUS, Reason.PLACED, Reason.TOO_FEW_CPUS]
    assert books.free[0, 0] == 400


def test_all_rows_of_a_broken_gang_are_undone() -> None:
    books = books_of(2)
    verdict = commit(books, [0, 1, 0, 1], [0] * 4, [[400, 0, 0, 0, 0]], [1, 1, 1, 2], gang=[0] * 4, group=[0] * 4)
    assert verdict.tolist() == [Reason.GANG] * 3 + [Reason.STALE_SESSION]
    assert books.free.tolist() == [UNIT, UNIT]
    assert not books.group_used.any()


def test_a_group_above_its_limit_may_take_what_the_limit_is_not_about() -> None:
    books = books_of(1, limit=[[100, -1, -1, -1, -1]])
    books.group_used[0, 0] = 200
    verdict = commit(books, [0, 0], [0, 1], [[0, 64, 0, 0, 0], [1, 64, 0, 0, 0]], [1, 1], group=[0, 0])
    assert verdict.tolist() == [Reason.PLACED, Reason.QUOTA]


def test_free_may_be_part_of_a_larger_table() -> None:
    books = books_of(2)
    table = np.zeros((4, 7), np.int32)
    table[::2, :5] = UNIT
    wide = Books(
        table[::2, :5],
        books.total,
        books.usable,
        books.session,
        *(books.ancestors, books.group_used, books.group_limit),
    )
    assert commit(wide, [1], [0], [UNIT], [1]).tolist() == [0]
    assert table[2].tolist() == [0] * 7


def test_an_agent_that_owes_is_paid_back() -> None:
    books = books_of(1)
    books.total[:] = 2**31 - 1
    books.free[:] = -(2**31)
    release(books, [0], [0], [[2**31 - 1] * 5])
    assert books.free.tolist() == [[-1] * 5]
    assert commit(books, [0], [0], [[1, 0, 0, 0, 0]], [1]).tolist() == [Reason.TOO_FEW_CPUS]


def test_rows_without_an_agent_hold_nothing() -> None:
    books = books_of(1)
    release(books, [-1], [0], [UNIT])
    assert books.free.tolist() == [UNIT]


def test_nothing_to_commit_is_fine() -> None:
    assert commit(books_of(0), [], [], np.empty((0, 5), np.int32), []).tolist() == []
    release(books_of(1), [], [], np.empty((0, 5), np.int32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [1]}, "shape holds 1, but there are only 1 shapes"),
        ({"shape": [-1]}, "shape holds -1"),
        ({"requests": [[-1] * 5]}, "requests holds -1"),
        ({"requests": [[1] * 4]}, r"requests has shape \[1, 4\]"),
        ({"session": [1, 1]}, "session has shape"),
        ({"gang": [-2]}, "gang holds -2"),
        ({"group": [1]}, "group holds 1, but there are only 1 groups"),
        ({"agent": [0.5]}, "agent is float64"),
    ],
)
def test_bad_rows_are_refused_and_charge_nothing(change: dict[str, Any], message: str) -> None:
    books = books_of(1)
    row = {"agent": [0], "shape": [0], "requests": [[1] * 5], "session": [1], **change}
    with pytest.raises(ShapeError, match=message):
        commit(books, **row)
    assert books.free.tolist() == [UNIT]


def test_an_unknown_agent_can_not_give_back() -> None:
    with pytest.raises(ShapeError, match="agent holds 1, but there are only 1 agents"):
        release(books_of(1), [1], [0], [UNIT])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("free", np.zeros((1, 5), np.int64), "free must be a writable int32 array"),
        ("free", np.zeros(5, np.int32), "0 resource columns"),
        ("total", np.zeros((2, 5), np.int32), "total has shape"),
        ("usable", np.zeros(2, np.uint8), "usable has shape"),
        ("session", np.zeros(2, np.int64), "session has shape"),
        ("ancestors", np.array([[1]], np.int32), "only 1 groups"),
        ("group_used", np.zeros((1, 4), np.int64), "group_used has"),
        ("group_used", np.zeros((2, 5), np.int64), "group_used has 2 rows, and must have 1"),
        ("group_limit", np.zeros((1, 4), np.int64), "group_limit has shape"),
    ],
)
def test_bad_books_are_refused(name: str, value: np.ndarray, message: str) -> None:
    good = books_of(1)
    columns = {field: getattr(good, field) for field in Books.__dataclass_fields__} | {name: value}
    with pytest.raises(ShapeError, match=message):
        commit(Books(**columns), [0], [0], [UNIT], [1])


def test_read_only_books_are_refused() -> None:
    books = books_of(1)
    books.free.setflags(write=False)
    with pytest.raises(ShapeError, match="writable"):
        commit(books, [0], [0], [UNIT], [1])


@given(st.lists(st.integers(-1, 5), max_size=60))
def test_rows_by_agent_are_those_of_a_stable_sort(agents: list[int]) -> None:
    order, start = by_agent(agents, 6)
    assert [order[start[a] : start[a + 1]].tolist() for a in range(6)] == [
        [i for i, agent in enumerate(agents) if agent == a] for a in range(6)
    ]
    with pytest.raises(ShapeError, match="only 6 agents"):
        by_agent([6], 6)
