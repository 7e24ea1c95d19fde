"""Label selectors, as `?label=` of GET /v2/apps takes them.

`a == x`, `a != x`, `a in (x, y)`, `a notin (x, y)`, `a` (it has the label), joined by commas: all of them have to hold,
and each but none of them of a spec that lacks the label. A term is letters and digits; any other character has a
backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from orch.model.errors import UsageError

Selector = Callable[[Mapping[str, str]], bool]
"""Whether labels are selected."""

_TOKEN = re.compile(r"\s*((?P<term>(?:\\.|[A-Za-z0-9])+)|(?P<sign>==|!=|[(),]))", re.DOTALL)


def selector(text: str) -> Selector:
    """The selector that a text stands for. Raises UsageError with the place of the mistake."""
    parser = _Parser(text)
    found = parser.all()
    return lambda labels: all(one(labels) for one in found)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def all(self) -> list[Selector]:
        found: list[Selector] = []
        while self._peek() != "":
            found.append(self._one())
            if self._peek() == "":
                break
            self._expect(",")
            if self._peek() == "":
                raise self._wrong("another selector")
        return found

    def _one(self) -> Selector:
        label = self._term()
        sign = self._peek()
        if sign in ("==", "!="):
            self._expect(sign)
            return _among(label, [self._term()], sign == "==")
        if sign in ("in", "notin"):
            self._expect(sign)
            return _among(label, self._set(), sign == "in")
        return lambda labels: label in labels

    def _set(self) -> list[str]:
        self._expect("(")
        found: list[str] = []
        while self._peek() != ")":
            if found:
                self._expect(",")
            found.append(self._term())
        self._expect(")")
        return found

    def _term(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match["term"] is None:
            raise self._wrong("a term of letters and digits (others behind a backslash)")
        self._at = match.end()
        return re.sub(r"\\(.)", r"\1", match["term"], flags=re.DOTALL)

    def _expect(self, sign: str) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match[1] != sign:
            raise self._wrong(f"`{sign}`")
        self._at = match.end()

    def _peek(self) -> str:
        """The next token as it is written; "" at the end, and what is no token at all as it stands."""
        match = _TOKEN.match(self._text, self._at)
        return self._text[self._at :].strip() if match is None else match[1]

    def _wrong(self, expected: str) -> UsageError:
        return UsageError(f"label={self._text!r} is no label selector: at character {self._at + 1} comes {expected}.")


def _among(label: str, values: list[str], inside: bool) -> Selector:
    return lambda labels: label in labels and (labels[label] in values) == inside
