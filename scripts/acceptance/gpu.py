"""GPU allocation on the traces of the FGD paper, beside what its authors reached."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from acceptance.benches import Cases, figure, measured
from acceptance.clones import corpus
from acceptance.lines import Check, Context, Line, at_least

AUTHORS = {"default": 95.39, "gpushare60": 91.40, "cpu100": 95.35, "multigpu30": 96.46, "gpuspec25": 94.74}
"""List of pods -> percent of the GPUs that the authors' FGD allocates at 130%, mean of 10 seeds."""
FGD, BEST = "fgd", "fgd-fill"
"""The policy that is theirs, and the best of ours: one for all lists, chosen here and not by the outcome."""
DEFAULT_LEAST, EACH_LEAST, MEAN_LEAST = 95.4, -0.3, 0.0
LIMIT_S = 240


def gpu(context: Context) -> Iterator[Line]:
    """FGD on the default list; our best policy minus the authors' FGD on each list, and the mean of that."""
    folder = corpus() / "traces" / "openb"
    if folder.is_dir():
        cases, done = measured(context, "gpu", LIMIT_S, "--traces", str(folder))
        detail = done.tail()
    else:
        cases, detail = {}, f"could not run: no traces in {folder}; set ORCH_CORPUS to the folder that has them"
    yield from judged(cases, detail)


def judged(cases: Cases, detail: str) -> Iterator[Line]:
    """The lines of what was measured; a case that is not there is a line that fails."""
    yield at_least("gpu default FGD", figure(cases, f"default/{FGD}/mean"), DEFAULT_LEAST, "% GPU", detail)
    differences: list[float] = []
    for name, theirs in AUTHORS.items():
        ours = figure(cases, f"{name}/{BEST}/mean")
        difference = None if ours is None else round(ours - theirs, 3)
        differences += [] if difference is None else [difference]
        yield at_least(f"gpu {name} to authors", difference, EACH_LEAST, "points", f"{ours} to {theirs}\n{detail}")
    mean = fmean(differences) if len(differences) == len(AUTHORS) else None
    yield at_least("gpu mean to authors", mean, MEAN_LEAST, "points", f"of {differences}\n{detail}")


CHECKS = [Check("gpu", gpu)]
