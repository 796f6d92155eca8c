"""Opening a connection to a server: the socket, TLS, and the log-in."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, NamedTuple

from auth_worker.broker.connection import Connection
from auth_worker.errors import BrokerError, BrokerUnavailableError


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
    except ssl.SSLCertVerificationError as error:
        raise BrokerError(_distrust(host, error), "TLS") from error
    except ssl.SSLError as error:
        raise BrokerError(
            f"TLS with {host}:{port} failed: {error.reason or error}; does that port speak TLS, and does the "
            "server want a client certificate (ssl_certfile, ssl_keyfile)?",
            "TLS",
        ) from error
    _tune(transport.get_extra_info("socket"))


async def log_in(connection: Connection, username: str | None, password: str | None) -> None:
    """Say who we are, where there is a password. Raises ``BrokerError``."""
    if password is not None:
        await connection.execute("AUTH", *((username, password) if username else (password,)))


async def ask(host: str, port: int, credentials: Credentials, *command: str | int) -> Any:
    """Connect, put one question, and disconnect. Raises ``OSError`` and ``BrokerError``."""
    connection = Connection(_ignore_loss)
    await dial(connection, host, port, credentials.tls)
    try:
        await log_in(connection, credentials.username, credentials.password)
        return await connection.execute(*command)
    finally:
        connection.close("the question is answered")


def _distrust(host: str, error: ssl.SSLCertVerificationError) -> str:
    why = error.verify_message.rstrip(".") or str(error)
    if "mismatch" in why or "not valid for" in why:
        return (
            f"the certificate of Redis is for another host: {why}; connect by a name the certificate has, or have "
            f"one made that names {host}"
        )
    return (
        f"the certificate of Redis cannot be trusted: {why}; give the authority that signed it: "
        "?ssl_ca_certs=/path/ca.pem"
    )


def _tune(sock: socket.socket | None) -> None:
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _ignore_loss(connection: Connection, error: BrokerUnavailableError) -> None:
    """Whoever asked has the error as the answer."""
