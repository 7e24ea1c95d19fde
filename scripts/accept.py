"""Runs every acceptance command and says, line by line, what it reached: `make accept`.

    .venv/bin/python scripts/accept.py [--json] [--verbose] [--list] [NAME ...]

Prints line, figure, target, pass and commit; why a line failed goes to stderr. Exit codes: 0 all passed, 1 a line
failed, 2 the tree differs from the commit that the report would name (or the command line is wrong).
Clusters are made in a folder of their own and are gone at the end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from acceptance import benches, clones, clusters, demo, gpu, kernel, mix, offers, scale  # noqa: E402  # the path is set
from acceptance.lines import Check, Context, Line  # noqa: E402

ALL: list[Check] = [
    *demo.CHECKS, *clusters.CHECKS, *benches.CHECKS, *kernel.CHECKS, *scale.CHECKS, *gpu.CHECKS, *mix.CHECKS,
    *offers.CHECKS, *clones.CHECKS,
]  # fmt: skip


def main() -> int:
    """Parse the command line, run the checks that it names. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make accept", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these checks (see --list)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--list", action="store_true", help="the names of the checks")
    parser.add_argument("--verbose", action="store_true", help="say each command on stderr")
    args = parser.parse_args()
    if args.list:
        print(*(check.name for check in ALL), sep="\n")
        return 0
    unknown = set(args.names) - {check.name for check in ALL}
    if unknown:
        parser.error(f"no check called {', '.join(sorted(unknown))}; --list names them")
    changed = git("status", "--porcelain")
    if changed:
        print(f"accept: the tree differs from its commit; commit or remove first:\n{changed}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that clusters are taken down on the way out
    chosen = [check for check in ALL if not args.names or check.name in args.names]
    return 0 if report(chosen, as_json=args.json, verbose=args.verbose) else 1


def report(checks: list[Check], *, as_json: bool, verbose: bool) -> bool:
    """Run the checks and print their lines as they come. Returns whether all passed."""
    commit = git("rev-parse", "--short=12", "HEAD")
    everything = True
    if not as_json:
        print(f"{'line':<28} {'figure':<34} {'target':<38} {'pass':<5} commit")
    with tempfile.TemporaryDirectory(prefix="orch-acc-", dir="/tmp") as folder:  # short: unix sockets lie below it
        Path(folder).chmod(0o711)  # pods of other uids pass through
        context = Context(Path(folder), sys.executable, say if verbose else lambda _: None)
        for check in checks:
            for line in lines_of(check, context):
                everything &= line.passed
                show(line, commit, as_json=as_json)
    return everything


def lines_of(check: Check, context: Context) -> Iterator[Line]:
    """A check's lines; a check that breaks is a line that failed."""
    try:
        yield from check.run(context)
    except Exception as error:  # noqa: BLE001  # the other checks still run; the traceback is the line's detail
        yield Line(check.name, type(error).__name__, "runs to its end", False, traceback.format_exc())


def show(line: Line, commit: str, *, as_json: bool) -> None:
    """Print one line; for people the reason of a failure goes to stderr."""
    if as_json:
        row = {"line": line.name, **dataclasses.asdict(line), "commit": commit}
        row["pass"] = row.pop("passed")
        del row["name"]
        print(json.dumps(row), flush=True)
        return
    passed = "yes" if line.passed else "NO"
    print(f"{line.name:<28} {line.figure:<34} {line.target:<38} {passed:<5} {commit}", flush=True)
    if line.detail:
        say("\n".join("    " + text for text in line.detail.splitlines()))


def git(*words: str) -> str:
    """What a git command says of this checkout."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"accept: git {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def say(text: str) -> None:
    """A word on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
