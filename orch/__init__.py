"""orch: a datacenter operating system in Python. Pods, services and large batches on one cluster.

    with orch.local(agents=2) as cluster:          # or orch.connect() for one that runs
        service = cluster.run(orch.Pod("/demo/web", containers=[...]), instances=3)
        job = cluster.submit("/demo/hello", cmd="echo $ORCH_INDEX", count=10)
        job.wait(progress=True)

Importing this loads nothing but itself: parts load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from orch import aio
    from orch.client.cluster import Cluster, connect
    from orch.client.instance import Instance
    from orch.client.job import Job
    from orch.client.mapper import MapError
    from orch.client.service import Service
    from orch.client.specs import (
        CommandCheck,
        Container,
        Endpoint,
        HttpCheck,
        Mount,
        Pod,
        TcpCheck,
        Volume,
    )
    from orch.client.why import Why
    from orch.cluster.embedded import local
    from orch.model.errors import (
        ConflictError,
        DeniedError,
        ExpiredError,
        NotFoundError,
        OrchError,
        SpecError,
        TimeoutExceededError,
        TooLargeError,
        TooManyError,
        UnauthenticatedError,
        UnavailableError,
        UnplaceableError,
        UsageError,
    )
    from orch.model.reasons import Reason
    from orch.model.states import State

__all__ = [
    "Cluster",
    "CommandCheck",
    "ConflictError",
    "Container",
    "DeniedError",
    "Endpoint",
    "ExpiredError",
    "HttpCheck",
    "Instance",
    "Job",
    "MapError",
    "Mount",
    "NotFoundError",
    "OrchError",
    "Pod",
    "Reason",
    "Service",
    "SpecError",
    "State",
    "TcpCheck",
    "TimeoutExceededError",
    "TooLargeError",
    "TooManyError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnplaceableError",
    "UsageError",
    "Volume",
    "Why",
    "__version__",
    "aio",
    "connect",
    "local",
]

_HOMES = {
    "orch.client.cluster": ("Cluster", "connect"),
    "orch.client.instance": ("Instance",),
    "orch.client.job": ("Job",),
    "orch.client.mapper": ("MapError",),
    "orch.client.service": ("Service",),
    "orch.client.specs": ("CommandCheck", "Container", "Endpoint", "HttpCheck", "Mount", "Pod", "TcpCheck", "Volume"),
    "orch.client.why": ("Why",),
    "orch.cluster.embedded": ("local",),
    "orch.model.reasons": ("Reason",),
    "orch.model.states": ("State",),
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, and keep it."""
    from importlib import import_module

    if name == "aio":
        return import_module("orch.aio")
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(import_module(home), name)
            break
    else:
        if not name.endswith("Error") or name not in __all__:
            raise AttributeError(f"module 'orch' has no attribute {name!r}")
        found = getattr(import_module("orch.model.errors"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, also those not loaded yet."""
    return sorted({*globals(), *__all__})
