"""In memory as in Redis: job schedulers, flows, deduplication and the rest of what a producer can ask for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from auth_worker import BrokerError, ConfigurationError, Job, JobQueue
from auth_worker.core.ports.producer import ProducerBroker
from auth_worker.errors import JobNotFoundError
from auth_worker.flow import Flow
from auth_worker.tasks import TaskQueue
from auth_worker.testing import MemoryBroker
from support.tested_tasks import flows, images

NOWHERE = "redis://127.0.0.1:1"
HOUR = 3_600_000


@pytest.fixture
def work() -> TaskQueue:
    """A queue whose tasks note that they ran, double a number, fail, or collect what children returned."""
    queue = TaskQueue(
        "work", NOWHERE, worker_config={"attempts": 1}, dead_letter_queue_name="workDead", timeout=2.0
    )

    @queue.task
    async def double(number: int = 1) -> int:
        return 2 * number

    @queue.task
    async def fail() -> None:
        raise OSError("no luck")

    @queue.task
    async def collect(job: Job) -> list[Any]:
        values, failures = await job.children_values(), await job.children_failures()
        return [sorted(values.values()), sorted(failures.values())]

    return queue


async def test_a_scheduler_runs_its_job_every_time_the_clock_says_so(jobs: MemoryBroker, work: TaskQueue) -> None:
    first = await work.jobs.upsert_job_scheduler("hourly", name="double", data={"number": 4}, every=HOUR)
    assert first == f"repeat:hourly:{jobs.clock.now}"
    assert len(await jobs.drain(work)) == 1
    for _ in range(3):
        jobs.clock.advance(minutes=59)
        assert await jobs.drain(work) == []
        jobs.clock.advance(minutes=1)
        assert [job.return_value for job in await jobs.drain(work)] == [8]
    (scheduler,) = await work.jobs.job_schedulers()
    assert (scheduler.id, scheduler.every, scheduler.count, scheduler.data) == ("hourly", HOUR, 5, {"number": 4})
    assert scheduler.next == jobs.clock.now + HOUR
    assert await work.jobs._broker.changes().last_iterations(9) == {"hourly": jobs.enqueued("double")[3].id}
    assert await jobs.drain(work, with_delayed=True) == []
    jobs.clock.advance(hours=5.5)
    assert len(await jobs.drain(work)) == 1, "what was missed is not made up for"
    assert await work.jobs._broker.changes().remove_scheduler("hourly")
    assert not await work.jobs.remove_job_scheduler("hourly")
    jobs.clock.advance(hours=2)
    assert await jobs.drain(work) == []


async def test_a_cron_pattern_goes_by_the_clock(jobs: MemoryBroker, work: TaskQueue) -> None:
    await work.jobs.upsert_job_scheduler("nightly", name="double", pattern="0 3 * * *", tz="UTC", limit=2)
    night = jobs.clock.moment.replace(hour=3, minute=0, second=0, microsecond=0)
    if night <= jobs.clock.moment:
        night += timedelta(days=1)
    (scheduler,) = await work.jobs.job_schedulers()
    assert scheduler.next == night.timestamp() * 1000
    for _ in range(3):
        jobs.clock.move_to(night)
        await jobs.drain(work)
        night += timedelta(days=1)
    assert len(jobs.enqueued("double")) == 2


async def test_a_scheduler_is_replaced_aligned_and_begun_at_once(jobs: MemoryBroker, work: TaskQueue) -> None:
    upsert = work.jobs.upsert_job_scheduler
    await upsert("one", name="double", every=HOUR, offset=1_000)
    (scheduler,) = await work.jobs.job_schedulers()
    assert scheduler.next % HOUR == 1_000
    await upsert("one", name="double", every=HOUR, start_date=jobs.clock.now + 5)
    assert [each.next for each in await work.jobs.job_schedulers()] == [jobs.clock.now + 5]
    await upsert("one", name="double", pattern="0 3 * * *", immediately=True)
    assert len(await jobs.drain(work)) == 1
    assert await upsert("ended", name="double", every=HOUR, end_date=jobs.clock.now - 1) is None
    with pytest.raises(ConfigurationError, match="either a pattern or every"):
        await upsert("two", name="double", every=HOUR, pattern="0 3 * * *")
    with pytest.raises(ConfigurationError, match="immediately and start_date"):
        await upsert("two", name="double", pattern="0 3 * * *", immediately=True, start_date=jobs.clock.now)
    with pytest.raises(ConfigurationError, match="its job scheduler needs it"):
        await work.jobs.cancel(jobs.enqueued()[-1].id)


async def test_a_parent_runs_once_its_children_have(jobs: MemoryBroker, work: TaskQueue) -> None:
    children = [Flow("double", {"number": number}, queue="work") for number in (1, 2)]
    added = await flows.add(Flow("collect", queue="work", children=children))
    tree = await flows.get("work", added.job)
    assert tree is not None
    assert (tree.job.state, tree.children_count, [child.job.name for child in tree.children]) == (
        "waiting-children",
        2,
        ["double", "double"],
    )
    assert [job.name for job in await jobs.drain(work)] == ["double", "double", "collect"]
    assert await work.jobs.result(added.job, 5) == [[2, 4], []]
    assert await flows.get("work", "nobody") is None


@pytest.mark.parametrize(
    ("option", "state"),
    [
        ({}, "waiting-children"),
        ({"ignore_dependency_on_failure": True}, [[2], ["no luck"]]),
        ({"continue_parent_on_failure": True}, [[2], ["no luck"]]),
        ({"remove_dependency_on_failure": True}, [[2], []]),
        ({"fail_parent_on_failure": True}, "failed"),
    ],
)
async def test_a_child_that_fails_means_for_its_parent_what_it_says(
    jobs: MemoryBroker, work: TaskQueue, option: dict[str, bool], state: Any
) -> None:
    bad, good = Flow("fail", queue="work", **option), Flow("double", queue="work")  # type: ignore[arg-type]
    added = await flows.add(Flow("collect", queue="work", children=[bad, good]))
    await jobs.drain(work, raise_errors=False)
    parent = await work.jobs.get(added.job)
    assert parent is not None
    assert (parent.state if isinstance(state, str) else parent.return_value) == state
    if state == "failed":
        assert parent.failed_reason == f"child bull:work:{added.children[0].job} failed"
        jobs.assert_enqueued("collect", originalJobId=added.job)


async def test_a_parent_is_cancelled_with_the_children_that_it_waits_for(
    jobs: MemoryBroker, work: TaskQueue
) -> None:
    waiting = Flow("collect", queue="work", children=[Flow("double", queue="work")])
    added = await flows.add(Flow("collect", queue="work", children=[waiting, Flow("double", queue="work")]))
    assert await work.jobs.cancel(added.job)
    assert {job.state for job in jobs.enqueued()} == {"failed"}
    assert len(jobs.enqueued()) == 4


async def test_a_flow_is_refused_as_a_whole(jobs: MemoryBroker) -> None:
    for bad, message in (
        (Flow("child", queue="a", attempts=-1), r"flows\[0\]\.children\[0\]: "),
        (Flow("child", queue="a", parent={"id": "1", "queue": "bull:a"}), "leave parent out"),
        (Flow("child", queue="a:b"), "queue must be"),
        (Flow("child", queue="a", deduplication={"id": "x"}, children=[Flow("x", queue="a")]), "cannot have ded"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            await flows.add(Flow("parent", queue="a", children=[bad]))
    jobs.assert_not_enqueued()


async def test_a_job_may_name_its_parent(jobs: MemoryBroker, work: TaskQueue) -> None:
    parent = await work.jobs.add("collect")
    await work.jobs.add("double", {"number": 3}, parent={"id": parent, "queue": "bull:work"})
    await jobs.drain(work)
    assert await work.jobs.result(parent, 5) == [[6], []]
    with pytest.raises(BrokerError, match="parent of the job does not exist"):
        await work.jobs.add("double", parent={"id": "none", "queue": "bull:work"})


async def test_deduplication_holds_until_the_job_has_finished_or_for_its_time(
    jobs: MemoryBroker, work: TaskQueue
) -> None:
    async def add(**deduplication: Any) -> bool:
        options: Any = {"deduplication": {"id": "d", **deduplication}}
        return (await work.jobs.add("double", **options)).created

    assert [await add(), await add()] == [True, False]
    assert await work.jobs.deduplication_job_id("d") == "1"
    await jobs.drain(work)
    assert [await add(ttl=1_000), await add(ttl=1_000)] == [True, False]
    await jobs.drain(work)
    assert not await add(ttl=1_000)
    jobs.clock.advance(milliseconds=600)
    assert not await add(ttl=1_000, extend=True)
    jobs.clock.advance(milliseconds=600)
    assert not await add(ttl=1_000)
    jobs.clock.advance(milliseconds=600)
    assert await add(ttl=1_000)
    assert await work.jobs.remove_deduplication_key("d")
    assert not await work.jobs.remove_deduplication_key("d")
    assert await work.jobs.deduplication_job_id("d") is None


async def test_a_delayed_job_is_replaced_where_its_deduplication_says_so(
    jobs: MemoryBroker, work: TaskQueue
) -> None:
    for number in (1, 2, 3):
        await work.jobs.add(
            "double", {"number": number}, delay=1_000, deduplication={"id": "d", "ttl": 1_000, "replace": True}
        )
    assert [job.return_value for job in await jobs.drain(work, with_delayed=True)] == [6]


async def test_the_last_job_that_came_during_a_run_is_kept(jobs: MemoryBroker) -> None:
    queue = TaskQueue("work", NOWHERE, timeout=2.0)
    options: Any = {"deduplication": {"id": "d", "keep_last_if_active": True}}
    ran = []

    @queue.task
    async def note(number: int) -> None:
        ran.append(number)
        if number == 1:
            assert not (await note.options(**options).enqueue(2)).created
            assert not (await note.options(**options).enqueue(3)).created

    await note.options(**options).enqueue(1)
    await jobs.drain(queue)
    assert ran == [1, 3]


async def test_data_is_updated_and_a_queue_obliterated(jobs: MemoryBroker, work: TaskQueue) -> None:
    job = await work.jobs.add("double", {"number": 1})
    assert await work.jobs.update_data(job, {"number": 21})
    assert not await work.jobs.update_data("nobody", {})
    await jobs.drain(work)
    assert await work.jobs.result(job, 5) == 42
    await work.jobs.set_global_concurrency(1)
    await work.jobs.set_global_rate_limit(1, 1_000)
    assert await work.jobs.obliterate()
    assert await work.jobs.get(job) is None


async def test_the_port_is_kept_to_the_last_question(jobs: MemoryBroker, work: TaskQueue) -> None:
    broker: ProducerBroker = work.jobs._broker
    await broker.connect()
    await broker.enter()
    await broker.leave()
    job = await work.jobs.add("double", delay=1_000)
    reader = broker.jobs()
    assert [row and row.name for row in await reader.rows([job, "nobody"])] == ["double", None]
    assert (await reader.kind(job), await reader.kind("nobody")) == ("job", "none")
    assert (await reader.due(job), await reader.due("nobody")) == (jobs.clock.now + 1_000, None)
    assert (await reader.logs(job, 5), await reader.logs("nobody", 5)) == (([], 0), ([], 0))
    assert await reader.lock(job) == (None, 0)
    assert (await reader.children(job), await reader.children("nobody")) == ((0, 0, 0, 0, []),) * 2
    assert await broker.wait_for("nobody") is None
    await images.close()
    await flows.close()
    async with work.jobs:
        assert await broker.changes().obliterate(False)


@pytest.mark.parametrize("between", [False, True])
async def test_a_flow_with_a_job_below_itself_is_refused(jobs: MemoryBroker, between: bool) -> None:
    again = Flow("double", queue="work", job_id="again")
    below = Flow("double", queue="work", children=[again]) if between else again
    place = r"flows\[0\]\.children\[0\]" + r"\.children\[0\]" * between
    with pytest.raises(ConfigurationError, match=f"{place}: its job_id is that of a job above it"):
        await flows.add(Flow("collect", queue="work", job_id="again", children=[below]))
    assert jobs.enqueued() == []


async def test_a_flow_that_is_too_deep_is_refused(jobs: MemoryBroker) -> None:
    deep = Flow("double", queue="work")
    for _ in range(5000):
        deep = Flow("double", queue="work", children=[deep])
    with pytest.raises(ConfigurationError, match="more levels of children"):
        await flows.add(deep)
    assert jobs.enqueued() == []


@pytest.mark.parametrize("before", [True, False])
async def test_who_awaits_a_job_learns_that_its_queue_was_obliterated(jobs: MemoryBroker, before: bool) -> None:
    async with JobQueue("mails", NOWHERE) as queue:
        job_id = await queue.add("n", {}, delay=60_000)
        waiting = asyncio.create_task(queue.result(job_id, 20))
        if before:
            await asyncio.wait({waiting}, timeout=0.01)
        await queue.obliterate()
        with pytest.raises(JobNotFoundError):
            await waiting
