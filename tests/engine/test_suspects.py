"""Jobs recovered from dead workers on a real server: they run alone, and hardly anybody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from auth_worker import Job, JobQueue, WorkerService
from auth_worker.engine import quarantine
from auth_worker.engine.executors import Execution, executor_for
from auth_worker.engine.quarantine import Quarantine
from auth_worker.events import JobMoved, SuspectChanged
from support import process_consumers
from support.processors import DEAD, FAST, QUEUE, Harness, collect, eventually
from support.scripted_broker import a_fetched
from support.scripted_engine import Engine


class RecordingService:
    """A service whose consumers note what runs, and wait at a gate where the job says so."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.service = WorkerService(harness.url, settings=harness.settings())
        self.queues: dict[str, JobQueue] = {}
        self.ran: list[str] = []
        self.running: set[str] = set()
        self.beside: dict[str, set[str]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def works(self, queue: str, **config: Any) -> None:
        self.queues[queue] = JobQueue(queue, self.harness.url)
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
        redis = self.harness.redis
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
async def workers(harness: Harness) -> AsyncIterator[RecordingService]:
    workers = RecordingService(harness)
    yield workers
    for gate in workers.gates.values():
        gate.set()
    await workers.service.stop(0)
    for queue in workers.queues.values():
        await queue.close()


async def test_an_hours_job_does_not_stop_the_others_for_a_suspect(workers: RecordingService) -> None:
    """The suspect's queue has one slot, which goes on serving others; in the end the suspect runs alone."""
    for queue in ("a", "b", "c"):
        workers.works(queue, concurrency=1 if queue == "b" else 2)
    await workers.service.start()
    await workers.add("a", "hour", gate=True)
    await workers.started("hour")
    await workers.recover("b", "suspect")
    await eventually(lambda: workers.waiting("b") == 1)
    for queue in ("a", "b", "c"):
        await workers.add(queue, f"fresh {queue}")
    await workers.started("fresh a", "fresh b", "fresh c", within=FAST["lock_duration"] / 1000)  # type: ignore[operator]
    assert "suspect" not in workers.ran
    health = await workers.service.get_health()
    assert health.healthy
    assert [each.suspects for each in health.processors] == [0, 1, 0]
    workers.gates["hour"].set()
    await workers.started("suspect")
    assert workers.beside["suspect"] == set()
    assert (await workers.harness.job("suspect", "b"))["ats"] == "1"


async def test_others_run_between_suspects(workers: RecordingService) -> None:
    workers.works("a", concurrency=5)
    workers.works("b")
    await workers.service.start()
    names = [f"suspect {number}" for number in range(5)]
    workers.gates = {name: asyncio.Event() for name in names}
    await workers.recover("a", *names)
    for number in range(5):
        await eventually(partial(workers.have_run, names, number + 1))
        (running,) = workers.running
        await workers.add("b", f"fresh {number}")
        workers.gates[running].set()
        await workers.started(f"fresh {number}", within=2)
    assert all(workers.beside[name] == set() for name in names)


async def test_a_suspect_that_runs_for_long_does_not_stop_the_others(workers: RecordingService) -> None:
    workers.works("a", concurrency=1)
    workers.works("b")
    await workers.service.start()
    workers.gates["suspect"] = asyncio.Event()
    await workers.recover("a", "suspect")
    await workers.started("suspect")
    await workers.add("b", "fresh")
    await workers.started("fresh", within=FAST["lock_duration"] / 1000)  # type: ignore[operator]
    assert workers.running == {"suspect"}


async def test_waiting_spends_neither_the_rate_limit_nor_an_attempt_started(workers: RecordingService) -> None:
    workers.works("a")
    workers.works("b", limiter={"max": 100, "duration": 60_000})
    await workers.service.start()
    await workers.add("a", "long", gate=True)
    await workers.started("long")
    await workers.recover("b", "suspect")
    ids = [await workers.add("b", f"job {number}") for number in range(10)]
    await workers.started(*(f"job {number}" for number in range(10)))
    workers.gates["long"].set()
    await workers.started("suspect")
    await workers.harness.settled(11, "b")
    assert await workers.harness.redis.get("bull:b:limiter") == b"11"
    assert [(await workers.harness.job(job_id, "b"))["ats"] for job_id in [*ids, "suspect"]] == ["1"] * 11


async def test_a_fetch_under_way_when_a_suspect_comes_is_kept_and_not_put_back(workers: RecordingService) -> None:
    workers.works("a", concurrency=8)
    await workers.service.start()
    moves = collect(workers.service.runtime.bus, JobMoved)
    for number in range(3):
        workers.gates[f"suspect {number}"] = asyncio.Event()
    await workers.service.pause_all()
    ids = [await workers.add("a", f"job {number}") for number in range(20)]
    await workers.recover("a", *workers.gates)
    await workers.service.resume_all()
    for gate in workers.gates.values():
        gate.set()
    await workers.harness.settled(23, "a")
    assert moves == []
    assert {(await workers.harness.job(job_id, "a"))["ats"] for job_id in ids} == {"1"}
    assert all(not workers.beside[name] for name in workers.gates)


async def test_a_suspect_in_a_process_of_its_own_waits_for_nobody(
    harness: Harness, workers: RecordingService
) -> None:
    workers.works("a")
    workers.service.register_processor(
        queue_name=QUEUE, processor=process_consumers.anything, execution="process", worker_config=FAST
    )
    await workers.service.start()
    changes = collect(workers.service.runtime.bus, SuspectChanged)
    await workers.add("a", "long", gate=True)
    await workers.started("long")
    await workers.recover(QUEUE, "suspect")
    await harness.settled(1, within=30)
    assert workers.running == {"long"}
    assert changes == []


@pytest.mark.parametrize(("execution", "waiting"), [("process", 0), ("thread", 1)])
@pytest.mark.parametrize(("stalls", "fails_next"), [(1, False), (2, False), (3, True)])
async def test_a_recovered_job_is_a_suspect_everywhere_and_waits_unless_it_has_a_process(
    execution: Execution, waiting: int, stalls: int, fails_next: bool
) -> None:
    marked: list[bool] = []

    class Noting(Quarantine):
        def mark_recovered(self, run: object, *, fails_next: bool) -> None:
            super().mark_recovered(run, fails_next=fails_next)
            marked.append(fails_next)

    noting = Noting()
    noting.entered("a neighbour")
    executor = executor_for(process_consumers.anything, execution, 1)
    engine = Engine(executor=executor, quarantine=noting, max_stalled_count=3)
    engine.worker.resume()
    engine.give(a_fetched("job-1", stalled_count=stalls))
    assert (engine.worker.suspects, marked) == (waiting, [fails_next])
    [run] = engine.worker.held()
    assert (run.task is None) == bool(waiting)
    if run.task is not None:
        run.task.cancel()


@pytest.mark.parametrize("how", ["pause", "close"])
async def test_a_held_suspect_goes_back_at_once_when_its_processor_takes_no_more(
    workers: RecordingService, how: str
) -> None:
    workers.works("a")
    workers.works("b")
    await workers.service.start()
    await workers.add("a", "long", gate=True)
    await workers.started("long")
    await workers.recover("b", "suspect")
    await eventually(lambda: workers.waiting("b") == 1)
    processor = workers.service.get_processors()[1]
    await (processor.pause() if how == "pause" else processor.close(5))
    await eventually(lambda: not processor.active)
    assert (await workers.harness.counts("b"))["wait"] == 1
    assert (await workers.harness.job("suspect", "b"))["ats"] == "0", "no attempt was started"
    assert "suspect" not in workers.ran
    if how == "pause":
        await processor.resume()
        workers.gates["long"].set()
        await workers.started("suspect")
        assert (await workers.harness.job("suspect", "b"))["ats"] == "1"


async def test_a_held_suspect_whose_lease_is_lost_is_let_go(workers: RecordingService) -> None:
    workers.works("a")
    workers.works("b", lock_duration=400, concurrency=1)
    await workers.service.start()
    await workers.add("a", "long", gate=True)
    await workers.started("long")
    await workers.recover("b", "suspect")
    await eventually(lambda: workers.waiting("b") == 1)
    await workers.harness.redis.set("bull:b:suspect:lock", "another worker")
    await eventually(lambda: workers.waiting("b") == 0)
    workers.gates["long"].set()
    await workers.add("b", "fresh 1", gate=True)
    await workers.add("b", "fresh 2", gate=True)
    await workers.started("fresh 1")
    assert workers.running == {"fresh 1"}, "the queue has one slot still"
    workers.gates["fresh 1"].set()
    await workers.started("fresh 2")
    assert "suspect" not in workers.ran


async def test_a_held_suspect_is_reported_when_it_waits_and_when_it_runs(workers: RecordingService) -> None:
    workers.works("a")
    await workers.service.start()
    changes = collect(workers.service.runtime.bus, SuspectChanged)
    await workers.add("a", "long", gate=True)
    await workers.started("long")
    await workers.recover("a", "suspect")
    await eventually(lambda: changes)
    assert workers.waiting("a") == 1
    workers.gates["long"].set()
    await workers.started("suspect")
    assert changes == [SuspectChanged("a", "suspect", "suspect", 1, state) for state in ("held", "alone")]


async def test_a_suspect_that_found_no_moment_alone_is_reported_to_run_beside_others(
    workers: RecordingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "PATIENCE", 1)
    workers.works("a", lock_duration=400)
    await workers.service.start()
    changes = collect(workers.service.runtime.bus, SuspectChanged)
    await workers.add("a", "endless", gate=True)
    await workers.started("endless")
    await workers.recover("a", "suspect")
    await workers.started("suspect")
    assert workers.beside["suspect"] == {"endless"}
    assert [each.state for each in changes] == ["held", "beside others"]
