"""Opens a connection to a server: the socket, TLS, and the login."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from auth_worker.brokers.redis.wire.connect_errors import tls_error, with_remedy
from auth_worker.brokers.redis.wire.credentials import CredentialSource, Login
from auth_worker.brokers.redis.wire.pipeline import Connection
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError
from auth_worker.system.happy_eyeballs import SocketOption, connect

SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))

RENEWAL_INTERVAL = 60.0
"""How often (s) a provider is asked for the credentials of an open connection. Tokens live for minutes."""


class Access(NamedTuple):
    """What a server requires of a connection: TLS and credentials. Not for logs."""

    login: Login = ()
    tls: ssl.SSLContext | None = None


async def dial(
    connection: Connection,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    options: tuple[SocketOption, ...] = (),
) -> None:
    """Connect to ``host``. Raises ``OSError``, or ``BrokerError`` if TLS fails permanently."""
    opened = await connect(host, port, (*SOCKET_OPTIONS, *options))
    name = host if tls is not None else None
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: connection, sock=opened, ssl=tls, server_hostname=name)
    except ssl.SSLError as error:
        raise tls_error(error) from error


@contextlib.contextmanager
def greeting(connection: Connection, tls: ssl.SSLContext | None, *, provided: bool = False) -> Iterator[None]:
    """Add remedies to the errors of the first exchange with the server."""
    try:
        yield
    except BaseException as error:
        connection.close("the greeting failed")
        if isinstance(error, BrokerError):
            answered = connection.answered > 0
            raise with_remedy(error, tls=tls is not None, answered=answered, provided=provided) from error
        raise


async def log_in(connection: Connection, login: Login) -> None:
    """Log in, if there is a password. Raises ``BrokerError``."""
    if login:
        await connection.execute("AUTH", *login)


async def keep_logged_in(connection: Connection, source: CredentialSource, login: Login) -> None:
    """Log in again whenever the provider's credentials change, since servers end a login with its token.

    If that fails, the connection stays open. If the server closes it, the next one logs in again.
    """
    while True:
        await asyncio.sleep(RENEWAL_INTERVAL)
        with contextlib.suppress(BrokerError):
            renewed = await source.get(RENEWAL_INTERVAL / 2)
            if renewed != login:
                await log_in(connection, renewed)
                login = renewed


async def refuse_replica(connection: Connection) -> None:
    """Raise ``BrokerBusyError`` if the server cannot be written to: a replica, or a former primary."""
    try:
        about = await connection.execute("INFO", "replication")
    except BrokerUnavailableError:
        raise
    except BrokerError:  # an ACL may refuse INFO; the first write will show it
        return
    if b"role:slave" in about:
        raise BrokerBusyError(
            "that server is a replica, which cannot be written to: give the primary's address, or "
            "redis+sentinel://, which finds it",
            "READONLY",
        )


async def ask(host: str, port: int, access: Access, *command: str | int) -> Any:
    """Connect, send one command, and disconnect. Raises ``OSError`` and ``BrokerError``."""
    connection = Connection(_ignore_loss)
    await dial(connection, host, port, access.tls)
    with greeting(connection, access.tls):
        await log_in(connection, access.login)
        answer = await connection.execute(*command)
    connection.close("the question is answered")
    return answer


def _ignore_loss(connection: Connection, error: BrokerError) -> None:
    """Ignore the loss: the caller receives the error as the reply."""
