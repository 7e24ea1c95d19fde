"""Shapes: one id for equal requests, counted, used again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.placement import ShapeError, Shapes


def test_equal_requests_share_an_id_and_selectors_tell_them_apart() -> None:
    shapes = Shapes(5)
    first = shapes.intern([100, 64, 0, 0, 0])
    assert shapes.intern([100, 64, 0, 0, 0]) == first
    assert shapes.intern([100, 64, 0, 0, 0], selector=3) == 1
    assert shapes.requests.tolist() == [[100, 64, 0, 0, 0]] * 2
    assert shapes.selectors.tolist() == [0, 3]
    assert shapes.uses(first) == 2


def test_the_last_release_frees_the_id_and_the_lowest_free_one_is_used_next() -> None:
    shapes = Shapes(5)
    ids = [shapes.intern([n, 0, 0, 0, 0]) for n in range(3)]
    shapes.release(ids[2])
    shapes.release(ids[1])
    assert shapes.requests.tolist() == [[0] * 5] * 3
    assert shapes.intern([9, 0, 0, 0, 0]) == 1
    assert shapes.uses(2) == 0
    assert shapes.uses(99) == 0
    with pytest.raises(ShapeError, match="shape 2 is not in use"):
        shapes.release(2)
    with pytest.raises(ShapeError, match="shape 7 is not in use"):
        shapes.release(7)


@pytest.mark.parametrize(
    ("request_", "selector", "message"),
    [
        ([1] * 4, 0, r"request has shape \[4\], and must have \[5\]"),
        ([-1] * 5, 0, "request holds -1"),
        ([2**31] * 5, 0, "int32 can not"),
        ([1] * 5, -1, "selector is -1"),
        ([1] * 5, 2**31, "selector is 2147483648"),
    ],
)
def test_bad_shapes_are_refused(request_: list[int], selector: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Shapes(5).intern(request_, selector)


def test_the_number_of_resources_is_checked() -> None:
    with pytest.raises(ShapeError, match="3 resource columns"):
        Shapes(3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 2)), max_size=120))
def test_ids_stand_for_what_was_interned(operations: list[tuple[bool, int, int]]) -> None:
    shapes = Shapes(4)
    held: list[tuple[int, int, int]] = []
    for add, amount, selector in operations:
        if add or not held:
            held.append((shapes.intern([amount, 1, 2, 3], selector), amount, selector))
        else:
            shapes.release(held.pop(amount % len(held))[0])
        for number, value, which in held:
            assert shapes.requests[number].tolist() == [value, 1, 2, 3]
            assert shapes.selectors[number] == which
    assert sum(shapes.uses(number) for number in range(len(shapes))) == len(held)
    assert len(shapes) <= len(operations)


def test_the_table_grows() -> None:
    shapes = Shapes(4)
    assert [shapes.intern([n, 0, 0, 0], n) for n in range(40)] == list(range(40))
    assert shapes.requests[:, 0].tolist() == shapes.selectors.tolist() == list(range(40))
