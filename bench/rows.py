"""One figure is one row; every row says of which commit it is, and whether its result was checked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ("bench/history.jsonl", "docs/benchmarks")
"""What the benchmarks write themselves: that does not make the code another."""


class Rows:
    """Prints rows as they come, and remembers whether all were verified."""

    def __init__(self, as_json: bool, keep: Callable[[dict[str, Any]], None] | None = None) -> None:
        """keep: is given every row as well."""
        self._as_json = as_json
        self._keep = keep
        self._verified: list[bool] = []

    def add(
        self,
        name: str,
        case: str,
        figure: float,
        unit: str,
        n: int,
        *,
        verified: bool,
        wall_s: float,
        cpu_s: float | None = None,
        ratio: float | None = None,
        peer: str | None = None,
        peer_version: str | None = None,
        **more: Any,
    ) -> None:
        """Print one row. `ratio` is this figure over the peer's (or, in a peer's own row, orch's over this one)."""
        row: dict[str, Any] = {
            "name": name, "case": case, "figure": _round(figure), "unit": unit, "n": n, "ratio": _round(ratio),
            "peer": peer, "peer_version": peer_version, "commit": commit(), "dirty": dirty(), "cpu_s": _round(cpu_s),
            "wall_s": _round(wall_s), "verified": verified, **more,
        }  # fmt: skip
        self._verified.append(verified)
        beside = f"  {row['ratio']:g} x {peer}" if ratio is not None else ""
        self._print(row, f"{name:<9}{case:<22}{row['figure']:>12g} {unit:<8} n={n:<7}{beside}")

    def without(self, name: str, case: str, what: str, why: str, **more: Any) -> None:
        """Print a row without a figure: `what` is "unsupported" or "not_installed". Neither verified nor wrong."""
        row: dict[str, Any] = {
            "name": name, "case": case, "figure": None, "unit": None, "n": 0, "ratio": None, "peer": None,
            "peer_version": None, "commit": commit(), "dirty": dirty(), "cpu_s": None, "wall_s": 0.0, "verified": None,
            what: why, **more,
        }  # fmt: skip
        self._print(row, f"{name:<9}{case:<22}{what.replace('_', ' '):>12}: {why}")

    def _print(self, row: dict[str, Any], said: str) -> None:
        print(json.dumps(row) if self._as_json else said, flush=True)
        if self._keep is not None:
            self._keep(row)

    def all_verified(self) -> bool:
        """Whether every row's result was checked and right."""
        return all(self._verified)


def package_version(name: str) -> str | None:
    """The installed version of a peer, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def commit() -> str:
    """The commit that is measured."""
    return _git("rev-parse", "--short=12", "HEAD") or "unknown"


@cache
def dirty() -> bool:
    """Whether the tree differs from that commit, but for what benchmarks write."""
    return bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{path}" for path in WRITTEN)))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
