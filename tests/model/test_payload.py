"""Payloads by columns, against lists of rows."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.model import payload as payloads
from orch.model.codec import decode, encode
from orch.model.messages import Payload


class Row(NamedTuple):
    template: int
    index: int
    job: int
    env: bytes


rows = st.lists(
    st.builds(Row, st.integers(0, 3), st.integers(0, 2**40), st.integers(-1, 9), st.binary(max_size=6)), max_size=12
)


def built(each: list[Row]) -> Payload:
    off = np.concatenate([[0], np.cumsum([len(row.env) for row in each], dtype=np.int64)]).astype(np.int64)
    return Payload(
        templates={row.template: {"number": row.template} for row in each},
        template=np.array([row.template for row in each], dtype=np.int32),
        index=np.array([row.index for row in each], dtype=np.int64),
        job=np.array([row.job for row in each], dtype=np.int64),
        env_off=off,
        env_blob=b"".join(row.env for row in each),
    )


def unbuilt(payload: Payload) -> list[Row]:
    ends = payload.env_off.tolist()
    assert ends[0] == 0 and ends[-1] == len(payload.env_blob)
    assert sorted(payload.templates) == sorted(set(payload.template.tolist()))
    return [
        Row(
            int(payload.template[i]),
            int(payload.index[i]),
            int(payload.job[i]),
            payload.env_blob[ends[i] : ends[i + 1]],
        )
        for i in range(payloads.rows_of(payload))
    ]


@given(rows, st.data())
def test_take_picks_rows_in_the_order_asked_for(each: list[Row], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(each))))) if each else []
    taken = payloads.take(built(each), np.array(chosen, dtype=np.int64))
    assert unbuilt(taken) == [each[at] for at in chosen]


@given(rows, st.data())
def test_cut_is_a_slice(each: list[Row], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(each)))
    stop = data.draw(st.integers(start, len(each)))
    assert unbuilt(payloads.cut(built(each), start, stop)) == each[start:stop]


@given(st.lists(rows, max_size=4))
def test_concat_joins_rows(parts: list[list[Row]]) -> None:
    assert unbuilt(payloads.concat([built(part) for part in parts])) == [row for part in parts for row in part]


@given(st.lists(rows, max_size=3))
def test_concat_joins_slices_whose_offsets_do_not_start_at_zero(parts: list[list[Row]]) -> None:
    whole = [row for part in parts for row in part]
    cuts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    pieces = [payloads.cut(built(whole), a, b) for a, b in pairwise(cuts)]
    assert unbuilt(payloads.concat(pieces)) == whole


def test_an_empty_payload_has_no_rows() -> None:
    assert unbuilt(payloads.empty()) == []


@given(rows)
def test_a_payload_travels(each: list[Row]) -> None:
    assert unbuilt(decode(encode(built(each)))) == each
