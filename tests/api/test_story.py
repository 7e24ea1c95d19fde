"""The story that people read: no codes, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from orch.api.story import in_words
from orch.machine.host import Host
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.states import State
from orch.placement import Reason as Verdict
from orch.runtime.machines import make_machines

ENDED = {"state": int(State.FAILED), "exit_code": 3, "reason": int(Reason.EXITED), "again": True}
RUNS = {"state": int(State.RUNNING), "exit_code": NO_EXIT_CODE, "reason": int(Reason.NONE), "again": False}


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"what": "updated", **RUNS}, {"what": "RUNNING", "exit_code": None, "why": ""}),
        (
            {"what": "updated", **ENDED},
            {
                "what": "FAILED",
                "exit_code": 3,
                "reason": "EXITED",
                "again": True,
                "why": "the command exited by itself",
            },
        ),
        (
            {"what": "stop wanted", "reason": int(Reason.SCALED_DOWN)},
            {"what": "stopping", "reason": "SCALED_DOWN", "why": "the service was scaled down"},
        ),
        (
            {"what": "not committed", "verdict": int(Verdict.STALE_SESSION)},
            {
                "what": "not committed",
                "reason": "STALE_SESSION",
                "why": "the agent has registered again since it was offered",
            },
        ),
        ({"what": "drained", "by": "ann"}, {"what": "drained", "by": "ann", "why": ""}),
    ],
)
def test_codes_become_words(note: dict[str, Any], words: dict[str, Any]) -> None:
    assert in_words(Host(make_machines()), {"at_ms": 5, "why": "", **note}) == {"at_ms": 5, **words}
