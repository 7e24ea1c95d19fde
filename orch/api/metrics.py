"""What `/metrics` shows, in Prometheus's format: the replica's counts, read when asked, and latencies of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Scope

from orch.api import reads
from orch.api.follower import Follower
from orch.api.nodes import NodeHub

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Latencies:
    """Seconds to the first byte of a reply, by method, route and status. Routes, not paths: their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "orch_http_request_seconds", "Time to the first byte of a reply", ["method", "route"],
            registry=registry, buckets=BUCKETS,
        )  # fmt: skip
        self._replies = Counter(
            "orch_http_replies", "Replies by method, route and status", ["method", "route", "status"], registry=registry
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one reply."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "any"
        self._seconds.labels(method, route).observe(seconds)
        self._replies.labels(method, route, str(status)).inc()


class _State:
    """The replica's counts, as gauges."""

    def __init__(self, follower: Follower, nodes: NodeHub) -> None:
        self._follower, self._nodes = follower, nodes

    def collect(self) -> Iterator[Metric]:
        follower = self._follower
        yield _gauge("orch_journal_index", "Index of the journal that the gateway has followed", follower.index)
        yield _gauge("orch_feed_lag_seconds", "Age of the feed's last record when it came", follower.lag_ms / 1000)
        yield _gauge("orch_event_subscribers", "Open event streams", follower.subscribers)
        yield _gauge("orch_nodes", "Node supervisors that are connected", len(self._nodes))
        by_state = GaugeMetricFamily(
            "orch_instances", "Instances by framework and state", labels=["framework", "state"]
        )
        for framework, counts in reads.instance_counts(follower.replica).items():
            for state, count in counts.items():
                by_state.add_metric([framework, state], count)
        yield by_state
        agents = GaugeMetricFamily("orch_agents", "Agents by state", labels=["state"])
        for state, count in reads.agent_counts(follower.replica).items():
            agents.add_metric([state], count)
        yield agents
        for kind in ("total", "free"):
            family = GaugeMetricFamily(
                f"orch_resources_{kind}", f"Resources of usable agents: {kind}", labels=["resource"]
            )
            for name, amount in reads.resource_sums(follower.replica)[kind].items():
                family.add_metric([name], amount)
            yield family


class Metrics:
    """The registry of one app."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, follower: Follower, nodes: NodeHub) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.latencies = Latencies(self._registry)
        self._registry.register(_State(follower, nodes))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)

    def as_json(self) -> dict[str, Any]:
        """Everything, as Marathon's metrics are in JSON; labels are parts of a name: `orch_agents.state.READY`."""
        found: dict[str, Any] = {"version": "4.0.0", "gauges": {}, "counters": {}, "histograms": {}, "meters": {}}
        for family in self._registry.collect():
            for sample in family.samples:
                name = ".".join([sample.name, *(word for pair in sample.labels.items() for word in pair)])
                if family.type == "gauge":
                    found["gauges"][name] = {"value": sample.value}
                elif sample.name.endswith(("_total", "_count")):
                    found["counters"][name] = {"count": int(sample.value)}
        return {**found, "timers": {}}


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
