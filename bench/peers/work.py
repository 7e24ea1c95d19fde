"""The work that every peer does: one shell, one line of output, one exit code."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from typing import Any

from bench.processes import with_environment

COMMAND = "echo $ORCH_INDEX; exit $((ORCH_INDEX % 7))"


def output(index: int) -> bytes:
    """What pod `index` must print."""
    return b"%d\n" % index


def exit_code(index: int) -> int:
    """The code pod `index` must exit with."""
    return index % 7


def ask(module: str, n: int) -> tuple[float, bool]:
    """(launches a second, all right) of n commands by `python -m module n`, which prints `{per_s, right}` as JSON.

    However it ends, none of its processes and files stay behind.
    """
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "ORCH_BENCH": mark, "TMPDIR": folder}
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, str(n)], capture_output=True, text=True, check=True, env=environment
            )
        finally:
            for pid in with_environment(f"ORCH_BENCH={mark}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return float(result["per_s"]), bool(result["right"])
