"""Which machines run in the master's process. The gateway's replica is made of the same."""

from __future__ import annotations

from typing import Any

from orch.batch import Batch
from orch.machine.machine import Machine
from orch.master import Master
from orch.services import Services


def make_machines(settings: dict[str, Any] | None = None) -> list[Machine]:
    """Fresh machines, in the order in which they subscribe. settings: `{"master": {keyword: value}}` and so on."""
    settings = settings or {}
    return [
        Master(**settings.get("master", {})),
        Services(**settings.get("services", {})),
        Batch(**settings.get("batch", {})),
    ]
