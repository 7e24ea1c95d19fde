"""What importing the specs costs, and what the package says of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orch.model import specs


def test_templates_load_without_pydantic_and_yaml() -> None:
    code = (
        "import sys, orch, orch.model.specs, orch.model.specs.template, orch.client.specs; "
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'yaml', 'numpy', 'msgpack')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    assert all(getattr(specs, name) is not None for name in specs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'parse_group'"):
        specs.parse_group
