"""Each change is in the audit log that all processes share, with who made it."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.admin import audit_log
from auth_worker.admin.audit_log import os_user
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import operator_broker
from auth_worker.errors import BrokerError
from support.operators import operations_on
from support.processors import QUEUE, Harness


async def test_changes_of_every_process_are_there_the_newest_first(harness: Harness) -> None:
    await harness.jobs.add("n", {})
    async with operations_on(harness.url) as one:
        await one.queues.pause(QUEUE)
    async with Operations(operator_broker(harness.url, "bull"), who=lambda: "ada") as other:
        await other.queues.resume(QUEUE)
        async for _ in other.jobs.drain(QUEUE):
            pass
        await other.audit_log.flush()
        page = await other.audit_log.page(0, 10)
    assert [(each.who, each.action, each.queue, each.count, each.result) for each in page.changes] == [
        ("ada", "drain", QUEUE, 1, "done"),
        ("ada", "resume", QUEUE, 1, "done"),
        (os_user(), "pause", QUEUE, 1, "done"),
    ]
    assert page.total == 3
    assert page.next_offset is None


async def test_it_is_paged_and_keeps_the_newest(
    harness: Harness, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "MOST_KEPT", 5)
    for number in range(8):
        operations.audit_log.record(Change(action="retry", queue=QUEUE, target=str(number)))
    await operations.audit_log.flush()
    first = await operations.audit_log.page(0, 3)
    assert [each.target for each in first.changes] == ["7", "6", "5"]
    assert (first.total, first.next_offset) == (5, 3)
    rest = await operations.audit_log.page(3, 3)
    assert [each.target for each in rest.changes] == ["4", "3"]
    assert rest.next_offset is None


async def test_an_entry_that_is_no_change_is_left_out(harness: Harness, operations: Operations) -> None:
    await harness.redis.rpush("bull:auth-worker-changes", "{", "[1]", '{"at": "never"}', b"\xff")
    page = await operations.audit_log.page(0, 10)
    assert (page.total, page.changes) == (4, [])


async def test_a_change_that_cannot_be_written_is_still_reported(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Change] = []

    class Away:
        async def append(self, entry: str, most: int) -> None:
            await asyncio.sleep(0)
            raise BrokerError("it is away")

    async with operations_on(harness.url, record=told.append) as operations:
        monkeypatch.setattr(operations.audit_log, "_keeper", Away())
        await operations.queues.pause(QUEUE)
    assert [each.action for each in told] == ["pause"]
