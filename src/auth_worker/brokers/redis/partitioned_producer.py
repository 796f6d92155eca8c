"""Adds jobs to a queue with partitions: each job to the partition that its id or its key decides."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from auth_worker.brokers.opening import BrokerSource
from auth_worker.brokers.partitions.jobs import PartitionedJobReader
from auth_worker.brokers.partitions.queue_changes import PartitionedQueueChanger
from auth_worker.brokers.partitions.queues import PartitionedQueueReader
from auth_worker.brokers.partitions.stand_in import StandIn
from auth_worker.brokers.redis.partition_registry import Registered, register_partitions
from auth_worker.brokers.redis.producer import RedisProducer
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.core.clock import now_ms
from auth_worker.core.partitions import id_prefix_of, partition_of_id
from auth_worker.core.ports.producer import AddedJob, Ended, JobRequest
from auth_worker.core.ports.values import ChangeResult
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.system.several_attempts import wait_for_most

NODE_PATIENCE_S = 1.0
"""How long (s) to wait for the other nodes once one is connected."""
Built = TypeVar("Built")
_KEY_NAMES = ("partition_key", "partitionKey")


class PartitionedProducer:
    """Implements ``ProducerBroker`` over the producers of the partitions, by number.

    A job without an id gets a random one, with a ``partition_key`` or a deduplication id one of the partition that
    these decide. So the id alone says where a job is.
    """

    def __init__(
        self,
        queue: str,
        parts: Sequence[RedisProducer],
        source: BrokerSource,
        prefix: str,
        defaults: Mapping[str, Any],
    ) -> None:
        self._queue = queue
        self._parts = parts
        self._source = source
        self._prefix = prefix
        self._is_registered = False
        self._default = _Placement.of(defaults)

    @property
    def is_connected(self) -> bool:
        """As in ``ProducerBroker``: whether it was connected to one of them."""
        return any(part.is_connected for part in self._parts)

    async def connect(self) -> None:
        """As in ``ProducerBroker``. A node that is away stops only those who need its partitions."""
        attempts = [asyncio.create_task(part.connect()) for part in self._parts]
        for attempt in attempts:
            attempt.add_done_callback(_ignore_error)
        await wait_for_most(attempts, NODE_PATIENCE_S)
        if not self._is_registered:
            self._is_registered = True
            entry = Registered(self._queue, self._queue, len(self._parts))
            with contextlib.suppress(BrokerError):  # the names say it too
                await register_partitions(self._source.address, self._prefix, [entry])

    def add(self, job: JobRequest, trace: str | None = None) -> Awaitable[AddedJob]:
        """As in ``ProducerBroker``."""
        part, placed, new_id = self._placed(job)
        call = part.encode(placed, now_ms(), trace, new_id)
        return part.send_one(call) if part.is_connected else self._connect_and_send(part, call)

    async def add_many(self, jobs: Iterable[JobRequest], trace: str | None = None) -> list[AddedJob]:
        """As in ``ProducerBroker``."""
        now = now_ms()
        places: dict[RedisProducer, list[int]] = {}
        calls: dict[RedisProducer, list[Call]] = {}
        number = 0
        try:
            for job in jobs:
                part, placed, new_id = self._placed(job)
                calls.setdefault(part, []).append(part.encode(placed, now, trace, new_id))
                places.setdefault(part, []).append(number)
                number += 1
        except ConfigurationError as error:
            raise ConfigurationError(f"jobs[{number}]: {error}") from error
        await asyncio.gather(*(part.connect() for part in calls))
        added = await asyncio.gather(*(part.send(each, places[part]) for part, each in calls.items()))
        ids: dict[int, AddedJob] = {}
        for numbers, some in zip(places.values(), added, strict=True):
            ids.update(zip(numbers, some, strict=True))
        return [ids[each] for each in range(number)]

    async def upsert_scheduler(
        self, scheduler_id: str, repeat: Mapping[str, Any], template: JobRequest
    ) -> str | None:
        """As in ``ProducerBroker``. The scheduler and its jobs are in the partition of its id."""
        return await (await self._connected(scheduler_id)).upsert_scheduler(scheduler_id, repeat, template)

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``ProducerBroker``."""
        return await (await self._connected(scheduler_id)).remove_scheduler(scheduler_id)

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """As in ``ProducerBroker``."""
        return await (await self._holder(job_id)).cancel(job_id, reason)

    def jobs(self) -> PartitionedJobReader:
        """As in ``ProducerBroker``."""
        return PartitionedJobReader(self._queue, self._of_each(RedisProducer.jobs))

    def changes(self) -> PartitionedQueueChanger:
        """As in ``ProducerBroker``."""
        reader = PartitionedQueueReader(self._queue, self._of_each(RedisProducer.reader))
        return PartitionedQueueChanger(self._of_each(RedisProducer.changes), reader)

    async def update_data(self, job_id: str, data: Any) -> bool:
        """As in ``ProducerBroker``."""
        return await (await self._holder(job_id)).update_data(job_id, data)

    async def wait_for(self, job_id: str) -> Ended | None:
        """As in ``ProducerBroker``."""
        ended = await (await self._connected(job_id)).wait_for(job_id)
        return ended if ended is not None else await (await self._holder(job_id)).wait_for(job_id)

    async def enter(self) -> None:
        """As in ``ProducerBroker``."""
        for part in self._parts:
            await part.enter()

    async def leave(self) -> None:
        """As in ``ProducerBroker``."""
        await asyncio.gather(*(part.leave() for part in self._parts))

    async def close(self) -> None:
        """As in ``ProducerBroker``."""
        await asyncio.gather(*(part.close() for part in self._parts))

    def _placed(self, job: JobRequest) -> tuple[RedisProducer, JobRequest, Callable[[], str]]:
        """Return the producer of a job's partition, the job for it, and what makes its id, unless it has one.

        Raises ``ConfigurationError``.
        """
        name, data, given = job
        options = {each: value for each, value in given.items() if each not in _KEY_NAMES}
        own = _Placement.of(given)
        key, job_id, deduplication_id = own if any(own) else self._default
        if sum(each is not None for each in (key, job_id, deduplication_id)) > 1:
            raise ConfigurationError(
                "partition_key, job_id and deduplication each decide the partition of a job: give one of them; to "
                "keep jobs with ids of their own together, put what they share in braces: 'mail-{user-7}-1'"
            )
        if job_id is None:
            shared = key if key is not None else deduplication_id
            job_id = f"{'' if shared is None else id_prefix_of(shared)}{uuid.uuid4().hex}"
        new_id = job_id
        return self._part_of(new_id), (name, data, options), lambda: new_id

    def _part_of(self, job_id: str) -> RedisProducer:
        return self._parts[partition_of_id(job_id, len(self._parts))]

    async def _connected(self, some_id: str) -> RedisProducer:
        """Return the producer of the partition that an id decides, connected. Raises ``BrokerError``."""
        part = self._part_of(some_id)
        await part.connect()
        return part

    async def _connect_and_send(self, part: RedisProducer, call: Call) -> AddedJob:
        await part.connect()
        return await part.send_one(call)

    async def _holder(self, job_id: str) -> RedisProducer:
        return self._parts[await self.jobs().holder_of(job_id)]

    def _of_each(self, build: Callable[[RedisProducer], Built]) -> list[Built]:
        """Return what ``build`` makes of each partition's producer, which is connected first, where it is not."""
        return [build(part) if part.is_connected else self._stand_in(part, build) for part in self._parts]

    def _stand_in(self, part: RedisProducer, build: Callable[[RedisProducer], Built]) -> Built:
        async def connect() -> Built:
            await part.connect()
            return build(part)

        return cast(Built, StandIn(self._queue, connect))


class _Placement(NamedTuple):
    """What decides the partition of a job: one of these, if any."""

    key: str | None
    job_id: str | None
    deduplication_id: str | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> _Placement:
        """Read it from the options of a job. Raises ``ConfigurationError`` for a wrong ``partition_key``."""
        key = next((options[name] for name in _KEY_NAMES if options.get(name) is not None), None)
        if key is not None and not (isinstance(key, str) and key):
            wrong = "an empty one" if key == "" else type(key).__name__
            raise ConfigurationError(f"partition_key must be a text that is not empty, not {wrong}")
        job_id = options.get("job_id", options.get("jobId"))
        given = options.get("deduplication")
        deduplication_id = given.get("id") if isinstance(given, Mapping) else getattr(given, "id", None)
        return cls(key, None if job_id is None else str(job_id), deduplication_id and str(deduplication_id))


def _ignore_error(attempt: asyncio.Task[None]) -> None:
    """Ignore why a node is away: whoever needs its partitions tries again, and is told."""
    if not attempt.cancelled():
        attempt.exception()
