"""Files and functions stay small, nothing is left open, and the project speaks of itself alone."""

from __future__ import annotations

import ast
import re

from tests.quality.source import CODE_SUFFIXES, name_of, pure_files, python_files, text_files, tree

MOST_FILE_LINES = 600
MOST_FUNCTION_LINES = 60
# In pieces, so that this file does not find itself.
OPEN_WORK = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|raise NotImplemented" + "Error")
# Paths of the machines that the project was written on, and hosts that a user's own settings decide.
FOREIGN = re.compile("/wor" + "k/|/far" + "m/|/tmp/no" + "tes|bash_" + "jobs|pypi" + r"\.org|python" + "hosted")
NO_COVER = re.compile(r"#\s*pragma:\s*no\s*(cover|branch)")


def test_no_file_is_too_long() -> None:
    lengths = {name_of(p): len(p.read_text().splitlines()) for p in text_files() if p.suffix in CODE_SUFFIXES}
    assert {name: n for name, n in lengths.items() if n > MOST_FILE_LINES} == {}, "two nouns in one file?"


def test_no_function_is_too_long() -> None:
    too_long = {
        f"{name_of(path)}:{node.lineno} {node.name}": lines
        for path in python_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := lines_of(node)) > MOST_FUNCTION_LINES
    }
    assert too_long == {}


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring, which may be as long as it needs."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_nothing_is_left_open() -> None:
    assert lines_with(OPEN_WORK) == []


def test_the_project_speaks_of_itself_alone() -> None:
    assert lines_with(FOREIGN) == []


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """`file:line: text` of every line of the project that matches."""
    return [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in text_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_line_of_a_pure_room_is_left_out_of_the_coverage() -> None:
    left_out = [name_of(p) for p in pure_files() if NO_COVER.search(p.read_text())]
    assert left_out == []
