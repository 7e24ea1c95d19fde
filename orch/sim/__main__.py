"""`python -m orch.sim --seeds 0:200 [--json]`: run seeds; print the seed of a failure, which replays it.

Without `--seeds` it goes on until it is stopped or a seed fails. `--trace SEED` prints what happens in one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable

from orch.sim.run import run


def main() -> int:
    """0 if no seed had a violation."""
    parser = argparse.ArgumentParser(
        prog="python -m orch.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", metavar="A:B", help="seeds A to B - 1 (default: from the clock on, for ever)")
    parser.add_argument("--json", action="store_true", help="one line of JSON a seed")
    parser.add_argument("--trace", type=int, metavar="SEED", help="print every event of one seed")
    given = parser.parse_args()
    if given.trace is not None:
        return _trace(given.trace)
    failed = 0
    begun = time.monotonic()
    done = 0
    for seed in _seeds(given.seeds):
        result = run(seed)
        done += 1
        failed += bool(result.violations)
        if given.json:
            print(json.dumps(result.to_dict()), flush=True)
        elif result.violations:
            print(f"seed {seed}: {result.violations[0]}\n  replay: python -m orch.sim --trace {seed}", flush=True)
        if result.violations and given.seeds is None:
            break
    if not given.json:
        print(f"{done} seeds in {time.monotonic() - begun:.1f} s, {failed} failed")
    return 1 if failed else 0


def _seeds(text: str | None) -> Iterable[int]:
    if text is None:
        return itertools.count(int(time.time()))
    first, _, last = text.partition(":")
    return range(int(first), int(last) if last else int(first) + 1)


def _trace(seed: int) -> int:
    result = run(seed, trace=True)
    print("\n".join(result.trace))
    for violation in result.violations:
        print(f"VIOLATION {violation}")
    return 1 if result.violations else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
