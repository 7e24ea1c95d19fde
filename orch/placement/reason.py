"""Why a pod was not placed, or an accepted row not committed: one code, a uint8 in columns."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Codes of `Match.reason` and of the verdicts of `commit`. TOO_FEW_CPUS + d is the resource column d."""

    PLACED = 0
    NO_AGENTS = 1
    NOT_USABLE = 2
    CONSTRAINT = 3
    GANG = 4
    HEADROOM = 5
    QUOTA = 6
    STALE_SESSION = 7
    UNKNOWN_AGENT = 8
    STILL_THERE = 9
    DRAINING = 10
    RESERVED = 11
    NO_VICTIMS = 12
    TOO_FEW_CPUS = 16
    TOO_FEW_MEM = 17
    TOO_FEW_DISK = 18
    TOO_FEW_GPUS = 19
    TOO_FEW_PORTS = 20
    TOO_FEW_OF_5 = 21
    TOO_FEW_OF_6 = 22
    TOO_FEW_OF_7 = 23


SENTENCES: dict[Reason, str] = {
    Reason.PLACED: "placed",
    Reason.NO_AGENTS: "the cluster has no agents",
    Reason.NOT_USABLE: "the agents are drained or unreachable",
    Reason.CONSTRAINT: "its constraints rule the agents out",
    Reason.GANG: "its gang does not fit as a whole",
    Reason.HEADROOM: "its group's headroom is used up",
    Reason.QUOTA: "it would pass the quota of its group or of one above it",
    Reason.STALE_SESSION: "the agent has registered again since it was offered",
    Reason.UNKNOWN_AGENT: "there is no such agent",
    Reason.STILL_THERE: "an earlier attempt of it has not ended",
    Reason.DRAINING: "the agents are draining",
    Reason.RESERVED: "what is free is reserved for others",
    Reason.NO_VICTIMS: "no pods of lower priority could make room for it",
    Reason.TOO_FEW_CPUS: "no agent has enough cpus free",
    Reason.TOO_FEW_MEM: "no agent has enough mem free",
    Reason.TOO_FEW_DISK: "no agent has enough disk free",
    Reason.TOO_FEW_GPUS: "no agent has enough gpus free",
    Reason.TOO_FEW_PORTS: "no agent has enough ports free",
    Reason.TOO_FEW_OF_5: "no agent has enough of resource 5 free",
    Reason.TOO_FEW_OF_6: "no agent has enough of resource 6 free",
    Reason.TOO_FEW_OF_7: "no agent has enough of resource 7 free",
}
"""One sentence a code. `Why` has the particulars."""
