"""The small nouns: ids, resources, reasons, errors, runs of ids, and that all messages and facts travel."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model import codec, errors, ids, payload, resources
from orch.model.codec import decode, encode
from orch.model.ranges import from_ranges, to_ranges
from orch.model.reasons import SENTENCES, Reason
from orch.model.words import needs_sentence, number_of

MODULES = ("messages", "requests", "facts_agent", "facts_batch", "facts_master", "facts_services")


# ---- ids -----------------------------------------------------------------------------------------------------------


def test_an_id_tells_its_framework() -> None:
    assert ids.first_id(1) == 2**44
    assert ids.framework_of(ids.first_id(2) + 5) == 2
    for bad in (0, -1, 2**18):
        with pytest.raises(AssertionError):
            ids.first_id(bad)
    assert ids.first_id(2**18 - 1) < 2**63


@pytest.mark.parametrize(
    ("path", "top", "parent"),
    [("/demo/web", "/demo", "/demo"), ("/web", "/web", "/"), ("/a/b/c", "/a", "/a/b"), ("/", "/", "/")],
)
def test_groups_of_a_path(path: str, top: str, parent: str) -> None:
    assert ids.top_group(path) == top
    assert ids.parent_group(path) == parent


segments = st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,6}[a-z0-9])?", fullmatch=True)


@given(st.lists(segments, min_size=1, max_size=4), st.integers(0, 2**40), st.none() | st.integers(0, 10**6))
def test_a_name_can_be_read_back(path: list[str], number: int, job: int | None) -> None:
    assert all(ids.SEGMENT.match(segment) for segment in path)
    whole = "/" + "/".join(path)
    assert ids.parse_instance_name(ids.instance_name(whole, number, job)) == (whole, job, number)


def test_names_people_read() -> None:
    assert ids.instance_name("/demo/web", 3) == "demo_web.3"
    assert ids.instance_name("/demo/digest", 12, 7) == "demo_digest.j7.12"
    for no_name in ("", "demo", "demo_web.", "demo web.3", ".3"):
        assert ids.parse_instance_name(no_name) is None


# ---- resources -----------------------------------------------------------------------------------------------------


def test_amounts_as_users_write_them() -> None:
    assert resources.to_dict([100, 64, 0, 2000, 3]) == {"cpus": 0.1, "mem": 64, "disk": 0, "gpus": 2, "ports": 3}
    assert resources.to_user(resources.CPUS, np.int32(1500)) == 1.5
    assert [resources.to_sentence(column, 1000) for column in range(resources.R)] == [
        "cpus 1", "mem 1000 MiB", "disk 1000 MiB", "gpus 1", "ports 1000",
    ]  # fmt: skip
    assert len(resources.RESOURCES) == len(resources.NAMES) == resources.R


# ---- reasons and words ---------------------------------------------------------------------------------------------


def test_one_is_no_plural() -> None:
    assert [number_of(n, "pod") for n in (0, 1, 2)] == ["0 pods", "1 pod", "2 pods"]


def test_every_reason_has_a_sentence() -> None:
    assert list(SENTENCES) == list(Reason)
    assert all(SENTENCES[reason] for reason in Reason if reason != Reason.NONE)


def test_what_a_spec_needs_is_a_sentence() -> None:
    assert needs_sentence("/a", ()) == ""
    assert needs_sentence("/a", ("images", "volumes")).startswith('"/a" needs images, volumes, which')


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(errors.BY_KIND))
def test_an_error_travels_as_one_body(kind: str) -> None:
    error = errors.BY_KIND[kind]("no agent has room", [{"path": "/cpus", "errors": ["too many"]}], {"agents": 2})
    body = error.to_dict()
    assert body["type"] == f"urn:orch:error:{kind}" and body["message"] == body["detail"] == str(error)
    back = errors.from_dict(decode(encode(body)))
    assert type(back) is type(error)
    assert back.to_dict() == body


def test_an_error_without_a_why_has_none() -> None:
    assert "why" not in errors.NotFoundError("gone").to_dict()


@pytest.mark.parametrize(
    ("body", "cls", "detail"),
    [
        ({"status": 404, "detail": "x"}, errors.NotFoundError, "x"),
        ({"status": 418, "message": "tea"}, errors.OrchError, "tea"),
        ({"type": "urn:other:conflict", "title": "T"}, errors.ConflictError, "T"),
        ({}, errors.OrchError, "unknown error"),
    ],
)
def test_any_body_becomes_the_nearest_error(body: dict[str, Any], cls: type, detail: str) -> None:
    error = errors.from_dict(body)
    assert type(error) is cls and error.detail == detail and error.details == []


def test_exit_codes_are_those_of_the_command_line() -> None:
    assert {cls.exit_code for cls in errors.BY_KIND.values()} == {1, 2, 3, 4, 5, 6, 7}
    assert issubclass(errors.ExpiredError, errors.NotFoundError)


# ---- runs of ids ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2**50), st.integers(1, 9)), max_size=6))
def test_runs_come_back_as_the_ids_they_were(runs: list[tuple[int, int]]) -> None:
    each = np.array([start + step for start, length in runs for step in range(length)], dtype=np.int64)
    starts, lengths = to_ranges(each)
    assert np.array_equal(from_ranges(starts, lengths), each)
    assert len(starts) <= len(runs) and (lengths > 0).all()


# ---- records -------------------------------------------------------------------------------------------------------


def records() -> list[type]:
    modules = [importlib.import_module(f"orch.model.{name}") for name in MODULES]
    found = [thing for module in modules for thing in vars(module).values() if hasattr(thing, "_record")]
    return sorted(dict.fromkeys(found), key=lambda cls: cls._record[0])


def sample(hint: Any) -> Any:
    """Some value of a field's type."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin is np.ndarray:
        return np.arange(3).astype(typing.get_args(of[1])[0])
    if origin in (list, dict):
        return origin()
    if hint is codec._BY_NAME["payload"]:
        return payload.empty()
    if origin is not None:
        return sample(of[0])
    return {int: 7, str: "a", bool: True, bytes: b"b", float: 0.5}.get(hint)


@pytest.mark.parametrize("cls", records(), ids=lambda cls: cls._record[0])
def test_every_message_and_fact_travels(cls: Any) -> None:
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    one = cls(**{name: sample(hint) for name, hint in typing.get_type_hints(cls).items() if not name.startswith("_")})
    back = decode(encode(one))
    assert type(back) is cls and encode(back) == encode(one)
