"""The operations behind the command line and HTTP: one object for all of them, on connections of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Self

from auth_worker.admin.dead_letters import DeadLetterOperations
from auth_worker.admin.doctor import Doctor
from auth_worker.admin.jobs import JobOperations
from auth_worker.admin.models import Change, WorkerEntry
from auth_worker.admin.queues import QueueOperations
from auth_worker.broker.address import Address
from auth_worker.broker.embedded import STARTUP_TIMEOUT, EmbeddedBroker
from auth_worker.broker.link import Link
from auth_worker.config import Settings

CONNECT_TIMEOUT = 5.0


class Operations:
    """What an operator may do, to the queues under ``prefix`` of one Redis.

    ``connection``: an ``Address``, a URL, a mapping, a redis.asyncio.Redis. ``queues``: which are meant; needed in
    a cluster where each queue has a hash tag of its own, and so perhaps another node. ``record`` is told of each
    change, for the account of who did what. ``settings`` bound what may be added.
    Used from the event loop that started it; calls may overlap.
    Raises ``ConfigurationError`` when the connection makes no sense.
    """

    def __init__(
        self,
        connection: Any,
        prefix: str = "bull",
        *,
        queues: Iterable[str] = (),
        record: Callable[[Change], None] = lambda change: None,
        settings: Settings | None = None,
    ) -> None:
        self.address = Address.of(connection).serving(prefix, *queues)
        self.prefix = prefix
        self.link = self._link("operations")
        self._watching = self._link("redrives")
        self.dead = DeadLetterOperations(self.link, self._watching, prefix, record)
        self.jobs = JobOperations(self.link, prefix, self.dead, record, settings or Settings())
        self.queues = QueueOperations(self.link, prefix, self.dead, record)
        self.doctor = Doctor(self.link, prefix, self.queues)

    async def start(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect, and keep connected. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        deadline = time.monotonic() + timeout
        await self.link.start(timeout)
        try:
            await self._watching.start(max(deadline - time.monotonic(), 0))
        except BaseException:
            await self.link.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        await asyncio.gather(self.link.stop(), self._watching.stop())

    async def workers(self, queue: str | None = None) -> list[WorkerEntry]:
        """The workers of a queue, or of all; they may be there before the first job makes the queue.

        Raises ``NotFoundError`` if there is neither a worker nor the queue, and ``BrokerError``.
        """
        found = await self.queues.workers(queue)
        if queue is not None and not found:
            await self.jobs.check_queue(queue)
        return found

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _link(self, name: str) -> Link:
        return Link(self.address, name=name, client_name=f"auth-worker:{name}", writes=False)


@contextlib.asynccontextmanager
async def open_operations(
    settings: Settings,
    *,
    timeout: float | None = None,
    queues: Iterable[str] = (),
    record: Callable[[Change], None] = lambda change: None,
) -> AsyncIterator[Operations]:
    """The operations on the Redis of ``settings``; without one, on the embedded broker of the state directory.

    Raises ``ConfigurationError``, and ``BrokerError`` after ``timeout`` s without Redis. None: the embedded
    broker has 30 s to load its data, and a connection 5 s.
    """
    embedded: EmbeddedBroker | None = None
    left = CONNECT_TIMEOUT if timeout is None else timeout
    if settings.redis_url is None:
        began = time.monotonic()
        embedded = EmbeddedBroker(
            settings.state_dir, startup_timeout=STARTUP_TIMEOUT if timeout is None else timeout
        )
        url = await asyncio.to_thread(embedded.start)
        if timeout is not None:
            left = max(timeout - (time.monotonic() - began), 0)
    else:
        url = settings.redis_url.get_secret_value()
    try:
        operations = Operations(url, settings.prefix, queues=queues, record=record, settings=settings)
        await operations.start(left)
        try:
            yield operations
        finally:
            await operations.stop()
    finally:
        if embedded is not None:
            await asyncio.to_thread(embedded.stop)
