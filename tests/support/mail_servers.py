"""Mail servers for tests: aiosmtpd, a real one, and one that follows a script."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from auth_worker.email import SmtpEmailService
from auth_worker.email.addresses import sender_from
from auth_worker.email.message import compose
from auth_worker.email.rendering import RenderedEmail

DROP = "DROP"
"""A scripted reply: close the connection instead of answering."""
HANG = "HANG"
"""A scripted reply: send nothing, and keep the connection open."""


def make_certificate(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[Path, Path]:
    """A self-signed certificate for ``names`` (subjectAltName), and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key


def a_mail(to: str = "alice@example.com") -> EmailMessage:
    """A message, made as the consumer makes it."""
    return compose(
        sender=sender_from("Example <no-reply@example.org>"),
        to=to,
        display_name="Alice",
        message_id="<0123456789abcdef@example.org>",
        content=RenderedEmail("Hello", "<p>Hello, Zoë</p>", ".\r\n.leading dot\nHello, Zoë\n"),
    )


def plain(port: int, *, timeout: float = 5, connections: int = 4) -> SmtpEmailService:
    """A service that asks for no encryption. ``timeout`` in s."""
    return SmtpEmailService("127.0.0.1", port=port, security="none", timeout=timeout, connections=connections)


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class Mailbox:
    """Records what aiosmtpd received. ``replies`` overrides its replies to RCPT and DATA."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.envelopes: list[Envelope] = []
        self.sessions: set[int] = set()
        self.encrypted: list[bool] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" in self.replies:
            return self.replies["DATA"]
        self.envelopes.append(envelope)
        self.sessions.add(id(session))
        self.encrypted.append(session.ssl is not None)
        return "250 2.0.0 accepted"

    @property
    def messages(self) -> list[EmailMessage]:
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(envelope.original_content or b"") for envelope in self.envelopes]


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    """Accept ``worker`` with the password ``s3cret``, and no other login."""
    return AuthResult(success=(data.login, data.password) == (b"worker", b"s3cret"), handled=False)


@asynccontextmanager
async def real_server(
    mailbox: Mailbox, *, implicit_tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[int]:
    """aiosmtpd on a free port. ``options`` are those of ``aiosmtpd.smtp.SMTP``."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="mx.test", loop=loop, **options), "127.0.0.1", 0, ssl=implicit_tls
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class ScriptedServer:
    """Answers each command by a script, whose last reply repeats. Records what it received."""

    def __init__(self, **replies: str | list[str]) -> None:
        self.replies = {"EHLO": "250 mx.test", "DATA": "354 go", "GREETING": "220 mx.test", **replies}
        self.heard: list[str] = []
        self.mails = 0
        self.connections = 0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop_all()

    def drop_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def hears(self, command: str) -> None:
        """Wait until a client has sent ``command``."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(line.startswith(command) for line in self.heard))

    def reply_to(self, command: str) -> str:
        reply = self.replies.get(command, "250 ok")
        if isinstance(reply, str):
            return reply
        return reply.pop(0) if len(reply) > 1 else reply[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        command = "GREETING"
        while (reply := self.reply_to(command)) != DROP:
            if reply != HANG:
                writer.write(reply.encode() + b"\r\n")
            line = await reader.readuntil(b"\r\n.\r\n") if reply.startswith("354") else await reader.readline()
            if not line:
                break
            command = "END" if reply.startswith("354") else line.split()[0].decode().upper()
            self.mails += command == "END"
            async with self._changed:
                self.heard.append(command if command == "END" else line.decode().strip())
                self._changed.notify_all()
        writer.close()
