"""Times for people and for Marathon's clients."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(at_ms: int | None) -> str:
    """ms since 1970, or none, in UTC: `2026-11-23T09:00:00.000Z`."""
    return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
