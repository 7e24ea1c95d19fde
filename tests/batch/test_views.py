"""What is read of jobs."""

from __future__ import annotations

import pytest

from orch.batch import Batch, views
from orch.model.requests import StopJob, SubmitJob
from orch.model.states import State
from tests.batch.plain import Rig
from tests.batch.test_batch import AGENT, job, template


@pytest.fixture
def rig() -> Rig:
    rig = Rig(Batch, [AGENT])
    for path in ("/a/x", "/a/y", "/a/x"):
        rig.ask(SubmitJob, **job(4, template=template(path=path)))
    rig.say(rig.master.of("batch")[:3], State.FAILED, 3)
    return rig


def test_jobs_are_listed_oldest_first_in_pages_and_by_path(rig: Rig) -> None:
    assert [one["job"] for one in views.jobs(rig.machine)] == [1, 2, 3]
    assert [one["job"] for one in views.jobs(rig.machine, after=1, limit=1)] == [2]
    assert [one["job"] for one in views.jobs(rig.machine, path="/a/x")] == [1, 3]
    assert [one["job"] for one in views.jobs(rig.machine, after=1, limit=5, path="/a/x")] == [3]
    assert views.jobs(rig.machine, path="/none") == []


def test_the_latest_job_of_a_path_is_found(rig: Rig) -> None:
    assert views.find(rig.machine, "/a/x") == 3 and views.find(rig.machine, "/none") is None


def test_a_summary_counts_pods_by_state(rig: Rig) -> None:
    summary = views.job(rig.machine, 1)
    assert summary["states"] == {"STAGING": 1, "FAILED": 3} and summary["body"] == {"id": "/demo/digest"}
    assert (summary["path"], summary["user"], summary["count"], summary["done"]) == ("/a/x", "ada", 4, False)


def test_pods_are_read_in_pages_in_all_and_by_state(rig: Rig) -> None:
    names = [one["name"] for one in views.instances(rig.machine, 1, offset=2, limit=1)]
    assert names == ["a_x.j1.2"]
    assert [one["index"] for one in views.instances(rig.machine, 1)] == [0, 1, 2, 3]
    failed = views.instances(rig.machine, 1, offset=1, limit=5, state=State.FAILED)
    assert [(one["index"], one["exit_code"]) for one in failed] == [(1, 3), (2, 3)]
    assert views.instances(rig.machine, 1, offset=9) == []


def test_columns_are_read_in_slices(rig: Rig) -> None:
    part = views.columns(rig.machine, 1, 1, -1)
    assert part is not None and part.start == 1
    assert part.states.tolist() == [State.FAILED] * 2 and part.exit_codes.tolist() == [3, 3]
    assert part.attempts.tolist() == [1, 1] and part.agents.tolist() == [0, 0]
    assert views.columns(rig.machine, 1, 3, 1).states.tolist() == []
    assert views.states(rig.machine, 1).tolist() == views.columns(rig.machine, 1).states.tolist()


def test_the_columns_of_all_are_those_of_the_slices(rig: Rig) -> None:
    part, every = views.columns(rig.machine, 1), views.outcome(rig.machine, 1)
    assert part is not None and every is not None
    assert list(every) == ["states", "exit_codes", "reasons", "attempts", "agents"]
    for name, column in every.items():
        expected = getattr(part, name)
        assert column.dtype == expected.dtype and column.tolist() == expected.tolist()
        assert column.base is None, "a copy: what is encoded later must not change"


def test_the_first_that_did_not_end_well_are_told_with_how_many_there_are(rig: Rig) -> None:
    first, total = views.failures(rig.machine, 1, 1)
    assert [(one["index"], one["state"], one["exit_code"]) for one in first] == [(0, "FAILED", 3)] and total == 3
    assert [one["index"] for one in views.failures(rig.machine, 1, 9)[0]] == [0, 1, 2]


def test_of_what_is_not_there_nothing_is_read(rig: Rig) -> None:
    assert views.outcome(rig.machine, 9) is None and views.failures(rig.machine, 9, 3) == ([], 0)
    assert views.job(rig.machine, 9) is views.columns(rig.machine, 9) is views.states(rig.machine, 9) is None
    assert views.exit_codes(rig.machine, 9) is views.instance(rig.machine, 7) is None
    assert views.instances(rig.machine, 9) == views.waiting(rig.machine, 9) == []
    assert views.instance(Batch(), 7) is None


def test_what_waits_is_told_by_blocks_that_start_together() -> None:
    rig = Rig(Batch, [AGENT])
    first = rig.ask(SubmitJob, **job(8, gang=4, attempts=2, template=template(cpus_milli=250)))["first_id"]
    rig.master.refuse = lambda pod: True
    rig.say([first + 1, first + 2], State.FAILED, 1)
    rows = views.waiting(rig.machine, 1)
    assert [(row["gang"], row["count"], row["first"]) for row in rows] == [(4, 4, 4), (2, 2, 1)]
    assert rows[0]["request"] == [250, 16, 0, 0, 0] and rows[0]["group"] == "/demo"
    rig.ask(StopJob, job=1)
    assert views.waiting(rig.machine, 1) == []


def test_nothing_waits_of_a_job_that_is_launched_whole() -> None:
    rig = Rig(Batch, [AGENT])
    rig.ask(SubmitJob, **job(2))
    assert views.waiting(rig.machine, 1) == []
