"""Who a pod runs as.

tenancy "groups" (the supervisor is root): every top-level group has a uid of its own, so that no pod reads another
group's sandbox; a spec's `user` overrides it, and whether it may say so is decided by the API. tenancy "single" (it is
not root, or was told so): all pods run as the supervisor's user, and no other can be asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Tenancy = Literal["groups", "single"]

FIRST_UID = 200_000
UIDS = 100_000
"""Uids (and gids) of groups: 200000 to 299999. They are in no user table; 65536 and above are free on Debian."""


@dataclass(frozen=True, slots=True)
class User:
    """uid, gid: -1 leaves them as the supervisor's. name: for $USER. home: of a named user, else ""."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str = ""


class UnknownUserError(ValueError):
    """The user that a spec asks for can't be had on this machine."""


class Users:
    """The users of one machine's pods. table: the file that remembers which group has which uid."""

    def __init__(self, tenancy: Tenancy, table: Path) -> None:
        if tenancy == "groups" and os.geteuid() != 0:
            raise ValueError("tenancy by groups needs root; run as root, or with tenancy single")
        self.tenancy = tenancy
        self._table = table
        self._uids: dict[str, int] = json.loads(table.read_text()) if table.exists() else {}

    def of(self, group: str, asked: str) -> User:
        """Who a pod of a top-level group runs as; asked: the spec's user, or "". Raises UnknownUserError."""
        if self.tenancy == "single":
            return self._single(asked)
        if asked:
            return _named(asked)
        uid = self.uid_of(group)
        return User(uid, uid, (), f"orch-{group.strip('/')}"[:32])

    def uid_of(self, group: str) -> int:
        """The group's uid: drawn from its name, so that machines mostly agree on it, and kept in the table."""
        if group not in self._uids:
            if len(self._uids) >= UIDS:
                raise UnknownUserError(f"all {UIDS} uids for groups are taken on this machine")
            taken = set(self._uids.values())
            uid = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") % UIDS
            while FIRST_UID + uid in taken:
                uid = (uid + 1) % UIDS
            self._uids[group] = FIRST_UID + uid
            self._save()
        return self._uids[group]

    def _single(self, asked: str) -> User:
        try:
            own = pwd.getpwuid(os.geteuid())
            name, home = own.pw_name, own.pw_dir
        except KeyError:
            name, home = str(os.geteuid()), ""
        if asked and asked not in (name, str(os.geteuid())):
            raise UnknownUserError(f"this agent runs all pods as {name!r}, not as {asked!r}: it is of tenancy single")
        return User(-1, -1, (), name, home if asked else "")

    def _save(self) -> None:
        beside = self._table.with_suffix(".new")
        beside.write_text(json.dumps(self._uids, indent=1, sort_keys=True))
        os.replace(beside, self._table)


def _named(asked: str) -> User:
    try:
        found = pwd.getpwuid(int(asked)) if asked.isdecimal() else pwd.getpwnam(asked)
    except (KeyError, OverflowError):
        raise UnknownUserError(f"there is no user {asked!r} on this machine; create it, or name another") from None
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return User(found.pw_uid, found.pw_gid, tuple(groups)[:32], found.pw_name, found.pw_dir)
