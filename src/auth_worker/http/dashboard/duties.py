"""What processes with an HTTP port do for the queues: one of all records the history, one looks for alerts."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from auth_worker.admin.alerts import Delivery
from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.config import Settings
from auth_worker.errors import BrokerError
from auth_worker.http.dashboard.alert_watch import AlertWatch
from auth_worker.http.dashboard.recorder import Recorder

AWAY_S = 5.0
Duty = Callable[[], Coroutine[Any, Any, None]]


class DutyHost(Protocol):
    """What the duties need of their process."""

    @property
    def settings(self) -> Settings:
        """The settings with the rules of alerts."""

    @property
    def worker_version(self) -> str | None:
        """The version of this worker, for the history; None for what is no worker."""

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
    if history and host.worker_version is not None:
        found["version"] = partial(_mark_version, host, host.worker_version)
    if host.settings.alerts.thresholds:
        found["alerts"] = AlertWatch(host.new_operations, host.settings, owner, host.report_undelivered).run
    return found


async def _mark_version(host: DutyHost, version: str) -> None:
    """Let the history know which version runs, as soon as the broker is there."""
    shared = SharedOperations(host.new_operations)
    try:
        while True:
            try:
                await (await shared.get()).history.mark_version(version)
            except BrokerError:
                await asyncio.sleep(AWAY_S)
            else:
                return
    finally:
        await shared.stop()
