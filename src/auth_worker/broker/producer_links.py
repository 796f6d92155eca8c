"""Opens the connections of a queue's producers: to the Redis that the user gave, or to the embedded broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from auth_worker.broker.additions import add_scripts
from auth_worker.broker.address import Address
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.broker.link import Link
from auth_worker.forks import renew


class ProducerLinks:
    """Connections of producers for ``queue``. For any thread and any event loop.

    ``connection`` is what the user gave; None stands for the embedded broker in ``state_dir``, which is kept from
    the first connection until ``release``. ``timeout`` (s) is how long connecting may take.
    Raises ``ConfigurationError`` for a connection that makes no sense.
    """

    def __init__(self, connection: Any, *, prefix: str, queue: str, state_dir: Path, timeout: float) -> None:
        self._embedded = EmbeddedBroker(state_dir) if connection is None else None
        self._address = Address.of(connection).serving(prefix, queue) if connection is not None else None
        self._queue = queue
        self._timeout = timeout
        self._mutex = threading.Lock()
        renew(self)

    async def open(self) -> Link:
        """Connect. Raises ``BrokerError`` after ``timeout`` s, and ``ConfigurationError``."""
        address = self._address or Address.of(await asyncio.to_thread(self._start_embedded))
        link = Link(
            address,
            name=f"producer {self._queue}",
            client_name=f"auth-worker:producer:{self._queue}",
            scripts=add_scripts(),
        )
        await link.start(self._timeout)
        return link

    async def release(self, is_unused: Callable[[], bool]) -> None:
        """Give up the embedded broker, if there is one and no producer uses it."""
        if self._embedded is not None:
            await asyncio.to_thread(self._stop_embedded, is_unused)

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may hold the mutex for ever."""
        self._mutex = threading.Lock()

    def _start_embedded(self) -> str:
        assert self._embedded is not None  # noqa: S101 - there is no address
        with self._mutex:
            return self._embedded.start()

    def _stop_embedded(self, is_unused: Callable[[], bool]) -> None:
        assert self._embedded is not None  # noqa: S101 - looked at by the caller
        with self._mutex:
            if is_unused():
                self._embedded.stop()
