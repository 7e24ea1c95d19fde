"""How long a service waits before the next launch after an instance ended by itself.

The first end in a row costs `backoff_ms`, each further one `backoff_factor` times the last delay, at most
`max_launch_delay_ms`. An instance that had passed its health checks, or had run for `max_launch_delay_ms`, was stable:
its end begins a new row. Instances launched before the last end of the row are of one wave and do not lengthen the
delay, so that a service of a hundred copies does not wait for minutes because all of them failed at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from orch.model.reasons import Reason
from orch.model.states import State
from orch.services.service import Delay, Instance, Seen, Service

_MILLI = 1000


@dataclass(frozen=True, slots=True)
class End:
    """An instance that ended by itself, as it was just before; state, exit_code, reason: how it ended."""

    instance: Instance
    state: int
    exit_code: int
    reason: int
    stable: bool


def by_itself(instance: Instance, state: int, reason: int) -> bool:
    """Whether an end is the pod's own doing: not a stop, not the loss of its agent, not a shutdown."""
    if instance.stop or state == State.KILLED:
        return False
    return reason not in (Reason.AGENT_LOST, Reason.SUPERVISOR_LOST, Reason.SHUTDOWN, Reason.UNKNOWN_TO_MASTER)


def was_stable(service: Service, instance: Instance, seen: Seen, now_ms: int) -> bool:
    """Whether it had worked before it ended."""
    template = service.template_of(instance)
    ran_ms = now_ms - instance.started_ms if instance.started_ms else 0
    return seen.was_healthy or ran_ms >= max(template.max_launch_delay_ms, 1)


def next_delay(service: Service, ends: list[End], now_ms: int) -> Delay:
    """The delay after these ends, all at once. ends: at least one."""
    template, before, last = service.spec.template, service.delay, ends[-1]
    new = [end for end in ends if end.instance.launched_ms > before.at_ms]
    failures, delay_ms = before.failures, before.delay_ms
    if new or not failures:
        fresh = not failures or all(end.stable for end in new)
        failures = 1 if fresh else failures + 1
        delay_ms = template.backoff_ms if fresh else delay_ms * template.backoff_factor_milli // _MILLI
    delay_ms = min(delay_ms, template.max_launch_delay_ms)
    return Delay(
        failures=failures,
        delay_ms=delay_ms,
        until_ms=max(before.until_ms, now_ms + delay_ms),
        at_ms=now_ms,
        instance=last.instance.id,
        state=last.state,
        exit_code=last.exit_code,
        reason=last.reason,
    )
