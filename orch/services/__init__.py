"""The built-in framework for what goes on: apps and pods kept at n copies.

`Services` is a machine. It asks the master for room (`Demand`), matches what is missing onto what is offered and
accepts, as any other framework would.
"""

from __future__ import annotations

from orch.services.machine import Services

__all__ = ["Services"]
