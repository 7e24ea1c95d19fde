"""The plain sequential scan that the kernel equals: one pod after the other, every agent looked at for each.

It is the oracle of the tests and the shortest statement of the rules. Lists and ints, no numpy, and nothing is shared
with the kernel but its constants. O(pods x agents x R).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orch import _placement as kernel
from orch.placement.reason import Reason
from orch.placement.reference_rules import RuleBook
from orch.placement.why import FIRST_RESOURCE, PREDICATES, RULE, Change, Nearest, RuledOut, Why

Row = Sequence[int]
INT32_MOST = 2**31 - 1
DRAINING = 2
BEFORE = PREDICATES[:FIRST_RESOURCE]
OF_RESOURCES = PREDICATES[FIRST_RESOURCE:]


@dataclass(slots=True)
class Agents:
    """free and total per agent and resource; usable per agent: 0 no, 1 yes, 2 draining.

    held: for some agents what is set aside for others, already taken from free.
    """

    free: list[list[int]]
    total: list[list[int]]
    usable: list[int] | list[bool]
    held: dict[int, list[int]] = field(default_factory=dict)

    def largest(self) -> list[int]:
        """Of each resource, the largest total of any agent."""
        return [max((row[d] for row in self.total), default=0) for d in range(len(self.total[0]) if self.total else 0)]

    def exists(self, agent: int) -> bool:
        """A row without any total holds no agent."""
        return any(self.total[agent])


@dataclass(slots=True)
class Asked:
    """One shape: its request, the flags of its mask (None: all), its number in the rules, and these."""

    request: Row
    allowed: Row | None = None
    shape: int = 0
    rules: RuleBook = field(default_factory=RuleBook)

    def offered(self, agents: Agents) -> list[int]:
        """Agents that are usable and that the mask allows."""
        return [
            agent
            for agent in range(len(agents.free))
            if agents.exists(agent) and agents.usable[agent] == 1 and (self.allowed is None or self.allowed[agent])
        ]


@dataclass(slots=True)
class Answer:
    """agent and reason per pod in demand order; a Why per demand row with unplaced pods."""

    agent: list[int]
    reason: list[int]
    whys: dict[int, Why] = field(default_factory=dict)


def holds(have: Row, request: Row) -> bool:
    """Is there enough of everything?"""
    return all(h >= r for h, r in zip(have, request, strict=True))


def score(have: Row, largest: Row) -> int:
    """What `have` is in parts of the largest agent, all resources added up, rounded down once."""
    weights = [(kernel.SCORE_MOST << kernel.SCORE_BITS) // max(most, 1) for most in largest]
    return sum(h * w for h, w in zip(have, weights, strict=True)) >> kernel.SCORE_BITS


def rank(policy: str, agents: Agents, agent: int, largest: Row) -> int:
    """The agent with the least rank gets the pod; among equals the lowest row."""
    if policy == "first-fit":
        return 0
    if policy == "best-fit":
        return score(agents.free[agent], largest)
    free, total = agents.free[agent], agents.total[agent]
    return -sum(f * kernel.SCORE_MOST // t for f, t in zip(free, total, strict=True) if t > 0)


def place_one(policy: str, agents: Agents, asked: Asked, largest: Row) -> int:
    """The agent of one pod, charged and counted; -1 where none holds it."""
    best, best_rank = -1, (0, 0, 0)
    offered = asked.offered(agents)
    for agent in offered:
        if not holds(agents.free[agent], asked.request) or asked.rules.broken(asked.shape, agent, offered):
            continue
        met = asked.rules.met(asked.shape, agent)
        this = -met, asked.rules.turn(asked.shape, agent), rank(policy, agents, agent, largest)
        if best < 0 or this < best_rank:
            best, best_rank = agent, this
    if best >= 0:
        charge(agents.free[best], asked.request, 1)
        asked.rules.count(asked.shape, best, 1)
    return best


def take_back(agents: Agents, asked: Asked, taken: Sequence[int]) -> None:
    """Undo what `place_one` placed."""
    for agent in taken:
        charge(agents.free[agent], asked.request, -1)
        asked.rules.count(asked.shape, agent, -1)


def charge(have: list[int], request: Row, sign: int) -> None:
    """Take a request from `have` (sign 1), or give it back (-1)."""
    for d, amount in enumerate(request):
        have[d] -= sign * amount


def sequence(demand: Sequence[tuple[int, int, int, int]], requests: Sequence[Row], largest: Row) -> list[int]:
    """Demand rows (shape, count, gang, priority) in the order of placing: priority, then size, then row."""

    def size(shape: int) -> int:
        return score([min(r, most) for r, most in zip(requests[shape], largest, strict=True)], largest)

    return sorted(range(len(demand)), key=lambda row: (-demand[row][3], -size(demand[row][0]), row))


def match(
    policy: str | Sequence[str],
    agents: Agents,
    demand: Sequence[tuple[int, int, int, int]],
    requests: Sequence[Row],
    allowed: Sequence[Row | None],
    headroom: Sequence[int] | None = None,
    rules: RuleBook | None = None,
) -> Answer:
    """Place all blocks of all rows; `agents.free` is charged. allowed: per shape, a flag per agent, or None for all.

    policy: of all rows, or one for each.
    """
    largest = agents.largest()
    left = None if headroom is None else list(headroom)
    blocks: dict[int, list[list[int]]] = {}
    reasons: dict[int, list[int]] = {}
    answer = Answer([], [])
    for row in sequence(demand, requests, largest) if agents.total else list(range(len(demand))):
        shape, count, gang, _ = demand[row]
        size = max(gang, 1)
        its = policy if isinstance(policy, str) else policy[row]
        asked = Asked(requests[shape], allowed[shape], shape, rules or RuleBook())
        blocks[row], reasons[row] = [], []
        for _ in range(count // size):
            block = place_block(its, agents, asked, largest, size, left)
            reason = 0
            if not block:
                why = why_not(agents, asked, size, left, its)
                answer.whys.setdefault(row, why)
                reason = int(why.reason)
                block = [-1] * size
            blocks[row].append(block)
            reasons[row] += [reason] * size
    for row in range(len(demand)):
        answer.agent += [agent for block in blocks[row] for agent in block]
        answer.reason += reasons[row]
    return answer


def place_block(
    policy: str, agents: Agents, asked: Asked, largest: Row, size: int, left: list[int] | None
) -> list[int]:
    """Agents of a gang (a single pod is a gang of 1), charged to them and to the headroom; [] where it does not fit."""
    request = asked.request
    if left is not None and any(r > 0 and r * size > have for r, have in zip(request, left, strict=True)):
        return []
    block: list[int] = []
    for _ in range(size):
        agent = place_one(policy, agents, asked, largest)
        if agent < 0:
            take_back(agents, asked, block)
            return []
        block.append(agent)
    if left is not None:
        charge(left, [r * size for r in request], 1)
    return block


def why_not(agents: Agents, asked: Asked, size: int, left: list[int] | None, policy: str) -> Why:
    """`explain`, and where the agents do hold it, the headroom to blame."""
    why = explain(agents, asked.request, asked.allowed, size, asked.rules, asked.shape, policy)
    if why.reason != Reason.PLACED:
        return why
    assert left is not None
    request = asked.request
    times = [(max(have, 0) // r, d) for d, (r, have) in enumerate(zip(request, left, strict=True)) if r > 0]
    d = min(times)[1]
    kept = max(min(left[d], INT32_MOST), -INT32_MOST)
    return replace(why, reason=Reason.HEADROOM, short=OF_RESOURCES[d], left=kept)


def failures(agents: Agents, agent: int, asked: Asked, offered: Sequence[int]) -> list[str]:
    """All predicates that an agent fails, in their order."""
    failed = {0: ["usable"], 1: [], DRAINING: ["draining"]}[int(agents.usable[agent])]
    free, names = agents.free[agent], asked.rules.names(asked.shape)
    short = [d for d, r in enumerate(asked.request) if free[d] < r]
    if short and agent in agents.held:
        whole = [f + h for f, h in zip(free, agents.held[agent], strict=True)]
        if holds(whole, asked.request):
            failed, short = [*failed, "reserved"], []
    if asked.allowed is not None and not asked.allowed[agent]:
        failed = [*failed, "constraint"]
    failed = [*failed, *(RULE + names[rule] for rule in asked.rules.broken(asked.shape, agent, offered))]
    return [*failed, *(OF_RESOURCES[d] for d in short)]


def shortfall(agents: Agents, agent: int, request: Row, predicate: str) -> int:
    """What is missing of one resource, in 2**-31 parts of what was asked; 0 for other predicates."""
    if predicate not in OF_RESOURCES:
        return 0
    d = OF_RESOURCES.index(predicate)
    return ((request[d] - agents.free[agent][d]) << 31) // request[d]


def explain(
    agents: Agents,
    request: Row,
    allowed: Row | None = None,
    size: int = 1,
    rules: RuleBook | None = None,
    shape: int = 0,
    policy: str = "first-fit",
) -> Why:
    """One shape against all agents, each charged to the first predicate that it fails."""
    asked = Asked(request, allowed, shape, rules or RuleBook())
    known = [agent for agent in range(len(agents.free)) if agents.exists(agent)]
    offered = asked.offered(agents)
    failed = {agent: failures(agents, agent, asked, offered) for agent in known}
    feasible = [agent for agent in known if not failed[agent]]
    order = [*BEFORE, *(RULE + name for name in asked.rules.names(shape)), *OF_RESOURCES[: len(request)]]
    ruled_out: list[RuledOut] = []
    for predicate in order:
        charged = [agent for agent in known if failed[agent] and failed[agent][0] == predicate]
        if charged and predicate not in OF_RESOURCES:
            ruled_out.append(RuledOut(predicate, len(charged)))
        elif charged:
            d = OF_RESOURCES.index(predicate)
            most = max(agents.free[agent][d] for agent in charged)
            ruled_out.append(RuledOut(predicate, len(charged), request[d], most))
    room = gang_room(policy, agents, asked, size) if feasible else 0
    return Why(
        reason=main_reason(known, feasible, ruled_out, room, size),
        agents=len(known),
        feasible=len(feasible),
        feasible_empty=sum(holds(agents.total[agent], request) for agent in known),
        ruled_out=tuple(ruled_out),
        nearest=nearest(agents, request, failed, order),
        request=tuple(request),
        largest=tuple(agents.largest() or [0] * len(request)),
        gang=size,
        room=room,
        changes=changes(agents, request, failed, order),
    )


def main_reason(known: list[int], feasible: list[int], ruled_out: list[RuledOut], room: int, size: int) -> Reason:
    """The one code: the predicate that ruled out the most agents, the first of equals; GANG where one pod would fit."""
    if not known:
        return Reason.NO_AGENTS
    if feasible:
        return Reason.GANG if room < size else Reason.PLACED
    predicate = max(ruled_out, key=lambda out: out.agents).predicate  # they are in order, and max takes the first
    if predicate in OF_RESOURCES:
        return Reason(Reason.TOO_FEW_CPUS + OF_RESOURCES.index(predicate))
    codes = {"usable": Reason.NOT_USABLE, "draining": Reason.DRAINING, "reserved": Reason.RESERVED}
    return codes.get(predicate, Reason.CONSTRAINT)


def gang_room(policy: str, agents: Agents, asked: Asked, size: int) -> int:
    """How many of `size` pods fit at once: placed, and taken back."""
    taken: list[int] = []
    while len(taken) < size and (agent := place_one(policy, agents, asked, agents.largest())) >= 0:
        taken.append(agent)
    take_back(agents, asked, taken)
    return len(taken)


def nearest(agents: Agents, request: Row, failed: dict[int, list[str]], order: list[str]) -> Nearest | None:
    """The agent with the fewest failures, then the least shortfall, then the lowest row."""
    near = [agent for agent, predicates in failed.items() if predicates]
    if not near:
        return None

    def miss(agent: int) -> tuple[int, int, int]:
        return len(failed[agent]), sum(shortfall(agents, agent, request, p) for p in failed[agent]), agent

    best = min(near, key=miss)
    lacking = [p for p in failed[best] if p in OF_RESOURCES]
    if not lacking:
        return Nearest(best, failed[best][0])
    worst = min(lacking, key=lambda p: (-shortfall(agents, best, request, p), order.index(p)))
    d = OF_RESOURCES.index(worst)
    return Nearest(best, worst, request[d], agents.free[best][d])


def changes(agents: Agents, request: Row, failed: dict[int, list[str]], order: list[str]) -> tuple[Change, ...]:
    """Of each predicate that is all that an agent fails, the agent: that with most of the resource, else the first."""
    found = []
    for predicate in order:
        only = [agent for agent, predicates in failed.items() if predicates == [predicate]]
        if only and predicate in OF_RESOURCES:
            d = OF_RESOURCES.index(predicate)
            agent = min(only, key=lambda one: (-agents.free[one][d], one))
            found.append(Change(predicate, agent, request[d] - agents.free[agent][d]))
        elif only:
            found.append(Change(predicate, only[0]))
    return tuple(found)


@dataclass(slots=True)
class Ledger:
    """The master's books as lists: free and total per agent, used and limit per group (-1 none), groups above each."""

    free: list[list[int]]
    total: list[list[int]]
    usable: list[int]
    session: list[int]
    above: list[list[int]]
    used: list[list[int]]
    limit: list[list[int]]

    def payers(self, group: int) -> list[int]:
        """The group and those above it, each once."""
        return [] if group < 0 else [group, *(a for a in self.above[group] if a != group)]

    def charge(self, agent: int, request: Row, group: int, sign: int) -> None:
        """Take one pod's resources, or give them back."""
        charge(self.free[agent], request, sign)
        for payer in self.payers(group):
            charge(self.used[payer], request, -sign)

    def verdict(self, agent: int, request: Row, session: int, group: int) -> int:
        """What speaks against one row, or 0."""
        if not 0 <= agent < len(self.free):
            return Reason.UNKNOWN_AGENT
        if session != self.session[agent]:
            return Reason.STALE_SESSION
        if self.usable[agent] != 1:
            return Reason.NOT_USABLE
        for d, r in enumerate(request):
            if self.free[agent][d] < r:
                return Reason.TOO_FEW_CPUS + d
        for payer in self.payers(group):
            for d, r in enumerate(request):
                if self.limit[payer][d] >= 0 and r > 0 and self.used[payer][d] + r > self.limit[payer][d]:
                    return Reason.QUOTA
        return Reason.PLACED


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted row: agent, request, the agent's session when offered, gang (-1 none), group (-1 none)."""

    agent: int
    request: Row
    session: int
    gang: int
    group: int


def commit(ledger: Ledger, rows: Sequence[Accepted]) -> list[int]:
    """Verdicts, row after row; a gang's first failure undoes what it had, and stops what follows of it."""
    verdicts: list[int] = []
    broken: list[int] = []
    for i, row in enumerate(rows):
        verdict = int(ledger.verdict(row.agent, row.request, row.session, row.group))
        if verdict == Reason.PLACED and row.gang in broken:
            verdict = int(Reason.GANG)
        elif verdict == Reason.PLACED:
            ledger.charge(row.agent, row.request, row.group, 1)
        elif row.gang >= 0:
            broken.append(row.gang)
            for j in range(i):
                if rows[j].gang == row.gang and verdicts[j] == Reason.PLACED:
                    ledger.charge(rows[j].agent, rows[j].request, rows[j].group, -1)
                    verdicts[j] = int(Reason.GANG)
        verdicts.append(verdict)
    return verdicts


def release(ledger: Ledger, rows: Sequence[Accepted]) -> bool:
    """Give rows back; False, with nothing changed, where one gives back more than was taken."""
    for i, row in enumerate(rows):
        if row.agent < 0:
            continue
        ledger.charge(row.agent, row.request, row.group, -1)
        over = any(f > t for f, t in zip(ledger.free[row.agent], ledger.total[row.agent], strict=True))
        if over or any(amount < 0 for payer in ledger.payers(row.group) for amount in ledger.used[payer]):
            for undo in rows[: i + 1]:
                if undo.agent >= 0:
                    ledger.charge(undo.agent, undo.request, undo.group, 1)
            return False
    return True
