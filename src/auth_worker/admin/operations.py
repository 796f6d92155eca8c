"""One object with all operations, for the command line, the API and the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from auth_worker.admin.alerts import AlertOperations
from auth_worker.admin.audit_log import AuditLog, os_user
from auth_worker.admin.bulk_records import BulkRecords
from auth_worker.admin.dead_letters import DeadLetterOperations
from auth_worker.admin.doctor import Doctor
from auth_worker.admin.history import HistoryOperations
from auth_worker.admin.jobs import JobOperations
from auth_worker.admin.models import Change, WorkerEntry
from auth_worker.admin.queue_settings import QueueSettingsOperations
from auth_worker.admin.queues import QueueOperations
from auth_worker.admin.schedulers import SchedulerOperations
from auth_worker.admin.workers import WorkerOperations
from auth_worker.brokers.opening import BrokerSource, operator_broker
from auth_worker.config import Settings
from auth_worker.core.ports.operator import OperatorBroker

CONNECT_TIMEOUT = 5.0


class Operations:
    """What an operator may do to the queues of ``broker``.

    ``record`` is called with each change; ``who`` returns who makes it, for the audit log.
    ``settings`` limit what may be added. Use it in the event loop that started it; calls may overlap.
    """

    def __init__(
        self,
        broker: OperatorBroker,
        *,
        record: Callable[[Change], None] = lambda change: None,
        who: Callable[[], str] = os_user,
        settings: Settings | None = None,
    ) -> None:
        self.broker = broker
        settings = settings or Settings()
        self.audit_log = AuditLog(broker, record, who)
        record = self.audit_log.record
        self.dead = DeadLetterOperations(broker, record, who)
        self.jobs = JobOperations(broker, self.dead, record, settings)
        self.queues = QueueOperations(broker, self.dead, record)
        self.workers = WorkerOperations(broker, self.queues, record)
        self.settings = QueueSettingsOperations(broker, record)
        self.schedulers = SchedulerOperations(broker, record, settings)
        self.bulk = BulkRecords(broker)
        self.alerts = AlertOperations(broker, self.queues, self.schedulers, record)
        self.history = HistoryOperations(broker, self.queues)
        self.doctor = Doctor(broker, self.queues)

    async def start(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect, and stay connected.

        Raises ``BrokerError`` if the broker cannot be reached within ``timeout`` s.
        """
        await self.broker.start(timeout)

    async def stop(self) -> None:
        """Disconnect, once the changes are in the audit log."""
        await self.audit_log.flush()
        await self.broker.stop()

    async def worker_connections(self, queue: str | None = None) -> list[WorkerEntry]:
        """Return the connections of the workers of a queue, or of all.

        Workers may exist before the first job creates their queue.
        Raises ``NotFoundError`` if neither a worker nor the queue exists, and ``BrokerError``.
        """
        found = await self.queues.workers(queue)
        if queue is not None and not found:
            await self.queues.check_exists(queue)
        return found

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class SharedOperations:
    """Operations that are connected when somebody first needs them, and then shared. Belongs to one event loop.

    ``make`` returns operations that are not connected yet.
    """

    def __init__(self, make: Callable[[], Awaitable[Operations]]) -> None:
        self._make = make
        self._turn = asyncio.Lock()
        self._operations: Operations | None = None

    async def get(self) -> Operations:
        """Return the operations, connected. Raises ``BrokerError``, and what ``make`` raises."""
        async with self._turn:
            if self._operations is None:
                operations = await self._make()
                await operations.start()
                self._operations = operations
            return self._operations

    async def stop(self) -> None:
        """Disconnect. Whoever needs them later connects again."""
        operations, self._operations = self._operations, None
        if operations is not None:
            await operations.stop()


@contextlib.asynccontextmanager
async def open_operations(
    settings: Settings,
    *,
    timeout: float | None = None,
    record: Callable[[Change], None] = lambda change: None,
) -> AsyncIterator[Operations]:
    """Open the operations on the broker of ``settings``; without one, on the embedded broker.

    ``timeout`` (s) limits the connection; None: 30 s for the embedded broker, which may have to load its data, 5 s
    for others. Raises ``ConfigurationError`` and ``BrokerError``.
    """
    source = BrokerSource(None, settings, startup_timeout=timeout)
    began = time.monotonic()
    address = await source.start()
    try:
        left = CONNECT_TIMEOUT if timeout is None else max(timeout - (time.monotonic() - began), 0)
        broker = operator_broker(address, settings.prefix)
        operations = Operations(broker, record=record, settings=settings)
        await operations.start(left)
        try:
            yield operations
        finally:
            await operations.stop()
    finally:
        await source.stop()
