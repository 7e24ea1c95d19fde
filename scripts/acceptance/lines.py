"""One line of the acceptance report, and what a check is given to make it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Line:
    """One figure and its target. `detail` says what a person needs to understand a failure."""

    name: str
    figure: str
    target: str
    passed: bool
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def last_line(self) -> str:
        """The last line on stdout that is not empty, or nothing."""
        lines = [line for line in self.stdout.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def tail(self, lines: int = 20) -> str:
        """The end of what it printed, for a failed line."""
        return "\n".join([*self.stdout.splitlines()[-lines:], *self.stderr.splitlines()[-lines:]])


@dataclasses.dataclass
class Context:
    """What every check is given: a folder of its own, and the way to run a command."""

    folder: Path
    python: str
    verbose: Callable[[str], None]

    def run(
        self,
        command: list[str],
        *,
        seconds: float,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
        stdin: str = "",
    ) -> Done:
        """Run a command to its end, or kill it (with what it started) after `seconds`: then its code is 124."""
        self.verbose("$ " + " ".join(command))
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=clean_environ() if env is None else env, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(stdin, timeout=seconds)
            code = process.returncode
        except subprocess.TimeoutExpired as late:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            out, err = text_of(late.output), f"{text_of(late.stderr)}\nkilled after {seconds:g} s"
            code = 124
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return Done(code, out, err, time.monotonic() - begun)


@dataclasses.dataclass(frozen=True)
class Check:
    """A function that yields lines, under a name by which it can be chosen."""

    name: str
    run: Callable[[Context], Iterator[Line]]


def text_of(printed: bytes | str | None) -> str:
    """What a command printed before it was killed."""
    return printed.decode(errors="replace") if isinstance(printed, bytes) else printed or ""


def clean_environ() -> dict[str, str]:
    """The environment without the settings of another cluster, of orch, of Ray, and without the words for this make."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("ORCH_", "RAY_", "MAKE", "MFLAGS", "ARGS"))}


def parsed(text: str) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def rows(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of a text."""
    return [row for line in text.splitlines() if (row := parsed(line))]


def at_most(name: str, figure: float | None, limit: float, unit: str, detail: str = "") -> Line:
    """A line whose figure must not pass a limit."""
    return _bounded(name, figure, f"at most {limit:g} {unit}", figure is not None and figure <= limit, unit, detail)


def at_least(name: str, figure: float | None, limit: float, unit: str, detail: str = "") -> Line:
    """A line whose figure must reach a limit."""
    return _bounded(name, figure, f"at least {limit:g} {unit}", figure is not None and figure >= limit, unit, detail)


def _bounded(name: str, figure: float | None, target: str, passed: bool, unit: str, detail: str) -> Line:
    said = "none" if figure is None else f"{figure:.4g} {unit}"
    return Line(name, said, target, passed, "" if passed else detail)


def holds(name: str, passed: bool, figure: str, target: str, detail: str = "") -> Line:
    """A line about a fact that is true or not."""
    return Line(name, figure, target, passed, "" if passed else detail)
