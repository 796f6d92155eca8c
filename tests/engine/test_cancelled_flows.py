"""A parent that is cancelled takes the children along that it waits for, and theirs."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest

from auth_worker import Job
from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.flow import AddedFlow, Flow, FlowProducer
from support.processors import QUEUE, Harness

CANCELLED = "job was cancelled: wrong list"


async def add_tree(harness: Harness, **of_children: Any) -> AddedFlow:
    """A parent, its two children, and a child of the first of them in another queue."""
    grandchild = Flow("g", queue=f"{QUEUE}Other", delay=60_000)
    children = [
        Flow("c", queue=QUEUE, children=[grandchild], **of_children),
        Flow("d", queue=QUEUE, **of_children),
    ]
    async with FlowProducer(harness.url, settings=harness.settings()) as flows:
        return await flows.add(Flow("p", queue=QUEUE, children=children))


def jobs_of(flow: AddedFlow) -> list[tuple[str, str]]:
    return [(flow.queue_name, flow.job), *(job for child in flow.children for job in jobs_of(child))]


async def reasons(harness: Harness, flow: AddedFlow) -> list[str]:
    return [(await harness.job(job_id, queue)).get("failedReason", "") for queue, job_id in jobs_of(flow)]


@pytest.mark.parametrize(
    "of_children", [{}, {"fail_parent_on_failure": True}, {"ignore_dependency_on_failure": True}]
)
async def test_the_children_that_a_cancelled_parent_waits_for_are_cancelled(
    harness: Harness, of_children: dict[str, Any]
) -> None:
    flow = await add_tree(harness, **of_children)
    assert await harness.jobs.cancel(flow.job, "wrong list")
    assert await reasons(harness, flow) == [CANCELLED] * 4
    counts = await harness.counts()
    assert (counts["failed"], sum(counts.values())) == (3, 3)


async def test_the_children_of_a_cancelled_parent_that_run_are_stopped(harness: Harness) -> None:
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    await harness.processor(consumer)
    flow = await add_tree(harness)
    await asyncio.wait_for(started.wait(), 10)
    assert await harness.jobs.cancel(flow.job, "wrong list")
    await harness.settled(3)
    assert await reasons(harness, flow) == [CANCELLED] * 4


async def test_a_cancellation_that_broke_off_before_the_children_goes_on_with_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = await add_tree(harness)
    with monkeypatch.context() as broken:
        broken.setattr(Cancellations, "_cancel_children", AsyncMock(side_effect=ConnectionError))
        with pytest.raises(ConnectionError):
            await harness.jobs.cancel(flow.job, "wrong list")
    assert await reasons(harness, flow) == [CANCELLED, "", "", ""]
    assert not await harness.jobs.cancel(flow.job, "wrong list"), "it has finished"
    assert await reasons(harness, flow) == [CANCELLED] * 4
