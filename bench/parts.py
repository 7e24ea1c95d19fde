"""Where the time of a submission goes: the spans of all processes laid side by side, each instant given to one part.

An instant at which several processes work belongs to each of them alike; one at which none does, to what is waited
for: the disk, then a call between two actors, then the call of the gateway. What is left is the client's side: its own
work, HTTP, and the time between a call's arrival and the first line of ours that runs.
"""

from __future__ import annotations

from collections.abc import Iterable

Spans = Iterable[tuple[str, float, float]]

PARTS = {
    "batch.SubmitJob": "submit",
    "batch.OfferBatch": "kernel",
    "batch.AcceptResult": "commit",
    "master.Demand": "allocator",
    "master.Tick": "allocator",
    "master.Accept": "commit",
    "master.UpdateBatch": "updates",
    "batch.InstanceUpdates": "updates",
    "master.Heartbeat": "messages",
    "messages": "messages",
    "encode": "journal",
    "snapshot": "journal",
    "hosts": "simulated_hosts",
    "follow": "gateway",
    "journal wait": "journal",
    "messages wait": "messages",
    "call wait": "call",
}
"""From what a process notes to a part; what is not here is `other`."""
WAITS = ("journal wait", "messages wait", "call wait")
"""In this order: the first that is under way has the instant at which nobody works."""
REST = "client"


def shared_out(spans: Spans, began: float, ended: float) -> dict[str, float]:
    """Seconds by part, which add up to `ended - began`. Spans may overlap; only what lies within counts."""
    edges = []
    for what, first, last in spans:
        first, last = max(first, began), min(last, ended)
        if first < last:
            edges += [(first, 1, what), (last, -1, what)]
    parts: dict[str, float] = {}
    under_way: dict[str, int] = {}
    at = began
    for time, step, what in sorted(edges):
        _give(parts, under_way, time - at)
        under_way[what] = under_way.get(what, 0) + step
        at = time
    _give(parts, under_way, ended - at)
    return {part: round(parts[part], 4) for part in sorted(parts, key=lambda part: -parts[part])}


def _give(parts: dict[str, float], under_way: dict[str, int], seconds: float) -> None:
    working = [(what, count) for what, count in under_way.items() if count and what not in WAITS]
    if working:
        whole = sum(count for _, count in working)
        shares = [(PARTS.get(what, "other"), seconds * count / whole) for what, count in working]
    else:
        waits = [what for what in WAITS if under_way.get(what)]
        shares = [(PARTS[waits[0]] if waits else REST, seconds)]
    for part, share in shares:
        parts[part] = parts.get(part, 0.0) + share
