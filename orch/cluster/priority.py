"""Which of our processes the machine runs first. The API's goes before pods, where we may say so."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

AHEAD = 10
"""By niceness. With it the API's slowest answers on a full machine took a half of the time."""
_SESSION = Path("/proc/self/autogroup")
"""Linux weighs sessions against each other by this, where it is there, and then processes only within one."""


def ahead() -> bool:
    """This process, which leads a session, comes before others of the usual niceness; False where we may not."""
    try:
        os.nice(-AHEAD)
    except PermissionError:
        return False
    with contextlib.suppress(OSError):
        _SESSION.write_text(str(-AHEAD))
    return True


def as_others() -> None:
    """Undo `ahead`, before a process is started that is not to inherit it."""
    os.nice(AHEAD)
    with contextlib.suppress(OSError):
        _SESSION.write_text("0")
