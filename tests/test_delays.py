"""A delay is kept to, however long it is, and keeps no other job waiting."""

from __future__ import annotations

from auth_worker import Delay, Job
from auth_worker.backoff import LONGEST_DELAY
from workers import Desk, eventually


async def test_the_longest_delays_are_kept_and_the_queue_goes_on(desk: Desk) -> None:
    async def consumer(job: Job) -> None:
        if job.name == "fails":
            raise ValueError
        if job.name == "waits":
            raise Delay(1e300)

    async def stand(delayed: int, completed: int) -> bool:
        counts = await desk.counts()
        return (counts["delayed"], counts["completed"]) == (delayed, completed)

    await desk.processor(consumer)
    await desk.jobs.add("fails", {}, attempts=3, backoff=LONGEST_DELAY)
    await desk.jobs.add("waits", {})
    await desk.jobs.add("later", {}, delay=LONGEST_DELAY)
    await eventually(lambda: stand(3, 0))
    await desk.jobs.add("now", {})
    await desk.jobs.add("soon", {}, delay=50)
    await eventually(lambda: stand(3, 2))
