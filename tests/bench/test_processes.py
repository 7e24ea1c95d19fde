"""Processes of a cluster are counted whether they keep their environment or not."""

from __future__ import annotations

import os
import signal
import subprocess

from bench.processes import with_environment


def test_a_process_that_lost_its_mark_is_found_by_its_session() -> None:
    leader = subprocess.Popen(
        ["/bin/sh", "-c", "env -i sleep 60 & echo $!; wait"],
        env={**os.environ, "ORCH_BENCH": "test-mark"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    try:
        assert with_environment("ORCH_BENCH=test-mark") == sorted([leader.pid, child])
        assert with_environment("ORCH_BENCH=test-mar") == []
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.communicate()
