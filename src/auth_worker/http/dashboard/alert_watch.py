"""Evaluates the rules of alerts, where this process is the one elected of all that have any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.alerts import Delivery
from auth_worker.admin.operations import Operations
from auth_worker.config import Settings
from auth_worker.errors import BrokerError
from auth_worker.http.dashboard.elected_duty import ElectedDuty, Election

INTERVAL_S = 15.0
SHARE = 20
"""Evaluating takes at most one part in this many of the time, unless it takes very long."""
LONGEST_PAUSE_S = 45.0
CANDIDACY_S = 30.0
"""How often (s) a process that is not elected tries to be."""


class AlertWatch(ElectedDuty):
    """Evaluates the rules of ``settings``. ``on_failure`` is called with a delivery that has failed."""

    def __init__(
        self,
        open_operations: Callable[[], Awaitable[Operations]],
        settings: Settings,
        owner: str,
        on_failure: Callable[[Delivery], None],
    ) -> None:
        super().__init__(open_operations, owner)
        self._rules = settings.alerts
        self._targets = targets_of(settings)
        self._on_failure = on_failure

    async def run(self) -> None:
        """Evaluate until cancelled. While the broker is away nothing is known, and nobody is notified."""
        try:
            while True:
                began, pause_s = time.monotonic(), CANDIDACY_S
                with contextlib.suppress(BrokerError):
                    if await self.attempt():
                        pause_s = max(INTERVAL_S, min(SHARE * (time.monotonic() - began), LONGEST_PAUSE_S))
                await asyncio.sleep(pause_s)
        finally:
            await self.stop()

    def election(self, operations: Operations) -> Election:
        """Return where the one that evaluates is elected."""
        return operations.alerts

    async def perform(self, operations: Operations) -> None:
        """Evaluate the rules, and notify of what is new. May raise ``BrokerError``."""
        for delivery in await operations.alerts.evaluate(self._rules, self._targets, self._owner):
            if delivery.error:
                self._on_failure(delivery)
