"""Events that a machine could not handle: kept with their story, for whoever looks for the mistake."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from orch.machine.host import EventError
from orch.machine.machine import Machine
from orch.model.codec import encode

KEPT = 50


def set_aside(folder: Path, now_ms: int, error: EventError, machines: dict[str, Machine]) -> Path:
    """Write `event-<ms>.msgpack` (`{to, event, error, trace, story}`, to be decoded by `codec.decode`) and a `.txt`.

    The oldest beyond `KEPT` go. Returns the path of the text.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    trace = "".join(traceback.format_exception(error))
    notes = _story(error, machines)
    name = f"event-{now_ms:015d}-{time.monotonic_ns() % 1_000_000:06d}"
    body = {"to": error.to, "event": _encodable(error.event), "error": str(error), "trace": trace, "story": notes}
    (folder / f"{name}.msgpack").write_bytes(encode(body))
    lines = [str(error), "", repr(error.event)[:20_000], "", trace, "story:", *(str(note) for note in notes)]
    text = folder / f"{name}.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for old in sorted(folder.glob("event-*"))[: -2 * KEPT]:
        old.unlink(missing_ok=True)
    return text


def _encodable(event: Any) -> Any:
    try:
        encode(event)
    except TypeError:
        return repr(event)
    return event


def _story(error: EventError, machines: dict[str, Machine]) -> list[dict[str, Any]]:
    """What the machine remembers of the things that the event names."""
    machine = machines.get(error.to)
    if machine is None:
        return []
    things: list[int | str] = []
    ids = getattr(error.event, "ids", None)
    if ids is not None:
        things.extend(int(thing) for thing in ids[:10])
    things.extend(
        str(getattr(error.event, name)) for name in ("path", "agent", "framework", "job") if hasattr(error.event, name)
    )
    return [{"thing": thing, **note} for thing in things for note in machine.story(thing)]
