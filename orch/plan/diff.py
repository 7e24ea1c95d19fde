"""Where two bodies differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NOTHING = object()


def diff(before: Any, after: Any, at: str = "") -> list[dict[str, Any]]:
    """`[{path, before?, after?}]`, by path: each place where two JSON values differ; a side that has none is left out.

    Paths are those of an error's details: `/containers(0)/resources/cpus`.
    """
    return list(_differences(before, after, at))


def _differences(before: Any, after: Any, at: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _differences(before.get(name, _NOTHING), after.get(name, _NOTHING), f"{at}/{name}")
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            pair = [side[index] if index < len(side) else _NOTHING for side in (before, after)]
            yield from _differences(pair[0], pair[1], f"{at}({index})")
    elif before is _NOTHING or after is _NOTHING or before != after or type(before) is not type(after):
        sides = {"before": before, "after": after}
        yield {"path": at or "/", **{name: side for name, side in sides.items() if side is not _NOTHING}}
