"""Pools SMTP connections: a bounded number, each reused for many mails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiosmtplib

from auth_worker.email.replies import is_about_connection
from auth_worker.errors import EmailDispatchError
from auth_worker.system.loops import discard_transport

Connect = Callable[[], Awaitable[aiosmtplib.SMTP]]

_LONGEST_GOODBYE = 2.0
_LOWEST_CODE = 200
"""Below it the reply was not SMTP, and further replies may belong to other commands."""


class MailConnection(aiosmtplib.SMTP):
    """A connection that forked children do not share."""

    def fileno(self) -> int:
        """Return the socket's descriptor, or -1 once it is closed."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return -1
        return int(transport.get_extra_info("socket").fileno())


class BorrowedConnection:
    """A connection that is lent for one mail. ``reused``: an earlier mail was sent over it."""

    def __init__(self, client: aiosmtplib.SMTP, connect: Connect, *, reused: bool) -> None:
        self.client = client
        self.reused = reused
        self._connect = connect

    async def renew(self) -> None:
        """Replace the connection with a new one."""
        self.client.close()
        self.client = await self._connect()
        self.reused = False


class SmtpConnections:
    """At most ``limit`` connections of one event loop at a time. If none is free, the caller waits.

    A connection idle for more than ``max_idle`` seconds is not reused, since middleboxes drop it silently.
    """

    def __init__(self, connect: Connect, *, limit: int, max_idle: float = 30.0) -> None:
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(limit)
        self._max_idle = max_idle
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[BorrowedConnection]:
        """Lend a connection. It is kept for the next mail, unless it may be broken.

        Raises ``EmailDispatchError`` after ``close``, and whatever ``connect`` raises.
        """
        async with self._turns:
            if self._closed:
                raise EmailDispatchError("The mail service is closed")
            client = self._take_idle()
            borrowed = BorrowedConnection(
                client or await self._connect(), self._connect, reused=client is not None
            )
            try:
                yield borrowed
            except aiosmtplib.SMTPResponseException as refusal:
                await self._reset(borrowed.client, refusal)
                raise
            except BaseException:
                borrowed.client.close()
                raise
            self._give_back(borrowed.client)

    async def close(self) -> None:
        """Send QUIT on idle connections, within 2 s. Those in use are closed after their mail."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._quit(client) for client, _ in idle))

    def discard(self) -> None:
        """Close idle connections without the event loop, if that is closed."""
        if self._loop.is_closed():
            self._closed = True
            idle, self._idle = self._idle, []
            for client, _ in idle:
                discard_transport(client.transport)

    def _take_idle(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and time.monotonic() - since <= self._max_idle:
                return client
            client.close()
        return None

    def _give_back(self, client: aiosmtplib.SMTP) -> None:
        if self._closed:
            client.close()
        elif client.is_connected:
            self._idle.append((client, time.monotonic()))

    async def _reset(self, client: aiosmtplib.SMTP, refusal: aiosmtplib.SMTPResponseException) -> None:
        """Reset a connection after a refused mail. If that fails, the connection is not reused."""
        if refusal.code < _LOWEST_CODE or is_about_connection(refusal):
            client.close()
        try:
            if client.is_connected:
                await client.rset(timeout=_LONGEST_GOODBYE)
        except (aiosmtplib.SMTPException, OSError):
            client.close()
        except BaseException:
            client.close()
            raise
        self._give_back(client)

    async def _quit(self, client: aiosmtplib.SMTP) -> None:
        try:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_LONGEST_GOODBYE)
        finally:
            client.close()
