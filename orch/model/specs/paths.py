"""Ids of pods, apps, jobs and groups: absolute paths of lower-case segments."""

from __future__ import annotations

from orch.model.ids import SEGMENT
from orch.model.specs import limits

RESERVED = ("restart", "tasks", "versions", ".", "..")
"""A path can't end with these: routes of the API do."""

SEGMENT_RULE = (
    "each part of an id between slashes may hold lower-case letters, digits, dashes and dots, "
    "and begins and ends with a letter or digit"
)


def absolute(text: str, base: str = "/") -> str:
    """The absolute form of an id: relative ones count from `base`, `..` goes up, double slashes count once."""
    parts = [] if text.startswith("/") else [part for part in base.split("/") if part]
    for part in text.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def faults(text: str, dots: bool = False) -> list[str]:
    """What is wrong with an id, as messages; empty if nothing is. dots: `.` and `..` may be parts (dependencies)."""
    if len(text) > limits.PATH_CHARS:
        return [f"is {len(text)} characters long; an id has at most {limits.PATH_CHARS}"]
    parts = [part for part in text.split("/") if part]
    if not parts:
        return [f"{_quoted(text)} names nothing: an id has at least one part, such as /demo/web"]
    if len(parts) > limits.SEGMENTS:
        return [f"has {len(parts)} parts; an id has at most {limits.SEGMENTS}"]
    found = [message for message in (_segment_fault(part, dots) for part in parts) if message]
    if not dots and parts[-1] in RESERVED:
        found.append(
            f"must not end with any of the following reserved keywords: {', '.join(RESERVED)}; {_quoted(text)} does. "
            "Choose another last part"
        )
    return found


def _segment_fault(part: str, dots: bool) -> str:
    if part in (".", ".."):
        if dots:
            return ""
        return f"must not contain {part!r}: an id is a plain path such as /demo/web, without . and .."
    if SEGMENT.fullmatch(part):
        return ""
    lowered = part.lower().replace("_", "-").replace(" ", "-").strip("-.")
    hint = f". Did you mean {lowered!r}?" if lowered != part and SEGMENT.fullmatch(lowered) else ""
    return f"{_quoted(part)} can't be part of an id: {SEGMENT_RULE}{hint}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
