"""The work that every peer does: one shell, one line of output, one exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from orch.node.procfs import pids, stat_of

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
    with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", module, str(n)]
        environment = {**os.environ, "TMPDIR": folder}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        ) as peer:
            try:
                printed, said = peer.communicate()
            finally:
                _end(peer.pid)
    if peer.returncode != 0:
        raise subprocess.CalledProcessError(peer.returncode, command, printed, said)
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return float(result["per_s"]), bool(result["right"])


def _end(session: int) -> None:
    """Kill what is left of a session. Ray's processes write their titles over their environment: no mark finds them."""
    for pid in pids():
        stat = stat_of(pid)
        if stat is not None and stat.session == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
