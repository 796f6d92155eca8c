"""JobQueue adds jobs to a BullMQ queue, for workers in Python or Node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from auth_worker.brokers.opening import producer_broker, redirections
from auth_worker.core.cancellation import check_reason
from auth_worker.core.job_options import OF_SCHEDULERS, in_ms, job_options
from auth_worker.core.job_options_dict import BulkJob, JobOptionsDict
from auth_worker.core.names import check_queue_name
from auth_worker.core.ports.producer import AddedJob, JobRequest, ProducerBroker
from auth_worker.core.ports.values import ChangeResult
from auth_worker.errors import ConfigurationError
from auth_worker.observability.telemetry import open_telemetry
from auth_worker.queue.commands import QueueCommands, template_of
from auth_worker.queue.results import result_of
from auth_worker.queue.sync_queue import SyncJobQueue
from auth_worker.system.main_reimport import stop_reimported_main

if TYPE_CHECKING:
    from auth_worker.config import Settings
    from auth_worker.observability.telemetry.tracing import Telemetry

ADD_TIMEOUT = 10.0
"""How long (s) connecting and each add may take."""
SYNC_TIMEOUT = 2.0
"""``ADD_TIMEOUT`` for code without an event loop, usually a web request for which someone waits."""
JOB_FIELDS = frozenset(("name", "data", "opts"))


class JobQueue(QueueCommands):
    """Adds jobs to the queue ``name``. Connects when the first job is added.

    One object serves any number of event loops, threads and forked children. Each event loop of each process has
    a connection of its own, which ends with the loop.

    ``connection`` is a URL, a mapping or a redis.asyncio.Redis; None means the settings' ``redis_url``, and the
    embedded broker if that is not set. ``default_options`` apply to every job that does not set its own.
    ``timeout`` (s) bounds connecting and each add, ``sync_timeout`` (s) those of ``sync``. ``partitions``:
    how many queues of the broker this one is, to spread it over the nodes of a Redis Cluster; its workers need the
    same number. Raises ``ConfigurationError`` naming the wrong argument.
    """

    def __init__(
        self,
        name: str,
        connection: Any = None,
        *,
        settings: Settings | None = None,
        default_options: JobOptionsDict | Mapping[str, Any] | None = None,
        timeout: float = ADD_TIMEOUT,
        sync_timeout: float = SYNC_TIMEOUT,
        partitions: int = 1,
    ) -> None:
        self.name = check_queue_name("name", name)
        if settings is None:
            from auth_worker.config import Settings

            settings = Settings()
        self.settings = settings
        self.timeout = timeout
        self._connection = connection
        self._default_options = default_options or {}
        self._sync_timeout = sync_timeout
        self._own_broker = producer_broker(
            name, connection, self.settings, self._default_options, timeout, partitions
        )
        self._partitions = partitions
        self._telemetry: Telemetry | None = None

    @cached_property
    def sync(self) -> SyncJobQueue:
        """The same for code without an event loop, with a timeout of ``sync_timeout`` s."""
        return SyncJobQueue(
            JobQueue(
                self.name,
                self._connection,
                settings=self.settings,
                default_options=self._default_options,
                timeout=self._sync_timeout,
                partitions=self._partitions,
            )
        )

    async def add(self, name: str, data: Any = None, **options: Unpack[JobOptionsDict]) -> AddedJob:
        """Add a job and return its id, a text whose ``created`` says whether the job is new.

        A ``job_id`` that exists already adds nothing and is returned. ``data`` is JSON, a pydantic model or a
        dataclass, or contains such. ``options`` are those of ``JobOptionsDict``.

        Raises ``ConfigurationError`` naming a wrong option or data that is not JSON, and ``BrokerError`` if Redis
        refuses the job or cannot be reached.
        """
        broker = self._broker
        if not broker.is_connected:
            await self._connect()
        if self._telemetry is None:
            return await broker.add((name, data, options))
        with self._telemetry.adding(self.name, [{"name": name}]) as adding:
            job = await broker.add((name, data, options), adding.metadata)
            adding.added([job])
            return job

    async def add_bulk(self, jobs: Iterable[BulkJob]) -> list[AddedJob]:
        """Add many jobs, each ``{"name", "data", "opts"}``, and return their ids in order.

        All jobs are checked before the first one is sent. Raises the same errors as ``add``; they start with the
        place of the wrong job, such as ``jobs[3]``.
        """
        await self._connect()
        if self._telemetry is None:
            return await self._broker.add_many(map(_request, jobs))
        jobs = list(jobs)
        with self._telemetry.adding(self.name, jobs) as adding:
            ids = await self._broker.add_many(map(_request, jobs), adding.metadata)
            adding.added(ids)
            return ids

    async def upsert_job_scheduler(
        self,
        scheduler_id: str,
        *,
        name: str,
        data: Any = None,
        every: int | timedelta | None = None,
        pattern: str | None = None,
        tz: str | float | None = None,
        limit: int | None = None,
        offset: int | timedelta | None = None,
        immediately: bool | None = None,
        start_date: int | str | None = None,
        end_date: int | str | None = None,
        **options: Unpack[JobOptionsDict],
    ) -> str | None:
        """Create or replace a job scheduler, which adds a job every ``every`` ms or by the cron ``pattern``.

        ``every`` and ``offset`` may be a ``timedelta`` too.
        ``tz`` is the time zone of the pattern, any that Node takes, as ``europe/berlin`` or ``UTC+3``; a number is
        an offset in minutes. ``limit`` bounds the number of jobs; dates are epoch ms or ISO 8601. ``offset`` (ms)
        says when within ``every`` a job is due. ``immediately`` adds the first job of a ``pattern`` at once.
        Returns the id of the next job, None if none is left to come. Raises ``ConfigurationError`` and
        ``BrokerError``.
        """
        if own := sorted(job_options(options).model_fields_set & OF_SCHEDULERS):
            raise ConfigurationError(
                f"job scheduler {scheduler_id!r}: {own[0]} is decided by the scheduler itself"
            )
        repeat = {
            "every": in_ms(every),
            "pattern": pattern,
            "tz": tz,
            "limit": limit,
            "offset": in_ms(offset),
            "immediately": immediately,
            "startDate": start_date,
            "endDate": end_date,
        }
        given = {key: value for key, value in repeat.items() if value is not None}
        async with self._in_time():
            return await self._broker.upsert_scheduler(scheduler_id, given, (name, data, options))

    async def remove_job_scheduler(self, scheduler_id: str) -> bool:
        """Remove a job scheduler and its next job, and return whether there was one. Raises ``BrokerError``."""
        async with self._in_time():
            return await self._broker.remove_scheduler(scheduler_id)

    async def run_job_scheduler(self, scheduler_id: str) -> AddedJob | None:
        """Add a job as the scheduler would now, and return its id; None without such a scheduler.

        Its other jobs stay due. Raises ``ConfigurationError`` if the scheduler cannot be read, and
        ``BrokerError``.
        """
        async with self._in_time():
            stored = await self._broker.changes().job_scheduler(scheduler_id)
        if stored is None:
            return None
        data, options = template_of(stored)
        return await self.add(stored.name, data, **options)

    async def cancel(self, job_id: str, reason: str = "") -> bool:
        """Cancel a job that has not finished, and return whether there was such a job.

        A waiting job fails at once. The worker of a running one is asked to stop it, within 1 s; if it completes
        before that, it has completed. The children that a job waits for are cancelled too. The ``reason`` is shown
        with the failed job. Raises ``ConfigurationError`` for a reason that is too long and for a job that its
        scheduler needs, and ``BrokerError``.
        """
        reason = check_reason(reason)
        async with self._in_time():
            result = await self._broker.cancel(job_id, reason)
        if result in (ChangeResult.NEEDED_BY_SCHEDULER, ChangeResult.REFUSED):
            raise ConfigurationError(f"job {job_id} cannot be cancelled: {result.value}")
        return result in (ChangeResult.DONE, ChangeResult.REQUESTED)

    async def result(self, job_id: str, timeout: float | None = None) -> Any:
        """Wait ``timeout`` s (None: without limit) for the end of a job, and return its result.

        One connection serves all callers that wait in one event loop, on any queues of one Redis. Raises
        ``JobFailedError`` if the job failed for good, ``JobCancelledError`` if it was cancelled, ``TimeoutError``,
        ``BrokerError``, and ``JobNotFoundError`` for a job that does not exist, unless an event still says how
        it ended.
        """
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await self._connect()
                ended = await self._broker.wait_for(job_id)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(
                f"job {job_id} of queue {self.name} has not ended within {timeout:g} s, and goes on; "
                "auth-worker workers shows whether a worker of its queue runs"
            ) from None
        return result_of(job_id, ended)

    async def close(self) -> None:
        """Disconnect in every event loop. The next job that is added connects again.

        Waits up to 2 s for jobs that are being added, and as long for the other event loops; one that is not
        running disconnects when it runs again.
        """
        await self._broker.close()
        if "sync" in vars(self):
            await asyncio.to_thread(self.sync.close)

    async def __aenter__(self) -> Self:
        await self._connect()
        await self._broker.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect in this event loop, once its last ``async with`` block has ended."""
        await self._broker.leave()

    @property
    def _broker(self) -> ProducerBroker:
        if redirections:
            return redirections[-1].producer(self.name, self.settings, self._default_options, self.timeout)
        return self._own_broker

    async def _connect(self) -> None:
        if not self._broker.is_connected:
            stop_reimported_main()
            await self._broker.connect()
            self._telemetry = open_telemetry(self.settings, self.settings.name or "")


def _request(job: BulkJob) -> JobRequest:
    """Turn a job of ``add_bulk`` into a request. Raises ``ConfigurationError`` for unknown fields."""
    if not isinstance(job, Mapping):
        raise ConfigurationError(f"a job is a dict of name, data and opts, not {type(job).__name__}")
    if not JOB_FIELDS.issuperset(job):
        unknown = ", ".join(sorted(map(str, set(job) - JOB_FIELDS)))
        raise ConfigurationError(f"a job has only name, data and opts, not {unknown}")
    return job.get("name"), job.get("data"), job.get("opts") or {}
