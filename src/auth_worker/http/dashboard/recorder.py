"""Records the history of the queues each minute, if this process is the elected recorder."""

from __future__ import annotations

import asyncio
import contextlib
import time

from auth_worker.admin.operations import Operations
from auth_worker.errors import BrokerError
from auth_worker.http.dashboard.elected_duty import ElectedDuty, Election

MINUTE_S = 60.0


class Recorder(ElectedDuty):
    """Records the history."""

    async def run(self) -> None:
        """Record at the end of each minute, until cancelled. A minute without the broker is left out."""
        try:
            while True:
                await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)
                with contextlib.suppress(BrokerError):
                    await self.attempt()
        finally:
            await self.stop()

    def election(self, operations: Operations) -> Election:
        """Return where the recorder is elected."""
        return operations.history

    async def perform(self, operations: Operations) -> None:
        """Record the last minute. May raise ``BrokerError``."""
        await operations.history.record_minute()
