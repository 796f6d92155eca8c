"""What the routes of the API work with: the operations, the bulk operations under way, the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from auth_worker.admin.api.background import Background
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.admin.subject import Subject
from auth_worker.config_errors import nearest
from auth_worker.errors import BrokerUnavailableError
from auth_worker.events import OperatorChange
from auth_worker.processor import QueueProcessorService
from auth_worker.report import ServiceHealth

T = TypeVar("T")
WORK_LOOP_TIMEOUT_S = 5.0
WHO: ContextVar[str] = ContextVar("who")
"""The name of the token whose request this is; a bulk operation keeps that of the request that began it."""


class Desk:
    """Belongs to the event loop of the API; connects with the first question."""

    def __init__(self, subject: Subject, work_loop: asyncio.AbstractEventLoop) -> None:
        self._subject = subject
        self._work_loop = work_loop
        self._turn = asyncio.Lock()
        self._operations: Operations | None = None
        self.background = Background()

    async def operations(self) -> Operations:
        """The operations, connected. Raises ``BrokerError``."""
        async with self._turn:
            if self._operations is None:
                runtime = self._subject.runtime
                if not runtime.started:
                    raise BrokerUnavailableError("the service is not connected to Redis yet: ask again")
                settings = self._subject.settings
                operations = Operations(runtime.address, settings.prefix, record=self.record, settings=settings)
                await operations.start()
                self._operations = operations
            return self._operations

    async def health(self) -> ServiceHealth:
        """The service's report. Raises ``TimeoutError`` where the work loop stands still."""
        return await self._in_work_loop(self._subject.get_health)

    async def pause_here(self, queue: str | None) -> None:
        """Let this service take no more jobs of ``queue`` (None: of any).

        Raises ``NotFoundError``, and ``TimeoutError`` where the work loop stands still: nothing has happened then.
        """
        for processor in self._processors(queue):
            await self._in_work_loop(processor.pause)
            self.record(Change(action="pause processor", queue=processor.queue_name, target="this service"))

    async def resume_here(self, queue: str | None) -> None:
        """Let this service take jobs of ``queue`` (None: of all) again. Raises as ``pause_here``."""
        for processor in self._processors(queue):
            await self._in_work_loop(processor.resume)
            self.record(Change(action="resume processor", queue=processor.queue_name, target="this service"))

    def record(self, change: Change) -> None:
        """Tell the service's observers of a change, and whose it is."""
        event = OperatorChange(WHO.get(), change.action, change.queue, change.target, change.count, change.result)
        self._subject.runtime.bus.emit(event)

    async def stop(self) -> None:
        """Stop the bulk operations, and disconnect."""
        await self.background.stop_all()
        if self._operations is not None:
            await self._operations.stop()

    def _processors(self, queue: str | None) -> list[QueueProcessorService]:
        known = self._subject.get_processors()
        found = [processor for processor in known if queue in (None, processor.queue_name)]
        if queue is not None and not found:
            known_names = [processor.queue_name for processor in known]
            names = ", ".join(known_names)
            raise NotFoundError(
                f"this service has no processor of {queue!r}; it has {names}{nearest(queue, known_names)}"
            )
        return found

    async def _in_work_loop(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asked = asyncio.run_coroutine_threadsafe(ask(), self._work_loop)
        return await asyncio.wait_for(asyncio.wrap_future(asked), WORK_LOOP_TIMEOUT_S)
