"""The resource columns: which dimensions exist, in which order and in which unit.

Every array of resources in orch is int32 or int64 with these columns, in this order. Fixed point, because
floats would make a placement depend on the machine that computed it.
"""

from __future__ import annotations

from collections.abc import Sequence

CPUS, MEM, DISK, GPUS, PORTS = range(5)

RESOURCES: tuple[str, ...] = ("cpus_milli", "mem_mib", "disk_mib", "gpus_milli", "ports")
"""Column names; the unit is the name's last word (ports are a count)."""

NAMES: tuple[str, ...] = ("cpus", "mem", "disk", "gpus", "ports")
"""The same columns as users and the wire format name them."""

R = len(RESOURCES)
_MILLI = (True, False, False, True, False)


def to_user(column: int, amount: int) -> float | int:
    """What a user would write for `amount` of a column: 100 milli-CPU -> 0.1; MiB and ports stay integers."""
    if not _MILLI[column]:
        return int(amount)
    whole, milli = divmod(int(amount), 1000)
    return whole if milli == 0 else amount / 1000


def to_sentence(column: int, amount: int) -> str:
    """One amount for people: `cpus 0.1`, `mem 64 MiB`, `ports 3`."""
    unit = " MiB" if column in (MEM, DISK) else ""
    return f"{NAMES[column]} {to_user(column, amount)}{unit}"


def to_dict(amounts: Sequence[int]) -> dict[str, float | int]:
    """All columns by user's name and unit: `{"cpus": 0.1, "mem": 64, "disk": 0, "gpus": 0, "ports": 1}`."""
    return {NAMES[column]: to_user(column, int(amounts[column])) for column in range(R)}
