"""The order in which pods arrive: resampled until they ask for a given part of the GPUs, or as a file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.traces import Pods, TraceError, read_rows

Int32 = NDArray[np.int32]


def resampled(pods: Pods, seed: int, most: int) -> Int32:
    """Rows of the shapes, in the order of arrival, that together ask for at most `most` milli of GPUs.

    As the simulator of Weng et al. tunes its workload: the whole list shuffled; then pods drawn from it with
    replacement until the next one would pass the limit, or, where the list alone passes it, pods taken out at random.
    Raises ValueError where the list asks for no GPU at all.
    """
    draw = np.random.default_rng(seed)
    asks = pods.shapes.devices_milli().astype(np.int64)
    order = draw.permutation(pods.shape)
    asked = int(asks[order].sum())
    if asked == 0:
        raise ValueError("no pod asks for a GPU")
    if asked > most:
        leaving = draw.permutation(len(order))
        left = asked - np.cumsum(asks[order[leaving]])
        return np.delete(order, leaving[: int(np.argmax(left <= most)) + 1])
    more: list[Int32] = []
    while asked <= most:
        block = pods.shape[draw.integers(0, len(pods.shape), 1024)]
        total = asked + np.cumsum(asks[block])
        kept = int(np.searchsorted(total, most, side="right"))
        more.append(block[:kept])
        if kept < len(block):
            break
        asked = int(total[-1])
    return np.concatenate([order, *more])


def named(path: Path, pods: Pods) -> Int32 | None:
    """The pods that a file names, one a line, a name as often as it arrives; None where the list lacks one of them.

    Raises TraceError where a name that is asked for is that of several pods.
    """
    at: dict[str, int] = {}
    for row, name in enumerate(pods.names):
        at[name] = -1 if name in at else row
    rows: list[int] = []
    for number, name in names_in(path):
        if name not in at:
            return None
        if at[name] < 0:
            raise TraceError(path, f"several pods are called {name}", number, "name")
        rows.append(at[name])
    return pods.shape[np.array(rows, np.int64)]


def names_in(path: Path) -> list[tuple[int, str]]:
    """(row, name) of every line of a file of names; a first line that says `name` is a header. Raises TraceError."""
    found: list[tuple[int, str]] = []
    for number, fields in enumerate(read_rows(path), 1):
        name = fields[0].strip() if fields else ""
        if name and (number > 1 or name != "name"):
            found.append((number, name))
    return found


def is_pod_list(path: Path) -> bool:
    """Whether a file holds whole pods (its header has a column after the name), not only names. Raises TraceError."""
    rows = read_rows(path)
    return bool(rows) and len(rows[0]) > 1
