"""The caller's own Python, as the pods of a `map` start it: the command, what it needs, and as whom."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_READ, _PASS = stat.S_IROTH, stat.S_IXOTH


def command(module: str) -> list[str]:
    """Runs a module of ours."""
    return [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """What it needs to find `orch`, where that is not installed but imported from a folder."""
    return {} if _ROOT.name in ("site-packages", "dist-packages") else {"PYTHONPATH": str(_ROOT)}


def user() -> str | None:
    """The caller's name where other users may not read this Python or `orch`; None where they may.

    Under root the pods of each group have a uid of their own, which could not start it then.
    """
    needed = (Path(sys.executable), Path(os.__file__), _ROOT / "orch")
    if all(open_to_all(path.resolve()) for path in needed):
        return None
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def open_to_all(path: Path) -> bool:
    """Whether every user may read a file (or list a folder) and pass through all folders above it."""
    wanted = _READ | _PASS if path.is_dir() else _READ
    return path.stat().st_mode & wanted == wanted and all(folder.stat().st_mode & _PASS for folder in path.parents)
