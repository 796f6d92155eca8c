"""A delay is kept to, however long it is, and keeps no other job waiting."""

from __future__ import annotations

from auth_worker import Delay, Job
from auth_worker.core.backoff import LONGEST_DELAY
from support.processors import Harness, eventually


async def test_the_longest_delays_are_kept_and_the_queue_goes_on(harness: Harness) -> None:
    async def consumer(job: Job) -> None:
        if job.name == "fails":
            raise ValueError
        if job.name == "waits":
            raise Delay(1e300)

    async def stand(delayed: int, completed: int) -> bool:
        counts = await harness.counts()
        return (counts["delayed"], counts["completed"]) == (delayed, completed)

    await harness.processor(consumer)
    await harness.jobs.add("fails", {}, attempts=3, backoff=LONGEST_DELAY)
    await harness.jobs.add("waits", {})
    await harness.jobs.add("later", {}, delay=LONGEST_DELAY)
    await eventually(lambda: stand(3, 0))
    await harness.jobs.add("now", {})
    await harness.jobs.add("soon", {}, delay=50)
    await eventually(lambda: stand(3, 2))
