"""A world for the tests of the clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two agents with 4 CPUs and 8 GiB each."""
    with World(tmp_path) as running:
        yield running
