"""Ids: int64 numbers that are never used twice, and paths that people read.

An instance's id holds its framework's number in the high bits, so every framework counts by itself, and the
instances of one submission are one contiguous range.
"""

from __future__ import annotations

import re

FRAMEWORK_SHIFT = 44
"""Ids of one framework: 2**44, enough for half a million instances a second for a year."""

SEGMENT = re.compile(r"^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$")
"""One segment of a path, as Marathon has it. It has no underscore, so `path_to_name` can be undone."""

_NAME = re.compile(r"^(?P<path>[a-z0-9._-]+?)(?:\.j(?P<job>\d+))?\.(?P<number>\d+)$")


def first_id(framework: int) -> int:
    """The first instance id of a framework (1 or more); its counter starts here."""
    assert 0 < framework < 2**18, framework
    return framework << FRAMEWORK_SHIFT


def framework_of(instance: int) -> int:
    """The number of the framework an instance belongs to."""
    return instance >> FRAMEWORK_SHIFT


def top_group(path: str) -> str:
    """The top-level group of an absolute path: `/demo/web` -> `/demo`; a pod at the root is its own: `/web` ->
    `/web`.
    """
    return "/" + path.lstrip("/").partition("/")[0]


def parent_group(path: str) -> str:
    """The group that a path is in, where its quota and share are counted: `/team/shop/web` -> `/team/shop`, `/web`
    -> `/`.
    """
    return path.rpartition("/")[0] or "/"


def path_to_name(path: str) -> str:
    """A path in one word, as instance names and folders have it: `/demo/web` -> `demo_web`."""
    return path.strip("/").replace("/", "_")


def instance_name(path: str, number: int, job: int | None = None) -> str:
    """What people call an instance: `demo_web.3`; of a job, `demo_digest.j7.12` (the 12th pod of job 7)."""
    middle = "" if job is None else f".j{job}"
    return f"{path_to_name(path)}{middle}.{number}"


def parse_instance_name(name: str) -> tuple[str, int | None, int] | None:
    """`(path, job number or None, number)` of an instance's name, or None if it is not one."""
    match = _NAME.match(name)
    if match is None:
        return None
    job = match["job"]
    return "/" + match["path"].replace("_", "/"), None if job is None else int(job), int(match["number"])
