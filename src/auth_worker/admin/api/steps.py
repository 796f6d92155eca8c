"""From what was asked for in bulk to the steps that do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from auth_worker.admin.api.bodies import (
    AnyBulk,
    CleanQueue,
    DrainQueue,
    PromoteJobs,
    PurgeLetters,
    RedriveLetters,
    RemoveJobs,
    RetryJobs,
)
from auth_worker.admin.bulk import Steps, one_after_another
from auth_worker.admin.models import BulkStep
from auth_worker.admin.operations import Operations


async def steps_of(asked: AnyBulk, operations: Operations) -> Steps:
    """Find out what is meant; the steps then do it, or say how many that are where it is a dry run.

    The queue is there. Raises ``NotFoundError`` for a letter that is not, and ``BrokerError``.
    """
    match asked:
        case RedriveLetters() | PurgeLetters():
            return await _with_letters(asked, operations)
        case DrainQueue() | CleanQueue():
            return await _with_queue(asked, operations)
        case RetryJobs() | PromoteJobs() | RemoveJobs():
            return await _with_jobs(asked, operations)
    assert_never(asked)


async def _with_jobs(asked: RetryJobs | PromoteJobs | RemoveJobs, operations: Operations) -> Steps:
    ids: Sequence[str] | None = asked.ids
    if ids is None:
        state = "delayed" if isinstance(asked, PromoteJobs) else asked.state
        ids = await operations.jobs.select(asked.queue, str(state), asked.filter)
    if asked.dry_run:
        return _count(len(ids))
    many = {
        "retry": operations.jobs.retry_many,
        "promote": operations.jobs.promote_many,
        "remove": operations.jobs.remove_many,
    }
    return many[asked.action](asked.queue, ids, asked.rate)


async def _with_queue(asked: DrainQueue | CleanQueue, operations: Operations) -> Steps:
    if isinstance(asked, CleanQueue):
        if asked.dry_run:
            return _count(await operations.jobs.count_older(asked.queue, asked.state, asked.older_than))
        return operations.jobs.clean(asked.queue, asked.state, asked.older_than)
    if asked.dry_run:
        (found,) = await operations.queues.describe([asked.queue])
        return _count(found.waiting + (found.counts["delayed"] if asked.delayed else 0))
    return operations.jobs.drain(asked.queue, delayed=asked.delayed)


async def _with_letters(asked: RedriveLetters | PurgeLetters, operations: Operations) -> Steps:
    keep = (asked.keep or 0) if isinstance(asked, PurgeLetters) else 0
    chosen = await operations.dead.choose(asked.ids, asked.filter, asked.queue, keep)
    if asked.dry_run:
        return _count(sum(map(len, chosen.values())))
    act = operations.dead.purge if isinstance(asked, PurgeLetters) else operations.dead.redrive_many
    return one_after_another([act(name, ids, asked.rate) for name, ids in chosen.items()])


async def _count(total: int) -> Steps:
    yield BulkStep(total=total)
