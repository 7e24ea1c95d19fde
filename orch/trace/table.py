"""Tables of text, read strictly: every fault is told with its file, row and column.

CSV with a header, or JSON lines (`.jsonl`, `.ndjson`: an object a line). A table is read in chunks of columns, so a
list of a million pods takes seconds and little memory.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.errors import UsageError

INT32_MOST = 2**31 - 1
CHUNK = 1 << 16
_JSON_LINES = (".jsonl", ".ndjson")

Int64 = NDArray[np.int64]


class TraceError(UsageError, ValueError):
    """A trace that can not be read: the file, and where it is one row's fault its row (the header is 1) and column."""

    def __init__(self, file: Path, problem: str, row: int | None = None, column: str | None = None) -> None:
        self.file, self.row, self.column, self.problem = file, row, column, problem
        place = f"{file}" + ("" if row is None else f", row {row}" + ("" if column is None else f", column {column}"))
        super().__init__(f"{place}: {problem}")


@dataclass(eq=False)
class Chunk:
    """Some rows of a table: the number of each, and its texts by column, without the blanks around them.

    Reading a column remembers the fault of its first bad row; `check` raises the first of them all.
    """

    path: Path
    number: list[int]
    columns: dict[str, list[str]]
    faults: list[tuple[int, int, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.number)

    def texts(self, column: str) -> list[str]:
        """What stands there; "" in each row where there is no such column."""
        return self.columns.get(column) or [""] * len(self)

    def names(self, column: str) -> list[str]:
        """What stands there, and something does."""
        texts = self.texts(column)
        if "" in texts:
            self.wrong(texts.index(""), column, "is empty")
        return texts

    def integers(self, column: str, most: int = INT32_MOST, default: int | None = None) -> Int64:
        """int64[n], integers from 0 to `most`. default: of an empty field, or where there is no such column."""

        def value(text: str) -> int | None:
            return int(text) if re.fullmatch("[0-9]{1,18}", text) and int(text) <= most else None

        return self._numbers(column, value, f"an integer from 0 to {most}", default)

    def signed(self, column: str, most: int, default: int) -> Int64:
        """int64[n], integers from -most to `most`, and `default` where nothing stands."""

        def value(text: str) -> int | None:
            return int(text) if re.fullmatch("-?[0-9]{1,18}", text) and abs(int(text)) <= most else None

        return self._numbers(column, value, f"an integer from {-most} to {most}", default)

    def thousandths(self, column: str, most: int, default: int | None = None) -> Int64:
        """int64[n], thousandths of numbers from 0 to `most` with at most three digits after the point."""

        def value(text: str) -> int | None:
            found = re.fullmatch(r"([0-9]{1,15})(?:\.([0-9]{1,3})0*)?", text)
            thousandths = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0")) if found else most * 1000 + 1
            return thousandths if thousandths <= most * 1000 else None

        return self._numbers(column, value, f"a number from 0 to {most}, as fine as 0.001", default)

    def wrong(self, at: int, column: str, problem: str) -> None:
        """Remember that this column of the chunk's row `at` is not as it must be."""
        self.faults.append((at, len(self.faults), column, problem))

    def check(self) -> None:
        """Raises TraceError for the first row that a fault was found in."""
        if self.faults:
            at, _, column, problem = min(self.faults)
            raise TraceError(self.path, problem, self.number[at], column)

    def _numbers(self, column: str, value: Callable[[str], int | None], what: str, default: int | None) -> Int64:
        if column not in self.columns and default is not None:
            return np.full(len(self), default, np.int64)
        texts = self.texts(column)
        known: dict[str, int | None] = {}
        for text in texts:
            if text not in known:
                known[text] = default if text == "" else value(text)
        if None in known.values():
            at, text = next((at, text) for at, text in enumerate(texts) if known[text] is None)
            self.wrong(at, column, f"holds {shown(text)}, and must hold {what}")
        numbers = [known[text] or 0 for text in texts]
        return np.array(numbers, np.int64)


def shown(text: str) -> str:
    """A field as an error quotes it, cut off where it is long."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."


def lines(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV file, the header first. Raises TraceError where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(path, f"can not be read: {_said(error)}") from error


def header(path: Path) -> tuple[str, ...]:
    """The names of a table's columns; of JSON lines, the members of its first object. () of an empty file."""
    if path.suffix in _JSON_LINES:
        return next((tuple(one) for _, one in _objects(path)), ())
    return tuple(column.strip() for column in next(lines(path), []))


def chunks(path: Path, needed: Iterable[str]) -> Iterator[Chunk]:
    """A table by chunks; blank rows are left out. Raises TraceError: a column is missing or twice, a row too long."""
    columns = header(path)
    json_lines = path.suffix in _JSON_LINES
    for column in needed:
        if columns.count(column) != 1:
            raise TraceError(path, "is missing" if column not in columns else "is there twice", 1, column)
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise TraceError(path, "is there twice", 1, twice[0])
    rows = _objects(path) if json_lines else enumerate(itertools.islice(lines(path), 1, None), 2)
    while part := list(itertools.islice(rows, CHUNK)):
        yield _from_objects(path, part) if json_lines else _from_fields(path, columns, part)


def _from_fields(path: Path, columns: tuple[str, ...], part: list[Any]) -> Chunk:
    kept = [(number, fields) for number, fields in part if fields]
    for number, fields in kept:
        if len(fields) != len(columns):
            at = columns[min(len(fields), len(columns) - 1)]
            raise TraceError(path, f"the row has {len(fields)} fields, the header {len(columns)}", number, at)
    texts = zip(*(fields for _, fields in kept), strict=True) if kept else ([] for _ in columns)
    by_name = {name: [text.strip() for text in column] for name, column in zip(columns, texts, strict=True)}
    return Chunk(path, [number for number, _ in kept], by_name)


def _from_objects(path: Path, part: list[Any]) -> Chunk:
    names = dict.fromkeys(itertools.chain.from_iterable(one for _, one in part))
    by_name = {name: [one.get(name, "") for _, one in part] for name in names}
    return Chunk(path, [number for number, _ in part], by_name)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(row, texts by member) of each object; numbers keep the text that stands there. The first line is row 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _object(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(path, f"can not be read: {_said(error)}") from error


def _object(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        one = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise TraceError(path, f"is no JSON: {error}", number) from error
    if not isinstance(one, dict):
        raise TraceError(path, "is no JSON object", number)
    for name, value in one.items():
        if value is None:
            one[name] = ""
        elif not isinstance(value, str):
            raise TraceError(path, f"holds {shown(json.dumps(value))}: a number or a text, please", number, name)
        else:
            one[name] = value.strip()
    return one


def _said(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
