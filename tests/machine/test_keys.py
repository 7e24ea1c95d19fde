"""Answers that are given again."""

from __future__ import annotations

from orch.machine.keys import Keys, is_answer, sealed
from orch.model.errors import ConflictError, NotFoundError, SpecError, UnavailableError


def test_a_key_gets_its_first_answer_addressed_to_the_new_request() -> None:
    keys = Keys()
    keys.put("ada", "k", {"job": 1})
    keys.put("ada", "no", None, {"status": 404})
    again, refused = keys.again("r2", "ada", "k"), keys.again("r3", "ada", "no")
    assert again is not None and (again.request, again.body, again.error) == ("r2", {"job": 1}, None)
    assert refused is not None and refused.error == {"status": 404}
    assert keys.again("r4", "bob", "k") is None


def test_keys_are_forgotten_the_oldest_first_and_the_empty_one_is_none() -> None:
    keys = Keys(most=2)
    for key in ("", "a", "b", "c"):
        keys.put("ada", key, {"key": key})
    assert len(keys) == 2 and keys.again("r", "ada", "a") is None and keys.again("r", "ada", "") is None
    other = Keys(most=2)
    other.restore(keys.to_list())
    assert other.to_list() == keys.to_list() == [["ada", "b", {"key": "b"}, None], ["ada", "c", {"key": "c"}, None]]


def test_refusals_that_depend_on_the_time_are_answers() -> None:
    assert is_answer(NotFoundError("x")) and is_answer(ConflictError("x"))
    assert not is_answer(SpecError("x")) and not is_answer(UnavailableError("x"))


def test_a_key_that_was_used_for_something_else_is_a_conflict() -> None:
    keys = Keys()
    keys.put("ada", sealed("k", "one"), {"job": 1})
    restored = Keys()
    restored.restore(keys.to_list())
    for known in (keys, restored):
        same, other = known.again("r", "ada", sealed("k", "one")), known.again("r", "ada", sealed("k", "two"))
        assert same is not None and (same.body, same.error) == ({"job": 1}, None)
        assert other is not None and other.body is None and other.error is not None
        assert (other.error["status"], '"k"' in other.error["detail"]) == (409, True)
    assert sealed("", "one") == ""
