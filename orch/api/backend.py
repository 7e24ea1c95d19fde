"""What the API needs of the process it runs in: a way to the machines, and a replica that follows them.

The gateway process implements `Backend` over Ray; the tests do over machines in the same process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from orch.api.follower import Follower


@dataclass(frozen=True, slots=True)
class Answer:
    """What a machine replied. index: the journal's at that time, 0 if not known; the reply's facts are in it."""

    body: Any
    index: int = 0


class Backend(Protocol):
    """Implemented by whoever runs the app. All of it is used from one event loop."""

    follower: Follower
    """Holds the replica; the backend gives it every record of the feed (`apply`) and every new image (`reset`)."""

    async def call(self, machine: str, request: Any) -> Answer:
        """Give a request record (model/requests.py) to a machine; answers once its facts are durable.

        Raises the `OrchError` of an error reply, and UnavailableError where the machines can't be reached: then it is
        not known whether the request was taken, and it may be sent again with the same key.
        """
        ...

    def info(self) -> dict[str, Any]:
        """What `/v2/info::orch` tells besides what the API knows: `{"cluster": id, "ray": ..., "data_dir": ...}`."""
        ...

    async def spans(self, since: float) -> dict[str, Any]:
        """What each process was at after `since` (runtime/spans.py): `{process: [(what, began, ended), ...]}`."""
        ...

    async def join(self, node: str) -> dict[str, Any]:
        """What a machine needs to become a node of this cluster (`/internal/join`): plain data, secrets included."""
        ...
