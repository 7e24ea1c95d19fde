"""The plots of a replay: utilisation over time, how long pods waited, what waits, and fragmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orch.model.resources import CPUS, GPUS, MEM, NAMES
from orch.trace.figures import percentile_s
from orch.trace.lists import Agents, Pods, asked_resources
from orch.trace.plot import Line, Panel
from orch.trace.replay import Outcome

_UNITS = ((2 * 86_400.0, 86_400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (0.0, 1.0, "seconds"))


def panels(outcomes: Sequence[Outcome], agents: Agents, pods: Pods) -> dict[str, Panel]:
    """Panels by the name of their file: `utilisation, waiting, waits, fragmentation`. The second outcome is dashed."""
    span = max((one.end_ms - one.begin_ms) / 1000 for one in outcomes)
    size, unit = next((size, unit) for least, size, unit in _UNITS if span >= least)
    total = agents.total.sum(axis=0, dtype=np.int64).tolist()
    shown = [d for d in asked_resources(pods) if total[d]]
    main = GPUS if GPUS in shown else CPUS
    # Two policies with a line for each resource would be too many to tell apart.
    drawn = shown if len(outcomes) == 1 else [d for d in shown if d in (CPUS, main if main != CPUS else MEM)]
    use, queue, waits, lost = [], [], [], []
    for at, one in enumerate(outcomes):
        label = f" {one.policy}" if len(outcomes) > 1 else ""
        x = [(sample.at_ms - one.begin_ms) / 1000 / size for sample in one.samples]
        for colour, d in ((shown.index(d), d) for d in drawn):
            y = [sample.used[d] / total[d] for sample in one.samples]
            use.append(Line(f"{NAMES[d]}{label}", x, y, True, at > 0, colour))
        for colour, d in ((shown.index(d), d) for d in shown if d in (CPUS, main)):
            y = [sample.fragmentation[d] for sample in one.samples]
            lost.append(Line(f"{NAMES[d]}{label}", x, y, True, at > 0, colour))
        queue.append(Line(f"pods{label}", x, [sample.waiting for sample in one.samples], True, at > 0, at))
        waits.append(_waits(one, f"placed pods{label}", at))
    over = f"{unit} since the first arrival"
    return {
        "utilisation": Panel("Utilisation", over, use, 1.0, True),
        "waiting": Panel("Pods that wait", over, queue),
        "waits": Panel("Part of all pods placed within a wait", "seconds waited (at least 1)", waits, 1.0, True, True),
        "fragmentation": Panel("Free resources that a usual pod can not use", over, lost, None, True),
    }


def _waits(outcome: Outcome, name: str, at: int) -> Line:
    """The distribution of waits over all pods: what is missing from 100% was never placed."""
    waits = np.sort((outcome.start - outcome.arrival)[outcome.start >= 0], kind="stable")
    part = len(waits) / len(outcome.start)
    percents = range(101)
    if not len(waits):
        return Line(name, [1.0, 10.0], [0.0, 0.0], False, at > 0, at)
    at_once = float(np.searchsorted(waits, 1000, side="right")) / len(outcome.start)
    x, y = [1.0], [at_once]
    for percent in percents:
        wait = percentile_s(waits, max(percent, 1)) or 0.0
        if wait > 1:
            x.append(wait)
            y.append(part * percent / 100)
    if len(x) == 1:
        x, y = [1.0, 10.0], [at_once, at_once]
    return Line(name, x, y, False, at > 0, at)
