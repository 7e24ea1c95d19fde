"""The plain scan that `GpuCluster` equals: every agent is looked at for every pod. Lists and ints, no numpy.

It is the oracle of the tests and the shortest statement of the rules, and shares nothing with the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MILLI = 1000
WHOLE = 1 << 20


@dataclass(slots=True)
class Agent:
    """What is free on one agent: CPU milli, memory MiB, milli of each device; and the model of its devices."""

    cpu: int
    memory: int
    devices: list[int]
    model: int


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod asks for; also a kind of the usual mix, whose memory does not matter."""

    cpu: int
    memory: int
    milli: int
    number: int
    models: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy: see `orch.placement.gpus.Weights`. Pulls are per unit left; steps may be empty.

    rare: weight of the mix; left is found anew for each device.
    """

    one: int
    fill: int
    gap: int
    pull_cpu: int
    pull_gpu: int
    steps: Sequence[int] = ()
    rare: int = 0


Kinds = Sequence[tuple[Pod, int]]


def able(agent: Agent, kind: Pod) -> list[int]:
    """The devices of an agent that a pod could use, memory apart; [] where it could not run."""
    if kind.number == 0 or not kind.models >> agent.model & 1 or agent.cpu < kind.cpu:
        return []
    enough = [d for d, free in enumerate(agent.devices) if free >= kind.milli]
    return enough if len(enough) >= kind.number else []


def fits(agent: Agent, pod: Pod) -> bool:
    """Does the agent hold the pod now?"""
    if agent.cpu < pod.cpu or agent.memory < pod.memory:
        return False
    return pod.number == 0 or bool(able(agent, pod))


def waste(agent: Agent, kinds: Kinds) -> int:
    """FGD's measure: the idle milli that each kind could not use, weighted. A kind without a device can use none."""
    amount = 0
    for kind, weight in kinds:
        devices = able(agent, kind)
        amount += weight * (sum(agent.devices) - sum(agent.devices[d] for d in devices))
    return amount


def leftover(agent: Agent, kinds: Kinds) -> int:
    """The idle milli after as many pods of a kind as the agent holds, weighted; kinds without a device are left out."""
    amount = 0
    for kind, weight in kinds:
        if kind.number == 0:
            continue
        devices = able(agent, kind)
        pods = len(devices) // kind.number
        if kind.number == 1:
            pods = sum(agent.devices[d] // kind.milli for d in devices)
        while pods * kind.cpu > agent.cpu:
            pods -= 1
        amount += weight * max(sum(agent.devices) - pods * kind.number * kind.milli, 0)
    return amount


def gaps(agent: Agent, kinds: Kinds, rare: int) -> int:
    """What shares of a device leave of each, chosen to leave least; a rare kind counts with a part of its milli."""
    weight: dict[int, int] = {}
    for kind, one in kinds:
        if kind.number == 1 and one:
            weight[kind.milli] = weight.get(kind.milli, 0) + one
    filled = [0]
    for free in range(1, MILLI + 1):
        amounts = [milli * (WHOLE * one // (one + rare)) + filled[free - milli]
                   for milli, one in weight.items() if milli <= free]  # fmt: skip
        filled.append(max([filled[-1], *amounts]))
    return sum(WHOLE * free - filled[free] for free in agent.devices)


def value(agent: Agent, rule: Rule, kinds: Kinds) -> int:
    """What idles for nothing, as the policy weighs it."""
    amount = rule.one * waste(agent, kinds) + rule.fill * leftover(agent, kinds)
    return amount + rule.gap * gaps(agent, kinds, rule.rare) if rule.gap else amount


def tightest(agent: Agent, pod: Pod) -> tuple[int, ...]:
    """The devices with the least beyond the request; ties: the first."""
    enough = [d for d, free in enumerate(agent.devices) if free >= pod.milli]
    return tuple(sorted(enough, key=lambda d: agent.devices[d])[: pod.number])


def choices(agent: Agent, pod: Pod) -> list[tuple[int, ...]]:
    """The sets of devices that are tried: each one for a share of a device, else the tightest."""
    if pod.number == 1 and pod.milli < MILLI:
        return [(d,) for d, free in enumerate(agent.devices) if free >= pod.milli]
    return [tightest(agent, pod)]


def charge(agent: Agent, pod: Pod, devices: Sequence[int], sign: int = 1) -> None:
    """Take what the pod asks for, or with sign -1 give it back."""
    agent.cpu -= sign * pod.cpu
    agent.memory -= sign * pod.memory
    for device in devices:
        agent.devices[device] -= sign * pod.milli


def best(agent: Agent, pod: Pod, rule: Rule, kinds: Kinds) -> tuple[int, tuple[int, ...]]:
    """(score, devices) of the best set of devices; ties: the first."""
    valued = rule.one or rule.fill or rule.gap
    found: list[tuple[int, tuple[int, ...]]] = []
    before = value(agent, rule, kinds)
    for devices in choices(agent, pod) if valued else [tightest(agent, pod)]:
        charge(agent, pod, devices)
        decrease = before - value(agent, rule, kinds)
        score = sum(step <= decrease for step in rule.steps) if rule.steps else decrease
        score = score if valued else 0
        score -= rule.pull_cpu * agent.cpu + rule.pull_gpu * sum(agent.devices)
        charge(agent, pod, devices, -1)
        found.append((score, devices))
    return max(found, key=lambda one: one[0])


def place(agents: list[Agent], pods: Sequence[Pod], rule: Rule, kinds: Kinds) -> list[tuple[int, tuple[int, ...]]]:
    """(agent or -1, devices) per pod, one pod after the other. The agents are charged in place."""
    answer: list[tuple[int, tuple[int, ...]]] = []
    for pod in pods:
        scored = [(row, *best(agent, pod, rule, kinds)) for row, agent in enumerate(agents) if fits(agent, pod)]
        if not scored:
            answer.append((-1, ()))
            continue
        row, _, devices = max(scored, key=lambda one: one[1])
        charge(agents[row], pod, devices)
        answer.append((row, devices))
    return answer
