"""Words that more than one room says."""

from __future__ import annotations

from collections.abc import Sequence


def needs_sentence(path: str, needs: Sequence[str]) -> str:
    """Why a spec that asks for more than agents can do is never launched; "" where it asks for nothing."""
    if not needs:
        return ""
    asked = ", ".join(needs)
    return f'"{path}" needs {asked}, which no agent can do yet; it waits until its spec asks for less'


def number_of(count: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
