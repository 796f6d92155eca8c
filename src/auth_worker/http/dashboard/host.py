"""What the dashboard needs from its host: a service, ``auth-worker dashboard``, or another application."""

from __future__ import annotations

from typing import Protocol

from auth_worker.admin.operations import Operations
from auth_worker.config import Settings
from auth_worker.core.report import ServiceHealth
from auth_worker.http.api.bulk_runs import BulkRuns
from auth_worker.http.dashboard.sessions import Authorize


class Host(Protocol):
    """Provides what the pages show and change. Belongs to one event loop."""

    bulk_runs: BulkRuns
    has_api: bool
    """Whether the API is served at ``api/v1`` beside the dashboard."""

    @property
    def settings(self) -> Settings:
        """The settings with the tokens."""

    @property
    def authorize(self) -> Authorize | None:
        """Identifies the caller of a request. None: callers log in with a token, which opens a session."""

    async def operations(self) -> Operations:
        """Return the operations, connected. Raises ``BrokerError``."""

    async def health(self) -> ServiceHealth | None:
        """Return the health of the service that hosts the dashboard, None without one. Raises ``TimeoutError``."""

    def report_wrong_token(self, where: str) -> None:
        """Report a wrong token from the address ``where``."""

    def report_failure(self, where: str, error: Exception) -> None:
        """Report an unexpected ``error`` of the page ``where``."""
