"""A cluster in this process for the commands, where a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import TOKEN, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two agents of 4 CPUs; the commands find it by their environment."""
    with World(tmp_path / "world") as made:
        token = tmp_path / "token"
        token.write_text(TOKEN)
        monkeypatch.setenv("ORCH_ADDRESS", made.url)
        monkeypatch.setenv("ORCH_TOKEN_FILE", str(token))
        monkeypatch.setenv("ORCH_DATA_DIR", str(tmp_path / "none"))
        yield made
