"""What one process of all does for the queues, as long as it has an HTTP port: the history, and the alerts."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from auth_worker.admin.alerts import Delivery
from auth_worker.admin.operations import Operations
from auth_worker.config import Settings
from auth_worker.http.dashboard.alert_watch import AlertWatch
from auth_worker.http.dashboard.recorder import Recorder

Duty = Callable[[], Coroutine[Any, Any, None]]


class DutyHost(Protocol):
    """What the duties need of their process."""

    @property
    def settings(self) -> Settings:
        """The settings with the rules of alerts."""

    async def new_operations(self) -> Operations:
        """Return operations that are not connected yet. Raises ``BrokerError``."""

    def report_undelivered(self, delivery: Delivery) -> None:
        """Report an alert that could not be sent."""


def duties_of(host: DutyHost, *, history: bool) -> dict[str, Duty]:
    """Return the duties that this process is a candidate for, by name: each runs until it is cancelled."""
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    found: dict[str, Duty] = {}
    if history:
        found["history"] = Recorder(host.new_operations, owner).run
    if host.settings.alerts.thresholds:
        found["alerts"] = AlertWatch(host.new_operations, host.settings, owner, host.report_undelivered).run
    return found
