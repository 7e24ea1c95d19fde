"""An instance as people look at it."""

from __future__ import annotations

import time
from typing import Any

from orch.cli.instance import instance_text

AT_MS = int(time.mktime((2026, 1, 2, 14, 3, 7, 0, 0, -1))) * 1000
NEVER = {"exit_code": None, "started_ms": None, "ended_ms": None}
FOUND: dict[str, Any] = {
    "name": "demo_web.1", "number": 4096, "kind": "instance", "path": "/demo/web", "state": "FAILED", "agent": "a1",
    "host": "10.0.0.5", "attempt": 1, "exit_code": 3, "note": "the command exited by itself (exit code 3)",
    "started_ms": AT_MS, "ended_ms": AT_MS + 2_000, "endpoints": [{"name": "http", "port": 31_000}],
    "containers": [
        {"name": "app", "state": "FAILED", "exit_code": 3, "healthy": None, "message": ""},
        {"name": "sidecar", "state": "KILLED", "exit_code": None, "healthy": True, "message": ""},
    ],
    "story": [
        {"at_ms": AT_MS, "what": "launched", "why": "", "agent": "a1", "attempt": 1},
        {"at_ms": AT_MS + 2_000, "what": "FAILED", "why": "the command exited by itself", "agent": "a1", "exit_code": 3,
         "reason": "EXITED", "again": True},
    ],
}  # fmt: skip


def test_an_instance_is_told_in_words_and_times_of_day() -> None:
    assert instance_text(FOUND).splitlines() == [
        "instance   demo_web.1 (4096)",
        "of         /demo/web",
        "state      failed",
        "agent      a1",
        "attempt    1",
        "exit code  3",
        "note       the command exited by itself (exit code 3)",
        "started    14:03:07",
        "ended      14:03:09",
        "endpoint   http 10.0.0.5:31000",
        "",
        "CONTAINER  STATE   EXIT  NOTE",
        "app        failed  3     -",
        "sidecar    killed  -     healthy",
        "",
        "TIME      WHAT      AGENT  EXIT  WHY",
        "14:03:07  launched  a1     -     -",
        "14:03:09  failed    a1     3     the command exited by itself; tried again",
    ]


def test_what_is_not_known_is_left_out() -> None:
    waits = {"name": "a.j7.1", "number": 9, "path": "/a", "job": 7, "state": "SCHEDULED", "agent": None, "host": None}
    text = instance_text({**waits, **NEVER, "attempt": 0, "note": None})
    assert text.splitlines() == [
        "instance   a.j7.1 (9)", "of         /a, job 7", "state      scheduled", "attempt    0",
    ]  # fmt: skip
