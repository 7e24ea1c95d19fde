"""The one deciding machine: which agents there are, what is free, who is offered it, and what runs where."""

from __future__ import annotations

from orch.master.master import Master

__all__ = ["Master"]
