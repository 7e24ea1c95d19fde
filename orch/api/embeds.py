"""GET /v2/apps: which apps are asked for, and what is shown of each beside its spec.

`embed` names, each alone or behind `apps.` or `app.`: tasks, lastTaskFailure, taskStats, readiness, and failures (the
first two); counts and deployments are always shown. What is not known is passed over, as in Marathon.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from orch.api import labels, marathon, reads, task_stats
from orch.machine.host import Host

ONE = frozenset({"tasks", "lastTaskFailure", "readiness"})
"""What one app shows, whatever is asked for."""
_KNOWN = frozenset({*ONE, "taskStats"})
_FAILURES = frozenset({"lastTaskFailure", "tasks"})


def asked(embed: Sequence[str], least: frozenset[str] = frozenset()) -> frozenset[str]:
    """The parts that `embed` asks for."""
    found: set[str] = set(least)
    for text in embed:
        name = text.removeprefix("apps.").removeprefix("app.")
        found |= _FAILURES if name == "failures" else {name} & _KNOWN
    return frozenset(found)


def chosen(host: Host, cmd: str | None, id: str | None, label: str | None, under: str = "/") -> list[str]:
    """Paths of the apps that meet all filters. cmd, id: parts of the app's, whatever the case. Raises UsageError."""
    select = labels.selector(label) if label else None
    group = under.rstrip("/") + "/"
    found = []
    for spec in reads.specs(host, "app"):
        path = str(spec["id"])
        if not path.startswith(group):
            continue
        if cmd and cmd.lower() not in (spec.get("cmd") or "").lower():
            continue
        if id and id.lower() not in path.lower():
            continue
        if select is not None and not select(spec.get("labels", {})):
            continue
        found.append(path)
    return found


def app(host: Host, path: str, parts: frozenset[str]) -> dict[str, Any]:
    """An app that is there, with these parts."""
    spec, service = reads.spec(host, path, "app"), reads.service(host, path)
    assert spec is not None and service is not None
    rows = reads.service_instances(host, path)
    found = marathon.app(spec, service, rows)
    if "tasks" in parts:
        found["tasks"] = [marathon.task(row, reads.service_ports(host, path)) for row in rows]
    if "lastTaskFailure" in parts:
        failure = last_failure(host, path)
        if failure is not None:
            found["lastTaskFailure"] = failure
    if "readiness" in parts:
        found["readinessCheckResults"] = []
    if "taskStats" in parts:
        found["taskStats"] = task_stats.of(rows, service["version"], service["changed_ms"], int(time.time() * 1000))
    return found


def last_failure(host: Host, path: str) -> dict[str, Any] | None:
    """The last of an app's instances that ended by itself and not well, as long as it is remembered."""
    for row in reads.service_ended(host, path):
        if row["state"] in ("FAILED", "ERROR", "LOST", "GONE", "DROPPED"):
            return marathon.failure(row)
    return None
