"""Pods onto agents: shapes and demands in, assignments and reasons out.

`Cluster.match` places, `Why` says why not, `commit` and `release` keep the master's books. The loops are compiled
(`orch/_placement.pyx`); `reference.py` is the plain scan that every answer equals. `GpuCluster` places on agents with
GPU devices (`orch/_gpus.pyx`), and `reference_gpus.py` is its plain scan.
"""

from __future__ import annotations

from orch.placement.cluster import DRAINING, Cluster, Policy, explain
from orch.placement.commit import Books, by_agent, commit, release
from orch.placement.demand import POLICIES, Demand
from orch.placement.errors import ShapeError
from orch.placement.gpu_shapes import GpuShapes
from orch.placement.gpus import GPU_POLICIES, GpuCluster, GpuMatch, GpuPolicy
from orch.placement.match import Match
from orch.placement.mix import Mix
from orch.placement.reason import SENTENCES, Reason
from orch.placement.rules import OPERATORS, RULES_MOST, Rule, Rules
from orch.placement.shapes import Shapes
from orch.placement.victims import Candidates, Places, take_places
from orch.placement.why import PREDICATES, AgentNames, Change, Nearest, RuledOut, Why, why_of

__all__ = [
    "DRAINING",
    "GPU_POLICIES",
    "OPERATORS",
    "POLICIES",
    "PREDICATES",
    "RULES_MOST",
    "SENTENCES",
    "AgentNames",
    "Books",
    "Candidates",
    "Change",
    "Cluster",
    "Demand",
    "GpuCluster",
    "GpuMatch",
    "GpuPolicy",
    "GpuShapes",
    "Match",
    "Mix",
    "Nearest",
    "Places",
    "Policy",
    "Reason",
    "Rule",
    "RuledOut",
    "Rules",
    "ShapeError",
    "Shapes",
    "Why",
    "by_agent",
    "commit",
    "explain",
    "release",
    "take_places",
    "why_of",
]
