"""`python -m bench NAME [--json] [--quick]`: one line of JSON a figure, or a table for people."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.rows import Rows

NAMES = ("launch", "latency", "startup", "memory", "scale")
WITH_CASES = ("scale",)
"""Those that can be asked for some of their cases."""


def main() -> int:
    """Run the named benchmarks, or all; 0 if every figure was verified."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, []], help=f"which ({', '.join(NAMES)}); default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    parser.add_argument("--case", action="append", help="only this one, such as 10k,1k; for " + ", ".join(WITH_CASES))
    given = parser.parse_args()
    rows = Rows(as_json=given.json)
    for name in given.name or NAMES:
        module = importlib.import_module(f"bench.{name}")
        if name not in WITH_CASES:
            module.run(rows, given.quick)
        elif any(case not in module.CASES for case in given.case or ()):
            parser.error(f"{name} has the cases {' '.join(module.CASES)}")
        else:
            module.run(rows, given.quick, given.case)
    return 0 if rows.all_verified() else 1


if __name__ == "__main__":
    sys.exit(main())
