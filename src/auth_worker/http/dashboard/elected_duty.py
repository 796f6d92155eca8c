"""What one process of all does for the queues: the others stand by."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from auth_worker.admin.operations import Operations, SharedOperations
from auth_worker.errors import BrokerError

RESIGN_S = 1.0
"""How long (s) to wait for the broker when resigning; without an answer the lease just ends."""


class Election(Protocol):
    """Where the one for a duty is elected. Every coroutine may raise ``BrokerError``."""

    async def elect(self, owner: str) -> bool:
        """Take part, and return whether ``owner`` has the duty for a while."""

    async def resign(self, owner: str) -> None:
        """Let another be elected at once, if ``owner`` has the duty."""


class ElectedDuty(abc.ABC):
    """A duty of one process of all. ``open_operations`` makes unconnected operations. Belongs to one event loop.

    ``owner`` names this process among all.
    """

    def __init__(self, open_operations: Callable[[], Awaitable[Operations]], owner: str) -> None:
        self._operations = SharedOperations(open_operations)
        self._owner = owner
        self._is_elected = False

    @abc.abstractmethod
    def election(self, operations: Operations) -> Election:
        """Return where the one for this duty is elected."""

    @abc.abstractmethod
    async def perform(self, operations: Operations) -> None:
        """Do the duty once. May raise ``BrokerError``."""

    async def attempt(self) -> bool:
        """Do the duty once if this process is elected, and return whether it is.

        Processes that are not elected disconnect, so that a hundred replicas hold one connection.
        May raise ``BrokerError``.
        """
        try:
            operations = await self._operations.get()
            self._is_elected = await self.election(operations).elect(self._owner)
            if self._is_elected:
                await self.perform(operations)
                return True
        except BrokerError:
            await self.stop()
            raise
        await self.stop()
        return False

    async def stop(self) -> None:
        """Resign, so that another process goes on at once, and disconnect."""
        if self._is_elected:
            self._is_elected = False
            with contextlib.suppress(BrokerError, TimeoutError):
                async with asyncio.timeout(RESIGN_S):
                    await self.election(await self._operations.get()).resign(self._owner)
        await self._operations.stop()
