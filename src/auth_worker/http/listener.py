"""Accepts connections to the HTTP port, limits their number and memory, and closes those that are too slow.

A new connection is never refused in favour of an old one: if there are too many, the one that has been idle
longest is closed. Of the connections that send one request after another, one goes on in each turn of the loop. So
a probe is answered however many connections others hold open, and whatever they ask.
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

from auth_worker.http.client_connection import Connection
from auth_worker.http.login_limiter import source_of
from auth_worker.system.forks import detach_in_child

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

MOST_CONNECTIONS = 256
DESCRIPTOR_SHARE = 4
"""The fraction (1/n) of the process's file descriptors that connections of the port may use."""
SOURCE_SHARE = 2
"""The fraction (1/n) of the port's connections that may be of one address."""
HEADROOM = 16
"""How many of the highest descriptors the port leaves to the connections to Redis."""
RESERVE = 2
"""How many descriptors the port reserves for probes, for when the application has used up all others."""
MOST_UNREAD = 64 * 1024 * 1024
"""How many bytes of responses may wait for clients, of all connections together, besides the last response."""
GRACE_S = 1.0
"""How long (s) a new connection may take for its request where nearly all others are being answered."""
SWEEP_S = 1.0
PAUSE_S = 0.5
"""How long (s) to accept nothing after no descriptor was free."""
EPISODE_S = 60.0
"""Descriptors that run out again within so many seconds are reported once."""
BACKLOG = 2048
MOST_AT_ONCE = 256
"""How many connections to accept in one turn of the loop: a probe waits in line behind all that came before it."""
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class _Spare:
    """A reserved file descriptor."""

    def __init__(self) -> None:
        self._number = os.open(os.devnull, os.O_RDONLY)
        detach_in_child(self)

    def fileno(self) -> int:
        """Return the descriptor, or -1 once it is closed."""
        return self._number

    def close(self) -> None:
        """Release it."""
        number, self._number = self._number, -1
        os.close(number)


class Listener:
    """Accepts and closes the connections of one listening socket. Belongs to one event loop.

    ``make`` returns uvicorn's arguments for a connection. ``on_exhausted`` is called when no descriptor is free,
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
        self._reserve: list[_Spare] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._going_on: dict[Connection, None] = {}
        self._turn: asyncio.Handle | None = None

    async def run(self) -> None:
        """Accept until cancelled."""
        self._socket.setblocking(False)
        self._socket.listen(BACKLOG)
        self._fill_reserve()
        try:
            while True:
                try:
                    arrived = [await asyncio.get_running_loop().sock_accept(self._socket)]
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        await self._find_descriptor()
                    elif error.errno != errno.ECONNABORTED:
                        await asyncio.sleep(PAUSE_S)
                    continue
                self._accept_more(arrived)
                admitted = [self._admit(*one) for one in arrived]
                await asyncio.gather(
                    *(self._open(one, accepted) for one, (accepted, _) in zip(admitted, arrived, strict=True))
                )
        finally:
            self._release(len(self._reserve))

    def close(self) -> None:
        """Close every connection at once."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._connections):
            self._evict(connection)

    def forget(self, connection: Connection) -> None:
        """Remove ``connection``, which is closed."""
        if connection in self._connections:
            del self._connections[connection]
            if connection.source is not None:
                self._by_source[connection.source] -= 1
                self._by_source += Counter()  # drops those at 0
        self._fill_reserve()

    def begins_next(self, connection: Connection) -> bool:
        """Return whether ``connection`` may start its next request in this turn of the loop, as the only one.

        Otherwise it goes on in a later turn.
        """
        if self._turn is not None:
            self._going_on[connection] = None
            return False
        self._turn = asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def _end_turn(self) -> None:
        self._turn = None
        while self._going_on and self._turn is None:
            connection = next(iter(self._going_on))
            del self._going_on[connection]
            if not connection.transport.is_closing():
                connection.handle_events()

    def bound_unread(self) -> None:
        """Close connections whose clients leave too much unread: of the client with most, the one answered first.

        The one that was answered last stays, however large its response is.
        """
        owing = {one: one.unread for one in self._connections if one.unread}
        total = sum(owing.values())
        if total <= MOST_UNREAD:
            return
        owing.pop(max(owing, key=lambda one: one.since))
        while owing and total > MOST_UNREAD:
            held: Counter[str | None] = Counter()
            for one, size in owing.items():
                held[one.source] += size
            greediest = held.most_common(1)[0][0]
            closed = min((one for one in owing if one.source == greediest), key=lambda one: one.since)
            total -= owing.pop(closed)
            self._evict(closed)

    def _accept_more(self, arrived: list[tuple[socket.socket, Any]]) -> None:
        """Append the connections that wait behind those that ``arrived``."""
        with contextlib.suppress(OSError):
            while len(arrived) < MOST_AT_ONCE and not _is_high(arrived[-1][0].fileno()):
                arrived.append(self._socket.accept())

    def _admit(self, accepted: socket.socket, address: Any) -> Connection:
        detach_in_child(accepted)
        source = source_of(address[0]) if isinstance(address, tuple) else None
        self._make_room(source, accepted.fileno())
        connection = Connection(self, source, *self._make(), asyncio.get_running_loop())
        self._connections[connection] = None
        if source is not None:
            self._by_source[source] += 1
        return connection

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            if connection in self._connections:  # too many may have come after it
                await loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                accepted.close()
        except OSError:
            accepted.close()
            self.forget(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_S, self._close_overdue)

    def _make_room(self, source: str | None, descriptor: int) -> None:
        soft = descriptor_limit()
        most = MOST_CONNECTIONS if soft is None else max(min(MOST_CONNECTIONS, soft // DESCRIPTOR_SHARE), RESERVE)
        if source is not None and self._by_source[source] >= max(most // SOURCE_SHARE, 1):
            self._evict_idlest(source)
        elif len(self._connections) >= most or _is_high(descriptor):
            greedy = self._by_source.most_common(1)
            self._evict_idlest(greedy[0][0] if greedy else None)

    def _evict_idlest(self, source: str | None) -> None:
        """Close the connection of ``source`` (None: of anybody) that has waited longest.

        Those that are being answered come last, unless nearly all are: a new one may be a probe.
        """
        found = sorted(
            (one for one in self._connections if source is None or one.source == source), key=lambda one: one.since
        )
        idle = [one for one in found if not one.is_answering]
        if idle and (len(idle) >= len(found) / 2 or time.monotonic() - idle[0].since >= GRACE_S):
            found = idle
        if found:
            self._evict(found[0])

    def _evict(self, connection: Connection) -> None:
        self.forget(connection)
        if connection.transport is not None:
            connection.abort()

    async def _find_descriptor(self) -> None:
        """Free a descriptor for the waiting connection. If there is none to free, wait a little."""
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
                self._reserve.append(_Spare())

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._reserve.pop().close()

    def _close_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            if connection.transport is None:
                continue
            connection.note_reading(now)
            if connection.is_overdue(now):
                self._evict(connection)
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(SWEEP_S, self._close_overdue) if self._connections else None


def _is_high(descriptor: int) -> bool:
    """Whether it is one of those that the port leaves to the connections to Redis."""
    soft = descriptor_limit()
    return soft is not None and descriptor >= soft - HEADROOM


def descriptor_limit() -> int | None:
    """Return how many descriptors the process may open; None without a limit."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
