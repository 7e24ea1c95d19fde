"""What `cython -a` says of the kernel: nothing between `nogil` and its end touches an object of Python.

Every loop over agents, pods or shapes lies there; the loops outside of it go over what the caller gave, a few at most.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import orch

SOURCES = Path(orch.__file__).parent
ROW = re.compile(r"<pre class=\"cython line score-(\d+)\"[^>]*>.*?(\d+)(?:</span>)?: ")


@pytest.mark.parametrize("module", ["_placement", "_gpus"])
def test_hot_loops_touch_no_object(module: str, tmp_path: Path) -> None:
    for file in SOURCES.glob("_*.[hp]*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "__init__.py").touch()
    command = [sys.executable, "-m", "cython", "-3", "-a", f"{module}.pyx"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    scores = {int(number): int(score) for score, number in ROW.findall((tmp_path / f"{module}.html").read_text())}
    lines = (SOURCES / f"{module}.pyx").read_text().splitlines()
    assert len(scores) == len(lines), "the page has another form than this test reads"
    without = _without_python(lines)
    assert any(lines[number - 1].lstrip().startswith("for ") for number in without), "no loop is found"
    touched = [f"{number}: {lines[number - 1].strip()}" for number in without if scores[number]]
    assert not touched, "these touch objects of Python"


def _without_python(lines: list[str]) -> list[int]:
    """Numbers of the lines inside of `nogil`, from 1; those of a `with gil` within it are left out."""
    found, blocks = [], [(-1, False)]
    for number, line in enumerate(lines, 1):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text or text.startswith("#"):
            continue
        while indent <= blocks[-1][0] and not text.startswith(")"):
            blocks.pop()
        if blocks[-1][1]:
            found.append(number)
        if text == "with gil:":
            blocks.append((indent, False))
            found.remove(number)
        elif text == "with nogil:" or (text.endswith("nogil:") and "extern" not in text):
            blocks.append((_start_of(lines, number), True))
    return found


def _start_of(lines: list[str], number: int) -> int:
    """The indent of the statement whose last line this is."""
    while not lines[number - 1].lstrip().startswith(("with nogil", "cdef", "cpdef")):
        number -= 1
    line = lines[number - 1]
    return len(line) - len(line.lstrip())
