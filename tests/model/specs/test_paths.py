"""Ids: absolute forms, and what is wrong with a bad one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.ids import SEGMENT
from orch.model.specs import paths
from orch.model.specs.problems import path_of

segments = st.from_regex(SEGMENT, fullmatch=True).filter(lambda part: part not in paths.RESERVED)


@given(st.lists(segments, min_size=1, max_size=5))
def test_an_absolute_path_of_good_segments_is_good_and_stays_as_it_is(parts: list[str]) -> None:
    text = "/" + "/".join(parts)
    assert paths.absolute(text) == text
    assert paths.absolute("/".join(parts), "/base") == "/base" + text
    assert paths.faults(text) == []


@pytest.mark.parametrize(
    ("text", "base", "absolute"),
    [
        ("web", "/", "/web"),
        ("/web/", "/", "/web"),
        ("//a//b", "/", "/a/b"),
        ("../b", "/team/a", "/team/b"),
        ("./b", "/team", "/team/b"),
        ("../../../b", "/a", "/b"),
        ("", "/", "/"),
    ],
)
def test_relative_ids_count_from_their_base(text: str, base: str, absolute: str) -> None:
    assert paths.absolute(text, base) == absolute


@pytest.mark.parametrize("text", ["/9numbered", "/hy-phenated", "/dot.ted", "/all.to-9gether/huh12/n"])
def test_good_ids(text: str) -> None:
    assert paths.faults(text) == []


@pytest.mark.parametrize("text", ["", "/", "/A", "/a b", "/-a", "/a-", "/a.", "/.../a", "/a_b", "/a/restart", "/a/.."])
def test_bad_ids(text: str) -> None:
    assert paths.faults(text)


def test_dots_are_for_dependencies() -> None:
    assert paths.faults("/a/../b", dots=True) == []
    assert paths.faults("/a/versions", dots=True) == []


def test_a_long_segment_is_shown_short() -> None:
    assert len(paths.faults("/" + "A+" * 300)[0]) < 300


def test_places_are_written_as_marathon_writes_them() -> None:
    assert path_of(()) == "/"
    assert path_of(("containers", 0, "resources", "cpus")) == "/containers(0)/resources/cpus"
