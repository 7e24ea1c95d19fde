"""Random lives of services, with invariants checked after every event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.model.reasons import Reason
from orch.model.requests import DeleteService, KillInstances, PutService, ResetDelay, RestartService, ScaleService
from orch.model.specs.template import UnreachableTemplate
from orch.model.states import State
from orch.services import Services, planner, views
from tests.batch.plain import Change, Rig
from tests.services.test_services import spec

AGENTS = [[1000, 4096, 0, 0, 10], [600, 4096, 0, 0, 10], [300, 4096, 0, 0, 10]]
PATHS = ["/a/x", "/a/y", "/b"]
LIVE = (State.STAGING, State.STARTING, State.RUNNING, State.KILLING, State.UNREACHABLE)
ENDS = [
    (State.FINISHED, 0, Reason.NONE),
    (State.FAILED, 1, Reason.EXITED),
    (State.FAILED, 1, Reason.HEALTH_CHECK),
    (State.DROPPED, 0, Reason.NONE),
    (State.LOST, 0, Reason.AGENT_LOST),
    (State.KILLED, -15, Reason.SHUTDOWN),
]
STRATEGIES = [None, UnreachableTemplate(), UnreachableTemplate(1_000, 5_000), UnreachableTemplate(5_000, 1_000)]


class Life:
    """What happens to a rig, drawn from data."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.rig = Rig(Services, AGENTS)
        self.deleted: set[str] = set()

    def put(self) -> None:
        path = self.draw(st.sampled_from(PATHS))
        fields = spec(
            self.draw(st.integers(0, 5)),
            replace=True,
            path=path,
            shell=self.draw(st.sampled_from(["one", "two"])),
            cpus_milli=self.draw(st.sampled_from([50, 100])),
            checked=self.draw(st.booleans()),
            minimum_health_micro=self.draw(st.sampled_from([0, 500_000, 1_000_000])),
            maximum_over_micro=self.draw(st.sampled_from([0, 300_000, 1_000_000])),
            kill_selection=self.draw(st.sampled_from(["YOUNGEST_FIRST", "OLDEST_FIRST"])),
            unreachable=self.draw(st.sampled_from(STRATEGIES)),
            backoff_ms=self.draw(st.sampled_from([0, 1_000])),
            max_launch_delay_ms=5_000,
        )
        reply = self.rig.request(PutService, **fields)
        assert (reply.error is not None) == (path in self.deleted), reply
        if reply.error is None:
            assert views.service(self.rig.machine, path)["instances"] == fields["instances"]
        self._sweep()

    def scale(self) -> None:
        path = self.draw(st.sampled_from(PATHS))
        self.rig.request(ScaleService, path=path, instances=self.draw(st.integers(0, 6)))

    def delete(self) -> None:
        path = self.draw(st.sampled_from(PATHS))
        if self.rig.request(DeleteService, path=path).error is None:
            self.deleted.add(path)
        self._sweep()

    def _sweep(self) -> None:
        self.deleted = {path for path in self.deleted if views.service(self.rig.machine, path) is not None}

    def kill(self) -> None:
        path = self.draw(st.sampled_from(PATHS))
        ids = [one["id"] for one in views.instances(self.rig.machine, path)][:2]
        self.rig.request(KillInstances, path=path, ids=np.array(ids, dtype=np.int64), scale=self.draw(st.booleans()))

    def renew(self) -> None:
        self.rig.request(RestartService, path=self.draw(st.sampled_from(PATHS)))

    def hurry(self) -> None:
        path = self.draw(st.sampled_from(PATHS))
        reply = self.rig.request(ResetDelay, path=path)
        service = self.rig.machine.registry.services.get(path)
        assert reply.error is not None or service is None or not service.delay.failures

    def some_live(self, *states: State) -> list[int]:
        live = self.rig.master.of("services", *(states or LIVE))
        return self.draw(st.lists(st.sampled_from(live), unique=True, max_size=6)) if live else []

    def run(self) -> None:
        for state in (State.STARTING, State.RUNNING):
            self.rig.say(self.some_live(State.STAGING), state)

    def health(self) -> None:
        well = self.draw(st.booleans())
        ids = self.some_live(State.RUNNING)
        self.rig.say(ids, State.RUNNING, details={each: {"healthy": well} for each in ids})

    def lose_sight(self) -> None:
        self.rig.say(self.some_live(State.STAGING, State.RUNNING), State.UNREACHABLE)

    def see_again(self) -> None:
        self.rig.say(self.some_live(State.UNREACHABLE), self.draw(st.sampled_from([State.RUNNING, State.STARTING])))

    def end(self) -> None:
        state, code, reason = self.draw(st.sampled_from(ENDS))
        self.rig.say(self.some_live(), state, code, reason=reason)
        self._sweep()

    def refuse(self) -> None:
        remainder = self.draw(st.integers(0, 3))
        self.rig.master.refuse = (lambda each: each % 3 == remainder) if remainder < 3 else (lambda each: False)
        self.rig.send(Change(), "master")

    def wait(self) -> None:
        self.rig.wait(self.draw(st.sampled_from([1, 1_000, 10_000])))
        self._sweep()

    def restart(self) -> None:
        self.rig.restart(self.draw(st.booleans()))
        self._sweep()

    def settle(self) -> None:
        """All is well from now on."""
        self.rig.master.refuse = lambda each: False
        self.rig.send(Change(), "master")
        for _ in range(60):
            of = self.rig.master.of
            self.rig.say(of("services", State.STAGING, State.STARTING, State.UNREACHABLE), State.RUNNING)
            running = of("services", State.RUNNING)
            self.rig.say(running, State.RUNNING, details={each: {"healthy": True} for each in running})
            self.rig.say(of("services", State.KILLING), State.KILLED, -15)
            self.rig.wait(5_000)
        self._sweep()

    def judge(self) -> None:
        for one in views.services(self.rig.machine):
            assert one["settled"], one
        assert self.deleted == set()
        ids = [launch[0] for launch in self.rig.master.launches]
        assert len(set(ids)) == len(ids), "an id was used twice"
        known = [one["id"] for path in PATHS for one in views.instances(self.rig.machine, path)]
        assert sorted(known) == self.rig.master.of("services")
        self.rig.same()


ACTS = [
    Life.put, Life.put, Life.scale, Life.delete, Life.kill, Life.run, Life.run, Life.health, Life.end, Life.refuse,
    Life.wait, Life.restart, Life.lose_sight, Life.see_again, Life.renew, Life.hurry,
]  # fmt: skip


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_happens_services_end_up_as_wanted(data: st.DataObject) -> None:
    life = Life(data.draw)
    life.put()
    for act in data.draw(st.lists(st.sampled_from(ACTS), max_size=25)):
        act(life)
    life.settle()
    life.judge()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_change_never_leaves_its_capacities(data: st.DataObject) -> None:
    """From a settled service, with instances that come up and stop in any order, and none that fails."""
    rig = Rig(Services, [[10_000, 40_960, 0, 0, 0]])
    limits = {
        "minimum_health_micro": data.draw(st.sampled_from([0, 250_000, 500_000, 1_000_000])),
        "maximum_over_micro": data.draw(st.sampled_from([0, 250_000, 1_000_000])),
    }
    wanted = data.draw(st.integers(1, 6))
    rig.ask(PutService, **spec(wanted, **limits))
    rig.say(rig.master.of("services"), State.RUNNING)
    rig.now_ms += 1
    rig.ask(PutService, **spec(wanted, replace=True, shell="new", **limits))
    service = rig.machine.registry.services["/demo/web"]
    least = -(-wanted * limits["minimum_health_micro"] // 1_000_000)
    most = max(wanted + wanted * limits["maximum_over_micro"] // 1_000_000, wanted + (least == wanted))
    for _ in range(60):
        live = rig.master.of("services", State.STAGING, State.RUNNING, State.KILLING)
        assert len(live) <= most
        assert len(rig.master.of("services", State.RUNNING)) >= min(least, wanted)
        changes = rig.master.of("services", State.STAGING, State.KILLING)
        if not changes:
            break
        one = data.draw(st.sampled_from(changes))
        stops = rig.master.instances[one]["state"] == State.KILLING
        rig.say([one], State.KILLED if stops else State.RUNNING, reason=Reason.REPLACED if stops else Reason.NONE)
    assert views.service(rig.machine, "/demo/web")["settled"]
    assert planner.look_again_ms(service, rig.now_ms) is None
