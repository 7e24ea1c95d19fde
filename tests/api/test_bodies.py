"""`each` becomes the environments of pods, the same from rows, lists and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.api import bodies
from orch.client.columns import columns_of
from orch.model.codec import decode, encode

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0="), min_size=1, max_size=5)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=30)


def plain(rows: list[dict[str, str]]) -> list[bytes]:
    """Row by row, names in the order in which they were first seen."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [b"".join(f"{name}={row[name]}".encode() + b"\0" for name in names if name in row) for row in rows]


def cut(off: Any, blob: bytes) -> list[bytes]:
    return [blob[a:b] for a, b in zip(off[:-1].tolist(), off[1:].tolist(), strict=True)]


@given(ROWS)
def test_rows_lists_and_columns_say_the_same(rows: list[dict[str, str]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    forms: list[Any] = [rows]
    if names:
        forms.append({name: [row.get(name) for row in rows] for name in names})
        forms.append(decode(encode(columns_of(rows)[0])))
    for form in forms:
        off, blob, count = bodies.env_of(form)
        assert count == len(rows) and off.dtype == np.int64
        assert cut(off, blob) == plain(rows)


def test_more_rows_than_are_gathered_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(bodies, "GATHER_ROWS", 7)
    rows = [{"A": str(n), **({"B": "x" * (n % 5)} if n % 3 else {})} for n in range(100)]
    off, blob, _ = bodies.env_of(decode(encode(columns_of(rows)[0])))
    assert cut(off, blob) == plain(rows)
