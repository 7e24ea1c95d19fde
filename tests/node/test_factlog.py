"""What an agent remembers over the death of its supervisor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.facts_agent import Forgotten
from orch.node import exits
from orch.node.factlog import FactLog


def fact(number: int) -> Forgotten:
    """Some fact."""
    return Forgotten(np.array([number], np.int64), np.array([1], np.int32))


def numbers(events: list[list[Any]]) -> list[list[int]]:
    """The numbers of `fact` that came back."""
    return [[int(one.ids[0]) for one in facts] for facts in events]


def test_facts_come_back_event_by_event(tmp_path: Path) -> None:
    log = FactLog(tmp_path)
    assert log.read() == (None, [])
    log.append([fact(1), fact(2)])
    log.append([fact(3)])
    log.close()
    image, events = FactLog(tmp_path).read()
    assert (image, numbers(events)) == (None, [[1, 2], [3]])


def test_a_snapshot_takes_the_place_of_all_facts_before_it(tmp_path: Path) -> None:
    log = FactLog(tmp_path)
    log.read()
    log.append([fact(1)])
    log.save({"seen": 1})
    log.append([fact(2)])
    log.close()
    image, events = FactLog(tmp_path).read()
    assert (image, numbers(events)) == ({"seen": 1}, [[2]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.1", "snapshot"]


@given(cut=st.integers(0, 300), flip=st.integers(0, 300))
def test_a_torn_or_broken_end_costs_only_what_comes_after(tmp_path_factory: Any, cut: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("facts")
    log = FactLog(folder)
    log.read()
    sizes = []
    for number in range(5):
        log.append([fact(number)])
        sizes.append(log.size)
    log.close()
    path = folder / "facts.0"
    data = bytearray(path.read_bytes())
    flip %= len(data)
    data[flip] ^= 0x55
    del data[len(data) - min(cut, len(data)) :]
    path.write_bytes(bytes(data))
    whole = sum(size <= min(flip, len(data)) for size in sizes)
    if flip >= len(data):
        whole = sum(size <= len(data) for size in sizes)
    log = FactLog(folder)
    assert numbers(log.read()[1]) == [[number] for number in range(whole)]
    log.append([fact(99)])
    log.close()
    assert numbers(FactLog(folder).read()[1]) == [*([number] for number in range(whole)), [99]]


def test_a_big_log_wants_a_snapshot(tmp_path: Path) -> None:
    log = FactLog(tmp_path)
    log.read()
    # In no order, or the codec would write them in a few bytes.
    ids = np.random.default_rng(1).permutation(500_000)
    log.append([Forgotten(ids, np.ones(len(ids), np.int32))])
    assert not log.wants_snapshot()
    log.append([Forgotten(ids, np.ones(len(ids), np.int32))])
    log.append([Forgotten(ids, np.ones(len(ids), np.int32))])
    assert log.wants_snapshot()
    log.save({})
    assert not log.wants_snapshot()
    log.close()


def test_facts_that_did_not_fit_on_the_disk_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FactLog(tmp_path)
    log.read()
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(OSError, match="only 5 of"):
            log.append([fact(1)])
    log.append([fact(2)])
    log.close()
    assert numbers(FactLog(tmp_path).read()[1]) == [[2]]


def test_what_an_agent_remembers_is_for_its_owner_only(tmp_path: Path) -> None:
    log = FactLog(tmp_path)
    log.read()
    log.save({"seen": 1})
    log.append([fact(1)])
    log.close()
    os.close(exits.open_journal(tmp_path / "exits"))
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "facts.1": 0o600, "snapshot": 0o600, "exits": 0o600,
    }  # fmt: skip
