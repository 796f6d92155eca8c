"""Redis as operators see it: the queues under one prefix, to read and to change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import partial

from auth_worker.brokers.redis.alerts import RedisAlerts
from auth_worker.brokers.redis.audit_log import RedisAuditLog
from auth_worker.brokers.redis.bulk_operations import RedisBulkOperations
from auth_worker.brokers.redis.dead_letters import DeadLetters
from auth_worker.brokers.redis.heartbeats import RedisHeartbeats, shared_key_prefix
from auth_worker.brokers.redis.history import RedisHistory
from auth_worker.brokers.redis.job_changes import JobChanges
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.queue_changes import QueueChanges
from auth_worker.brokers.redis.queue_finder import BUDGET_S, QueueFinder, find_prefixes, find_workers
from auth_worker.brokers.redis.queues import QueueView
from auth_worker.brokers.redis.server import acl_rule, clock_skew, server_facts
from auth_worker.brokers.redis.server_findings import permission_findings, script_findings, server_findings
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.pipeline import MANY_AT_ONCE
from auth_worker.core.keys import queue_key
from auth_worker.core.ports.operator import Examination
from auth_worker.core.ports.values import WorkerConnection
from auth_worker.errors import BrokerError

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


class RedisOperatorBroker(RedisBrokerView):
    """An ``OperatorBroker``, for the event loop that starts it.

    ``queues`` are those that will be used, which is needed in a cluster where each has a hash tag of its own and
    so may be on another node. Raises ``ConfigurationError`` if they are in different slots.
    """

    def __init__(self, address: Address, prefix: str, queues: Iterable[str] = ()) -> None:
        self.connection = address.serving(prefix, *queues)
        super().__init__(self._new_link("operations"), prefix)
        self._redrive_link = self._new_link("redrives")
        self._redrive_lock = asyncio.Lock()
        self._finder = QueueFinder(self._link, prefix)

    @property
    def address(self) -> str:
        """Where Redis is, without secrets."""
        return str(self.connection)

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        deadline = time.monotonic() + timeout
        await self._link.start(timeout)
        try:
            await self._redrive_link.start(max(deadline - time.monotonic(), 0))
        except BaseException:
            await self._link.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        self._finder.forget()
        await asyncio.gather(self._link.stop(), self._redrive_link.stop())

    def jobs(self, queue: str) -> JobView:
        """Return a reader of the jobs of ``queue``."""
        return JobView(self._link, self.prefix, queue)

    def queue_changes(self, queue: str) -> QueueChanges:
        """Return what changes ``queue`` as a whole."""
        return QueueChanges(self._link, self.prefix, queue, on_removed=self._finder.forget)

    def job_changes(self, queue: str) -> JobChanges:
        """Return what changes the jobs of ``queue``."""
        return JobChanges(self._link, self.prefix, queue)

    def audit_log(self) -> RedisAuditLog:
        """Return the audit log."""
        return RedisAuditLog(self._link, self._shared_key_prefix)

    def alerts(self) -> RedisAlerts:
        """Return the state of the alerts."""
        return RedisAlerts(self._link, self._shared_key_prefix)

    def bulk_operations(self) -> RedisBulkOperations:
        """Return the records of bulk operations."""
        return RedisBulkOperations(self._link, self._shared_key_prefix)

    def heartbeats(self) -> RedisHeartbeats:
        """Return the heartbeats of the worker processes."""
        return RedisHeartbeats(self._link, self._shared_key_prefix)

    def history(self, queue: str | None) -> RedisHistory:
        """Return the history of ``queue``; with None, that of all queues together."""
        key_prefix = self._shared_key_prefix if queue is None else queue_key(self.prefix, queue)
        return RedisHistory(self._link, key_prefix)

    def dead_letters(self, queue: str) -> DeadLetters:
        """Return the dead letters in the dead-letter queue ``queue``. Redrives take turns."""
        return DeadLetters(
            self._link, self.prefix, queue, redrive_link=self._redrive_link, redrive_lock=self._redrive_lock
        )

    async def find_queues(self, budget_s: float = BUDGET_S) -> tuple[list[str], bool]:
        """As in ``OperatorBroker``. Raises ``BrokerError``."""
        return await self._finder.find(budget_s)

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
        """Return the workers of all queues, including those of Node. Raises ``BrokerError``."""
        return await find_workers(self._link, self.prefix)

    async def software(self) -> str:
        """Return the server's name and version. Raises ``BrokerError``."""
        return (await server_facts(self._link)).software

    async def clock_skew(self) -> float:
        """Return how far (s) Redis's clock is ahead of ours (negative: behind). Raises ``BrokerError``."""
        return await clock_skew(self._link)

    def examinations(self) -> Mapping[str, Examination]:
        """The examinations of the server itself, by name, in order."""
        return {
            "server": partial(server_findings, self._link, self.prefix),
            "permissions": partial(permission_findings, self._link, self.prefix),
            "scripts": partial(script_findings, self._link),
        }

    def acl_rule(self) -> str:
        """The minimal ACL of a worker's user, as a command for redis-cli."""
        return acl_rule(self.prefix, cluster=bool(self.connection.cluster))

    @property
    def _shared_key_prefix(self) -> str:
        return shared_key_prefix(self.prefix, self.connection)

    def _new_link(self, name: str) -> Link:
        client_name = f"auth-worker:{name}"
        return Link(self.connection, name=name, client_name=client_name, writes=False, at_once=MANY_AT_ONCE)
