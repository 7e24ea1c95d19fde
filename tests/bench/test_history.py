"""What benchmarks keep, when they do, and what the pictures show of it."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.__main__ as command
from bench import history, plots
from bench.rows import Rows

COMMON = {"commit": "abc", "dirty": False, "verified": True, "at": "2026-01-02T03:04:05+00:00", "machine": "one"}


def row(name: str, case: str, figure: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "case": case, "figure": figure, **COMMON, **more}


def test_every_row_is_appended_with_when_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.jsonl"
    for quick in (True, False):
        rows = Rows(as_json=True, keep=history.History(file, quick).add)
        rows.add("mix", "basic", 5.0, "pods/s", 1, verified=True, wall_s=1.0)
        rows.without("mix", "mixed", "unsupported", "no way to say so")
        assert rows.all_verified()
    kept = history.read(file)
    assert [one["quick"] for one in kept] == [True, True, False, False]
    assert all(one["at"] and one["machine"] for one in kept)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{key: one[key] for key in shown} for one, shown in zip(kept, printed, strict=True)] == printed


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"name": "mix"}'])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(row("mix", "basic", 1.0)) + f"\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        history.read(file)


def test_no_file_is_no_history(tmp_path: Path) -> None:
    assert history.read(tmp_path / "nothing") == []


def test_the_newest_verified_row_stands_and_a_quick_one_only_alone() -> None:
    rows = [
        row("mix", "a", 1.0, quick=True), row("mix", "b", 2.0, quick=False), row("mix", "b", 3.0, quick=True),
        row("mix", "c", 4.0), row("mix", "c", 5.0), row("mix", "c", 6.0) | {"verified": False},
        row("mix", "d", 7.0) | {"verified": None},
    ]  # fmt: skip
    assert {case: one["figure"] for (_, case), one in history.newest(rows).items()} == {"a": 1.0, "b": 2.0, "c": 5.0}


@pytest.mark.parametrize(
    ("words", "clean", "keeps"),
    [
        ({}, True, True), ({}, False, False), ({"history": True}, False, True), ({"name": ["mix"]}, True, False),
        ({"name": ["mix"], "history": True}, True, True), ({"case": "basic"}, True, False),
    ],
)  # fmt: skip
def test_rows_are_kept_of_all_on_a_clean_tree_or_where_asked(words: dict[str, Any], clean: bool, keeps: bool) -> None:
    asked = argparse.Namespace(**{"name": [], "case": None, "history": False, **words})
    assert command.kept(asked, clean) is keeps


def drawn(chart: plots.Chart) -> ElementTree.Element:
    return ElementTree.fromstring(plots.svg(chart, "said"))


VALUES = st.floats(1e-3, 1e9)
LINES = st.dictionaries(
    st.text("abc<&\"'", min_size=1), st.dictionaries(st.sampled_from(["x", "y", "<z>"]), VALUES, min_size=1),
    min_size=1, max_size=4,
)  # fmt: skip


@given(LINES, st.booleans(), st.booleans())
def test_every_value_is_drawn_within_the_picture_and_in_order(lines: plots.Lines, log: bool, stacked: bool) -> None:
    chart = plots.Chart("title & <more>", "unit", lines, log=log and not stacked, stacked=stacked)
    ticks = plots.ticks_of(chart)
    at = plots.axis(chart, ticks)
    values = sorted(value for dots in lines.values() for value in dots.values())
    ends = [sum(dots.values()) for dots in lines.values()] if stacked else values
    assert at(min(ends)) >= plots.LEFT and at(max(ends)) <= plots.WIDTH - plots.RIGHT
    assert [at(value) for value in values] == sorted(at(value) for value in values)
    assert 2 <= len(ticks) <= 14
    shapes = [element for element in drawn(chart).iter() if element.find("{*}title") is not None]
    assert len(shapes) == len(values)


def test_charts_show_what_the_rows_say(tmp_path: Path) -> None:
    rows = history.newest(
        [
            row("placement", "1M,10k,100", 5.0, ns_a_pod=5.0), row("placement", "1M,10k,100 numpy scan", 90.0),
            row("placement", "1M,10k,100 index", 1.0),
            row("scale", "1M,100k", 0.9, parts={"kernel": 0.4, "commit": 0.5}), row("scale", "api_p99", 50.0),
            row("gpu", "one/fgd/mean", 95.5, policy="fgd"), row("gpu", "one/fgd", 95.0, policy="fgd"),
            row("mix", "basic", 30_000.0, ci_floor=810),
            row("placement", "1M,10k,100 zones", 8.0, peer="the plain case", ratio=1.6),
            row("offers", "10k,50", 2.0, unit="ms"), row("offers", "10k,50 quotas", 3.0, unit="ms"),
            row("offers", "10k,50 first", 9.0, unit="ms"), row("offers", "conflicts 2 busy", 30.0, unit="%"),
            row("offers", "idle cycle 100000 agents", 0.4, unit="ms"),
        ]
    )  # fmt: skip
    assert plots.constraints(rows).lines == {"1M,10k,100": {"zones": 1.6}}
    assert plots.offers(rows).lines == {"10k,50": {"offers and declines": 2.0, "under quotas": 3.0}}
    assert plots.placement(rows).lines == {"1M,10k,100": {"orch": 5.0, "numpy scan": 90_000.0}}
    assert plots.scale(rows).lines == {"1M,100k": {"kernel": 0.4, "commit": 0.5}}
    assert plots.gpu(rows).lines == {"one": {"fgd": 95.5}}
    assert plots.mix(rows).lines["basic"]["orch"] == 30_000.0
    written = plots.write(rows, tmp_path / "pictures")
    assert sorted(path.stem for path in written) == sorted(plots.CHARTS)
    assert "abc; 2026-01-02; one" in written[0].read_text()
    assert plots.write({}, tmp_path / "none") == []


def test_the_pictures_in_the_docs_are_those_of_the_history(tmp_path: Path) -> None:
    rows = history.newest(history.read(history.FILE))
    made = {path.name: path.read_text() for path in plots.write(rows, tmp_path)}
    kept = {path.name: path.read_text() for path in plots.FOLDER.glob("*.svg")}
    assert made == kept, "run `python -m bench.plots`"


def test_the_page_shows_every_picture() -> None:
    page = (plots.FOLDER.parent / "benchmarks.md").read_text()
    assert set(re.findall(r"benchmarks/(\w+)\.svg", page)) == set(plots.CHARTS)
