"""As whom the pods of a map run: as the caller, where nobody else may read the caller's Python."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import pytest

from orch.client import own_python


@pytest.mark.parametrize(
    ("folder", "file", "readable"),
    [(0o755, 0o644, True), (0o711, 0o604, True), (0o700, 0o644, False), (0o755, 0o640, False)],
)
def test_what_others_may_read(tmp_path_factory: pytest.TempPathFactory, folder: int, file: int, readable: bool) -> None:
    base = Path("/tmp", f"orch-own-{tmp_path_factory.mktemp('x').name}-{folder:o}-{file:o}")
    base.mkdir()
    try:
        inside = base / "python"
        inside.write_text("")
        inside.chmod(file)
        base.chmod(folder)
        assert own_python.open_to_all(inside) is readable
    finally:
        base.chmod(0o700)
        inside.unlink()
        base.rmdir()


def test_a_closed_python_is_run_by_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "python"
    closed.write_text("")
    closed.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(closed))
    assert own_python.user() == getpass.getuser()
