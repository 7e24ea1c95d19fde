"""The work that every peer does: one shell, one line of output, one exit code."""

from __future__ import annotations

COMMAND = "echo $ORCH_INDEX; exit $((ORCH_INDEX % 7))"


def output(index: int) -> bytes:
    """What pod `index` must print."""
    return b"%d\n" % index


def exit_code(index: int) -> int:
    """The code pod `index` must exit with."""
    return index % 7
