"""Reads and changes job schedulers: when they run next, how their last jobs ended, which need attention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.existence_checks import check_queue
from auth_worker.admin.job_queries import job_row
from auth_worker.admin.models import Change, JobRow, SchedulerDetail, SchedulerEntry
from auth_worker.admin.visible_data import encodable, masked, shape
from auth_worker.config import Settings
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.json_codec import decode_or_text
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.queue_changes import MOST_SCHEDULERS, SchedulerRecord
from auth_worker.core.repetition import coming_times
from auth_worker.errors import ConfigurationError
from auth_worker.queue import AddedJob, JobQueue
from auth_worker.queue.commands import scheduler_fields

LATE_MS = 60_000
"""A run that has been due for longer than this and has not begun is overdue."""
AT_ONCE = 20
"""How many queues are read at a time."""
MOST = 5000
"""How many job schedulers of all queues are read."""
LAST_RUN_SCAN = 1000
"""How many completed and failed jobs of a queue are searched for the last runs of its job schedulers."""
COMING_RUNS = 5
"""How many of the next runs are computed."""
SchedulerState = Literal["broken", "stopped", "overdue", "active", "scheduled", "ended"]
ORDER: tuple[SchedulerState, ...] = ("broken", "stopped", "overdue", "active", "scheduled", "ended")
"""Those that need attention come first."""


class SchedulerRow(SchedulerEntry):
    """A job scheduler of ``queue``. ``job`` is the id of its current iteration's job, ``runs`` are its next times.

    Its state is ``broken`` if it cannot be read, ``stopped`` without a next iteration, ``overdue`` if its job has
    been due for over a minute and has not begun, ``ended`` once its limit or end is reached. ``last`` is the last
    job that it made and that still exists.
    """

    queue: str
    state: SchedulerState
    job: str
    runs: list[int]
    last: JobRow | None = None


class SchedulerList(CamelModel):
    """Job schedulers, those that need attention first. ``complete`` is False if there are more than were read."""

    schedulers: list[SchedulerRow]
    complete: bool


class SchedulerOperations:
    """Reads and changes the job schedulers of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker, record: Callable[[Change], None], settings: Settings) -> None:
        self._broker = broker
        self._record = record
        self._settings = settings.model_copy(update={"prefix": broker.prefix})

    async def entries(self, queue: str) -> list[SchedulerEntry]:
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
        """Create a job scheduler, or replace it. The arguments are those of ``JobQueue.upsert_job_scheduler``.

        Raises ``ConfigurationError`` naming what is wrong.
        """
        async with await self._producer(queue) as producer:
            await producer.upsert_job_scheduler(scheduler_id, **scheduler)
        self._record(Change(action="upsert scheduler", queue=queue, target=scheduler_id))
        return await self.show(queue, scheduler_id)

    async def find(self, queue: str | None = None) -> SchedulerList:
        """Return the job schedulers of a queue, or of all, with their states."""
        names, complete = ([queue], True) if queue is not None else await self._broker.find_queues()
        rows: list[SchedulerRow] = []
        for start in range(0, len(names), AT_ONCE):
            if len(rows) >= MOST:
                complete = False
                break
            some = names[start : start + AT_ONCE]
            readers = map(self._broker.queue_changes, some)
            found = await asyncio.gather(*(reader.job_schedulers(MOST_SCHEDULERS) for reader in readers))
            for name, schedulers in zip(some, found, strict=True):
                complete = complete and len(schedulers) < MOST_SCHEDULERS
                rows += await asyncio.gather(*(self._row(name, each) for each in schedulers))
        rows.sort(key=lambda row: (ORDER.index(row.state), row.next, row.queue, row.id))
        return SchedulerList(schedulers=rows, complete=complete)

    async def with_last_runs(self, rows: Sequence[SchedulerRow]) -> list[SchedulerRow]:
        """Return these rows with the last job that each has made."""
        found: dict[tuple[str, str], JobRow] = {}
        for queue in {row.queue for row in rows}:
            last = await self._broker.queue_changes(queue).last_iterations(LAST_RUN_SCAN)
            wanted = {row.id: last[row.id] for row in rows if row.queue == queue and row.id in last}
            jobs = await self._broker.jobs(queue).rows(list(wanted.values()))
            for scheduler_id, job in zip(wanted, jobs, strict=True):
                if job is not None:
                    state = await self._broker.jobs(queue).state(job.id)
                    found[queue, scheduler_id] = job_row(job, state)
        return [row.model_copy(update={"last": found.get((row.queue, row.id))}) for row in rows]

    async def run_now(self, queue: str, scheduler_id: str) -> AddedJob:
        """Add one of the job scheduler's jobs now, and return its id. The schedule does not change.

        Raises ``NotFoundError``, and ``RefusedError`` if the scheduler's data or options cannot be read.
        """
        async with await self._producer(queue) as producer:
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

    async def _producer(self, queue: str) -> JobQueue:
        partitions = await self._broker.partitions_of(queue)
        return JobQueue(queue, self._broker.connection, settings=self._settings, partitions=partitions)

    async def _row(self, queue: str, stored: SchedulerRecord) -> SchedulerRow:
        now = now_ms()
        state: SchedulerState = "broken"
        runs: list[int] = []
        if stored.problem is None:
            runs = coming_times(stored.id, stored.due, stored.repeat, now, COMING_RUNS)
            state = await self._state(queue, stored, now, ends=len(runs) == 1)
        return SchedulerRow(
            **_fields(stored),
            queue=queue,
            state=state,
            job=stored.job,
            runs=[] if state == "ended" else runs,
        )

    async def _state(self, queue: str, stored: SchedulerRecord, now: int, *, ends: bool) -> SchedulerState:
        if stored.due > now:
            return "scheduled"
        job_state = await self._broker.jobs(queue).state(stored.job)
        if job_state == "active":
            return "active"
        if job_state in ("completed", "failed", "unknown"):
            return "ended" if ends else "stopped" if stored.due < now - LATE_MS else "scheduled"
        return "overdue" if stored.due < now - LATE_MS else "scheduled"


def _fields(stored: SchedulerRecord) -> dict[str, Any]:
    fields = scheduler_fields(stored)
    tz = fields.pop("tz")
    return {**fields, "tz": None if tz is None else str(tz)}
