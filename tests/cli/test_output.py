"""How results are shown."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import yaml

from orch.cli.output import ago, counts, show_one, show_rows, time_of_day

ROWS = [{"id": "/a", "n": 1.5, "note": None}, {"id": "/b", "n": np.int64(2), "note": "x"}]


def test_a_table_has_a_header_and_dashes_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(ROWS, ("id", "n", "note"), "table")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["ID", "N", "NOTE"], ["/a", "1.5", "-"], ["/b", "2", "x"]]


def test_a_table_in_a_pipe_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"id": "x" * 500}], ("id",), "table")
    assert "x" * 500 in capsys.readouterr().out


def test_programs_get_all_members(capsys: pytest.CaptureFixture[str]) -> None:
    plain = [{"id": "/a", "n": 1.5, "note": None}, {"id": "/b", "n": 2, "note": "x"}]
    show_rows(ROWS, ("id",), "json")
    assert json.loads(capsys.readouterr().out) == plain
    show_rows(ROWS, ("id",), "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == plain
    show_rows(ROWS, ("id",), "jsonl")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == plain
    show_rows(ROWS, ("id",), "name")
    assert capsys.readouterr().out == "/a\n/b\n"


def test_one_thing_is_a_sentence_for_people_and_an_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"id": 7, "parts": {"a": 1}}, "table", "job 7 is done")
    assert capsys.readouterr().out == "job 7 is done\n"
    show_one({"id": 7, "parts": {"a": 1}}, "table")
    assert capsys.readouterr().out == 'id     7\nparts  {"a": 1}\n'
    show_one({"id": 7}, "jsonl")
    assert capsys.readouterr().out == '{"id": 7}\n'
    show_one({"id": 7}, "name")
    assert capsys.readouterr().out == "7\n"
    show_one({"id": 7}, "yaml")
    assert capsys.readouterr().out == "id: 7\n"


@pytest.mark.parametrize(
    ("at_ms", "text"), [(None, "-"), (99_000, "1s"), (40_000, "1m"), (101_000, "0s"), (100_000 - 7_200_000, "2h")]
)
def test_ages_have_one_unit(at_ms: int | None, text: str) -> None:
    assert ago(at_ms, 100_000) == text


def test_what_has_no_time_is_given_none() -> None:
    assert time_of_day(None) == time_of_day(0) == "--:--:--"
    assert re.fullmatch(r"\d\d:\d\d:07", time_of_day(1_700_000_000_000 - 13_000)), "seconds are the same in every zone"


def test_counts_leave_out_what_there_is_none_of() -> None:
    assert counts({"RUNNING": 3, "STAGING": 0, "FAILED": 1}) == "3 running, 1 failed"
    assert counts({}) == "-"
