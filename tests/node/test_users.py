"""Who a pod runs as."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from orch.node.users import FIRST_UID, UIDS, UnknownUserError, Users

OWN = pwd.getpwuid(os.geteuid()).pw_name


def test_a_single_tenant_runs_everything_as_itself(tmp_path: Path) -> None:
    users = Users("single", tmp_path / "uids.json")
    for asked in ("", OWN, str(os.geteuid())):
        user = users.of("/demo", asked)
        assert (user.uid, user.gid, user.name) == (-1, -1, OWN)
    with pytest.raises(UnknownUserError, match="tenancy single"):
        users.of("/demo", "somebody-else")


def test_groups_need_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="needs root"):
        Users("groups", tmp_path / "uids.json")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_group_keeps_its_uid_and_no_two_groups_share_one(tmp_path: Path) -> None:
    users = Users("groups", tmp_path / "uids.json")
    uids = {group: users.of(group, "").uid for group in (f"/g{number}" for number in range(200))}
    assert len(set(uids.values())) == 200
    assert all(FIRST_UID <= uid < FIRST_UID + UIDS for uid in uids.values())
    again = Users("groups", tmp_path / "uids.json")
    assert {group: again.of(group, "").uid for group in reversed(uids)} == uids


def test_groups_whose_names_give_one_number_get_different_uids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orch.node.users.UIDS", 3)
    users = Users("single", tmp_path / "uids.json")
    assert sorted(users.uid_of(group) for group in ("/a", "/b", "/c")) == [FIRST_UID, FIRST_UID + 1, FIRST_UID + 2]
    with pytest.raises(UnknownUserError, match="all 3 uids"):
        users.uid_of("/d")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_under_root_a_named_user_is_looked_up(tmp_path: Path) -> None:
    users = Users("groups", tmp_path / "uids.json")
    found = users.of("/demo", "nobody")
    nobody = pwd.getpwnam("nobody")
    assert (found.uid, found.gid, found.name) == (nobody.pw_uid, nobody.pw_gid, "nobody")
    assert users.of("/demo", str(nobody.pw_uid)) == found
    assert users.of("/demo", "root").uid == 0
    with pytest.raises(UnknownUserError, match="no user 'not-here'"):
        users.of("/demo", "not-here")
