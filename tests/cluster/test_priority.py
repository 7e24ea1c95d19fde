"""What goes first on a full machine: tried in a process of its own, which leads a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from orch.cluster.priority import AHEAD

ASK = """
import json, os
from orch.cluster.priority import ahead, as_others
found = [ahead(), os.nice(0)]
if found[0]:
    as_others()
print(json.dumps([*found, os.nice(0)]))
"""


def test_the_api_goes_first_where_we_may_say_so_and_its_children_do_not() -> None:
    usual = os.nice(0)
    asked = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=30, start_new_session=True
    )
    may, first, after = json.loads(asked.stdout)
    assert first == (max(usual - AHEAD, -20) if may else usual)
    if may and usual - AHEAD >= -20:
        assert after == usual
