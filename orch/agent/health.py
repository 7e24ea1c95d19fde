"""One health check of one container: when to probe, and what a run of failures means. Marathon's numbers and rules."""

from __future__ import annotations

from orch.model.specs.template import HealthTemplate


class Health:
    """State of one check. Before the first result, `healthy` is None: unknown."""

    def __init__(self, check: HealthTemplate, started_ms: int) -> None:
        self.check = check
        self.healthy: bool | None = None
        self.failures = 0
        self.message = ""
        self.due_ms: int | None = started_ms + check.delay_ms
        """When to probe next; None while a probe is under way."""
        self._grace_until_ms = started_ms + check.grace_ms

    def probed(self, now_ms: int, ok: bool, message: str) -> bool:
        """Take a result; True if the container must be stopped for it.

        A failure before the first success and within the grace period counts for nothing; with `max_failures` 0 the
        check only tells.
        """
        self.due_ms = now_ms + self.check.interval_ms
        if ok:
            self.healthy, self.failures, self.message = True, 0, ""
            return False
        self.message = message
        if self.healthy is None and now_ms < self._grace_until_ms:
            return False
        self.healthy = False
        self.failures += 1
        return 0 < self.check.max_failures <= self.failures
