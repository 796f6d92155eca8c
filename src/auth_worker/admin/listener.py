"""Accepts the connections of the HTTP port, bounds their number, and closes those that keep it waiting.

A new connection is never refused in favour of an old one: where there are too many, the one that has been silent
longest is closed. So a probe gets its answer however many connections somebody else holds open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from auth_worker.admin.logins import source_of
from auth_worker.forks import withhold

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

MOST_CONNECTIONS = 256
DESCRIPTOR_SHARE = 4
"""One in so many of the process's file descriptors may be a connection of the port."""
HEADROOM = 16
"""How many of the highest descriptors the port leaves to the connections to Redis."""
RESERVE = 2
"""How many descriptors the port keeps for itself, so that a probe is answered when the application has used up
all others."""
HEAD_S = 5.0
"""Within how many s of its connection, or of the answer before it, a request's head must have come."""
BODY_S, ANSWER_S = 20.0, 20.0
"""Within how many s a body must have come, or an answer have been read; 1 s more for each ``RATE`` bytes."""
RATE = 16 * 1024
SWEEP_S = 1.0
PAUSE_S = 0.5
"""How long to accept nothing where no descriptor can be had."""
EPISODE_S = 60.0
"""A lack of descriptors that comes back within so many s is the same one, and is reported once."""
BACKLOG = 2048
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Connection(H11Protocol):
    """Uvicorn's connection, which knows since when it waits for its client. ``source`` is the client's address."""

    def __init__(self, listener: Listener, source: str | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.source = source
        self.since = time.monotonic()
        """When it was opened, or its last request or answer was complete."""
        self._listener = listener
        self._request: Any = None
        self._received = 0
        self._unread = self._read = 0
        self._sending_since: float | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio."""
        super().connection_lost(exc)
        self._listener.forget(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio."""
        self._received += len(data)
        super().data_received(data)
        if self.cycle is not self._request:
            self._request, self._received, self.since = self.cycle, 0, time.monotonic()

    def on_response_complete(self) -> None:
        """Part of uvicorn."""
        self.since, self._received = time.monotonic(), 0
        super().on_response_complete()

    @property
    def is_answering(self) -> bool:
        """Whether its client has sent all of a request, and we have not answered all of it."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def is_overdue(self, now: float) -> bool:
        """Whether its client has taken too long to send a request, or to read an answer. Ask it every second."""
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self._unread, self._read, self._sending_since = 0, 0, None
        else:
            self._read += max(self._unread - unread, 0)
            self._unread = unread
            self._sending_since = self._sending_since or now
            return now - self._sending_since > ANSWER_S + self._read / RATE
        if self.cycle is None or self.cycle.response_complete:
            return now - self.since > HEAD_S
        if self.cycle.more_body and not self.flow.read_paused:
            return now - self.since > BODY_S + self._received / RATE
        return False

    def abort(self) -> None:
        """Close it at once, whatever is unsent."""
        self.transport.abort()


class Listener:
    """The open connections of one listening socket. Belongs to one event loop.

    ``make`` gives uvicorn's arguments for a connection. ``on_exhausted`` is called when no descriptor can be had,
    once an episode.
    """

    def __init__(
        self, listening: socket.socket, make: Callable[[], tuple[Any, ...]], on_exhausted: Callable[[], None]
    ) -> None:
        self._socket = listening
        self._make = make
        self._on_exhausted = on_exhausted
        self._exhausted_at = -EPISODE_S
        self._connections: dict[Connection, None] = {}
        self._by_source: Counter[str] = Counter()
        self._reserve: list[int] = []
        self._sweep: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Accept until cancelled."""
        self._socket.setblocking(False)
        self._socket.listen(BACKLOG)
        loop = asyncio.get_running_loop()
        self._fill_reserve()
        try:
            while True:
                try:
                    accepted, address = await loop.sock_accept(self._socket)
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        await self._find_descriptor()
                    elif error.errno != errno.ECONNABORTED:
                        await asyncio.sleep(PAUSE_S)
                    continue
                await self._open(accepted, address)
        finally:
            self._release(len(self._reserve))

    def close(self) -> None:
        """Close every connection at once."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._connections):
            self._evict(connection)

    def forget(self, connection: Connection) -> None:
        """``connection`` is closed."""
        if connection in self._connections:
            del self._connections[connection]
            if connection.source is not None:
                self._by_source[connection.source] -= 1
                self._by_source += Counter()  # drops those at 0
        self._fill_reserve()

    async def _open(self, accepted: socket.socket, address: Any) -> None:
        loop = asyncio.get_running_loop()
        withhold(accepted)
        source = source_of(address[0]) if isinstance(address, tuple) else None
        self._make_room(source, accepted.fileno())
        connection = Connection(self, source, *self._make(), loop)
        self._connections[connection] = None
        if source is not None:
            self._by_source[source] += 1
        try:
            await loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()
            self.forget(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_S, self._close_overdue)

    def _make_room(self, source: str | None, descriptor: int) -> None:
        soft = descriptor_limit()
        most = MOST_CONNECTIONS if soft is None else max(min(MOST_CONNECTIONS, soft // DESCRIPTOR_SHARE), RESERVE)
        if source is not None and self._by_source[source] >= max(most // 2, 1):
            self._evict_idlest(source)
        elif len(self._connections) >= most or (soft is not None and descriptor >= soft - HEADROOM):
            greedy = self._by_source.most_common(1)
            self._evict_idlest(greedy[0][0] if greedy else None)

    def _evict_idlest(self, source: str | None) -> None:
        """Close the connection of ``source`` (None: of anybody) that has waited longest, answered ones last."""
        found = [one for one in self._connections if source is None or one.source == source]
        if found:
            self._evict(min(found, key=lambda one: (one.is_answering, one.since)))

    def _evict(self, connection: Connection) -> None:
        if connection.transport is not None:
            connection.abort()
            self.forget(connection)

    async def _find_descriptor(self) -> None:
        """Give up a descriptor for the connection that waits; where there is none to give up, wait a little."""
        now = time.monotonic()
        if now - self._exhausted_at >= EPISODE_S:
            self._on_exhausted()
        self._exhausted_at = now
        if self._reserve:
            self._release(1)
        elif self._connections:
            self._evict_idlest(None)
            await asyncio.sleep(0.01)  # the transport closes its socket in the next turn of the loop
        else:
            await asyncio.sleep(PAUSE_S)

    def _fill_reserve(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._reserve) < RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))

    def _release(self, count: int) -> None:
        for _ in range(count):
            os.close(self._reserve.pop())

    def _close_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            if connection.transport is not None and connection.is_overdue(now):
                self._evict(connection)
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(SWEEP_S, self._close_overdue) if self._connections else None


def descriptor_limit() -> int | None:
    """How many descriptors the process may have open; None where there is no limit."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
