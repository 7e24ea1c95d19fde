"""The Python API: `connect()` gives a `Cluster`, which runs services and jobs over HTTP. `orch.aio` is its twin.

Nothing but the standard library is loaded before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orch.client.cluster import Cluster, connect
    from orch.client.instance import Instance
    from orch.client.job import Job
    from orch.client.service import Service
    from orch.client.why import Why

_HOMES = {
    "Cluster": "cluster",
    "Instance": "instance",
    "Job": "job",
    "Service": "service",
    "Why": "why",
    "connect": "cluster",
}

__all__ = ["Cluster", "Instance", "Job", "Service", "Why", "connect"]


def __getattr__(name: str) -> Any:
    """Load a part on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
