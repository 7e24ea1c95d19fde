"""A log line is one line, and says who wrote it."""

from __future__ import annotations

import pytest

from orch.runtime import logs


def test_a_line_has_the_time_the_process_and_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway")
    logs.get_logger("orch.test").info("it is up", url="http://x", note="two words\nand a line", empty="")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("timestamp=20")
    assert 'level=info process=gateway part=orch.test event="it is up" url=http://x' in line
    assert line.endswith('note="two words\\nand a line" empty=""\n')


def test_an_exception_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.get_logger("orch.test")
    try:
        raise ValueError("so it is")
    except ValueError as error:
        log.error("it failed", exc_info=True, error=error)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith('event="it failed" error="so it is"')
    assert rest[-1] == "ValueError: so it is"
