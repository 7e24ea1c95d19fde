"""Reading logs, outputs and files: offsets keep their meaning, and no path leads out of a sandbox."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.errors import ExpiredError, NotFoundError, OrchError, UsageError
from orch.node.folders import Folders
from orch.node.operations import EXPIRED, NOT_THERE, Operations
from orch.node.reading import Log, Reader


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "a1")
    made.make()
    return made


def instance(folders: Folders, id: int, attempt: int = 1, **logs: str) -> Path:
    """An instance that ran: its sandbox; logs by stream."""
    place = folders.sandbox(id, attempt)
    place.mkdir(parents=True)
    for name, text in logs.items():
        path = folders.log(id, attempt)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{path.name}.{name}").write_text(text)
    return place


@given(sizes=st.lists(st.integers(0, 40), min_size=3, max_size=3), offset=st.integers(0, 150), limit=st.integers(1, 60))
def test_an_offset_means_the_same_byte_before_and_after_a_rotation(
    tmp_path_factory: Any, sizes: list[int], offset: int, limit: int
) -> None:
    """sizes: bytes that are gone, in the older file, in the current one."""
    gone, older, current = sizes
    whole = bytes(row % 251 for row in range(sum(sizes)))
    path = tmp_path_factory.mktemp("logs") / "1-1.stdout"
    path.write_bytes(whole[gone + older :])
    if older:
        path.with_name("1-1.stdout.1").write_bytes(whole[gone : gone + older])
        path.with_name("1-1.stdout.base").write_text(f"{gone}\n")
    else:
        gone = 0
        whole = whole[len(whole) - current :]
    log = Log(path)
    assert (log.span().first, log.span().end) == (gone, len(whole))
    start, data = log.read(offset, limit)
    assert start == max(offset, gone)
    assert data == whole[start : start + len(data)] and len(data) <= limit
    assert bool(data) == (start < len(whole))


def test_a_log_that_was_never_written_is_empty_and_one_that_is_gone_says_so(folders: Folders) -> None:
    instance(folders, 5)
    reader = Reader(folders)
    assert reader.log(5, -1, "", "stdout").read(0, 10) == (0, b"")
    with pytest.raises(ExpiredError, match="instance 6"):
        reader.log(6, -1, "", "stdout")
    with pytest.raises(UsageError, match="stdlog"):
        reader.log(5, -1, "", "stdlog")


def test_the_latest_attempt_is_read_unless_another_is_named(folders: Folders) -> None:
    instance(folders, 5, 1, stdout="one")
    instance(folders, 5, 12, stdout="twelve")
    instance(folders, 5, 2, stdout="two")
    reader = Reader(folders)
    assert reader.log(5, -1, "", "stdout").read(0, 10)[1] == b"twelve"
    assert reader.log(5, 2, "", "stdout").read(0, 10)[1] == b"two"
    with pytest.raises(ExpiredError):
        reader.log(5, 3, "", "stdout")


def test_containers_have_logs_of_their_own(folders: Folders) -> None:
    instance(folders, 7)
    for name in ("app", "side.car"):
        folders.stub(7, 1, name).mkdir(parents=True)
        path = folders.log(7, 1, name)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{path.name}.stderr").write_text(name)
    reader = Reader(folders)
    assert reader.log(7, 1, "side.car", "stderr").read(0, 20)[1] == b"side.car"
    with pytest.raises(UsageError, match=r"several containers \(app, side.car\)"):
        reader.log(7, 1, "", "stderr")
    with pytest.raises(NotFoundError, match="no container 'x'"):
        reader.log(7, 1, "x", "stderr")


@pytest.mark.parametrize(
    "path", ["../secret", "up/secret", "abs", "a/../../secret", "loop", "fifo/x", "nothing", "up/../secret"]
)
def test_no_path_leads_out_of_a_sandbox(folders: Folders, path: str) -> None:
    place = instance(folders, 5)
    (place.parent / "secret").write_text("secret")
    (place / "a").mkdir()
    (place / "up").symlink_to("..")
    (place / "abs").symlink_to(place.parent / "secret")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "fifo")
    with pytest.raises(OrchError) as refused:
        data = Reader(folders).file(5, 1, path, 0, 100)
        raise AssertionError(data)
    assert not isinstance(refused.value, ExpiredError)


def test_a_link_to_an_absolute_path_is_not_taken_for_one_inside(folders: Folders) -> None:
    place = instance(folders, 5)
    (place / "inside").write_text("x")
    (place / "link").symlink_to("/inside")
    with pytest.raises(NotFoundError, match="no 'link'"):
        Reader(folders).file(5, 1, "link", 0, 1)


def test_links_inside_a_sandbox_are_followed(folders: Folders) -> None:
    place = instance(folders, 5)
    (place / "shared").mkdir()
    (place / "shared" / "now").write_text("0123456789")
    (place / "app").mkdir()
    (place / "app" / "shared").symlink_to("../shared")
    reader = Reader(folders)
    assert reader.file(5, -1, "app/shared/now", 2, 3) == (10, b"234")
    assert reader.file(5, -1, "/app/./shared/now", -2, 100) == (10, b"89")
    assert [entry["path"] for entry in reader.files(5, -1, "app")] == ["app/shared"]
    assert {entry["name"]: entry["folder"] for entry in reader.files(5, -1, "")} == {"app": True, "shared": True}
    assert reader.files(5, -1, "shared/now")[0]["size"] == 10
    with pytest.raises(UsageError, match="no plain file"):
        reader.file(5, -1, "shared", 0, 1)


def collect(answer: Any) -> list[Any]:
    """All pieces of an answer."""

    async def body() -> list[Any]:
        return [piece async for piece in answer]

    return asyncio.run(body())


def test_outputs_come_in_bulk_and_tell_what_is_not_there_from_what_is_gone(folders: Folders, tmp_path: Path) -> None:
    other = Folders(tmp_path / "a2")
    other.make()
    for row in range(2500):
        if row % 10:
            instance(folders, row, stdout=f"out {row}")
    instance(other, 21, 2, stdout="second try")
    (instance(other, 10) / "result").write_bytes(b"\0\1")
    reads = Operations([Reader(folders), Reader(other)], lambda id, attempt: False)
    ids = np.arange(2500, dtype=np.int64)[::-1]
    found: dict[int, bytes | int] = {}
    for some, sizes, blob in collect(reads.outputs({"ids": ids, "file": "stdout", "limit": 8})):
        at = 0
        for one, size in zip(some.tolist(), sizes.tolist(), strict=True):
            found[one] = blob[at : at + size] if size >= 0 else size
            at += max(size, 0)
    assert len(found) == 2500
    assert (found[0], found[10], found[11], found[21]) == (EXPIRED, b"", b"out 11", b"second t")
    ((some, sizes, blob),) = collect(reads.outputs({"ids": np.array([10, 11, 20]), "file": "result", "limit": 8}))
    assert (some.tolist(), sizes.tolist(), blob) == ([10, 11, 20], [2, NOT_THERE, EXPIRED], b"\0\1")


def test_a_followed_log_goes_on_until_its_instance_is_over(folders: Folders) -> None:
    instance(folders, 5, stdout="first\n")
    path = folders.log(5, 1)
    path = path.with_name(f"{path.name}.stdout")
    live = [True]
    reads = Operations([Reader(folders)], lambda id, attempt: live[0])

    async def body() -> list[bytes]:
        pieces: list[bytes] = []
        async for piece in reads.log({"instance": 5, "stream": "stdout", "follow": True}):
            pieces.append(piece)
            if piece == b"first\n":
                with open(path, "a") as file:
                    file.write("second\n")
            else:
                live[0] = False
        return pieces

    assert asyncio.run(body()) == [b"first\n", b"second\n"]


def test_a_log_can_be_read_from_its_end_and_in_part(folders: Folders) -> None:
    instance(folders, 5, stdout="0123456789")
    reads = Operations([Reader(folders)], lambda id, attempt: True)
    assert collect(reads.log({"instance": 5, "attempt": -1, "offset": -3, "limit": -1})) == [b"789"]
    assert collect(reads.log({"instance": 5, "offset": 2, "limit": 4, "stream": "stdout"})) == [b"2345"]
    assert collect(reads.log({"instance": 5, "offset": 20, "limit": None, "stream": "stderr"})) == []
    with pytest.raises(ExpiredError):
        collect(reads.log({"instance": 6}))
    (instance(folders, 8) / "f").write_bytes(b"x" * 300_000)
    assert b"".join(collect(reads.file({"instance": 8, "path": "f"}))) == b"x" * 300_000
    assert b"".join(collect(reads.file({"instance": 8, "path": "f", "offset": -5, "limit": 2}))) == b"xx"
    assert collect(reads.files({"instance": 8, "path": ""}))[0][0]["path"] == "f"
