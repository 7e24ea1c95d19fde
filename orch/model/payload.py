"""Operations on a `Payload`: picking rows, cutting slices, joining, all by columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import EMPTY_I32, EMPTY_I64, Payload

Ints = NDArray[np.int64]


def empty() -> Payload:
    """A payload without rows."""
    return Payload({}, EMPTY_I32, EMPTY_I64, EMPTY_I64, np.zeros(1, dtype=np.int64), b"")


def rows_of(payload: Payload) -> int:
    """How many instances it is for."""
    return len(payload.template)


def take(payload: Payload, rows: NDArray[np.integer[Any]]) -> Payload:
    """The given rows, in the given order, with the templates that they run and no others."""
    template = payload.template[rows]
    env_off, env_blob = take_env(payload.env_off, payload.env_blob, rows)
    return Payload(
        templates=_used(payload.templates, template),
        template=template,
        index=payload.index[rows],
        job=payload.job[rows],
        env_off=env_off,
        env_blob=env_blob,
    )


def cut(payload: Payload, start: int, stop: int) -> Payload:
    """Rows `start` to `stop - 1`: slices, no copy but of the environment's bytes."""
    template = payload.template[start:stop]
    env_off = payload.env_off[start : stop + 1]
    return Payload(
        templates=_used(payload.templates, template),
        template=template,
        index=payload.index[start:stop],
        job=payload.job[start:stop],
        env_off=env_off - env_off[0],
        env_blob=payload.env_blob[int(env_off[0]) : int(env_off[-1])],
    )


def concat(payloads: Sequence[Payload]) -> Payload:
    """All rows, one payload after the other. Their template numbers must mean the same."""
    if not payloads:
        return empty()
    templates: dict[int, dict[str, Any]] = {}
    offsets = [np.zeros(1, dtype=np.int64)]
    end = 0
    for payload in payloads:
        templates.update(payload.templates)
        offsets.append(payload.env_off[1:] - payload.env_off[0] + end)
        end += len(payload.env_blob)
    return Payload(
        templates=templates,
        template=np.concatenate([payload.template for payload in payloads]),
        index=np.concatenate([payload.index for payload in payloads]),
        job=np.concatenate([payload.job for payload in payloads]),
        env_off=np.concatenate(offsets),
        env_blob=b"".join(payload.env_blob for payload in payloads),
    )


def _used(templates: Mapping[int, dict[str, Any]], template: NDArray[np.int32]) -> dict[int, dict[str, Any]]:
    if len(templates) == 1 and len(template):
        return dict(templates)
    return {number: templates[number] for number in np.unique(template).tolist()}


def take_env(env_off: Ints, env_blob: bytes, rows: NDArray[np.integer[Any]]) -> tuple[Ints, bytes]:
    """(env_off int64[k + 1], env_blob) of the given rows: one gather of bytes, however long each is."""
    starts = env_off[rows]
    sizes = env_off[rows + 1] - starts
    off = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(sizes, out=off[1:])
    if not env_blob or off[-1] == 0:
        return off, b""
    at = np.arange(off[-1], dtype=np.int64) + np.repeat(starts - off[:-1], sizes)
    return off, np.frombuffer(env_blob, dtype=np.uint8)[at].tobytes()
