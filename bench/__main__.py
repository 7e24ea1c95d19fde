"""`python -m bench NAME [--json] [--quick]`: one line of JSON a figure, or a table for people.

Exit codes: 0 every figure was verified, 1 one was not, 2 the command line or a file that it names is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

from bench import history, plots
from bench.history import History
from bench.rows import Rows, commit, dirty
from bench.traces import TraceError

NAMES = ("launch", "latency", "startup", "memory", "placement", "single", "scale", "gpu", "mix", "offers", "plan")


def main() -> int:
    """Run the named benchmarks, or all; 0 if every figure was verified."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, []], help=f"which ({', '.join(NAMES)}); default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    parser.add_argument("--case", help="only this case, such as 1M,10k,100 (placement: PODS,AGENTS,SHAPES)")
    parser.add_argument("--seed", type=seed, help="what cases and orders are made from")
    parser.add_argument("--traces", type=Path, default=traces(), help="gpu: a folder of node and pod lists")
    parser.add_argument("--order", type=Path, help="gpu: pods in the order of arrival, or their names, one a line")
    parser.add_argument("--history", action="store_true", help="keep the rows in bench/history.jsonl in any case")
    given = parser.parse_args()
    keep = kept(given, clean=not dirty() and commit() != "unknown")
    rows = Rows(as_json=given.json, keep=History(history.FILE, given.quick).add if keep else None)
    for name in given.name or NAMES:
        if name == "gpu" and not given.name and given.traces is None:
            print("gpu: left out, as it needs --traces DIR", file=sys.stderr)
            continue
        try:
            run(name, rows, given)
        except (TraceError, ValueError) as error:
            print(f"python -m bench {name}: {error}", file=sys.stderr)
            return 2
    drawn = plots.main() if keep else 0
    return drawn if rows.all_verified() else 1


def kept(given: argparse.Namespace, clean: bool) -> bool:
    """Whether rows go to the history: those of a run of all on a clean tree, and where it is asked for."""
    if given.history or given.name or given.case:
        return bool(given.history)
    if not clean:
        print("bench: the tree differs from a commit, so no row is kept; --history keeps them", file=sys.stderr)
        return False
    return True


def run(name: str, rows: Rows, given: argparse.Namespace) -> None:
    """Run one benchmark with the options that were given and that it takes."""
    function = importlib.import_module(f"bench.{name}").run
    taken = inspect.signature(function).parameters
    asked: dict[str, Any] = {"case": given.case, "seed": given.seed, "traces": given.traces, "order": given.order}
    function(rows, given.quick, **{key: value for key, value in asked.items() if value is not None and key in taken})


def traces() -> Path | None:
    """The traces of the corpus that ORCH_CORPUS names, if it has any."""
    folder = Path(os.environ.get("ORCH_CORPUS", "")) / "traces" / "openb"
    return folder if "ORCH_CORPUS" in os.environ and folder.is_dir() else None


def seed(text: str) -> int:
    """A seed as numpy takes it: 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no integer from 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
