"""Redis as operators see it: the queues under one prefix, to read and to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar, cast

from auth_worker.brokers.partitions.answers import read_available
from auth_worker.brokers.partitions.dead_letters import PartitionedDeadLetterStore
from auth_worker.brokers.partitions.job_changes import PartitionedJobChanger
from auth_worker.brokers.partitions.jobs import PartitionedJobReader
from auth_worker.brokers.partitions.queue_changes import PartitionedQueueChanger
from auth_worker.brokers.partitions.queues import PartitionedQueueReader
from auth_worker.brokers.partitions.stand_in import StandIn
from auth_worker.brokers.redis.alerts import RedisAlerts
from auth_worker.brokers.redis.audit_log import RedisAuditLog
from auth_worker.brokers.redis.bulk_operations import RedisBulkOperations
from auth_worker.brokers.redis.dead_letters import DeadLetters
from auth_worker.brokers.redis.heartbeats import RedisHeartbeats
from auth_worker.brokers.redis.history import RedisHistory
from auth_worker.brokers.redis.job_changes import JobChanges
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.logical_queues import LogicalQueues
from auth_worker.brokers.redis.operator_links import OperatorLinks
from auth_worker.brokers.redis.queue_changes import QueueChanges
from auth_worker.brokers.redis.queue_finder import BUDGET_S, find_prefixes, find_workers
from auth_worker.brokers.redis.queues import QueueView
from auth_worker.brokers.redis.server import acl_rule, clock_skew, server_facts
from auth_worker.brokers.redis.server_findings import (
    node_findings,
    permission_findings,
    script_findings,
    server_findings,
)
from auth_worker.brokers.redis.shared_keys import shared_key_prefix
from auth_worker.brokers.redis.spread_heartbeats import SpreadHeartbeats
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.keys import queue_key
from auth_worker.core.partitions import logical_name, name_beside, partition_of_name
from auth_worker.core.ports.heartbeats import HeartbeatReader
from auth_worker.core.ports.operator import DeadLetterStore, Examination, JobChanger, JobReader, QueueReader
from auth_worker.core.ports.queue_changes import QueueChanger
from auth_worker.core.ports.values import WorkerConnection
from auth_worker.errors import BrokerError

Part = TypeVar("Part")
PRIMARY_TIMEOUT_S = 1.0
"""How long (s) to connect to each primary of a cluster, for a suggestion."""


class RedisBrokerView:
    """Reads the queues under ``prefix`` over an existing connection: a ``BrokerView``."""

    def __init__(self, link: Link, prefix: str) -> None:
        self.prefix = prefix
        self._link = link

    @property
    def is_up(self) -> bool:
        """Whether it is connected. Any thread may read it."""
        return self._link.is_up

    async def ping(self) -> None:
        """Send a PING. Raises ``BrokerError``."""
        await self._link.execute("PING")

    def queue(self, name: str) -> QueueView:
        """Return a reader of a queue."""
        return QueueView(self._link, self.prefix, name)

    def dead_letters(self, queue: str) -> DeadLetters:
        """Return the dead letters in the dead-letter queue ``queue``."""
        return DeadLetters(self._link, self.prefix, queue)


class RedisOperatorBroker:
    """An ``OperatorBroker``, for the event loop that starts it. Its queues may have partitions in Redis."""

    def __init__(self, address: Address, prefix: str) -> None:
        self.prefix = prefix
        self._links = OperatorLinks(address, prefix)
        self._link = self._links.main
        self.connection = self._links.address
        self._queues = LogicalQueues(self._links, prefix)

    @property
    def is_up(self) -> bool:
        """Whether it is connected. Any thread may read it."""
        return self._links.reachable.is_up

    @property
    def address(self) -> str:
        """Where Redis is, without secrets."""
        return str(self.connection)

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        await self._links.start(timeout)

    async def stop(self) -> None:
        """Disconnect."""
        self._queues.forget()
        await self._links.stop()

    async def ping(self) -> None:
        """Send a PING. Raises ``BrokerError``."""
        await self._links.reachable.execute("PING")

    def queue(self, name: str) -> QueueReader:
        """Return a reader of a queue."""
        return self._resolved(name, partial(self._reader, name))

    def jobs(self, queue: str) -> JobReader:
        """Return a reader of the jobs of ``queue``."""
        return self._resolved(queue, partial(self._job_reader, queue))

    def queue_changes(self, queue: str) -> QueueChanger:
        """Return what changes ``queue`` as a whole."""
        return self._resolved(queue, partial(self._queue_changer, queue))

    def job_changes(self, queue: str) -> JobChanger:
        """Return what changes the jobs of ``queue``."""
        return self._resolved(queue, partial(self._job_changer, queue))

    def dead_letters(self, queue: str) -> DeadLetterStore:
        """Return the dead letters in the dead-letter queue ``queue``. Redrives take turns."""
        return self._resolved(queue, self._dead_letter_store)

    def audit_log(self) -> RedisAuditLog:
        """Return the audit log."""
        return RedisAuditLog(self._link, self._shared_key_prefix)

    def alerts(self) -> RedisAlerts:
        """Return the state of the alerts."""
        return RedisAlerts(self._link, self._shared_key_prefix)

    def bulk_operations(self) -> RedisBulkOperations:
        """Return the records of bulk operations."""
        return RedisBulkOperations(self._link, self._shared_key_prefix)

    def heartbeats(self) -> HeartbeatReader:
        """Return the heartbeats of the worker processes."""
        if self._links.is_spread:
            return SpreadHeartbeats(self._spread_heartbeats)
        return RedisHeartbeats(self._link, self._shared_key_prefix)

    def history(self, queue: str | None) -> RedisHistory:
        """Return the history of ``queue``; with None, that of all queues together."""
        key_prefix = self._shared_key_prefix
        if queue is not None:
            key_prefix = f"{key_prefix}:{queue}" if self._links.is_spread else queue_key(self.prefix, queue)
        return RedisHistory(self._link, key_prefix)

    async def find_queues(self, budget_s: float = BUDGET_S) -> tuple[list[str], bool]:
        """As in ``OperatorBroker``. Raises ``BrokerError``."""
        return await self._queues.find(budget_s)

    async def partitions_of(self, queue: str) -> int:
        """As in ``OperatorBroker``. Raises ``BrokerError``."""
        return await self._queues.partitions_of(queue)

    async def find_prefixes(self) -> list[str]:
        """Return the prefixes with queues that are found within a second. Raises ``BrokerError``."""
        if not self.connection.cluster:
            return await find_prefixes(self._link)
        found = await asyncio.gather(*map(self._prefixes_at, await self.connection.primaries()))
        return sorted(set().union(*found))

    async def _prefixes_at(self, address: Address) -> list[str]:
        link = Link(address, name="prefixes", client_name="auth-worker:prefixes", writes=False)
        try:
            await link.start(PRIMARY_TIMEOUT_S)
            return await find_prefixes(link)
        except BrokerError:  # a suggestion is made without those that are away
            return []
        finally:
            await link.stop()

    async def find_workers(self) -> list[WorkerConnection]:
        """Return the workers of all queues, including those of Node. Raises ``BrokerError``.

        A worker of a queue with partitions is listed in each of them, and counts in the first that is reached.
        """
        found = await self._find_workers()
        partitions = [each for each in {partition_of_name(worker.queue) for worker in found} if each is not None]
        shown = {partition[:3]: partition for partition in sorted(partitions, reverse=True)}
        return sorted(
            each._replace(queue=logical_name(each.queue))
            for each in found
            if (partition := partition_of_name(each.queue)) is None or shown[partition[:3]] == partition
        )

    async def unworked_partitions(self) -> dict[str, list[QueueReader]]:
        """As in ``OperatorBroker``. Raises ``BrokerError``."""
        worked = {_sharing(each.queue) for each in await self._find_workers()}
        found: dict[str, list[QueueReader]] = {}
        for queue, names in (await self._queues.members()).items():
            partitions = [each for each in map(partition_of_name, names) if each is not None]
            if any(each.queue != each.family for each in partitions):
                continue  # dead letters, which wait for an operator
            if any(_sharing(name) in worked for name in names):
                unworked = [name for name in names if _sharing(name) not in worked]
                found[queue] = [QueueView(self._links.of(name).link, self.prefix, name) for name in unworked]
        return found

    async def software(self) -> str:
        """Return the server's name and version. Raises ``BrokerError``."""
        return (await server_facts(self._links.reachable)).software

    async def clock_skew(self) -> float:
        """Return how far (s) Redis's clock is ahead of ours (negative: behind). Raises ``BrokerError``."""
        return await clock_skew(self._links.reachable)

    def examinations(self) -> Mapping[str, Examination]:
        """The examinations of the server itself, by name, in order."""
        prefix = self._shared_key_prefix
        own = {
            "server": partial(server_findings, self._link, prefix),
            "permissions": partial(permission_findings, self._link, prefix),
            "scripts": partial(script_findings, self._link),
        }
        return own if not self._links.is_spread else {"nodes": partial(node_findings, self._links), **own}

    def acl_rule(self) -> str:
        """The minimal ACL of a worker's user, as a command for redis-cli."""
        return acl_rule(self.prefix, cluster=bool(self.connection.cluster))

    @property
    def _shared_key_prefix(self) -> str:
        return shared_key_prefix(self.prefix, self.connection)

    async def _find_workers(self) -> list[WorkerConnection]:
        links = await self._links.to_each_node()
        found = await read_available(links, lambda link: find_workers(link, self.prefix))
        return [each for some in found for each in some]

    async def _spread_heartbeats(self) -> list[RedisHeartbeats]:
        addresses = await self._queues.addresses()
        return [RedisHeartbeats(link, shared_key_prefix(self.prefix, link.address)) for link in addresses]

    def _resolved(self, queue: str, build: Callable[[list[str]], Part]) -> Part:
        """Return what ``build`` makes of the queue's names in Redis, or what stands in until they are known."""
        if (known := self._queues.known(queue)) is not None:
            return build(known)

        async def resolve() -> Part:
            return build(await self._queues.names_of(queue))

        return cast(Part, StandIn(queue, resolve))

    def _parts(self, names: list[str], build: Callable[[Link, str, str], Part]) -> list[Part]:
        """Return what ``build`` makes of each name in Redis, with its connection and the prefix."""
        return [build(self._links.of(name).link, self.prefix, name) for name in names]

    def _reader(self, queue: str, names: list[str]) -> QueueReader:
        parts = self._parts(names, QueueView)
        return parts[0] if names == [queue] else PartitionedQueueReader(queue, parts)

    def _job_reader(self, queue: str, names: list[str]) -> JobReader:
        parts = self._parts(names, JobView)
        return parts[0] if names == [queue] else PartitionedJobReader(queue, parts)

    def _queue_changer(self, queue: str, names: list[str]) -> QueueChanger:
        parts = self._parts(names, partial(QueueChanges, on_removed=self._queues.forget))
        return parts[0] if names == [queue] else PartitionedQueueChanger(parts, self._reader(queue, names))

    def _job_changer(self, queue: str, names: list[str]) -> JobChanger:
        parts = self._parts(names, JobChanges)
        if names == [queue]:
            return parts[0]
        jobs = PartitionedJobReader(queue, self._parts(names, JobView))
        return PartitionedJobChanger(parts, jobs, lambda to: [name_beside(name, to) for name in names])

    def _dead_letter_store(self, names: list[str]) -> DeadLetterStore:
        parts = []
        for name in names:
            link, redrive_link, redrive_lock = self._links.of(name)
            parts.append(
                DeadLetters(link, self.prefix, name, redrive_link=redrive_link, redrive_lock=redrive_lock)
            )
        return parts[0] if len(parts) == 1 else PartitionedDeadLetterStore(parts)


def _sharing(name: str) -> tuple[str, int]:
    """Return what the broker's queues that the same workers work have in common."""
    partition = partition_of_name(name)
    return (name, 1) if partition is None else (partition.family, partition.partitions)
