"""JobQueue: the producer side. Puts jobs on a BullMQ queue, for workers in Python or Node."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from auth_worker.broker.producer import Producer
from auth_worker.broker.producer_links import ProducerLinks
from auth_worker.broker.schedulers import Schedulers
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.job_encoder import JobEncoder, parts_of
from auth_worker.job_options import MAX_PRIORITY, OF_SCHEDULERS, JobOptions, job_options
from auth_worker.loops import PerLoop
from auth_worker.main_reimport import stop_reimported_main
from auth_worker.names import check_queue_name
from auth_worker.telemetry import open_telemetry

if TYPE_CHECKING:
    from auth_worker.telemetry.tracing import Telemetry

__all__ = ["ADD_TIMEOUT", "MAX_PRIORITY", "JobOptions", "JobQueue", "job_options"]

ADD_TIMEOUT = 10.0


class JobQueue:
    """Adds jobs to the queue ``name``. Connects with the first job.

    One object serves any number of event loops, threads and forked children, one after another or at once. Each
    loop of each process has a connection of its own, which ends with it.

    ``connection``: a URL, a mapping, a redis.asyncio.Redis; None means the settings, and without any the embedded
    broker. ``default_options`` are given to every job that does not say otherwise.
    Raises ``ConfigurationError`` naming the argument that is wrong.
    """

    def __init__(
        self,
        name: str,
        connection: Any = None,
        *,
        settings: Settings | None = None,
        default_options: Mapping[str, Any] | None = None,
        timeout: float = ADD_TIMEOUT,
    ) -> None:
        self.name = check_queue_name("name", name)
        self.settings = settings or Settings()
        if connection is None and self.settings.redis_url is not None:
            connection = self.settings.redis_url.get_secret_value()
        self._links = ProducerLinks(
            connection,
            prefix=self.settings.prefix,
            queue=name,
            state_dir=self.settings.state_dir,
            timeout=timeout,
        )
        self._producers = PerLoop(partial(Producer, self._links.open))
        self._encoder = JobEncoder(name, self.settings, default_options or {})
        self._timeout = timeout
        self._telemetry: Telemetry | None = None

    async def add(self, name: str, data: Any, **options: Any) -> str:
        """Add a job; returns its id. Adding an id that exists already adds nothing and returns that id.

        Raises ``ConfigurationError`` for a wrong option or data that is not JSON, naming it, and ``BrokerError``
        when Redis refuses or cannot be reached.
        """
        producer = self._producers.get()
        if not producer.is_connected:
            await self._connect()
        if self._telemetry is not None:
            return (await self.add_bulk([{"name": name, "data": data, "opts": options}]))[0]
        now = round(time.time() * 1000)
        call = self._encoder.encode(name, data, options, new_id=producer.new_id, now=now)
        return await producer.add_one(call, self._timeout)

    async def add_bulk(self, jobs: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add many jobs, each ``{"name", "data", "opts"}``; returns their ids in order.

        Every job is checked before the first one is sent. Raises as ``add``.
        """
        producer = await self._connect()
        if self._telemetry is None:
            return await self._add(producer, jobs)
        jobs = list(jobs)
        with self._telemetry.adding(self.name, jobs) as adding:
            ids = await self._add(producer, jobs, adding.metadata)
            adding.added(ids)
            return ids

    async def _add(
        self, producer: Producer, jobs: Iterable[Mapping[str, Any]], metadata: str | None = None
    ) -> list[str]:
        now = round(time.time() * 1000)
        encode, new_id = self._encoder.encode, producer.new_id
        calls = [encode(*parts_of(job), new_id=new_id, now=now, metadata=metadata) for job in jobs]
        return await producer.add(calls, self._timeout)

    async def upsert_job_scheduler(
        self,
        scheduler_id: str,
        *,
        name: str,
        data: Any = None,
        every: int | None = None,
        pattern: str | None = None,
        tz: str | float | None = None,
        limit: int | None = None,
        start_date: int | str | None = None,
        end_date: int | str | None = None,
        **options: Any,
    ) -> str | None:
        """Add a job again and again: ``every`` ms, or by a cron ``pattern`` in the time zone ``tz``.

        ``limit`` bounds the number of jobs; dates are epoch ms or ISO 8601. ``tz`` is any that Node takes, as
        ``europe/berlin`` or ``UTC+3``; a number is minutes. A scheduler of that id is replaced. Returns the
        id of the next job, None if none is left to come. Raises ``ConfigurationError`` and ``BrokerError``.
        """
        if own := sorted(job_options(options).model_fields_set & OF_SCHEDULERS):
            raise ConfigurationError(
                f"job scheduler {scheduler_id!r}: {own[0]} is decided by the scheduler itself"
            )
        text, wire = self._encoder.template(name, data, options)
        producer = await self._connect()
        repeat = {
            "every": every,
            "pattern": pattern,
            "tz": tz,
            "limit": limit,
            "startDate": start_date,
            "endDate": end_date,
        }
        given = {key: value for key, value in repeat.items() if value is not None}
        return await self._schedulers(producer).upsert(scheduler_id, given, name, text, wire)

    async def remove_job_scheduler(self, scheduler_id: str) -> bool:
        """Remove a job scheduler and its next job; returns whether there was one. Raises ``BrokerError``."""
        return await self._schedulers(await self._connect()).remove(scheduler_id)

    def _schedulers(self, producer: Producer) -> Schedulers:
        return Schedulers(producer.link, self.settings.prefix, self.name)

    async def close(self) -> None:
        """Disconnect, in every event loop; the next job that is added connects anew.

        Jobs that are being added meanwhile are waited for, 2 s at most. Other running loops disconnect within 2 s
        too, those that do not run now as soon as they do.
        """
        await self._producers.close()
        await self._links.release(self._is_unused)

    async def __aenter__(self) -> Self:
        (await self._connect()).users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect in this event loop, once every task of it has left."""
        producer = self._producers.find()
        if producer is not None:
            producer.users -= 1
            if producer.users <= 0:
                await self._producers.close_own()
                await self._links.release(self._is_unused)

    async def _connect(self) -> Producer:
        producer = self._producers.get()
        if not producer.is_connected:
            stop_reimported_main()
            await producer.connect()
            self._telemetry = open_telemetry(self.settings, self.settings.name or "")
        return producer

    def _is_unused(self) -> bool:
        return not self._producers
