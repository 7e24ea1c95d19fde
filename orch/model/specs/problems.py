"""Collecting everything that is wrong with a body, under Marathon's paths: `/containers(0)/resources/cpus`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orch.model.errors import SpecError

Step = str | int
MOST_PATHS = 200
"""Faults at more places than these are counted and not listed."""


def path_of(steps: Iterable[Step]) -> str:
    """Marathon's name for a place in a body: `("containers", 0, "name")` -> `/containers(0)/name`; the whole is `/`."""
    text = ""
    for step in steps:
        text += f"({step})" if isinstance(step, int) else f"/{step[:80]}"
    return text or "/"


class Problems:
    """The faults found so far, in the order of the body's paths; each path keeps its messages once."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, path: str, message: str) -> None:
        """Note one fault at a path such as `/containers(0)/name`."""
        messages = self._found.setdefault(path, [])
        if message not in messages and len(messages) < MOST_PATHS:
            messages.append(message)

    def details(self) -> list[dict[str, Any]]:
        """`[{"path": ..., "errors": [...]}]`, as the wire's error body holds them."""
        told = [{"path": path, "errors": list(errors)} for path, errors in self._found.items()]
        if len(told) > MOST_PATHS:
            more = f"faults at {len(told) - MOST_PATHS} more places are not listed"
            told[MOST_PATHS:] = [{"path": "/", "errors": [more]}]
        return told

    def raise_if_any(self, what: str) -> None:
        """Raise SpecError naming the first fault and the number of the others; `what` is such as `pod "/demo/web"`."""
        if not self._found:
            return
        details = self.details()
        first = details[0]
        more = sum(len(entry["errors"]) for entry in details) - 1
        others = "" if more == 0 else f" (and {more} more)"
        raise SpecError(f"{what} is not valid: {first['path']}: {first['errors'][0]}{others}", details=details)
