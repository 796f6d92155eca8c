"""The job schedulers of all queues: when they run next, how they ended last, and which do not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.existence import check_queue
from auth_worker.admin.job_queries import job_row
from auth_worker.admin.models import Change, JobRow, SchedulerDetail, SchedulerEntry
from auth_worker.admin.visible_data import encodable, masked, shape
from auth_worker.config import Settings
from auth_worker.core.clock import now_ms
from auth_worker.core.json_codec import decode_or_text
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.queue_changes import MOST_SCHEDULERS, StoredRepetition
from auth_worker.core.repetition import coming_times
from auth_worker.core.report import Report
from auth_worker.errors import ConfigurationError
from auth_worker.queue import AddedJob, JobQueue

LATE_MS = 60_000
"""A run that is due for longer, and has not begun, is overdue."""
MOST = 5000
"""How many job schedulers of all queues are looked at."""
AMONG = 1000
"""Among how many completed and failed jobs of a queue the last run of a job scheduler is looked for."""
COMING = 5
SchedulerState = Literal["broken", "stopped", "overdue", "active", "scheduled", "ended"]
ORDER: tuple[SchedulerState, ...] = ("broken", "stopped", "overdue", "active", "scheduled", "ended")
"""What must be looked at comes first."""


class SchedulerRow(SchedulerEntry):
    """A job scheduler of ``queue``. ``job`` is the id of its current iteration's job, ``runs`` when it runs next.

    ``broken``: it cannot be read; ``stopped``: it has no next iteration; ``overdue``: its job is due for over a
    minute and has not begun; ``ended``: its limit or end is reached. ``last``: the last job that it made and that
    is still there.
    """

    queue: str
    state: SchedulerState
    job: str
    runs: list[int]
    last: JobRow | None = None


class SchedulerList(Report):
    """Job schedulers, those to look at first. ``complete`` is False where there are more than were looked at."""

    schedulers: list[SchedulerRow]
    complete: bool


class SchedulerOperations:
    """The job schedulers of ``broker``. Every method raises ``BrokerError``."""

    def __init__(self, broker: OperatorBroker, record: Callable[[Change], None], settings: Settings) -> None:
        self._broker = broker
        self._record = record
        self._settings = settings.model_copy(update={"prefix": broker.prefix})

    async def of(self, queue: str) -> list[SchedulerEntry]:
        """Return the job schedulers of a queue, at most a thousand, the next one due first."""
        found = await self._broker.queue_changes(queue).job_schedulers(MOST_SCHEDULERS)
        return [SchedulerEntry(**_fields(each)) for each in found]

    async def show(self, queue: str, scheduler_id: str, *, reveal: bool = False) -> SchedulerDetail:
        """Return one, with the data and the options of its jobs. Raises ``NotFoundError``."""
        stored = await self._broker.queue_changes(queue).job_scheduler(scheduler_id)
        if stored is None:
            raise await self._missing(queue, scheduler_id)
        data, options = (decode_or_text(text) if text else None for text in (stored.data, stored.opts))
        return SchedulerDetail(
            **_fields(stored),
            queue=queue,
            data=encodable(data) if reveal else shape(data),
            opts=encodable(options) if reveal else masked(options),
            revealed=reveal,
        )

    async def upsert(self, queue: str, scheduler_id: str, **scheduler: Any) -> SchedulerDetail:
        """Make a job scheduler, or replace it. What it takes is as in ``JobQueue.upsert_job_scheduler``.

        Raises ``ConfigurationError`` naming what is wrong.
        """
        async with self._producer(queue) as producer:
            await producer.upsert_job_scheduler(scheduler_id, **scheduler)
        self._record(Change(action="upsert scheduler", queue=queue, target=scheduler_id))
        return await self.show(queue, scheduler_id)

    async def find(self, queue: str | None = None) -> SchedulerList:
        """The job schedulers of a queue, or of all."""
        names, complete = ([queue], True) if queue is not None else await self._broker.find_queues()
        rows: list[SchedulerRow] = []
        for name in names:
            if len(rows) >= MOST:
                complete = False
                break
            found = await self._broker.queue_changes(name).job_schedulers(MOST_SCHEDULERS)
            complete = complete and len(found) < MOST_SCHEDULERS
            rows += await asyncio.gather(*(self._row(name, each) for each in found))
        rows.sort(key=lambda row: (ORDER.index(row.state), row.next, row.queue, row.id))
        return SchedulerList(schedulers=rows, complete=complete)

    async def with_last_runs(self, rows: Sequence[SchedulerRow]) -> list[SchedulerRow]:
        """These rows with the last job that each has made."""
        found: dict[tuple[str, str], JobRow] = {}
        for queue in {row.queue for row in rows}:
            last = await self._broker.queue_changes(queue).last_iterations(AMONG)
            wanted = {row.id: last[row.id] for row in rows if row.queue == queue and row.id in last}
            jobs = await self._broker.jobs(queue).rows(list(wanted.values()))
            for scheduler_id, job in zip(wanted, jobs, strict=True):
                if job is not None:
                    state = await self._broker.jobs(queue).state(job.id)
                    found[queue, scheduler_id] = job_row(job, state)
        return [row.model_copy(update={"last": found.get((row.queue, row.id))}) for row in rows]

    async def run_now(self, queue: str, scheduler_id: str) -> AddedJob:
        """Add a job as the job scheduler makes them, besides those that it makes. Returns its id.

        Raises ``NotFoundError``, and ``RefusedError`` where its data or options cannot be read.
        """
        async with self._producer(queue) as producer:
            try:
                job = await producer.run_job_scheduler(scheduler_id)
            except ConfigurationError as error:
                raise RefusedError(str(error)) from error
        if job is None:
            raise await self._missing(queue, scheduler_id)
        self._record(Change(action="run scheduler", queue=queue, target=scheduler_id))
        return job

    async def remove(self, queue: str, scheduler_id: str) -> None:
        """Remove a job scheduler and the job that it has waiting. Raises ``NotFoundError``."""
        if not await self._broker.queue_changes(queue).remove_scheduler(scheduler_id):
            raise await self._missing(queue, scheduler_id)
        self._record(Change(action="remove scheduler", queue=queue, target=scheduler_id))

    async def _missing(self, queue: str, scheduler_id: str) -> NotFoundError:
        await check_queue(self._broker, queue)
        return NotFoundError(f"there is no job scheduler {scheduler_id} in queue {queue}")

    def _producer(self, queue: str) -> JobQueue:
        return JobQueue(queue, self._broker.connection, settings=self._settings)

    async def _row(self, queue: str, stored: StoredRepetition) -> SchedulerRow:
        now = now_ms()
        state: SchedulerState = "broken"
        runs: list[int] = []
        if stored.problem is None:
            runs = coming_times(stored.id, stored.due, stored.repeat, now, COMING)
            state = await self._state(queue, stored, now, ends=len(runs) == 1)
        return SchedulerRow(
            **_fields(stored),
            queue=queue,
            state=state,
            job=stored.job,
            runs=[] if state == "ended" else runs,
        )

    async def _state(self, queue: str, stored: StoredRepetition, now: int, *, ends: bool) -> SchedulerState:
        if stored.due > now:
            return "scheduled"
        job_state = await self._broker.jobs(queue).state(stored.job)
        if job_state == "active":
            return "active"
        if job_state in ("completed", "failed", "unknown"):
            return "ended" if ends else "stopped" if stored.due < now - LATE_MS else "scheduled"
        return "overdue" if stored.due < now - LATE_MS else "scheduled"


def _fields(stored: StoredRepetition) -> dict[str, Any]:
    fields = stored.fields()
    tz = fields.pop("tz")
    return {**fields, "tz": None if tz is None else str(tz)}
