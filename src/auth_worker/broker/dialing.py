"""Opening a connection to a server: the socket, TLS, and the log-in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from auth_worker.broker.connection import Connection
from auth_worker.broker.remedies import tls_error, with_remedy
from auth_worker.errors import BrokerError
from auth_worker.happy_eyeballs import connect

SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))


class Credentials(NamedTuple):
    """What a server wants to see. Not for logs."""

    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


async def dial(connection: Connection, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    """Connect to ``host``. Raises ``OSError``, or ``BrokerError`` where TLS fails for good."""
    opened = await connect(host, port, SOCKET_OPTIONS)
    name = host if tls is not None else None
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: connection, sock=opened, ssl=tls, server_hostname=name)
    except ssl.SSLError as error:
        raise tls_error(error) from error


@contextlib.contextmanager
def greeting(connection: Connection, tls: ssl.SSLContext | None) -> Iterator[None]:
    """While the first words are exchanged: what goes wrong then is told with its remedy."""
    try:
        yield
    except BaseException as error:
        connection.close("the greeting failed")
        if isinstance(error, BrokerError):
            raise with_remedy(error, tls=tls is not None, answered=connection.answered > 0) from error
        raise


async def log_in(connection: Connection, username: str | None, password: str | None) -> None:
    """Say who we are, where there is a password. Raises ``BrokerError``."""
    if password is not None:
        await connection.execute("AUTH", *((username, password) if username else (password,)))


async def ask(host: str, port: int, credentials: Credentials, *command: str | int) -> Any:
    """Connect, put one question, and disconnect. Raises ``OSError`` and ``BrokerError``."""
    connection = Connection(_ignore_loss)
    await dial(connection, host, port, credentials.tls)
    with greeting(connection, credentials.tls):
        await log_in(connection, credentials.username, credentials.password)
        answer = await connection.execute(*command)
    connection.close("the question is answered")
    return answer


def _ignore_loss(connection: Connection, error: BrokerError) -> None:
    """Whoever asked has the error as the answer."""
