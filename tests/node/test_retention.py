"""Files of finished instances go by age, count and disk, oldest first; those of living ones stay."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

from orch.node.folders import Folders, instances_in
from orch.node.retention import Retention, Rules, remove


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "a1")
    made.make()
    return made


def finished(folders: Folders, id: int, age_s: float = 0.0) -> None:
    """An instance with a sandbox and logs of some age."""
    place = folders.sandbox(id, 1)
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "file").write_text("x")
    logs = folders.log(id, 1)
    logs.parent.mkdir(exist_ok=True)
    for end in (".stdout", ".stdout.1", ".stdout.base", ".app.stderr"):
        logs.with_name(logs.name + end).write_text("x")
    then = time.time() - age_s
    os.utime(place, (then, then))


def left(folders: Folders) -> list[int]:
    """Instances whose sandboxes are there."""
    return sorted(one for shard in folders.sandboxes.iterdir() for one, _ in instances_in(shard))


def retain(folders: Folders, rules: Rules, live: set[tuple[int, int]] = frozenset()) -> Retention:  # type: ignore[assignment]
    """Run the rules once over what lies there."""
    retention = Retention(folders, rules, lambda: set(live))
    retention.find()
    asyncio.run(retention.run())
    return retention


def test_old_ones_go_with_their_logs_and_young_and_living_ones_stay(folders: Folders) -> None:
    for row in range(10):
        finished(folders, 990 + 10 * row, age_s=100 * row)
    retain(folders, Rules(age_s=450), live={(1070, 1)})
    assert left(folders) == [990, 1000, 1010, 1020, 1030, 1070]
    names = {path.name.split("-")[0] for path in folders.logs.rglob("*-*")}
    assert sorted(map(int, names)) == left(folders)


def test_the_oldest_go_where_there_are_too_many(folders: Folders) -> None:
    for row in range(10):
        finished(folders, row, age_s=row)
    assert retain(folders, Rules(count=3)).removed == 7
    assert left(folders) == [0, 1, 2]


def test_everything_finished_goes_where_the_disk_is_short(folders: Folders) -> None:
    for row in range(3):
        finished(folders, row)
    retain(folders, Rules(free_mib=1 << 40, free_share_milli=1000), live={(1, 1)})
    assert left(folders) == [1]


def test_a_batch_that_ends_at_once_goes_only_as_far_as_it_must(folders: Folders) -> None:
    ids = np.arange(500, dtype=np.int64)
    for row in ids.tolist():
        finished(folders, row)
    retention = Retention(folders, Rules(count=120), set)
    retention.ended(ids, np.ones(500, np.int32))
    retention.ended(ids[:0], np.ones(0, np.int32))
    asyncio.run(retention.run())
    assert left(folders) == list(range(380, 500))
    assert not (folders.sandboxes / "1").exists()


def test_one_that_ended_and_lives_again_stays(folders: Folders) -> None:
    finished(folders, 5)
    finished(folders, 6)
    retention = Retention(folders, Rules(count=0), lambda: {(5, 1)})
    retention.ended(np.array([5, 6], dtype=np.int64), np.ones(2, np.int32))
    asyncio.run(retention.run())
    assert left(folders) == [5]


def test_removing_follows_no_link(folders: Folders, tmp_path: Path) -> None:
    finished(folders, 5)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("x")
    (folders.sandbox(5, 1) / "link").symlink_to(tmp_path / "outside")
    remove(folders, [(5, 1), (6, 1)])
    assert left(folders) == [] and (tmp_path / "outside" / "kept").exists()
