"""From the numbers that people write to the whole numbers that machines count with, exactly.

A float is taken as the decimal that is written, so that 0.1 is a tenth and 1.001 CPUs are 1001 thousandths.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal


def milli(value: float) -> int:
    """Thousandths, to the nearest: seconds to milliseconds, a factor to its thousandths."""
    return int((Decimal(repr(value)) * 1000).to_integral_value(ROUND_HALF_EVEN))


def micro(value: float) -> int:
    """Millionths, to the nearest."""
    return int((Decimal(repr(value)) * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


def milli_up(value: float) -> int:
    """Thousandths, never less than what was asked: CPUs to milli-CPUs."""
    return int((Decimal(repr(value)) * 1000).to_integral_value(ROUND_CEILING))


def whole_up(value: float) -> int:
    """The next whole number: MiB."""
    return int(Decimal(repr(value)).to_integral_value(ROUND_CEILING))


def request(rows: Iterable[tuple[int, int, int, int, int]]) -> tuple[int, int, int, int, int]:
    """The sum of containers' (cpus_milli, mem_mib, disk_mib, gpus_milli, ports); at least one milli-CPU."""
    cpus, mem, disk, gpus, ports = 0, 0, 0, 0, 0
    for row in rows:
        cpus, mem, disk, gpus, ports = cpus + row[0], mem + row[1], disk + row[2], gpus + row[3], ports + row[4]
    return max(cpus, 1), mem, disk, gpus, ports
