"""The agent's machine: events in, commands out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.agent import commands as do
from orch.agent import events
from orch.agent.agent import MAX_ROUNDS, Agent
from orch.agent.ports import AVOID_MS
from orch.machine.commands import Journal, Publish, Send
from orch.machine.machine import Tick
from orch.model import messages as say
from orch.model.codec import decode, encode
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import ContainerTemplate, EndpointTemplate, HealthTemplate, Template
from orch.model.states import State

TOTAL = np.array([4000, 4096, 10_000, 0, 100], dtype=np.int32)
JOB = Template("/jobs/one", "job", (ContainerTemplate("main", shell="true", grace_ms=700),), group="/jobs")
CHECK = HealthTemplate("http", 0, grace_ms=1_000, interval_ms=100, delay_ms=50, max_failures=2)
POD = Template(
    "/web", "pod",
    (
        ContainerTemplate("app", shell="serve", endpoints=(EndpointTemplate("http"),), grace_ms=500, health=(CHECK,)),
        ContainerTemplate("side", shell="date"),
    ),
    group="/web",
)  # fmt: skip


class Bench:
    """An agent with its machine's clock in hand, and the commands it gave."""

    def __init__(self, **options: Any) -> None:
        self.agent = Agent("a0", "boot", TOTAL, {"hostname": "h"}, **options)
        self.now_ms = 1_000
        self.facts: list[Any] = []
        self.seq = 0
        self.commands = self._keep(self.agent.started(self.now_ms))

    def give(self, event: Any, after_ms: int = 0) -> list[Any]:
        self.now_ms += after_ms
        self.commands = self._keep(self.agent.handle(self.now_ms, event))
        self.agent.check()
        return self.commands

    def _keep(self, commands: list[Any]) -> list[Any]:
        self.facts += [decode(encode(command.fact)) for command in commands if isinstance(command, Journal)]
        return [command for command in commands if not isinstance(command, Journal | Publish)]

    def sent(self, kind: type) -> list[Any]:
        return [c.message for c in self.commands if isinstance(c, Send) and isinstance(c.message, kind)]

    def asked(self, kind: type) -> list[Any]:
        return [command for command in self.commands if isinstance(command, kind)]

    def let_in(self, session: int = 1, epoch: int = 1) -> list[Any]:
        self.seq = 0
        return self.give(say.Registered("a0", self.agent.link.nonce, session, epoch))

    def launch(self, template: Template, ids: list[int], attempt: int = 1, seq: int | None = None) -> list[Any]:
        self.seq = self.seq + 1 if seq is None else seq
        link = self.agent.link
        count = len(ids)
        payload = say.Payload(
            {7: template.to_wire()}, np.full(count, 7, dtype=np.int32), np.arange(count, dtype=np.int64),
            np.full(count, 3 if template.kind == "job" else -1, dtype=np.int64),
            np.arange(count + 1, dtype=np.int64) * 5, b"A=b\0\0"[:5] * count,
        )  # fmt: skip
        attempts = np.full(count, attempt, dtype=np.int32)
        return self.give(say.LaunchBatch(link.epoch, link.session, self.seq, np.array(ids), attempts, payload))

    def stop(self, ids: list[int], reason: Reason = Reason.STOPPED_BY_USER, grace_ms: int = -1) -> list[Any]:
        self.seq += 1
        link = self.agent.link
        return self.give(
            say.StopBatch(
                link.epoch,
                link.session,
                self.seq,
                np.array(ids),
                np.ones(len(ids), dtype=np.int32),
                np.full(len(ids), reason, dtype=np.uint8),
                grace_ms,
            )
        )

    def jobs(self, ids: list[int], state: State, code: int = 0, reason: Reason = Reason.EXITED) -> list[Any]:
        count = len(ids)
        return self.give(
            events.JobsChanged(
                np.array(ids),
                np.ones(count, dtype=np.int32),
                np.full(count, state, dtype=np.uint8),
                np.full(count, code, dtype=np.int16),
                np.full(count, reason, dtype=np.uint8),
                np.full(count, self.now_ms),
                np.full(count, self.now_ms),
            )
        )

    def container(
        self, at: int, state: State, code: int = NO_EXIT_CODE, reason: Reason = Reason.NONE, **more: Any
    ) -> list[Any]:
        return self.give(events.ContainerChanged(1, 1, at, int(state), code, int(reason), self.now_ms, **more))

    def state_of(self, id: int, attempt: int = 1) -> State | None:
        row = self.agent.instances.row(id, attempt)
        return None if row < 0 else State(self.agent.instances["state"][row])

    def acknowledge(self, seq: int) -> list[Any]:
        return self.give(say.UpdateAck(self.agent.link.epoch, self.agent.link.session, seq))


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.let_in()
    return bench


def running_pod(bench: Bench) -> None:
    bench.launch(POD, [1])
    bench.container(0, State.RUNNING)
    bench.container(1, State.RUNNING)


def test_an_agent_asks_to_be_let_in_again_every_second_until_it_is() -> None:
    bench = Bench()
    assert [message.nonce for message in bench.sent(say.Register)] == ["boot.1"]
    assert bench.agent.wake_ms == 2_000
    bench.give(Tick(), after_ms=500)
    assert not bench.sent(say.Register)
    bench.give(Tick(), after_ms=500)
    assert [message.nonce for message in bench.sent(say.Register)] == ["boot.1"]


def test_a_new_session_begins_with_an_image() -> None:
    bench = Bench()
    bench.let_in(session=4, epoch=2)
    (image,) = bench.sent(say.Image)
    assert (image.session, image.epoch, len(image.ids)) == (4, 2, 0)


def test_an_answer_to_an_older_registration_is_ignored() -> None:
    bench = Bench()
    bench.give(events.Connected())
    bench.give(say.Registered("a0", "boot.1", 9, 1))
    assert bench.agent.link.session == 0


def test_a_launch_of_jobs_is_taken_once_and_started_as_columns(bench: Bench) -> None:
    bench.launch(JOB, [10, 11])
    (start,) = bench.asked(do.StartJobs)
    assert start.ids.tolist() == [10, 11]
    assert bench.state_of(11) == State.STAGING
    bench.launch(JOB, [10, 11])
    assert not bench.asked(do.StartJobs)


def test_only_the_new_ones_of_a_launch_are_started(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.launch(JOB, [10, 12])
    assert bench.asked(do.StartJobs)[0].ids.tolist() == [12]
    assert bench.asked(do.StartJobs)[0].payload.index.tolist() == [1]


def test_the_next_attempt_of_a_pod_is_another_launch(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.jobs([10], State.FAILED, 1)
    bench.launch(JOB, [10], attempt=2)
    assert bench.asked(do.StartJobs)
    assert (bench.state_of(10, 1), bench.state_of(10, 2)) == (State.FAILED, State.STAGING)


def test_one_that_leaves_says_goodbye_once(bench: Bench) -> None:
    bench.give(events.Leaving())
    assert bench.sent(say.Goodbye) == [say.Goodbye("a0", 1, 1)]
    bench.give(events.Leaving())
    assert bench.sent(say.Goodbye) == []
    bench.give(Tick(), after_ms=5_000)
    assert len(bench.sent(say.Register)) == 1, "if it lives on, it wants to be let in"


def test_a_doubled_message_is_dropped_and_a_gap_makes_it_register_again(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.launch(JOB, [11], seq=1)
    assert bench.state_of(11) is None
    bench.launch(JOB, [12], seq=5)
    assert bench.sent(say.Register) and bench.agent.link.session == 0
    assert bench.state_of(12) is None


def test_one_message_that_is_missing_is_a_gap(bench: Bench) -> None:
    bench.launch(JOB, [10], seq=2)
    assert bench.sent(say.Register) and bench.state_of(10) is None


def test_messages_of_another_session_are_dropped(bench: Bench) -> None:
    bench.let_in(session=1)
    bench.give(say.StopBatch(1, 9, 1, np.array([1]), np.array([1], dtype=np.int32), np.zeros(1, dtype=np.uint8)))
    assert bench.commands == []


def test_a_message_of_a_newer_master_makes_it_register_again(bench: Bench) -> None:
    for event in (say.HeartbeatAck(2, 1, 0), say.ImageRequest(1, 1)):
        bench.let_in()
        bench.give(event)
        assert bench.sent(say.Register), event
    bench.let_in()
    bench.give(say.StopBatch(2, 9, 1, np.array([1]), np.array([1], dtype=np.int32), np.zeros(1, dtype=np.uint8)))
    assert bench.sent(say.Register)


def test_an_old_master_and_an_acknowledged_heartbeat_change_nothing(bench: Bench) -> None:
    assert bench.give(say.HeartbeatAck(0, 1, 0)) == []
    assert bench.give(say.HeartbeatAck(1, 1, 0)) == []
    assert bench.give(say.UpdateAck(0, 1, 5)) == []


def test_an_acknowledgement_of_another_master_is_not_taken_for_this_sessions(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.jobs([10], State.FINISHED)
    for epoch in (0, 2):
        bench.give(say.UpdateAck(epoch, 1, 1))
        assert bench.state_of(10) == State.FINISHED


def test_an_end_is_kept_while_only_what_came_before_it_is_acknowledged(bench: Bench) -> None:
    bench.launch(JOB, [10, 11])
    bench.jobs([10], State.RUNNING)
    bench.jobs([11], State.RUNNING)
    bench.jobs([10], State.FINISHED)
    bench.acknowledge(1)
    assert bench.state_of(10) == State.FINISHED and not bench.asked(do.Ended)
    (update,) = bench.sent(say.UpdateBatch)
    assert (update.seq, update.ids.tolist(), update.states.tolist()) == (3, [10], [State.FINISHED])


def test_ends_are_told_and_forgotten_once_acknowledged(bench: Bench) -> None:
    bench.launch(JOB, [10, 11])
    bench.jobs([10, 11], State.FINISHED)
    (update,) = bench.sent(say.UpdateBatch)
    assert update.states.tolist() == [State.FINISHED] * 2 and update.exit_codes.tolist() == [0, 0]
    bench.acknowledge(update.seq)
    assert bench.asked(do.Ended)[0].ids.tolist() == [10, 11]
    assert len(bench.agent.instances) == 0


def test_updates_gather_behind_two_in_flight(bench: Bench) -> None:
    bench.launch(JOB, [10, 11, 12, 13])
    for one in (10, 11):
        assert bench.jobs([one], State.FINISHED)
    assert bench.jobs([12], State.FINISHED) == bench.jobs([13], State.FINISHED) == []
    bench.acknowledge(1)
    assert bench.sent(say.UpdateBatch)[0].ids.tolist() == [12, 13]


def test_updates_are_sent_again_until_acknowledged(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.jobs([10], State.FINISHED)
    bench.give(Tick(), after_ms=2_000)
    assert [message.seq for message in bench.sent(say.UpdateBatch)] == [1]
    assert bench.sent(say.Heartbeat)[0].received_seq == 1
    bench.give(Tick(), after_ms=2_000)
    assert [message.seq for message in bench.sent(say.UpdateBatch)] == [1]
    bench.acknowledge(1)
    bench.give(Tick(), after_ms=2_000)
    assert bench.sent(say.UpdateBatch) == []


def test_what_was_not_acknowledged_is_told_in_the_next_session(bench: Bench) -> None:
    bench.launch(JOB, [10, 11])
    bench.jobs([10], State.FINISHED)
    bench.give(events.Connected())
    bench.let_in(session=2)
    assert bench.sent(say.Image)[0].ids.tolist() == [10, 11]
    assert [(m.seq, m.ids.tolist()) for m in bench.sent(say.UpdateBatch)] == [(1, [10])]


def test_a_state_that_is_known_already_is_not_told_again(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.jobs([10], State.RUNNING)
    assert bench.jobs([10], State.RUNNING) == []
    assert bench.jobs([99], State.RUNNING) == []


def test_a_stopped_job_is_killed_whatever_its_exit_code(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.stop([10, 99])
    (stop,) = bench.asked(do.Stop)
    assert stop.grace_ms.tolist() == [700] and bench.state_of(10) == State.KILLING
    bench.stop([10])
    assert not bench.asked(do.Stop)
    bench.jobs([10], State.RUNNING)
    assert bench.state_of(10) == State.KILLING
    bench.acknowledge(2)
    bench.jobs([10], State.FAILED, -15, Reason.SIGNALED)
    update = bench.sent(say.UpdateBatch)[-1]
    assert (update.states[0], update.exit_codes[0], update.reasons[0]) == (State.KILLED, -15, Reason.STOPPED_BY_USER)


def test_a_stop_may_bring_its_own_grace(bench: Bench) -> None:
    bench.launch(JOB, [10])
    bench.stop([10], grace_ms=5)
    assert bench.asked(do.Stop)[0].grace_ms.tolist() == [5]


def test_a_pod_runs_when_all_its_containers_do(bench: Bench) -> None:
    bench.launch(POD, [1])
    (start,) = bench.asked(do.StartInstance)
    assert start.ports == [[31_000], []] and start.env == {"A": "b"}
    bench.container(0, State.RUNNING)
    assert bench.state_of(1) == State.STARTING
    bench.container(1, State.RUNNING)
    assert bench.state_of(1) == State.RUNNING
    details = bench.sent(say.UpdateBatch)[-1].details[1]
    assert details["endpoints"] == [{"name": "http", "port": 31_000, "container": "app", "protocols": ["tcp"]}]
    assert [one["state"] for one in details["containers"]] == ["RUNNING", "RUNNING"]


def test_a_container_that_fails_takes_the_pod_down(bench: Bench) -> None:
    running_pod(bench)
    bench.container(1, State.FAILED, 3, Reason.EXITED)
    assert bench.asked(do.Stop) and bench.state_of(1) == State.KILLING
    bench.container(0, State.FAILED, -15, Reason.SIGNALED)
    assert bench.state_of(1) == State.FAILED
    row = bench.agent.instances.row(1, 1)
    assert bench.agent.instances["exit_code"][row] == 3


def test_a_container_that_ends_with_0_leaves_the_others(bench: Bench) -> None:
    running_pod(bench)
    bench.container(1, State.FINISHED, 0, Reason.EXITED)
    assert not bench.asked(do.Stop) and bench.state_of(1) == State.RUNNING
    bench.container(0, State.FINISHED, 0, Reason.EXITED)
    assert bench.state_of(1) == State.FINISHED


def test_a_stopped_pod_is_killed_when_its_last_container_ended(bench: Bench) -> None:
    running_pod(bench)
    bench.stop([1], Reason.SCALED_DOWN)
    bench.container(0, State.FAILED, -15, Reason.SIGNALED)
    assert bench.state_of(1) == State.KILLING
    bench.container(1, State.FAILED, -15, Reason.SIGNALED)
    assert bench.state_of(1) == State.KILLED
    assert bench.container(1, State.FAILED, -15, Reason.SIGNALED) == []


def test_ports_of_a_forgotten_pod_are_free_again() -> None:
    bench = Bench(ports=(31_000, 31_000))
    bench.let_in()
    bench.launch(POD, [1])
    bench.launch(POD, [2])
    assert bench.state_of(2) == State.ERROR
    bench.container(0, State.FINISHED, 0)
    bench.container(1, State.FINISHED, 0)
    for seq in range(1, 5):
        if bench.agent.link._seq >= seq:
            bench.acknowledge(seq)
    assert bench.state_of(1) is None
    bench.launch(POD, [3])
    assert bench.asked(do.StartInstance)[0].ports == [[31_000], []]


def test_a_fixed_port_is_held_until_its_instance_is_forgotten() -> None:
    fixed = Template("/web", "pod", (ContainerTemplate("app", shell="x", endpoints=(EndpointTemplate("h", 31_000),)),))
    bench = Bench(ports=(31_000, 31_000))
    bench.let_in()
    bench.launch(fixed, [1])
    bench.launch(fixed, [2])
    assert bench.state_of(2) == State.ERROR
    bench.container(0, State.FINISHED, 0)
    bench.acknowledge(bench.sent(say.UpdateBatch)[-1].seq)
    assert bench.state_of(1) is None
    bench.launch(fixed, [3])
    assert bench.state_of(3) == State.STAGING


def test_a_port_that_somebody_else_has_is_left_alone_for_a_while() -> None:
    bench = Bench(ports=(31_000, 31_001))
    bench.let_in()
    bench.launch(POD, [1])
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, ports=[31_000])
    assert bench.asked(do.StartInstance)[0].ports == [[31_001], []]
    bench.launch(POD, [2])
    assert bench.state_of(2) == State.ERROR
    bench.now_ms += AVOID_MS
    bench.launch(POD, [3])
    assert bench.asked(do.StartInstance)[0].ports == [[31_000], []]


def test_a_port_that_is_taken_is_another_round_with_another_port(bench: Bench) -> None:
    bench.launch(POD, [1])
    for turn in range(1, MAX_ROUNDS):
        taken = bench.agent.several[1, 1].ports[0]
        bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, round=turn - 1, ports=taken)
        (start,) = bench.asked(do.StartInstance)
        assert start.round == turn and start.ports[0] != taken
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, round=0, ports=[1])
    assert bench.state_of(1) == State.STAGING
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, round=MAX_ROUNDS - 1, ports=[31_004])
    assert bench.state_of(1) == State.ERROR


def test_a_fixed_port_that_is_taken_is_the_end() -> None:
    fixed = Template("/web", "pod", (ContainerTemplate("app", shell="x", endpoints=(EndpointTemplate("h", 8080),)),))
    bench = Bench()
    bench.let_in()
    bench.launch(fixed, [1])
    assert bench.asked(do.StartInstance)[0].ports == [[8080]]
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, ports=[8080])
    row = bench.agent.instances.row(1, 1)
    assert (bench.state_of(1), bench.agent.instances["reason"][row]) == (State.ERROR, Reason.PORT_TAKEN)


def test_a_fixed_port_that_another_instance_holds_is_the_end(bench: Bench) -> None:
    fixed = Template("/web", "pod", (ContainerTemplate("app", shell="x", endpoints=(EndpointTemplate("h", 31_000),)),))
    bench.launch(POD, [1])
    assert bench.asked(do.StartInstance)[0].ports[0] == [31_000]
    bench.launch(fixed, [2])
    row = bench.agent.instances.row(2, 1)
    assert (bench.state_of(2), bench.agent.instances["reason"][row]) == (State.ERROR, Reason.PORT_TAKEN)
    assert bench.asked(do.StartInstance) == []
    bench.launch(POD, [3])
    assert bench.asked(do.StartInstance)[0].ports[0] == [31_001], "and its end gives nothing back that is not its own"


def test_no_other_port_left_is_the_end() -> None:
    bench = Bench(ports=(31_000, 31_000))
    bench.let_in()
    bench.launch(POD, [1])
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, ports=[31_000])
    assert bench.state_of(1) == State.ERROR


def test_probes_are_asked_for_when_they_are_due(bench: Bench) -> None:
    running_pod(bench)
    bench.give(Tick(), after_ms=50)
    assert bench.asked(do.Probe) == [do.Probe(1, 1, 0, 0, (31_000,))]
    assert not [command for command in bench.give(Tick()) if isinstance(command, do.Probe)]
    bench.acknowledge(2)
    bench.give(events.Probed(1, 1, 0, 0, True))
    assert bench.sent(say.UpdateBatch)[0].details[1]["healthy"] is True
    bench.give(Tick(), after_ms=100)
    assert bench.asked(do.Probe)


def test_failures_in_a_row_stop_an_instance(bench: Bench) -> None:
    running_pod(bench)
    bench.give(events.Probed(1, 1, 0, 0, True))
    bench.give(events.Probed(1, 1, 0, 0, False, "HTTP 503"))
    assert not bench.asked(do.Stop)
    bench.give(events.Probed(1, 1, 0, 0, False, "HTTP 503"))
    assert bench.asked(do.Stop)
    bench.give(events.Probed(1, 1, 0, 0, False, "HTTP 503"))
    assert not bench.asked(do.Stop)
    bench.container(0, State.FAILED, -15)
    bench.container(1, State.FAILED, -15)
    row = bench.agent.instances.row(1, 1)
    assert (bench.state_of(1), bench.agent.instances["reason"][row]) == (State.FAILED, Reason.HEALTH_CHECK)
    assert bench.agent.several[1, 1].details()["containers"][0]["message"] == "HTTP 503"


def test_failures_within_the_grace_period_count_for_nothing(bench: Bench) -> None:
    running_pod(bench)
    for _ in range(5):
        bench.give(events.Probed(1, 1, 0, 0, False, "refused"))
    assert bench.state_of(1) == State.RUNNING
    assert bench.agent.several[1, 1].healthy() is None
    bench.give(events.Probed(1, 1, 0, 0, False, "refused"), after_ms=CHECK.grace_ms - 1)
    assert bench.agent.several[1, 1].healthy() is None
    bench.give(events.Probed(1, 1, 0, 0, False, "refused"), after_ms=1)
    assert bench.agent.several[1, 1].healthy() is False


def test_results_for_what_is_over_are_ignored(bench: Bench) -> None:
    assert bench.give(events.Probed(5, 1, 0, 0, True)) == []
    assert bench.give(events.ContainerChanged(5, 1, 0, int(State.RUNNING), 0, 0, 1)) == []
    running_pod(bench)
    assert bench.give(events.Probed(1, 1, 1, 0, True)) == []


def test_what_the_machine_uses_goes_with_the_heartbeat(bench: Bench) -> None:
    bench.give(events.Usage({"cpus": 0.5}))
    bench.give(Tick(), after_ms=1_000)
    assert bench.sent(say.Heartbeat)[0].usage == {"cpus": 0.5}


def restarted(bench: Bench) -> Bench:
    """A new supervisor with the facts of the old one."""
    later = Bench.__new__(Bench)
    later.agent = Agent("a0", "boot2", TOTAL, {})
    for fact in bench.facts:
        later.agent.apply(fact)
    later.now_ms, later.facts, later.seq = bench.now_ms + 10, [], 0
    later.commands = later._keep(later.agent.started(later.now_ms))
    later.agent.check()
    return later


def test_after_a_restart_jobs_are_lost_and_services_recovered(bench: Bench) -> None:
    running_pod(bench)
    bench.launch(JOB, [10, 11])
    bench.jobs([11], State.FINISHED)
    later = restarted(bench)
    assert later.asked(do.ClearJobs) and [c.start.id for c in later.asked(do.Recover)] == [1]
    assert (later.state_of(10), later.state_of(11)) == (State.LOST, State.FINISHED)
    later.let_in(session=2)
    later.container(0, State.RUNNING)
    later.container(1, State.FAILED, 4, Reason.EXITED)
    assert later.asked(do.Stop)
    later.container(0, State.FAILED, -15)
    assert later.state_of(1) == State.FAILED


def test_a_restart_right_after_a_move_holds_the_new_ports(bench: Bench) -> None:
    bench.launch(POD, [1])
    bench.container(0, State.ERROR, reason=Reason.PORT_TAKEN, ports=[31_000])
    later = restarted(bench)
    assert later.agent.several[1, 1].ports == bench.agent.several[1, 1].ports == [[31_001], []]
    assert later.agent.several[1, 1].start().round == 1


def test_an_empty_agent_has_nothing_to_clear_after_a_restart(bench: Bench) -> None:
    assert not restarted(bench).asked(do.ClearJobs)


def test_a_snapshot_is_the_whole_of_it(bench: Bench) -> None:
    running_pod(bench)
    bench.launch(JOB, [10])
    image = decode(encode(bench.agent.snapshot()))
    other = Agent("a0", "x", TOTAL, {})
    other.restore(image)
    other.check()
    assert encode(other.snapshot()) == encode(bench.agent.snapshot())
    assert [fact["what"] for fact in bench.agent.story(10)] == ["taken"]


def test_a_fleet_registers_all_of_its_agents_and_gives_each_ports_of_its_own() -> None:
    bench = Bench(fleet=["f0", "f1"], ports=(31_000, 31_000))
    [asked] = bench.sent(say.FleetRegister)
    assert (asked.fleet, asked.names, asked.totals.tolist()) == ("a0", ["f0", "f1"], [TOTAL.tolist()] * 2)
    bench.let_in()
    payload = say.Payload(
        {7: POD.to_wire()}, np.full(3, 7, dtype=np.int32), np.arange(3), np.full(3, -1),
        np.zeros(4, dtype=np.int64), b"",
    )  # fmt: skip
    link = bench.agent.link
    places = np.array([0, 1, 1], dtype=np.int32)
    batch = say.LaunchBatch(
        link.epoch, link.session, 1, np.arange(1, 4), np.ones(3, dtype=np.int32), payload, places=places
    )
    bench.give(batch)
    assert [one.ports[0] for one in bench.asked(do.StartInstance)] == [[31_000], [31_000]]
    assert bench.state_of(3) == State.ERROR, "the second agent has one port only"
