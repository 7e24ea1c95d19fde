"""The asyncio twin does the same, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

import orch
from orch import aio
from orch.client.places import Place
from orch.model.states import State
from tests.api.world import TOKEN, World, deadline

T = TypeVar("T")
POD = orch.Pod(
    "/demo/web",
    containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32, endpoints=[orch.Endpoint("http")])],
)


def run(task: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await task

    return asyncio.run(bounded())


def connected(world: World) -> aio.Cluster:
    return aio.Cluster(Place(world.url, TOKEN))


def test_a_service(world: World) -> None:
    world.connect_node()

    async def main() -> None:
        async with connected(world) as cluster:
            service = await cluster.run(POD, instances=2)
            await service.wait(10)
            world.do(
                lambda: [row.files.update(stdout=b"hi\n") for a in world.agents.values() for row in a.rows.values()]
            )
            assert [row["name"] for row in await service.instances()] == ["demo_web.1", "demo_web.2"]
            assert len(await service.endpoints) == 2 and (await service.status())["running"] == 2
            assert await service.logs("app") == "hi\n"
            assert "nothing of service" in str(await service.why())
            await (await service.scale(1)).wait(10)
            instance = await cluster.instance("demo_web.1")
            assert (await instance.status())["state"] == "RUNNING" and "RUNNING" in str(await instance.why())
            assert await instance.file("stdout") == b"hi\n" and (await instance.files())[0]["name"] == "stdout"
            assert [piece async for piece in instance.logs(lines=1)] == [b"hi\n"]
            assert (await instance.kill(wait=True, timeout=10))["state"] == "KILLED"
            assert [one.path for one in await cluster.services()] == ["/demo/web"]
            assert (await (await cluster.service("/demo/web")).stop())["running"] == 0

    run(main())


def test_a_job(world: World) -> None:
    world.connect_node()

    async def main() -> None:
        async with connected(world) as cluster:
            job = await cluster.submit(
                "/a", cmd="sha256sum $FILE", each=[{"FILE": f"f{n}"} for n in range(5)], cpus=0.1
            )
            await job.wait(10)
            assert (await job.states).tolist() == [State.FINISHED] * 5
            assert (await job.exit_codes).dtype == np.int16 and not (await job.reasons == 0).any()
            assert await job.output(3) == b"digest of f3\n" and len(await job.outputs()) == 5
            with pytest.raises(IndexError, match="job 1 has no pod -1"):
                await job.output(-1)
            assert (await job.status())["done"] and "nothing of job 1 waits" in str(await job.why())
            slow = await cluster.submit("/b", cmd="sleep 9", cpus=0.1)
            await slow.wait(10, until="running")
            with pytest.raises(orch.TimeoutExceededError):
                await slow.wait(0.05)
            assert (await slow.stop(wait=True))["states"] == {"KILLED": 1}
            assert [one.number for one in await cluster.jobs()] == [1, 2] and (await cluster.job("/b")).number == 2

    run(main())


def test_many_waits_at_once(world: World) -> None:
    async def main() -> None:
        async with connected(world) as cluster:
            jobs = await asyncio.gather(*(cluster.submit(f"/j{n}", cmd="true", cpus=0.1) for n in range(30)))
            await asyncio.gather(*(job.wait(20) for job in jobs))
            assert sorted(job.number for job in jobs) == list(range(1, 31))

    run(main())


def test_anything_by_its_id(world: World) -> None:
    async def main() -> None:
        async with connected(world) as cluster:
            await (await cluster.run(POD)).wait(10)
            assert (await cluster.info())["services"] == 1 and len(await cluster.agents()) == 2
            assert (await cluster.inspect("/demo/web"))["story"] and (await cluster.ps())[0]["id"] == "/demo/web"
            assert (await cluster.instances("/demo/web"))[0]["id"] == "demo_web.1"
            assert (await cluster.drain("a1"))["state"] == "DRAINING"
            assert (await cluster.stop("/demo/web"))["running"] == 0
            with pytest.raises(orch.NotFoundError):
                await cluster.why("/demo/web")
            with pytest.raises(orch.SpecError):
                await cluster.run({"id": "/x", "cmd": "y", "memory": 1})

    run(main())


def test_events_and_a_reader_that_goes(world: World) -> None:
    async def main() -> None:
        async with connected(world) as cluster:
            await (await cluster.submit("/a", cmd="true", cpus=0.1)).wait(10)
            past = [event async for event in cluster.events(follow=False, type="job")]
            assert [event["change"] for event in past] == ["submitted", "finished"]
            async for event in cluster.events(since=past[0]["id"], type="job"):
                assert event["change"] == "finished"
                break

    run(main())
    deadline(lambda: world.do(lambda: world.follower.subscribers) == 0, "the stream is still open")


def test_a_cancelled_wait_leaves_nothing(world: World) -> None:
    async def main() -> None:
        async with connected(world) as cluster:
            job = await cluster.submit("/a", cmd="sleep 9", cpus=0.1)
            waits = asyncio.ensure_future(job.wait())
            while not world.room._waits.taken:
                await asyncio.sleep(0.005)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert (await job.status())["done"] is False

    run(main())


def test_a_restart_of_the_gateway_is_outlived(world: World) -> None:
    async def main() -> None:
        async with connected(world) as cluster:
            await cluster.info()
            await asyncio.to_thread(world.wait_for, world._stop_server())
            submitted = asyncio.ensure_future(cluster.submit("/a", cmd="true", cpus=0.1))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(world.wait_for, world._start_server())
            assert (await submitted).number == 1

    run(main())


def test_nobody_listens() -> None:
    async def main() -> None:
        async with aio.Cluster(Place("http://127.0.0.1:1", "t")) as cluster:
            with pytest.raises(orch.UnavailableError, match="orch up"):
                await cluster.info()

    run(main())
