"""Which faults a seed has, and how often. Each seed draws its own mix, so that rare combinations come up."""

from __future__ import annotations

from dataclasses import dataclass

from orch.sim.world import World


@dataclass(frozen=True)
class Faults:
    """Probabilities and delays of one run."""

    loss: float
    double: float
    delay_ms: int
    partition: float
    """Chance a second and agent that its link goes down for a while, in one direction or both."""
    master_crash: float
    """Chance a second that the master's process dies."""
    supervisor_kill: float
    """Chance a second and agent that its supervisor is killed: services live on, jobs are lost."""
    power_cut: float
    """Chance a second and agent that the machine loses power: everything on it ends."""
    take_down: float
    """Chance a second and agent that the machine is taken down in order, and comes back."""
    fsync_ms: int


NONE = Faults(0, 0, 5, 0, 0, 0, 0, 0, 2)


def draw(world: World) -> Faults:
    """The mix of this world's seed."""
    dice = world.dice
    return Faults(
        loss=dice.choice([0.0, 0.02, 0.2]),
        double=dice.choice([0.0, 0.1]),
        delay_ms=dice.choice([5, 50, 1_500]),
        partition=dice.choice([0.0, 0.02]),
        master_crash=dice.choice([0.0, 0.02, 0.1]),
        supervisor_kill=dice.choice([0.0, 0.01]),
        power_cut=dice.choice([0.0, 0.01]),
        take_down=dice.choice([0.0, 0.01]),
        fsync_ms=dice.choice([1, 20, 200]),
    )
