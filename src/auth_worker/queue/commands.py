"""The commands of ``JobQueue`` besides adding jobs: it reads and changes a job, or the queue as a whole."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic.alias_generators import to_camel

from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.job_info import JobInfo
from auth_worker.core.job_options import OF_SCHEDULERS, JobOptions, in_ms
from auth_worker.core.json_codec import decode_json, decode_or_text
from auth_worker.core.policy import read_options
from auth_worker.core.ports.producer import ProducerBroker
from auth_worker.core.ports.queue_changes import MOST_SCHEDULERS, SchedulerRecord
from auth_worker.errors import BrokerUnavailableError, ConfigurationError, InvalidPayloadError

_TEMPLATE_OPTIONS = frozenset(
    to_camel(name) for name in JobOptions.model_fields if name not in (*OF_SCHEDULERS, "timestamp", "parent")
)


@dataclass(frozen=True)
class JobScheduler:
    """A job scheduler of a queue. Times are epoch ms, ``every`` and ``offset`` ms.

    ``next`` is when its next job is due, ``count`` how many jobs it has added. ``problem`` says why it cannot go
    on, None if it can.
    """

    id: str
    name: str
    next: int
    every: int | None
    pattern: str | None
    tz: str | float | None
    limit: int | None
    offset: int | None
    start_date: int | None
    end_date: int | None
    count: int
    data: Any
    problem: str | None

    @classmethod
    def of(cls, stored: SchedulerRecord) -> JobScheduler:
        """Create it from what the broker has stored."""
        return cls(**scheduler_fields(stored), data=None if stored.data is None else decode_or_text(stored.data))


def scheduler_fields(stored: SchedulerRecord) -> dict[str, Any]:
    """Return what producers and operators are shown of a job scheduler, without data and options of its jobs."""
    repeat = stored.repeat
    return {
        "id": stored.id,
        "name": stored.name,
        "next": stored.due,
        "every": repeat.get("every"),
        "pattern": repeat.get("pattern"),
        "tz": repeat.get("tz"),
        "limit": repeat.get("limit"),
        "offset": repeat.get("offset"),
        "start_date": repeat.get("startDate"),
        "end_date": repeat.get("endDate"),
        "count": repeat.get("count", 0),
        "problem": stored.problem,
    }


def template_of(stored: SchedulerRecord) -> tuple[Any, Any]:
    """Return data and options of the scheduler's jobs, without the options that it sets for each of them.

    Raises ``ConfigurationError`` if they cannot be read.
    """
    try:
        data, options = decode_json(stored.data or "{}"), read_options((stored.opts or "").encode())
    except InvalidPayloadError as error:
        raise ConfigurationError(f"job scheduler {stored.id!r}: {error}") from error
    except (ValueError, RecursionError):
        raise ConfigurationError(f"job scheduler {stored.id!r}: data is not JSON") from None
    return data, {name: value for name, value in options.items() if name in _TEMPLATE_OPTIONS}


class QueueCommands(ABC):
    """The commands of ``JobQueue``. Each takes at most its ``timeout``, and may raise ``BrokerError``."""

    name: str
    timeout: float

    @property
    @abstractmethod
    def _broker(self) -> ProducerBroker:
        """The broker of the running test, or the queue's own."""

    async def get(self, job_id: str) -> JobInfo | None:
        """Read a job; None if there is none."""
        async with self._in_time():
            jobs = self._broker.jobs()
            stored, state = await asyncio.gather(jobs.whole(job_id), jobs.state(job_id))
        return None if stored is None else JobInfo.of(self.name, stored, state)

    async def update_data(self, job_id: str, data: Any) -> bool:
        """Replace the data of a job, and return whether it exists. A run that has started keeps the old data.

        Raises ``ConfigurationError`` for data that is not JSON.
        """
        async with self._in_time():
            return await self._broker.update_data(job_id, data)

    async def job_schedulers(self) -> list[JobScheduler]:
        """Return the job schedulers, at most a thousand, the next one due first."""
        async with self._in_time():
            return [JobScheduler.of(each) for each in await self._broker.changes().job_schedulers(MOST_SCHEDULERS)]

    async def get_job_scheduler(self, scheduler_id: str) -> JobScheduler | None:
        """Read a job scheduler; None if there is none."""
        async with self._in_time():
            stored = await self._broker.changes().job_scheduler(scheduler_id)
        return None if stored is None else JobScheduler.of(stored)

    async def set_global_concurrency(self, concurrency: int) -> None:
        """Limit how many jobs all workers together run at a time. Raises ``ConfigurationError``."""
        _check("concurrency", concurrency, MAX_NUMBER)
        async with self._in_time():
            await self._broker.changes().set_concurrency(concurrency)

    async def remove_global_concurrency(self) -> None:
        """Remove the limit of ``set_global_concurrency``."""
        async with self._in_time():
            await self._broker.changes().set_concurrency(None)

    async def set_global_rate_limit(self, most: int, duration: int | timedelta) -> None:
        """Limit how many jobs all workers together start in each ``duration`` (ms, or a ``timedelta``).

        Raises ``ConfigurationError``.
        """
        milliseconds: int = in_ms(duration)
        _check("most", most, MAX_NUMBER)
        _check("duration", milliseconds, LONGEST_DELAY)
        async with self._in_time():
            await self._broker.changes().set_rate_limit((most, milliseconds))

    async def remove_global_rate_limit(self) -> None:
        """Remove the limit of ``set_global_rate_limit``."""
        async with self._in_time():
            await self._broker.changes().set_rate_limit(None)

    async def deduplication_job_id(self, deduplication_id: str) -> str | None:
        """Return the id of the job that keeps others with this deduplication id out; None if there is none."""
        async with self._in_time():
            return await self._broker.changes().deduplication(deduplication_id)

    async def remove_deduplication_key(self, deduplication_id: str) -> bool:
        """Release a deduplication id, and return whether a job held it."""
        async with self._in_time():
            return await self._broker.changes().remove_deduplication(deduplication_id)

    async def obliterate(self, *, force: bool = False) -> bool:
        """Remove the queue with all its jobs, which cannot be undone. It may take longer than the ``timeout``.

        Returns False, and leaves the queue as it was, if jobs run and ``force`` is not set.
        """
        await self._connect()
        return await self._broker.changes().obliterate(force)

    @abstractmethod
    async def _connect(self) -> None:
        """Connect the running event loop, unless it is connected."""

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Connect, and limit the block to ``timeout``. Raises ``BrokerUnavailableError`` when the time is over."""
        await self._connect()
        try:
            async with asyncio.timeout(self.timeout):
                yield
        except TimeoutError:
            raise BrokerUnavailableError(f"queue {self.name}: no answer within {self.timeout:g} s") from None


def _check(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number between 1 and {most}, not {value!r:.40}")
