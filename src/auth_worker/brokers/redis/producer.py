"""Adds jobs and job schedulers to a BullMQ queue in Redis: the ``ProducerBroker`` of ``JobQueue``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from auth_worker.brokers.opening import BrokerSource
from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.brokers.redis.job_encoder import JobEncoder
from auth_worker.brokers.redis.job_sender import JobSender
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.producer_links import ProducerLinks
from auth_worker.brokers.redis.queue_changes import QueueChanges
from auth_worker.brokers.redis.queues import QueueView
from auth_worker.brokers.redis.results import ResultWaits
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.config import Settings
from auth_worker.core.clock import now_ms
from auth_worker.core.keys import key_prefix
from auth_worker.core.ports.producer import AddedJob, Ended, JobRequest
from auth_worker.core.ports.values import ChangeResult
from auth_worker.errors import ConfigurationError
from auth_worker.system.loops import PerLoop


class RedisProducer:
    """Implements ``ProducerBroker`` with one ``JobSender`` per event loop.

    ``source`` says where Redis is. ``defaults`` are the options of jobs that do not set their own. ``timeout`` (s)
    bounds connecting and each add. Raises ``ConfigurationError`` for defaults that make no sense.
    """

    def __init__(
        self, queue: str, source: BrokerSource, settings: Settings, defaults: Mapping[str, Any], timeout: float
    ) -> None:
        self._queue = queue
        self._prefix = settings.prefix
        self._timeout = timeout
        self._links = ProducerLinks(source, prefix=settings.prefix, queue=queue, timeout=timeout)
        self._senders = PerLoop(partial(JobSender, self._links.open, timeout))
        self._results = PerLoop(
            partial(ResultWaits, self._links.address, key_prefix(settings.prefix, queue), timeout)
        )
        address = source.address.serving(settings.prefix, queue)
        self._encoder = JobEncoder(queue, settings, defaults, address.tag if address.cluster else "")

    @property
    def is_connected(self) -> bool:
        """As in ``ProducerBroker``."""
        sender = self._senders.find()
        return sender is not None and sender.is_connected

    async def connect(self) -> None:
        """As in ``ProducerBroker``. Takes at most ``timeout`` s."""
        sender = self._senders.get()
        if not sender.is_connected:
            await sender.connect()

    def add(self, job: JobRequest, trace: str | None = None) -> Awaitable[AddedJob]:
        """As in ``ProducerBroker``."""
        sender = self._senders.get()
        now = now_ms()
        call = self._encoder.encode(*job, new_id=sender.new_id, now=now, trace=trace)
        return sender.add_one(call)

    async def add_many(self, jobs: Iterable[JobRequest], trace: str | None = None) -> list[AddedJob]:
        """As in ``ProducerBroker``."""
        now = now_ms()
        calls: list[Call] = []
        try:
            for job in jobs:
                calls.append(self.encode(job, now, trace))  # noqa: PERF401 - counts the jobs
        except ConfigurationError as error:
            raise ConfigurationError(f"jobs[{len(calls)}]: {error}") from error
        return await self.send(calls)

    def encode(
        self, job: JobRequest, now: int, trace: str | None, new_id: Callable[[], str] | None = None
    ) -> Call:
        """Encode the call that adds a job at ``now`` (epoch ms). ``new_id`` makes its id, unless it has one.

        Raises ``ConfigurationError``.
        """
        return self._encoder.encode(*job, new_id=new_id or self._senders.get().new_id, now=now, trace=trace)

    def send_one(self, call: Call) -> Awaitable[AddedJob]:
        """Send the call that adds a job, and return its id. Raises ``BrokerError``."""
        return self._senders.get().add_one(call)

    async def send(self, calls: Sequence[Call], places: Sequence[int] | None = None) -> list[AddedJob]:
        """Send the calls that add jobs, and return the ids in order.

        Raises ``BrokerError``, which names the place of the refused job: of ``places``, if they are given.
        """
        return await self._senders.get().add(calls, places)

    async def upsert_scheduler(
        self, scheduler_id: str, repeat: Mapping[str, Any], template: JobRequest
    ) -> str | None:
        """As in ``ProducerBroker``."""
        name, data, given = template
        text, options = self._encoder.template(name, data, given)
        return await self._schedulers().upsert(scheduler_id, repeat, name, text, options)

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``ProducerBroker``."""
        return await self._schedulers().remove(scheduler_id)

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """As in ``ProducerBroker``."""
        return await Cancellations(self._senders.get().link, self._prefix, self._queue).cancel(job_id, reason)

    def jobs(self) -> JobView:
        """As in ``ProducerBroker``."""
        return JobView(self._senders.get().link, self._prefix, self._queue)

    def changes(self) -> QueueChanges:
        """As in ``ProducerBroker``."""
        return QueueChanges(self._senders.get().link, self._prefix, self._queue)

    def reader(self) -> QueueView:
        """Return a reader of the queue."""
        return QueueView(self._senders.get().link, self._prefix, self._queue)

    async def update_data(self, job_id: str, data: Any) -> bool:
        """As in ``ProducerBroker``."""
        return await self.changes().update_data(job_id, self._encoder.data(job_id, data))

    async def wait_for(self, job_id: str) -> Ended | None:
        """As in ``ProducerBroker``."""
        return await self._results.get().wait(self._senders.get().link, job_id)

    async def enter(self) -> None:
        """As in ``ProducerBroker``."""
        self._senders.get().users += 1

    async def leave(self) -> None:
        """As in ``ProducerBroker``."""
        sender = self._senders.find()
        if sender is not None:
            sender.users -= 1
            if sender.users <= 0:
                await self._results.close_own()
                await self._senders.close_own()
                await self._links.release(self._is_unused)

    async def close(self) -> None:
        """As in ``ProducerBroker``. Stops the embedded broker if nobody else uses it."""
        await self._results.close()
        await self._senders.close()
        await self._links.release(self._is_unused)

    def _schedulers(self) -> Schedulers:
        return Schedulers(self._senders.get().link, self._prefix, self._queue)

    def _is_unused(self) -> bool:
        return not self._senders
