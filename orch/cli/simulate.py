"""`orch simulate`: a trace replayed by a policy, for whoever plans a cluster. Needs no cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from orch.cli.output import aligned, say

_PERCENT = ("utilisation", "utilisation_peak", "utilisation_last", "fragmentation", "fragmentation_last")
_TITLES = {
    "placed": "pods placed", "unplaced": "pods never placed", "waited": "pods that waited",
    "wait_p50_s": "wait p50", "wait_p99_s": "wait p99", "wait_max_s": "wait max", "end_s": "last event",
    "utilisation": "use of {} (mean)", "utilisation_peak": "use of {} (peak)",
    "utilisation_last": "use of {} (last arrival)", "fragmentation": "unusable of free {} (mean)",
    "fragmentation_last": "unusable of free {} (last arrival)",
}  # fmt: skip


def simulate(
    *,
    nodes: Path,
    pods: Path,
    policy: str = "best-fit",
    compare: str | None = None,
    plot: Path | None = None,
    seed: int | None = None,
    output: Annotated[Literal["table", "json"], Parameter(name=["--output", "-o"], help="table or json")] = "table",
) -> int:
    """Replay a trace of pods on a list of nodes, over a virtual clock: how full, how long waits, what never fits, why.

    No cluster is needed. docs/simulate.md has the formats of the files, and how to size a cluster.

    For example:
      orch simulate --nodes nodes.csv --pods pods.csv
      orch simulate --nodes nodes.csv --pods pods.csv --policy fgd --compare best-fit
      orch simulate --nodes nodes.csv --pods pods.csv --plot plots/ -o json

    Parameters
    ----------
    nodes
        CSV or JSON lines: name,cpus,mem and, if there are any, disk,gpus,ports,model,count.
    pods
        The same: cpus,mem and gpus,models,arrival_s,duration_s,count,gang,priority; or a list in openb's layout.
    policy
        best-fit, first-fit or spread; for pods with GPUs best-fit, first-fit, fgd, fgd-fill or fgd-stepped.
    compare
        A second policy, shown beside the first.
    plot
        A folder for a plot each, or a file.svg for all in one.
    seed
        Deal the instants of arrival out anew among the pods, by this seed.
    """
    from orch.model.errors import UsageError
    from orch.trace.figures import difference, figures
    from orch.trace.lists import read_agents, read_pods
    from orch.trace.replay import placer_of, replay
    from orch.trace.rows import unread

    if seed is not None and seed < 0:
        raise UsageError(f"--seed is {seed}, and must be 0 or more.")
    if plot is not None:
        _writable(plot)
    agents = read_agents(nodes)
    trace = read_pods(pods, agents)
    for path, columns in ((nodes, unread(nodes, True)), (pods, unread(pods, False))):
        if columns:
            say(f"orch: {path}: nothing reads the columns {', '.join(columns)}")
    if seed is not None:
        trace = trace.dealt_anew(seed)
    policies = [policy] if compare is None else [policy, compare]
    for one in policies:
        placer_of(agents, trace, one)  # before the first replay takes its time
    outcomes = [replay(agents, trace, one) for one in policies]
    found = [figures(one, agents, trace) for one in outcomes]
    if plot is not None:
        from orch.trace.pictures import panels

        _draw(plot, panels(outcomes, agents, trace))
    beside = difference(*found) if compare is not None else None
    if output == "json":
        shown = found[0] if beside is None else {"policies": found, "difference": beside}
        print(json.dumps(shown, indent=2))
    else:
        print(_text(found, beside))
    return 0


def _writable(plot: Path) -> None:
    """Raises UsageError for a place that plots can not be written to, before anything takes time."""
    from orch.model.errors import UsageError

    folder = plot.parent if plot.suffix == ".svg" else plot
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--plot {plot}: {error.strerror}.") from error
    if plot.suffix == ".svg" and plot.is_dir():
        raise UsageError(f"--plot {plot}: is a folder.")


def _draw(plot: Path, panels: dict[str, Any]) -> None:
    from orch.model.errors import UsageError
    from orch.trace.plot import svg

    files = {plot: list(panels.values())}
    if plot.suffix != ".svg":
        files = {plot / f"{name}.svg": [panel] for name, panel in panels.items()}
    for path, some in files.items():
        try:
            path.write_text(svg(some))
        except OSError as error:
            raise UsageError(f"--plot {path}: {error.strerror}.") from error
    say(f"orch: wrote {', '.join(str(path) for path in files)}")


def _text(found: list[dict[str, Any]], beside: dict[str, Any] | None) -> str:
    """For people: a row a figure, a column a policy, then the reasons."""
    first = found[0]
    columns = ["", *(f"{one['policy']}{' ' * at}" for at, one in enumerate(found))]
    rows = []
    for key, title in _TITLES.items():
        values = first[key]
        for name in values if isinstance(values, dict) else [None]:
            row = {"": title.format(name)}
            for column, one in zip(columns[1:], found, strict=True):
                row[column] = _cell(key, one[key] if name is None else one[key][name])
            if beside is not None:
                row["difference"] = _cell(key, beside[key] if name is None else beside[key][name], signed=True)
            rows.append(row)
    lines = [
        f"{first['pods']} pods on {first['agents']} agents",
        "",
        aligned(rows, [*columns, "difference"] if beside is not None else columns),
    ]
    for one in found:
        if one["ignored"]:
            lines.append(f"\n{one['policy']} does not look at {', '.join(one['ignored'])}, though pods ask for it")
        if one["why"]:
            lines += ["", f"never placed by {one['policy']}:"]
            lines += [f"  {why['pods']} of {_asks(why)}: {why['sentence']}" for why in one["why"]]
            rest = one["unplaced"] - sum(why["pods"] for why in one["why"])
            lines += [f"  and {rest} others"] if rest else []
    return "\n".join(lines)


def _cell(key: str, value: Any, signed: bool = False) -> str:
    if value is None:
        return "-"
    sign = "+" if signed and value > 0 else ""
    if key in _PERCENT:
        return f"{sign}{100 * value:.2f}" + (" points" if signed else "%")
    return f"{sign}{value:,.3f}".rstrip("0").rstrip(".") + " s" if key.endswith("_s") else f"{sign}{value}"


def _asks(why: dict[str, Any]) -> str:
    units = {"mem": " MiB", "disk": " MiB"}
    asks = ", ".join(f"{name} {amount}{units.get(name, '')}" for name, amount in why["asks"].items())
    return f"{asks}, in gangs of {why['gang']}" if "gang" in why else asks


COMMANDS = (simulate,)
