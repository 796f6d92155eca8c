"""The routes of a queue's settings: limits, deduplication keys, and its removal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from auth_worker.admin.models import Deduplication, QueueOverview
from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.http.api.bodies import Body
from auth_worker.http.api.parameters import ChangeHeader, DeduplicationPart, KnownQueue, TheOperations, Whole

look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[ChangeHeader])


class RateLimitBody(Body):
    """At most ``max`` jobs every ``duration`` ms."""

    max: Whole = Field(ge=1, le=MAX_NUMBER)
    duration: Whole = Field(ge=1, le=LONGEST_DELAY)


class ConcurrencyBody(Body):
    """At most ``concurrency`` jobs at a time."""

    concurrency: Whole = Field(ge=1, le=MAX_NUMBER)


@act.put("/queues/{queue}/concurrency", tags=["queues"])
async def limit_concurrency(queue: KnownQueue, body: ConcurrencyBody, operations: TheOperations) -> QueueOverview:
    """Limit how many jobs all workers together run at a time."""
    await operations.settings.set_concurrency(queue, body.concurrency)
    return await operations.queues.describe_one(queue)


@act.delete("/queues/{queue}/concurrency", tags=["queues"])
async def unlimit_concurrency(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Remove the limit on how many jobs run at a time."""
    await operations.settings.set_concurrency(queue, None)
    return await operations.queues.describe_one(queue)


@act.put("/queues/{queue}/rate-limit", tags=["queues"])
async def limit_rate(queue: KnownQueue, body: RateLimitBody, operations: TheOperations) -> QueueOverview:
    """Limit how many jobs all workers together start in a period."""
    await operations.settings.set_rate_limit(queue, (body.max, body.duration))
    return await operations.queues.describe_one(queue)


@act.delete("/queues/{queue}/rate-limit", tags=["queues"])
async def unlimit_rate(queue: KnownQueue, operations: TheOperations) -> QueueOverview:
    """Remove the rate limit."""
    await operations.settings.set_rate_limit(queue, None)
    return await operations.queues.describe_one(queue)


@look.get("/queues/{queue}/deduplications/{deduplication_id}", tags=["queues"])
async def show_deduplication(
    queue: KnownQueue, deduplication_id: DeduplicationPart, operations: TheOperations
) -> Deduplication:
    """Show the job that holds a deduplication id, which keeps other jobs out."""
    return await operations.settings.deduplication(queue, deduplication_id)


@act.delete("/queues/{queue}/deduplications/{deduplication_id}", tags=["queues"], status_code=204)
async def remove_deduplication(
    queue: KnownQueue, deduplication_id: DeduplicationPart, operations: TheOperations
) -> None:
    """Release a deduplication id, so that the next job with it is added."""
    await operations.settings.remove_deduplication(queue, deduplication_id)


@act.delete("/queues/{queue}", tags=["queues"], status_code=204)
async def obliterate_queue(
    queue: KnownQueue,
    operations: TheOperations,
    force: Annotated[bool, Query(description="Even while jobs are running.")] = False,
) -> None:
    """Remove a queue with all its jobs."""
    await operations.settings.obliterate(queue, force=force)
