"""Logs of our own processes: one line of `key=value` per event, on stderr.

The actors and the supervisor's start have a small writer of their own: structlog loads rich, which costs every worker
of Ray a tenth of a second and some MiB. What is logged through structlog (by api and node) looks the same.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any

_process = ""


class Log:
    """Writes events of one part of the program: `log.info("what happened", key=value)`."""

    def __init__(self, part: str) -> None:
        self._part = part

    def info(self, event: str, **fields: Any) -> None:
        """What is good to know later."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What should not happen often."""
        self._write("warning", event, fields)

    def error(self, event: str, exc_info: bool = False, **fields: Any) -> None:
        """What should not happen. exc_info: with the exception that is being handled."""
        self._write("error", event, fields, exc_info)

    def critical(self, event: str, exc_info: bool = False, **fields: Any) -> None:
        """What the process does not survive."""
        self._write("critical", event, fields, exc_info)

    def _write(self, level: str, event: str, fields: dict[str, Any], exc_info: bool = False) -> None:
        now = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1e6):06d}Z"
        known = {"timestamp": stamp, "level": level, "process": _process, "part": self._part, "event": event}
        line = " ".join(f"{key}={_word(value)}" for key, value in (known | fields).items())
        trace = traceback.format_exc() if exc_info else ""
        sys.stderr.write(f"{line}\n{trace}")
        sys.stderr.flush()


def get_logger(part: str) -> Log:
    """A writer for one part of the program (`orch.runtime`, `orch.gateway`)."""
    return Log(part)


def configure(process: str) -> None:
    """Call once at the start of a process; `process` is in every line."""
    global _process
    _process = process


def configure_structlog(process: str) -> None:
    """For processes that run parts which log through structlog."""
    import logging

    import structlog

    structlog.configure(
        processors=[
            lambda logger, method, event: {"process": process, **event},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "process", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _word(value: Any) -> str:
    """Quoted where it would not be one word."""
    text = str(value)
    plain = text and not any(sign in text for sign in ' ="\n\t')
    return text if plain else json.dumps(text, ensure_ascii=False)
