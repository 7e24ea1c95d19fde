"""What waits to be launched, as `/v2/queue` tells it: how many of which service, for how long, and why not yet.

orch offers no agent to one service alone; every agent counts as one offer, and what rules it out now as the reason why
that offer was not used. Marathon asks for its reasons one after another, each only of the offers that all before left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from orch import placement
from orch.api import marathon, reads, why
from orch.machine.host import Host
from orch.master import views as master_views
from orch.model import resources
from orch.model.times import timestamp

ROLE, CONSTRAINT, RESERVATION, MAINTENANCE = (
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "AgentMaintenance",
)
PORTS = "InsufficientPorts"
REASONS = (
    ROLE, CONSTRAINT, RESERVATION, MAINTENANCE, "DeclinedScarceResources", "InsufficientCpus", "InsufficientMemory",
    "InsufficientDisk", "InsufficientGpus", PORTS,
)  # fmt: skip
"""In the order in which they are asked."""
UNUSED_OFFERS = 10
"""Agents that are shown one by one."""

_OF_RESOURCE = dict(zip(resources.NAMES, (*REASONS[5:9], PORTS), strict=True))
_OF_PREDICATE = {
    "usable": MAINTENANCE, "draining": MAINTENANCE, "reserved": ROLE, "constraint": CONSTRAINT, "needs": CONSTRAINT,
    **_OF_RESOURCE,
}  # fmt: skip


def reason_of(predicate: str) -> str:
    """Marathon's word for what rules an agent out: `cpus` -> InsufficientCpus."""
    if predicate.startswith("constraint:host port"):
        return PORTS
    return _OF_PREDICATE.get(predicate, CONSTRAINT)


def items(host: Host, now_ms: int, with_offers: bool) -> list[dict[str, Any]]:
    """Every service that misses instances, by path."""
    found = []
    for kind in ("app", "pod"):
        for spec in reads.specs(host, kind):
            waiting = reads.service_waiting(host, str(spec["id"]))
            if waiting is not None:
                found.append(_item(host, kind, spec, waiting, now_ms, with_offers))
    return sorted(found, key=lambda item: str(item.get("app", item.get("pod", {})).get("id")))


def waits(host: Host, path: str) -> bool:
    """Whether a service misses instances."""
    return reads.service_waiting(host, path) is not None


def _item(
    host: Host, kind: str, spec: dict[str, Any], waiting: dict[str, Any], now_ms: int, with_offers: bool
) -> dict[str, Any]:
    path = str(spec["id"])
    service = reads.service(host, path)
    assert service is not None
    until_ms = waiting["until_ms"] or 0
    left_s = math.ceil(max(0, until_ms - now_ms) / 1000)
    shown = marathon.versioned(spec, service) if kind == "app" else {**spec, "version": _version(service)}
    found = {
        kind: shown,
        "count": waiting["count"],
        "delay": {"timeLeftSeconds": left_s, "overdue": left_s == 0},
        "since": timestamp(service["since_ms"]),
        "processedOffersSummary": _summary(why.of_thing(host, path), now_ms, _last_launch_ms(host, path)),
    }
    if with_offers:
        found["lastUnusedOffers"] = _unused(host, path, now_ms)
    return found


def _summary(found: dict[str, Any], now_ms: int, used_ms: int) -> dict[str, Any]:
    declined: dict[str, int] = {}
    for out in found["ruled_out"]:
        reason = reason_of(out["predicate"])
        declined[reason] = declined.get(reason, 0) + out["agents"]
    steps, left = [], found["agents"]
    for reason in REASONS:
        steps.append({"reason": reason, "declined": declined.get(reason, 0), "processed": left})
        left -= declined.get(reason, 0)
    unused = found["agents"] - found["feasible"]
    summary: dict[str, Any] = {
        "processedOffersCount": found["agents"],
        "unusedOffersCount": unused,
        "rejectSummaryLastOffers": steps,
        "rejectSummaryLaunchAttempt": steps,
    }
    if unused:
        summary["lastUnusedOfferAt"] = timestamp(now_ms)
    if used_ms:
        summary["lastUsedOfferAt"] = timestamp(used_ms)
    return summary


def _unused(host: Host, path: str, now_ms: int) -> list[dict[str, Any]]:
    """The first agents that can't take an instance now: what each has free, and all that it lacks."""
    columns = master_views.columns(reads.master_of(host))
    template = reads.service_template(host, path)
    asked = np.array(template.request, dtype=np.int32)
    rules, allowed = reads.service_limits(host, path)
    found = []
    for row in np.flatnonzero(columns.total.any(axis=1)).tolist():
        total, free = np.zeros_like(columns.total), np.zeros_like(columns.free)
        total[row], free[row] = columns.total[row], columns.free[row]  # what has a total of 0 is nobody
        mask = None if allowed is None else allowed[0]
        told = placement.explain(asked, free, total, columns.usable, mask, 1, rules, None)
        reasons = {reason_of(out.predicate) for out in told.ruled_out}
        if template.needs:
            reasons.add(reason_of("needs"))
        if not reasons:
            continue
        lacks = zip(resources.NAMES, asked.tolist(), columns.free[row].tolist(), strict=True)
        reasons |= {_OF_RESOURCE[name] for name, wanted, left in lacks if wanted > left}
        found.append(_offer(columns, row, reasons, now_ms))
        if len(found) == UNUSED_OFFERS:
            break
    return found


def _offer(columns: master_views.AgentColumns, row: int, reasons: Iterable[str], now_ms: int) -> dict[str, Any]:
    name, attributes = columns.names[row], columns.attributes[row]
    free = resources.to_dict(columns.free[row].tolist())
    return {
        "offer": {
            "id": f"{name}-{now_ms}",
            "agentId": name,
            "hostname": attributes.get("hostname", name),
            "resources": [{"name": resource, "role": "*", "scalar": amount} for resource, amount in free.items()],
            "attributes": [{"name": key, "text": attributes[key]} for key in sorted(attributes)],
        },
        "reason": [reason for reason in REASONS if reason in reasons],
        "timestamp": timestamp(now_ms),
    }


def _last_launch_ms(host: Host, path: str) -> int:
    return max((row["launched_ms"] or 0 for row in reads.service_instances(host, path)), default=0)


def _version(service: dict[str, Any]) -> str:
    return timestamp(service["version"])
