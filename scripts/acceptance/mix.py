"""The shapes of scheduler_perf: pods a second from a client's submission to STAGING, at 5,000 agents."""

from __future__ import annotations

from collections.abc import Iterator

from acceptance.benches import Cases, figure, measured
from acceptance.lines import Check, Context, Line, at_least

SHAPES = (
    "basic", "node-affinity", "anti-affinity", "preferred-affinity", "pod-affinity", "mixed", "preemption", "churn",
    "unschedulable",
)  # fmt: skip
LEAST = 20_000
LIMIT_S = 400


def mix(context: Context) -> Iterator[Line]:
    """Every shape, each at the same rate; one that cannot be expressed yet fails, and says why."""
    cases, done = measured(context, "mix", LIMIT_S)
    yield from judged(cases, done.tail())


def judged(cases: Cases, detail: str) -> Iterator[Line]:
    """The lines of what was measured."""
    for name in SHAPES:
        why = cases.get(name, {}).get("unsupported")
        said = f"unsupported: {why}" if why else f"{cases.get(name, 'no row')}\n{detail}"
        yield at_least(f"mix {name}", figure(cases, name), LEAST, "pods/s", said)


CHECKS = [Check("mix", mix)]
