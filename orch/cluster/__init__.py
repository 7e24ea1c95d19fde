"""Where a cluster is put together: up, down, join, local, status, and the gateway's and the supervisor's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orch.cluster.bring_up import up
    from orch.cluster.embedded import local
    from orch.cluster.join_cluster import join
    from orch.cluster.look import status
    from orch.cluster.take_down import down

__all__ = ["down", "join", "local", "status", "up"]

_MODULES = {
    "down": "take_down",
    "join": "join_cluster",
    "local": "embedded",
    "status": "look",
    "up": "bring_up",
}


def __getattr__(name: str) -> Any:
    """Loaded at first use: the command line must start quickly."""
    if name not in _MODULES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"orch.cluster.{_MODULES[name]}"), name)
