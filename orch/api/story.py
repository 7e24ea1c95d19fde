"""What happened to one thing, in words: the machines remember codes and rows, as they decided with them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from orch import placement
from orch.api import reads
from orch.machine.host import Host
from orch.model.reasons import NO_EXIT_CODE, SENTENCES, Reason
from orch.model.requests import TellStory
from orch.model.states import State

if TYPE_CHECKING:
    from orch.api.room import Room

_SAME = {"stop wanted": "stopping"}
"""What the master and a framework call by two names."""


async def story(room: Room, request: Request, machines: Sequence[str], thing: int | str) -> list[dict[str, Any]]:
    """`[{at_ms, what, why, ...}]` of what these machines remember of one thing, oldest first.

    The machines themselves are asked: replicas remember nothing. What two of them did in one step is told once.
    """
    from orch.api.middleware import request_id_of

    told: dict[tuple[int, str], dict[str, Any]] = {}
    for machine in machines:
        identity = f"{request_id_of(request)}.{machine}"
        asked = TellStory(identity, "", room.settings.user, int(time.time() * 1000), thing)
        found = await room.backend.call(machine, asked)
        for note in found.body["notes"]:
            words = in_words(room.replica, note)
            same = told.setdefault((words["at_ms"], words["what"]), words)
            same |= {name: value for name, value in words.items() if value not in ("", None)}
    return sorted(told.values(), key=lambda note: int(note["at_ms"]))


def in_words(host: Host, note: dict[str, Any]) -> dict[str, Any]:
    """A note with the names of states, reasons and agents instead of their numbers."""
    words = dict(note)
    if "state" in words:
        words["what"] = State(words.pop("state")).name
    words["what"] = _SAME.get(words["what"], words["what"])
    if "agent" in words and isinstance(words["agent"], int):
        words["agent"] = reads.agent_name(host, words["agent"]) or None
    if "by" in words and isinstance(words["by"], int):
        words["by"] = reads.instance_name_of(host, words["by"])
        words["why"] = f"{words['by']}, of a higher priority, takes its place"
    if words.get("exit_code") == NO_EXIT_CODE:
        words["exit_code"] = None
    if "reason" in words:
        reason = Reason(words.pop("reason"))
        if reason != Reason.NONE:
            words["reason"] = reason.name
            words["why"] = words["why"] or SENTENCES[reason]
    if "verdict" in words:
        verdict = placement.Reason(words.pop("verdict"))
        words["reason"], words["why"] = verdict.name, placement.SENTENCES[verdict]
    if words.get("again") is False:
        del words["again"]
    return words
