"""What the routes of the API share: the operations, the running bulk operations, the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from auth_worker.admin.alerts import Delivery
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.brokers.opening import operator_broker
from auth_worker.config import Settings
from auth_worker.core.config_errors import nearest
from auth_worker.core.error_text import error_text
from auth_worker.core.report import ServiceHealth
from auth_worker.errors import BrokerUnavailableError
from auth_worker.events import OperatorChange, Problem
from auth_worker.http.api.bulk_runs import BulkRuns
from auth_worker.http.service_view import ServiceView
from auth_worker.messages import WORKER_ERRORS
from auth_worker.processor import QueueProcessorService
from auth_worker.version import __version__

T = TypeVar("T")
WORK_LOOP_TIMEOUT_S = 5.0
CONTEXT = "auth_worker.context"
"""The key of the ``ApiContext`` in the scope of a request."""
CALLER_NAME: ContextVar[str] = ContextVar("who")
"""The name of the token that came with the request. A bulk operation keeps that of its first request."""


class ApiContext:
    """Connects on first use. Belongs to the event loop of the API."""

    has_api = True

    def __init__(self, service: ServiceView, work_loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._work_loop = work_loop
        self._operations = SharedOperations(self.new_operations)
        self.bulk_runs = BulkRuns(self.operations)
        self.authorize: None = None

    @property
    def settings(self) -> Settings:
        """The settings of the service."""
        return self._service.settings

    @property
    def worker_version(self) -> str:
        """The version of the application, if it has told it, else ours."""
        return self.settings.app_version or f"auth-worker {__version__}"

    async def operations(self) -> Operations:
        """Return the operations, connected. Raises ``BrokerError``."""
        return await self._operations.get()

    async def new_operations(self) -> Operations:
        """Return operations that are not connected yet. Raises ``BrokerUnavailableError`` until the service is."""
        runtime, settings = self._service.runtime, self._service.settings
        if not runtime.started:
            raise BrokerUnavailableError("the service is not connected to Redis yet: try again")
        broker = operator_broker(runtime.brokers.address, settings.prefix)
        return Operations(broker, record=self.record, who=CALLER_NAME.get, settings=settings)

    async def health(self) -> ServiceHealth:
        """Return the service's health report. Raises ``TimeoutError`` while the work loop is blocked."""
        return await self._in_work_loop(self._service.get_health)

    async def pause_here(self, queue: str | None) -> None:
        """Stop this service from taking jobs of ``queue`` (None: of any).

        Raises ``NotFoundError``, and ``TimeoutError`` while the work loop is blocked: then nothing was done.
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
        """Report a change to the observers of the service, with the name of the caller."""
        event = OperatorChange(
            CALLER_NAME.get(), change.action, change.queue, change.target, change.count, change.result
        )
        self._service.runtime.bus.emit(event)

    def report_wrong_token(self, where: str) -> None:
        """Report a wrong token from ``where`` to the observers of the service."""
        self._service.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_LOGIN_FAILED, "", f"from {where}"))

    def report_undelivered(self, delivery: Delivery) -> None:
        """Report an alert that could not be sent to the observers of the service."""
        detail = f"{delivery.target}: {delivery.error}"
        self._service.runtime.bus.emit(Problem(WORKER_ERRORS.ALERT_NOT_SENT, "", detail))

    def report_failure(self, where: str, error: Exception) -> None:
        """Report an unexpected ``error`` of the page ``where`` to the observers of the service."""
        detail = f"{where}: {type(error).__name__}: {error_text(error)}"
        self._service.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_REQUEST_FAILED, "", detail))

    async def stop(self) -> None:
        """Stop the bulk operations, and disconnect."""
        await self.bulk_runs.stop_all()
        await self._operations.stop()

    def _processors(self, queue: str | None) -> list[QueueProcessorService]:
        known = self._service.get_processors()
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
