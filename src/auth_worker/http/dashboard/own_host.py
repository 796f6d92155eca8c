"""The host of a dashboard without a service: on its own, or part of another application."""

from __future__ import annotations

from typing import Any

from auth_worker.admin.alerts import Delivery
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.brokers.opening import BrokerSource, operator_broker
from auth_worker.config import Settings
from auth_worker.core.error_text import error_text
from auth_worker.http.api.bulk_runs import BulkRuns
from auth_worker.http.api.context import CALLER_NAME
from auth_worker.http.dashboard.sessions import Authorize
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES


class OwnHost:
    """Looks at the broker of ``connection``, else of ``settings``, and logs changes and failures to ``log``.

    Connects on first use. Belongs to the event loop of the dashboard. Raises ``ConfigurationError`` for a
    connection that makes no sense.
    """

    has_api = False

    def __init__(self, connection: Any, settings: Settings, log: Any, authorize: Authorize | None = None) -> None:
        self.settings = settings
        self.authorize = authorize
        self._log = log
        self._source = BrokerSource(connection, settings)
        self._operations = SharedOperations(self.new_operations)
        self.worker_version: str | None = None
        self.bulk_runs = BulkRuns(self.operations)

    async def operations(self) -> Operations:
        """The operations, connected. Raises ``BrokerError``."""
        return await self._operations.get()

    async def new_operations(self) -> Operations:
        """Operations that are not connected yet. May raise ``BrokerError``, where the embedded broker fails."""
        broker = operator_broker(await self._source.start(), self.settings.prefix)
        return Operations(broker, record=self.record, who=CALLER_NAME.get, settings=self.settings)

    async def health(self) -> None:
        """There is no service to report on."""

    def record(self, change: Change) -> None:
        """Log a change, with the name of the caller."""
        self._log.info(WORKER_MESSAGES.OPERATOR_CHANGE, who=CALLER_NAME.get(), **change.model_dump())

    def report_wrong_token(self, where: str) -> None:
        """Log a wrong token from the address ``where``."""
        self._log.warning(WORKER_ERRORS.HTTP_LOGIN_FAILED, error=f"from {where}")

    def report_undelivered(self, delivery: Delivery) -> None:
        """Log an alert that could not be sent."""
        self._log.error(WORKER_ERRORS.ALERT_NOT_SENT, error=f"{delivery.target}: {delivery.error}")

    def report_failure(self, where: str, error: Exception) -> None:
        """Log an unexpected ``error`` of the page ``where``."""
        detail = f"{where}: {type(error).__name__}: {error_text(error)}"
        self._log.error(WORKER_ERRORS.HTTP_REQUEST_FAILED, error=detail)

    async def stop(self) -> None:
        """Stop the bulk operations, and disconnect."""
        await self.bulk_runs.stop_all()
        await self._operations.stop()
        await self._source.stop()
