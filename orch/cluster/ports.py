"""Free ports for our own servers, outside the system's ephemeral range and the agents' 31000 to 31999."""

from __future__ import annotations

import random
import socket

from orch.model.errors import OrchError

_LOW, _HIGH = 12_000, 30_000


def is_free(port: int, host: str = "") -> bool:
    """Whether a server could listen on it now (on all addresses, unless one is given)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a port of just now would count as taken
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_block(size: int, tries: int = 200) -> int:
    """The first of `size` free ports in a row. Raises OrchError."""
    draw = random.SystemRandom()
    for _ in range(tries):
        first = draw.randrange(_LOW, _HIGH - size)
        if all(is_free(port) for port in range(first, first + size)):
            return first
    raise OrchError(f"no {size} free ports in a row between {_LOW} and {_HIGH}; what is using them all?")
