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


class Credentials(NamedTuple):
    """What a server wants to see. Not for logs."""

    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


async def dial(connection: Connection, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    """Connect to ``host``. Raises ``OSError``, or ``BrokerError`` where TLS fails for good."""
    loop = asyncio.get_running_loop()
    # uvloop, which is no BaseEventLoop, knows no happy eyeballs.
    options: Any = {"happy_eyeballs_delay": 0.25} if isinstance(loop, asyncio.BaseEventLoop) else {}
    try:
        transport, _ = await loop.create_connection(lambda: connection, host, port, ssl=tls, **options)
    except ssl.SSLError as error:
        raise tls_error(error) from error
    _tune(transport.get_extra_info("socket"))


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


def _tune(sock: socket.socket | None) -> None:
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _ignore_loss(connection: Connection, error: BrokerError) -> None:
    """Whoever asked has the error as the answer."""
