"""Whose turn it is, and how much each may take: the tree of groups, weighted dominant shares, headroom."""

from __future__ import annotations

from orch.allocator.headroom import Wanted, headroom
from orch.allocator.shares import SCALE, shares, turns
from orch.allocator.tree import MAX_DEPTH, Tree
from orch.allocator.waterfill import fill

__all__ = ["MAX_DEPTH", "SCALE", "Tree", "Wanted", "fill", "headroom", "shares", "turns"]
