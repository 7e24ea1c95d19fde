"""What every test shares. Fixtures of one room are in that room's own conftest.py."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
from hypothesis.database import DirectoryBasedExampleDatabase

pytest_plugins = ["tests.gates"]

# No deadline: a busy machine is no bug. Where CI is set every run draws the same examples.
hypothesis.settings.register_profile(
    "orch",
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    database=None if "CI" in os.environ else DirectoryBasedExampleDatabase(Path(".cache/hypothesis")),
)
hypothesis.settings.load_profile("orch")
