"""What a simulated command does, written in its command line: `sim run=500 code=%7 flaky=1`.

run: ms until it ends by itself (0: never), each pod a little longer than the one before. code: the exit code, or `%n`
for its index modulo n. flaky: attempts up to this one end with 1 instead. stubborn: it ignores SIGTERM.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """How one process of a command goes."""

    run_ms: int
    exit_code: int
    stubborn: bool


def of(command: str, index: int, attempt: int) -> Behaviour:
    """The behaviour of a command's pod."""
    words = dict(word.partition("=")[::2] for word in command.split()[1:])
    run_ms = int(words.get("run", "100"))
    code = words.get("code", "0")
    exit_code = index % int(code[1:]) if code.startswith("%") else int(code)
    if attempt <= int(words.get("flaky", "0")):
        exit_code = 1
    return Behaviour(run_ms and run_ms + index % 5, exit_code, "stubborn" in words)
