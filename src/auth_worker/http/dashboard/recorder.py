"""Records the history of the queues each minute, if this process is the elected recorder."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.errors import BrokerError

MINUTE_S = 60.0


class Recorder:
    """Records the history. ``open_operations`` makes unconnected operations. Belongs to one event loop.

    ``owner`` names this process among all.
    """

    def __init__(self, open_operations: Callable[[], Awaitable[Operations]], owner: str) -> None:
        self._operations = SharedOperations(open_operations)
        self._owner = owner

    async def run(self) -> None:
        """Record at the end of each minute, until cancelled. A minute without the broker is left out."""
        try:
            while True:
                await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)
                with contextlib.suppress(BrokerError):
                    await self.record()
        finally:
            await self.stop()

    async def record(self) -> bool:
        """Record the last minute if this process is elected, and return whether it is.

        Processes that are not elected disconnect, so that a hundred replicas hold one connection.
        May raise ``BrokerError``.
        """
        try:
            operations = await self._operations.get()
            if await operations.history.elect(self._owner):
                await operations.history.record_minute()
                return True
        except BrokerError:
            await self.stop()
            raise
        await self.stop()
        return False

    async def stop(self) -> None:
        """Disconnect."""
        await self._operations.stop()
