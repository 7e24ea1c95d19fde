"""`python -m bench NAME [--json] [--quick]`: one line of JSON a figure, or a table for people."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys

from bench.rows import Rows

NAMES = ("launch", "latency", "startup", "memory", "placement", "single")


def main() -> int:
    """Run the named benchmarks, or all; 0 if every figure was verified."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, []], help=f"which ({', '.join(NAMES)}); default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    parser.add_argument(
        "--case", help="only this case (placement: PODS,AGENTS,SHAPES, such as 1M,10k,100 or 10k,1k,all)"
    )
    parser.add_argument("--seed", type=int, help="what the cases are made from")
    given = parser.parse_args()
    rows = Rows(as_json=given.json)
    for name in given.name or NAMES:
        run = importlib.import_module(f"bench.{name}").run
        options = {"case": given.case, "seed": given.seed}
        taken = inspect.signature(run).parameters
        try:
            run(rows, given.quick, **{k: v for k, v in options.items() if v is not None and k in taken})
        except ValueError as error:
            parser.error(str(error))
    return 0 if rows.all_verified() else 1


if __name__ == "__main__":
    sys.exit(main())
