"""Any sequence of messages, sensible or not, doubled, late or of the past, leaves the tables that plain loops would."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orch.model import messages as say
from orch.model.ids import first_id
from orch.model.reasons import Reason
from orch.model.requests import DrainAgent, RemoveAgent
from orch.model.states import AgentState, State
from tests.master.plain import Plain
from tests.master.world import Pod, World, accept_of, i32, i64, payload_of, u8

LIMITS = {"unreachable_ms": 2_000, "gone_ms": 3_000, "remove_ms": 8_000}
FRAMEWORKS = ("far", "wide")
REQUESTS = ((1000, 64, 0, 0, 0), (500, 0, 0, 0, 1), (0, 0, 0, 0, 0))

names = st.sampled_from(("a0", "a1", "a2"))
frameworks = st.sampled_from(FRAMEWORKS)
places = st.integers(0, 7)
attempts = st.integers(1, 3)
said = st.fixed_dictionaries(
    {
        "place": places,
        "framework": frameworks,
        "attempt": attempts,
        "state": st.sampled_from([state for state in State if state != State.SCHEDULED]),
        "reason": st.sampled_from([Reason.NONE, Reason.EXITED]),
        "started_ms": st.sampled_from([0, 500, 900]),
    }
)
gangs = st.sampled_from([-1, -1, 0, 5])
# Mostly what is so; now and then what was so, or never was.
off = st.sampled_from([0, 0, 0, 0, 0, -1, 1])


def number_of(framework: str, place: int) -> int:
    return first_id(FRAMEWORKS.index(framework) + 1) + place


def unique(each: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each instance once, the first time."""
    found: dict[int, dict[str, Any]] = {}
    for one in each:
        number = number_of(one["framework"], one["place"])
        found.setdefault(number, {**one, "id": number})
    return list(found.values())


class AgainstPlain(RuleBasedStateMachine):
    """One master, and the plain one beside it."""

    @initialize()
    def start(self) -> None:
        self.world = World(agents=0, **LIMITS)
        self.plain = Plain(**LIMITS)
        self.past: list[tuple[Any, Any]] = []
        """Messages of agents, and what to tell the plain master for each."""
        for name in FRAMEWORKS:
            self.world.tell(say.Subscribe(name))

    def tell(self, message: Any) -> list[Any]:
        """To the real master; launches' numbers are told to the plain one, stops and questions compared."""
        messages = self.world.tell(message)
        stops = [
            triple
            for stop in messages
            if isinstance(stop, say.StopBatch)
            for triple in zip(stop.ids.tolist(), stop.attempts.tolist(), stop.reasons.tolist(), strict=True)
        ]
        asked = [number for ask in messages if isinstance(ask, say.ResendRequest) for number in ask.ids.tolist()]
        assert sorted(stops) == sorted(self.plain.stops)
        assert sorted(asked) == sorted(self.plain.asked)
        self.plain.stops, self.plain.asked = [], []
        for launch in messages:
            if isinstance(launch, say.LaunchBatch):
                for number in launch.ids.tolist():
                    self.plain.rows[number].launch_seq = launch.seq
        return messages

    def from_agent(self, message: Any, tell_plain: Any) -> None:
        self.past.append((message, tell_plain))
        tell_plain()
        self.tell(message)

    # ---- agents ----------------------------------------------------------------------------------------------------

    @rule(name=names, nonce=st.sampled_from("xyz"), cpus=st.sampled_from([1000, 3000]))
    def register(self, name: str, nonce: str, cpus: int) -> None:
        total = (cpus, 256, 0, 0, 3)
        message = say.Register(name, nonce, i32(*total), {})
        self.from_agent(message, lambda: self.plain.register(self.world.now_ms, name, nonce, total))

    @rule(
        name=names,
        each=st.lists(said, max_size=4),
        session=off,
        epoch=off,
        behind=st.sampled_from([0, 0, 1, 9]),
        all_=st.booleans(),
    )
    def image(self, name: str, each: list[dict[str, Any]], session: int, epoch: int, behind: int, all_: bool) -> None:
        agent = self.plain.agent(name)
        if all_ and agent is not None:
            have = [
                {"place": number % 64, "framework": row.framework, "attempt": row.attempt, "state": State.RUNNING,
                 "reason": Reason.NONE, "started_ms": 900}
                for number, row in self.plain.of(agent)
            ]  # fmt: skip
            each = have + each
        rows = unique(each)
        sent = 0 if agent is None else int(self.world.master.agents["out_seq"][self.plain.slot(agent)])
        numbers = (self.world.session(name) + session, self.plain.epoch + epoch, max(sent - behind, 0))
        columns = self.world.columns([(row["id"], row["state"], row) for row in rows])
        message = say.Image(name, *numbers, **columns)
        self.from_agent(
            message, lambda: self.plain.image(self.world.now_ms, name, *numbers, [dict(row) for row in rows])
        )

    @rule(
        name=names,
        each=st.lists(said, min_size=1, max_size=4),
        session=off,
        epoch=off,
        ahead=st.sampled_from([1, 1, 1, 0, 2]),
    )
    def update(self, name: str, each: list[dict[str, Any]], session: int, epoch: int, ahead: int) -> None:
        agent, rows = self.plain.agent(name), unique(each)
        seq = max(1, (agent.in_seq if agent else 0) + ahead)
        numbers = (self.world.session(name) + session, self.plain.epoch + epoch, seq)
        message = say.UpdateBatch(
            name, *numbers, **self.world.columns([(row["id"], row["state"], row) for row in rows])
        )
        self.from_agent(message, lambda: self.plain.update(self.world.now_ms, name, *numbers, rows))

    @rule(name=names, session=off)
    def heartbeat(self, name: str, session: int) -> None:
        numbers = (self.world.session(name) + session, self.plain.epoch)
        message = say.Heartbeat(name, *numbers, received_seq=10**6, sent_ms=0)
        self.from_agent(message, lambda: self.plain.fenced(self.world.now_ms, name, *numbers))

    @rule(at=st.integers(0, 10**6))
    def again(self, at: int) -> None:
        """A message of the past comes once more."""
        if self.past:
            message, tell_plain = self.past[at % len(self.past)]
            tell_plain()
            self.tell(message)

    @rule(name=names, wanted=st.booleans())
    def drain(self, name: str, wanted: bool) -> None:
        self.plain.drain(name, wanted)
        self.world.ask(DrainAgent, agent=name, drain=wanted)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.plain.remove(name)
        self.world.ask(RemoveAgent, agent=name)

    @rule(passed=st.sampled_from([1, 400, 1_000, 2_000, 9_000]))
    def time(self, passed: int) -> None:
        until = self.world.now_ms + passed
        self.plain.time(self.world.now_ms, until)
        self.world.until(until)

    @rule(snapshot=st.booleans())
    def restart(self, snapshot: bool) -> None:
        self.world.restart(snapshot)
        self.plain.restart(self.world.now_ms)
        for name in FRAMEWORKS:
            self.world.tell(say.Subscribe(name))

    # ---- frameworks ------------------------------------------------------------------------------------------------

    @rule(
        framework=frameworks,
        wishes=st.lists(
            st.tuples(places, attempts, st.integers(-1, 3), off, st.sampled_from(REQUESTS), gangs),
            min_size=1, max_size=5, unique_by=lambda wish: wish[0],
        ),
    )  # fmt: skip
    def accept(self, framework: str, wishes: list[tuple[int, int, int, int, tuple[int, ...], int]]) -> None:
        rows, each = [], []
        for place, attempt, slot, stale, request, gang in wishes:
            agent = self.plain.slots[slot] if 0 <= slot < len(self.plain.slots) else None
            session = max(1, (0 if agent is None or agent.removed else agent.session) + stale)
            pod = Pod(number_of(framework, place), "/demo", request, gang, 0)
            pod.attempt = attempt
            rows.append((pod, slot, session))
            each.append(
                {
                    "id": pod.number,
                    "attempt": attempt,
                    "slot": slot,
                    "session": session,
                    "request": request,
                    "gang": gang,
                }
            )
        verdicts = self.plain.accept(framework, each)
        messages = self.tell(accept_of(framework, rows))
        [result] = [message for message in messages if isinstance(message, say.AcceptResult)]
        assert result.verdicts.tolist() == verdicts

    @rule(framework=frameworks, chosen=st.lists(places, unique=True, min_size=1), grace_ms=st.sampled_from([-1, 50]))
    def kill(self, framework: str, chosen: list[int], grace_ms: int) -> None:
        ids = [number_of(framework, place) for place in chosen]
        self.plain.kill(framework, ids, Reason.SCALED_DOWN, grace_ms)
        self.tell(say.Kill(framework, i64(*ids), u8(*[Reason.SCALED_DOWN] * len(ids)), grace_ms))

    @rule(framework=frameworks, pairs=st.lists(st.tuples(places, attempts), max_size=6))
    def acknowledge(self, framework: str, pairs: list[tuple[int, int]]) -> None:
        each = [(number_of(framework, place), attempt) for place, attempt in pairs]
        self.plain.acknowledge(framework, each)
        self.tell(say.Acknowledge(framework, i64(*(one[0] for one in each)), i32(*(one[1] for one in each))))

    @rule(framework=frameworks, chosen=st.lists(places, unique=True, min_size=1), attempt=attempts)
    def relaunch(self, framework: str, chosen: list[int], attempt: int) -> None:
        ids = [number_of(framework, place) for place in chosen]
        expected = [number for number in ids if self.plain.may_relaunch(framework, number, attempt)]
        messages = self.tell(say.Relaunch(framework, i64(*ids), i32(*[attempt] * len(ids)), payload_of(ids)))
        sent = [number for message in messages for number in message.ids.tolist()]
        assert sorted(sent) == sorted(expected)

    # ---- what must be so -------------------------------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        table, agents = self.world.master.instances, self.world.master.agents
        rows = table.table.rows()
        names = [State(state).name for state in table.shown(rows).tolist()]
        columns = (
            table[name][rows].tolist() for name in ("id", "attempt", "agent", "reason", "stopping", "started_ms")
        )
        real = {
            number: (attempt, slot, name, reason, bool(stopping), started)
            for name, number, attempt, slot, reason, stopping, started in zip(names, *columns, strict=True)
        }
        plain = {
            number: (row.attempt, row.slot, row.shown.name, int(row.reason), row.stopping, row.started_ms)
            for number, row in self.plain.rows.items()
        }
        assert real == plain
        for slot, agent in enumerate(self.plain.slots):
            if agent is not None and not agent.removed:
                assert agents.names[slot] == agent.name
                assert AgentState(int(agents["state"][slot])) == agent.state, agent.name
                assert int(agents["session"][slot]) == agent.session and bool(agents["drained"][slot]) == agent.drained
                free = (agents["free"][slot] - agents["debt"][slot]).tolist()
                assert free == self.plain.free(agent)
        assert len(agents.by_name) == sum(agent is not None and not agent.removed for agent in self.plain.slots)


AgainstPlain.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestAgainstPlain = AgainstPlain.TestCase
