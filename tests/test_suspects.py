"""Jobs recovered from dead workers on a real server: they run alone, and hardly anybody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

import process_consumers
from auth_worker import Job, JobQueue, WorkerService
from auth_worker.events import JobMoved, SuspectChanged
from workers import DEAD, FAST, QUEUE, Desk, collect, eventually


class Crew:
    """A service whose consumers note what runs, and wait at a gate where the job says so."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.service = WorkerService(desk.url, settings=desk.settings())
        self.queues: dict[str, JobQueue] = {}
        self.ran: list[str] = []
        self.running: set[str] = set()
        self.beside: dict[str, set[str]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def works(self, queue: str, **config: Any) -> None:
        self.queues[queue] = JobQueue(queue, self.desk.url)
        self.service.register_processor(
            queue_name=queue,
            processor=self.consumer,
            worker_config={**FAST, **config},
            dead_letter_queue_name=DEAD if queue == QUEUE else None,
        )

    async def consumer(self, job: Job) -> None:
        self.ran.append(job.name)
        self.beside[job.name] = set(self.running)
        self.running.add(job.name)
        try:
            if gate := self.gates.get(job.name):
                await gate.wait()
        finally:
            self.running.discard(job.name)

    async def add(self, queue: str, name: str, *, gate: bool = False) -> str:
        if gate:
            self.gates[name] = asyncio.Event()
        return await self.queues[queue].add(name, {})

    async def recover(self, queue: str, *names: str) -> None:
        """Put jobs to the front of the queue as the stalled check does."""
        redis = self.desk.redis
        for name in names:
            fields = {"name": name, "data": "{}", "opts": "{}", "timestamp": "1", "stc": "1"}
            await redis.hset(f"bull:{queue}:{name}", mapping=fields)
            await redis.rpush(f"bull:{queue}:wait", name)
        await redis.zadd(f"bull:{queue}:marker", {"0": 0})

    async def started(self, *names: str, within: float = 10.0) -> None:
        await eventually(lambda: set(names) <= set(self.ran), f"{names} started", within)

    def have_run(self, names: list[str], count: int) -> bool:
        return sum(name in self.ran for name in names) == count

    def waiting(self, queue: str) -> int:
        return next(each for each in self.service.get_processors() if each.queue_name == queue).suspects


@pytest.fixture
async def crew(desk: Desk) -> AsyncIterator[Crew]:
    crew = Crew(desk)
    yield crew
    for gate in crew.gates.values():
        gate.set()
    await crew.service.stop(0)
    for queue in crew.queues.values():
        await queue.close()


async def test_an_hours_job_does_not_stop_the_others_for_a_suspect(crew: Crew) -> None:
    """The suspect's queue has one slot, which goes on serving others; in the end the suspect runs alone."""
    for queue in ("a", "b", "c"):
        crew.works(queue, concurrency=1 if queue == "b" else 2)
    await crew.service.start()
    await crew.add("a", "hour", gate=True)
    await crew.started("hour")
    await crew.recover("b", "suspect")
    await eventually(lambda: crew.waiting("b") == 1)
    for queue in ("a", "b", "c"):
        await crew.add(queue, f"fresh {queue}")
    await crew.started("fresh a", "fresh b", "fresh c", within=FAST["lock_duration"] / 1000)  # type: ignore[operator]
    assert "suspect" not in crew.ran
    health = await crew.service.get_health()
    assert health.healthy
    assert [each.suspects for each in health.processors] == [0, 1, 0]
    crew.gates["hour"].set()
    await crew.started("suspect")
    assert crew.beside["suspect"] == set()
    assert (await crew.desk.job("suspect", "b"))["ats"] == "1"


async def test_others_run_between_suspects(crew: Crew) -> None:
    crew.works("a", concurrency=5)
    crew.works("b")
    await crew.service.start()
    names = [f"suspect {number}" for number in range(5)]
    crew.gates = {name: asyncio.Event() for name in names}
    await crew.recover("a", *names)
    for number in range(5):
        await eventually(partial(crew.have_run, names, number + 1))
        (running,) = crew.running
        await crew.add("b", f"fresh {number}")
        crew.gates[running].set()
        await crew.started(f"fresh {number}", within=2)
    assert all(crew.beside[name] == set() for name in names)


async def test_a_suspect_that_runs_for_long_does_not_stop_the_others(crew: Crew) -> None:
    crew.works("a", concurrency=1)
    crew.works("b")
    await crew.service.start()
    crew.gates["suspect"] = asyncio.Event()
    await crew.recover("a", "suspect")
    await crew.started("suspect")
    await crew.add("b", "fresh")
    await crew.started("fresh", within=FAST["lock_duration"] / 1000)  # type: ignore[operator]
    assert crew.running == {"suspect"}


async def test_waiting_spends_neither_the_rate_limit_nor_an_attempt_started(crew: Crew) -> None:
    crew.works("a")
    crew.works("b", limiter={"max": 100, "duration": 60_000})
    await crew.service.start()
    await crew.add("a", "long", gate=True)
    await crew.started("long")
    await crew.recover("b", "suspect")
    ids = [await crew.add("b", f"job {number}") for number in range(10)]
    await crew.started(*(f"job {number}" for number in range(10)))
    crew.gates["long"].set()
    await crew.started("suspect")
    await crew.desk.settled(11, "b")
    assert await crew.desk.redis.get("bull:b:limiter") == b"11"
    assert [(await crew.desk.job(job_id, "b"))["ats"] for job_id in [*ids, "suspect"]] == ["1"] * 11


async def test_a_fetch_under_way_when_a_suspect_comes_is_kept_and_not_put_back(crew: Crew) -> None:
    crew.works("a", concurrency=8)
    await crew.service.start()
    moves = collect(crew.service.runtime.bus, JobMoved)
    for number in range(3):
        crew.gates[f"suspect {number}"] = asyncio.Event()
    await crew.service.pause_all()
    ids = [await crew.add("a", f"job {number}") for number in range(20)]
    await crew.recover("a", *crew.gates)
    await crew.service.resume_all()
    for gate in crew.gates.values():
        gate.set()
    await crew.desk.settled(23, "a")
    assert moves == []
    assert {(await crew.desk.job(job_id, "a"))["ats"] for job_id in ids} == {"1"}
    assert all(not crew.beside[name] for name in crew.gates)


async def test_a_suspect_in_a_process_of_its_own_waits_for_nobody(desk: Desk, crew: Crew) -> None:
    crew.works("a")
    crew.service.register_processor(
        queue_name=QUEUE, processor=process_consumers.anything, execution="process", worker_config=FAST
    )
    await crew.service.start()
    changes = collect(crew.service.runtime.bus, SuspectChanged)
    await crew.add("a", "long", gate=True)
    await crew.started("long")
    await crew.recover(QUEUE, "suspect")
    await desk.settled(1, within=30)
    assert crew.running == {"long"}
    assert changes == []


@pytest.mark.parametrize("how", ["pause", "close"])
async def test_a_held_suspect_goes_back_at_once_when_its_processor_takes_no_more(crew: Crew, how: str) -> None:
    crew.works("a")
    crew.works("b")
    await crew.service.start()
    await crew.add("a", "long", gate=True)
    await crew.started("long")
    await crew.recover("b", "suspect")
    await eventually(lambda: crew.waiting("b") == 1)
    processor = crew.service.get_processors()[1]
    await (processor.pause() if how == "pause" else processor.close(5))
    await eventually(lambda: not processor.active)
    assert (await crew.desk.counts("b"))["wait"] == 1
    assert "suspect" not in crew.ran
    if how == "pause":
        await processor.resume()
        crew.gates["long"].set()
        await crew.started("suspect")


async def test_a_held_suspect_whose_lease_is_lost_is_let_go(crew: Crew) -> None:
    crew.works("a")
    crew.works("b", lock_duration=400, concurrency=1)
    await crew.service.start()
    await crew.add("a", "long", gate=True)
    await crew.started("long")
    await crew.recover("b", "suspect")
    await eventually(lambda: crew.waiting("b") == 1)
    await crew.desk.redis.set("bull:b:suspect:lock", "another worker")
    await eventually(lambda: crew.waiting("b") == 0)
    crew.gates["long"].set()
    await crew.add("b", "fresh 1", gate=True)
    await crew.add("b", "fresh 2", gate=True)
    await crew.started("fresh 1")
    assert crew.running == {"fresh 1"}, "the queue has one slot still"
    crew.gates["fresh 1"].set()
    await crew.started("fresh 2")
    assert "suspect" not in crew.ran


async def test_a_held_suspect_is_told_of_when_it_waits_and_when_it_runs(crew: Crew) -> None:
    crew.works("a")
    await crew.service.start()
    changes = collect(crew.service.runtime.bus, SuspectChanged)
    await crew.add("a", "long", gate=True)
    await crew.started("long")
    await crew.recover("a", "suspect")
    await eventually(lambda: changes)
    assert crew.waiting("a") == 1
    crew.gates["long"].set()
    await crew.started("suspect")
    assert changes == [SuspectChanged("a", "suspect", "suspect", 1, state) for state in ("held", "running")]
