"""Sends mails to a mail server, encrypted by default."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import aiosmtplib

from auth_worker.email.addresses import recipient_address
from auth_worker.email.connections import BorrowedConnection, MailConnection, SmtpConnections
from auth_worker.email.message import serialized
from auth_worker.email.replies import delivery_error, is_about_connection
from auth_worker.errors import ConfigurationError, EmailDispatchError, InvalidJobDataError
from auth_worker.system.forks import detach_in_child
from auth_worker.system.happy_eyeballs import connect
from auth_worker.system.loops import PerLoop

Security = Literal["starttls", "tls", "none"]

_PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}


class _Envelope(NamedTuple):
    sender: str
    recipient: str
    content: bytes

    async def announce(self, client: aiosmtplib.SMTP) -> None:
        """Send MAIL FROM and RCPT TO."""
        options = [f"SIZE={len(self.content)}"] if client.supports_extension("size") else []
        encoding = "ascii"
        if not self.recipient.isascii():
            if not client.supports_extension("smtputf8"):
                raise aiosmtplib.SMTPNotSupported("SMTPUTF8 is not offered")
            options += ["SMTPUTF8", "BODY=8BITMIME"]
            encoding = "utf-8"
        await client.mail(self.sender, options=options, encoding=encoding)
        await client.rcpt(self.recipient, encoding=encoding)


class SmtpEmailService:
    """Sends over at most ``connections`` reused connections per event loop.

    ``security`` is ``starttls`` (required: a server that does not offer it gets neither login nor mail), ``tls``
    (from the first byte) or ``none``. The first two verify the certificate, against ``ca_file`` (PEM) if given,
    else against the system's authorities. ``port`` defaults to 587, 465 or 25. ``timeout`` (s) bounds opening a
    connection, and then each reply. Connects with the first mail.

    Raises ``ConfigurationError`` for a user without password or the reverse, and an unreadable ``ca_file``.
    """

    def __init__(
        self,
        host: str,
        *,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        security: Security = "starttls",
        ca_file: Path | str | None = None,
        timeout: float = 30.0,
        connections: int = 4,
    ) -> None:
        if security not in _PORTS:
            raise ConfigurationError(f"smtp_security must be starttls, tls or none, not {security!r}")
        if (username is None) != (password is None):
            raise ConfigurationError("smtp_username and smtp_password must be set together, or neither")
        self._host = host
        self._port = port if port is not None else _PORTS[security]
        self._username = username
        self._password = password
        self._security = security
        self._timeout = timeout
        self._local_hostname: str | None = None
        self._tls = None if security == "none" else _tls_context(ca_file)
        self._server = f"{host}:{self._port}"
        self._pools = PerLoop(partial(SmtpConnections, self._connect, limit=connections))
        self._closed = False

    def __repr__(self) -> str:
        return f"<SmtpEmailService {self._server} {self._security}>"

    async def send(self, message: EmailMessage) -> None:
        """Deliver a message with one sender and one recipient. Returns once the server has accepted it.

        Raises ``EmailDispatchError`` for 4xx replies, connection errors, and refusals that the operator can fix
        (login, sender, relaying); ``EmailRefusedError`` for a 5xx about the recipient or the message;
        ``InvalidJobDataError`` if the message does not have exactly one sender and one recipient.
        """
        envelope = _envelope(message)
        try:
            async with self._pool().borrow() as borrowed:
                await _retry_if_stale(borrowed, envelope.announce)
                try:
                    await borrowed.client.data(envelope.content)
                except aiosmtplib.SMTPDataError as refusal:
                    # A refusal is not an acceptance, but a lost reply may be one: do not send the mail again.
                    if not (borrowed.reused and is_about_connection(refusal)):
                        raise
                    await borrowed.renew()
                    await envelope.announce(borrowed.client)
                    await borrowed.client.data(envelope.content)
        except (aiosmtplib.SMTPException, OSError) as error:
            failure = delivery_error(error, self._server, envelope.recipient)
            raise failure from failure.__cause__

    async def check(self) -> None:
        """Connect, encrypt and log in, without sending. Raises ``EmailDispatchError`` naming the remedy."""
        try:
            async with self._pool().borrow() as borrowed:
                await _retry_if_stale(borrowed, _no_announcement)
        except (aiosmtplib.SMTPException, OSError) as error:
            failure = delivery_error(error, self._server)
            raise failure from failure.__cause__

    async def close(self) -> None:
        """Close idle connections, within 2 s. One in use is closed after its mail."""
        self._closed = True
        await self._pools.close()

    def _pool(self) -> SmtpConnections:
        if self._closed:
            raise EmailDispatchError("The mail service is closed")
        return self._pools.get()

    async def _connect(self) -> aiosmtplib.SMTP:
        async with asyncio.timeout(self._timeout):
            if self._local_hostname is None:  # a DNS look-up that may take seconds
                self._local_hostname = await asyncio.to_thread(socket.getfqdn)
            client = MailConnection(
                hostname=self._host,
                username=self._username,
                password=self._password,
                local_hostname=self._local_hostname,
                timeout=self._timeout,
                use_tls=self._security == "tls",
                start_tls=self._security == "starttls",
                tls_context=self._tls,
            )
            try:
                # By itself, aiosmtplib on uvloop waits for each address of the host in turn.
                await client.connect(sock=await connect(self._host, self._port))
                if client.is_ehlo_or_helo_needed:
                    await client.ehlo()
            except BaseException:
                client.close()
                raise
        detach_in_child(client)
        return client


async def _retry_if_stale(
    borrowed: BorrowedConnection, action: Callable[[aiosmtplib.SMTP], Awaitable[None]]
) -> None:
    """Run ``action``, and once more on a new connection if the server refuses only the reused one."""
    try:
        await action(borrowed.client)
    except (aiosmtplib.SMTPException, OSError) as error:
        if not (borrowed.reused and is_about_connection(error)):
            raise
        await borrowed.renew()
        await action(borrowed.client)


async def _no_announcement(client: aiosmtplib.SMTP) -> None:
    await client.noop()


def _envelope(message: EmailMessage) -> _Envelope:
    senders, recipients = (
        [found.addr_spec for found in getattr(message[header], "addresses", ())] for header in ("From", "To")
    )
    if len(senders) != 1 or len(recipients) != 1 or "Cc" in message or "Bcc" in message:
        raise InvalidJobDataError(
            "Invalid e-mail", [{"field": "email", "message": "must be one recipient, from one sender"}]
        )
    try:
        return _Envelope(recipient_address(senders[0]), recipient_address(recipients[0]), serialized(message))
    except ValueError as error:
        raise InvalidJobDataError("Invalid e-mail", [{"field": "email", "message": str(error)}]) from None


def _tls_context(ca_file: Path | str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise ConfigurationError(
            f"smtp_ca_file {str(ca_file)!r} cannot be read as PEM certificates ({error.strerror or error})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
