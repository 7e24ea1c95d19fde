"""`python -m bench NAME [--json] [--quick]`: one line of JSON a figure, or a table for people."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.rows import Rows

NAMES = ("launch", "latency", "startup", "memory")


def main() -> int:
    """Run the named benchmarks, or all; 0 if every figure was verified."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*NAMES, []], help=f"which ({', '.join(NAMES)}); default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    given = parser.parse_args()
    rows = Rows(as_json=given.json)
    for name in given.name or NAMES:
        importlib.import_module(f"bench.{name}").run(rows, given.quick)
    return 0 if rows.all_verified() else 1


if __name__ == "__main__":
    sys.exit(main())
