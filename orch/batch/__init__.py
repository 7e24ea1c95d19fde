"""The built-in framework for work that ends: jobs of one pod or of millions, kept as columns.

`Batch` is a machine. It asks the master for room (`Demand`), matches its pods onto what is offered and accepts, as any
other framework would.
"""

from __future__ import annotations

from orch.batch.machine import Batch

__all__ = ["Batch"]
