"""What a service needs now: which instances are to stop, how many are to start, and when to look again.

One rule covers steady state, scaling and a new version. Instances of the newest version are brought to the wanted
number; older ones stop as newer ones become ready, so that at least `minimum_health` of the wanted number is ready, and
all together are at most the wanted number and `maximum_over`.
"""

from __future__ import annotations

from dataclasses import dataclass

from orch.model.reasons import Reason
from orch.model.states import State
from orch.services.registry import Registry
from orch.services.service import Instance, Service

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """ready: at least so many instances stay ready through a change. most: so many may there be at once, at most."""

    ready: int
    most: int


def bounds(service: Service) -> Bounds:
    """The limits of a change of this service.

    Where nothing may be missing and nothing extra, one extra is allowed while older versions run, or the change could
    never begin.
    """
    template, wanted = service.spec.template, service.wanted
    ready = -(-wanted * template.minimum_health_micro // _MICRO)
    most = wanted + wanted * template.maximum_over_micro // _MICRO
    if ready == wanted == most and wanted > 0 and _older(service):
        most += 1
    return Bounds(ready, most)


def unreachable(service: Service, now_ms: int) -> tuple[list[Instance], list[Instance]]:
    """(those that others replace from now on, those that are given up: they stop if they return)."""
    inactive, given_up = [], []
    for instance in service.instances.values():
        strategy = service.template_of(instance).unreachable
        if instance.state != State.UNREACHABLE or instance.stop or strategy is None:
            continue
        gone_ms = now_ms - instance.unreachable_ms
        if gone_ms >= strategy.inactive_after_ms and not instance.inactive:
            inactive.append(instance)
        if gone_ms >= max(strategy.expunge_after_ms, strategy.inactive_after_ms):
            given_up.append(instance)
    return inactive, given_up


def surplus(registry: Registry, service: Service) -> list[tuple[Instance, Reason]]:
    """Instances that are to stop now, and why."""
    if service.deleting:
        return [(one, Reason.STOPPED_BY_USER) for one in service.instances.values() if not one.stop]
    newest = [one for one in service.instances.values() if one.counts and one.version == service.version]
    extra = _victims(registry, service, newest)[: max(len(newest) - service.wanted, 0)]
    found = [(one, Reason.REPLACED if one.inactive else Reason.SCALED_DOWN) for one in extra]
    older = _older(service)
    if not older:
        return found
    ready = [one for one in [*newest, *older] if one not in extra and registry.ready(service, one)]
    spare = len(ready) - bounds(service).ready
    for one in _victims(registry, service, older):
        if not registry.ready(service, one):
            found.append((one, Reason.REPLACED))
        elif spare > 0:
            spare -= 1
            found.append((one, Reason.REPLACED))
    return found


def missing(service: Service, in_flight: int) -> int:
    """How many more may start now, as far as the numbers go. in_flight: accepted, and not answered yet."""
    if service.deleting:
        return 0
    newest = [one for one in service.instances.values() if one.counts and one.version == service.version]
    present = sum(1 for one in service.instances.values() if one.takes_room)
    room = bounds(service).most - present
    return max(0, min(service.wanted - len(newest), room) - in_flight)


def look_again_ms(service: Service, now_ms: int) -> int | None:
    """When time alone will change what this service needs; None if it won't."""
    times = [service.delay.until_ms] if service.delay.until_ms > now_ms else []
    for instance in service.instances.values():
        strategy = service.template_of(instance).unreachable
        if instance.state != State.UNREACHABLE or instance.stop or strategy is None:
            continue
        if not instance.inactive:
            times.append(instance.unreachable_ms + strategy.inactive_after_ms)
        times.append(instance.unreachable_ms + max(strategy.expunge_after_ms, strategy.inactive_after_ms))
    return min(times, default=None)


def _older(service: Service) -> list[Instance]:
    return [one for one in service.instances.values() if one.counts and one.version != service.version]


def _victims(registry: Registry, service: Service, instances: list[Instance]) -> list[Instance]:
    """In the order in which they should stop: those replaced meanwhile, out of reach, not ready, then by age."""
    youngest_first = service.spec.template.kill_selection != "OLDEST_FIRST"

    def key(instance: Instance) -> tuple[bool, bool, bool, int]:
        return (
            not instance.inactive,
            instance.state != State.UNREACHABLE,
            registry.ready(service, instance),
            -instance.id if youngest_first else instance.id,
        )

    return sorted(instances, key=key)
