"""Evaluates the rules of alerts, where this process is the one elected of all that have any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.alerts import Delivery
from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.config import Settings
from auth_worker.errors import BrokerError

INTERVAL_S = 15.0
SHARE = 20
"""Evaluating takes at most one part in this many of the time, unless it takes very long."""
LONGEST_PAUSE_S = 45.0
CANDIDACY_S = 30.0
"""How often (s) a process that is not elected tries to be."""


class AlertWatch:
    """Belongs to one event loop. ``open_operations`` makes operations that are not connected yet.

    ``owner`` names this process; ``on_failure`` is called with a delivery that has failed.
    """

    def __init__(
        self,
        open_operations: Callable[[], Awaitable[Operations]],
        settings: Settings,
        owner: str,
        on_failure: Callable[[Delivery], None],
    ) -> None:
        self._operations = SharedOperations(open_operations)
        self._settings = settings
        self._targets = targets_of(settings)
        self._owner = owner
        self._on_failure = on_failure

    async def run(self) -> None:
        """Evaluate until cancelled. While the broker is away nothing is known, and nobody is told anything."""
        try:
            while True:
                began, pause_s = time.monotonic(), CANDIDACY_S
                with contextlib.suppress(BrokerError):
                    if await self.evaluate():
                        pause_s = max(INTERVAL_S, min(SHARE * (time.monotonic() - began), LONGEST_PAUSE_S))
                await asyncio.sleep(pause_s)
        finally:
            await self.stop()

    async def evaluate(self) -> bool:
        """Evaluate the rules where this process is elected, and return whether it is; else disconnect.

        May raise ``BrokerError``.
        """
        try:
            alerts = (await self._operations.get()).alerts
            if await alerts.elect(self._owner):
                for delivery in await alerts.evaluate(self._settings.alerts, self._targets, self._owner):
                    if delivery.error:
                        self._on_failure(delivery)
                return True
        except BrokerError:
            await self.stop()
            raise
        await self.stop()
        return False

    async def stop(self) -> None:
        """Disconnect."""
        await self._operations.stop()
