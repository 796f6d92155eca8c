"""However many close a processor or a service at once, it ends once and tells it once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from auth_worker import Job, Settings, WorkerService
from auth_worker.events import ProcessorChanged
from auth_worker.messages import WORKER_MESSAGES
from support.processors import QUEUE, Harness, collect, eventually


@pytest.mark.parametrize("timeouts", [(5, 5, 5), (30, 0.05), (30, 30, 0)])
async def test_closing_at_once_tells_its_states_once(harness: Harness, timeouts: tuple[float, ...]) -> None:
    """The most impatient of them decides how long the jobs have."""
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.sleep(1.0 if max(timeouts) == 5 else 3600)

    processor = await harness.processor(consumer)
    changes = collect(processor.runtime.bus, ProcessorChanged)
    await harness.jobs.add("n", {})
    await asyncio.wait_for(started.wait(), 10)
    async with asyncio.timeout(15):
        ended = await asyncio.gather(*(processor.close(timeout) for timeout in timeouts))
    assert ended == [max(timeouts) == 5] * len(timeouts)
    assert [change.state for change in changes] == ["draining", "closed"]
    assert not processor.is_running
    assert await processor.close() is True


async def test_who_closes_last_waits_for_the_end(harness: Harness) -> None:
    """Also in the last steps, when no job runs any more."""

    async def consumer(job: Job) -> None:
        """Succeed."""

    processor = await harness.processor(consumer)
    changes = collect(processor.runtime.bus, ProcessorChanged)
    first = asyncio.create_task(processor.close(5))
    await eventually(lambda: not processor.is_running)
    assert await processor.close(5) is True
    assert [change.state for change in changes] == ["draining", "closed"]
    assert await first is True


async def test_who_stops_waiting_ends_no_close(harness: Harness) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await go_on.wait()

    processor = await harness.processor(consumer)
    await harness.jobs.add("n", {})
    await asyncio.wait_for(started.wait(), 10)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(processor.close(30), 0.1)
    go_on.set()
    assert await processor.close(30) is True
    await harness.settled(1)


async def test_stopping_a_service_and_its_processor_at_once_tells_each_state_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service = WorkerService(harness.url, settings=Settings(http_port=None), logger=logging.getLogger("users"))

    async def consumer(job: Job) -> None:
        """Succeed."""

    processor = service.register_processor(queue_name=QUEUE, processor=consumer)
    await service.start()
    assert all(await asyncio.gather(service.stop(), processor.close(), service.stop(), processor.close()))
    for told in (
        WORKER_MESSAGES.PROCESSOR_CLOSED,
        WORKER_MESSAGES.WORKER_STOPPING,
        WORKER_MESSAGES.WORKER_STOPPED,
    ):
        assert caplog.messages.count(told) == 1, told
