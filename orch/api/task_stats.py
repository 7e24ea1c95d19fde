"""`taskStats` of an app: how many of its instances of which kind are in which condition, and how long they have run."""

from __future__ import annotations

from statistics import median
from typing import Any


def of(rows: list[dict[str, Any]], version: int, scaled_ms: int, now_ms: int) -> dict[str, Any]:
    """By kind: launched after the last change of spec or number (at scaled_ms), of the newest version, older, all.

    A kind without instances is left out.
    """
    kinds = {
        "startedAfterLastScaling": [row for row in rows if row["launched_ms"] >= scaled_ms],
        "withLatestConfig": [row for row in rows if row["version"] == version],
        "withOutdatedConfig": [row for row in rows if row["version"] != version],
        "totalSummary": rows,
    }
    return {name: {"stats": _stats(found, now_ms)} for name, found in kinds.items() if found}


def _stats(rows: list[dict[str, Any]], now_ms: int) -> dict[str, Any]:
    states = [row["state"] for row in rows]
    health = [row.get("healthy") for row in rows if row["state"] == "RUNNING"]
    found: dict[str, Any] = {
        "counts": {
            "staged": sum(state in ("STAGING", "STARTING") for state in states),
            "running": states.count("RUNNING"),
            "healthy": sum(one is True for one in health),
            "unhealthy": sum(one is False for one in health),
        }
    }
    lives = [max(0, now_ms - row["started_ms"]) / 1000 for row in rows if row["started_ms"]]
    if lives:
        average = sum(lives) / len(lives)
        found["lifeTime"] = {"averageSeconds": round(average, 3), "medianSeconds": round(median(lives), 3)}
    return found
