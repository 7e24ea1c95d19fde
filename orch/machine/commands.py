"""What a machine may ask for. Commands are data; whoever hosts the machine carries them out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Journal:
    """Keep this fact for good. It has been applied already; everything later waits until it is durable."""

    fact: Any


@dataclass(frozen=True, slots=True)
class Publish:
    """Show this fact to followers, and do not keep it: it is rebuilt from the agents after a restart."""

    fact: Any


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message: to a machine of the same host by its name, else out (`agent/NAME`, `framework/NAME`)."""

    to: str
    message: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the request with this id: `body` is plain data, or `error` an error body (`OrchError.to_dict()`)."""

    request: str
    body: Any = None
    error: dict[str, Any] | None = None


Command = Any
"""One of the above, or a command of the machine's own shell (the agent's `Start`, `Stop`, ...)."""
