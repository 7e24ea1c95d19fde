"""One instance as people look at it: what it is, its containers, and what happened to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orch.cli.output import aligned, time_of_day


def instance_text(found: Mapping[str, Any]) -> str:
    """The lines about an instance of a service or a job, with its story."""
    job = found.get("job")
    facts: list[tuple[str, Any]] = [
        ("instance", f"{found['name']} ({found['number']})"),
        ("of", found["path"] if job is None else f"{found['path']}, job {job}"),
        ("state", found["state"].lower()),
        ("agent", found["agent"]),
        ("attempt", found["attempt"]),
        ("exit code", found["exit_code"]),
        ("note", found["note"]),
        ("started", _time(found["started_ms"])),
        ("ended", _time(found["ended_ms"])),
        *(("endpoint", f"{one['name']} {found['host']}:{one['port']}") for one in found.get("endpoints") or ()),
    ]
    parts = ["\n".join(f"{name:<9}  {value}" for name, value in facts if value is not None)]
    containers = [_container(one) for one in found.get("containers") or ()]
    parts += [aligned(containers, ("container", "state", "exit", "note"))] if containers else []
    story = [_note(note) for note in found.get("story") or ()]
    parts += [aligned(story, ("time", "what", "agent", "exit", "why"))] if story else []
    return "\n\n".join(parts)


def _container(one: Mapping[str, Any]) -> dict[str, Any]:
    health = {True: "healthy", False: "not healthy"}.get(one.get("healthy"), "")  # type: ignore[arg-type]
    note = one.get("message") or health
    return {"container": one["name"], "state": one["state"].lower(), "exit": one["exit_code"], "note": note}


def _note(note: Mapping[str, Any]) -> dict[str, Any]:
    exit_code = note.get("exit_code")
    return {
        "time": time_of_day(note["at_ms"]), "what": note["what"].lower(), "agent": note.get("agent"),
        "exit": exit_code, "why": _why(note),
    }  # fmt: skip


def _why(note: Mapping[str, Any]) -> str:
    parts: Sequence[str] = [str(note.get("why") or ""), "tried again" if note.get("again") else ""]
    return "; ".join(part for part in parts if part)


def _time(at_ms: int | None) -> str | None:
    return time_of_day(at_ms) if at_ms else None
