"""The demo's mail server: it greylists some recipients, refuses others, and keeps the e-mails it accepts."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from email import policy
from email.parser import BytesHeaderParser
from typing import NamedTuple, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from auth_worker.cli.demo.jobs import ATTEMPTS, FLAKY_DOMAIN, FULL, NOBODY

ACCEPT_S = 0.02
"""How long (s) it takes to accept an e-mail: about as long as a mail server in the same network."""


class Delivery(NamedTuple):
    """An e-mail that was accepted."""

    message_id: str
    subject: str
    recipient: str

    @property
    def domain(self) -> str:
        """The domain of the recipient."""
        return self.recipient.rpartition("@")[2]


class DemoMailServer:
    """Listens on a free port of 127.0.0.1 between ``start`` and ``stop``.

    Recipients at ``FLAKY_DOMAIN`` are deferred (4xx) until their last attempt, ``FULL`` always is, and ``NOBODY``
    is refused (5xx).
    """

    def __init__(self) -> None:
        self.port = 0
        self.deliveries: list[Delivery] = []
        self.deferrals: Counter[str] = Counter()
        self.refusals = 0
        self.on_delivery: Callable[[Delivery], None] = lambda delivery: None
        self._server: asyncio.Server

    @property
    def duplicates(self) -> int:
        """How many e-mails were delivered again: each with a Message-ID that was delivered before."""
        return len(self.deliveries) - len({delivery.message_id for delivery in self.deliveries})

    async def __aenter__(self) -> Self:
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mail.demo", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Part of aiosmtpd's protocol: the reply to RCPT."""
        name, _, domain = address.rpartition("@")
        if name == NOBODY:
            self.refusals += 1
            return "550 5.1.1 No such mailbox here"
        if name == FULL:
            self.deferrals[address] += 1
            return "452 4.2.2 Mailbox full"
        if domain == FLAKY_DOMAIN and self.deferrals[address] < ATTEMPTS - 1:
            self.deferrals[address] += 1
            return "451 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Part of aiosmtpd's protocol: the reply to a mail's content."""
        await asyncio.sleep(ACCEPT_S)
        header = BytesHeaderParser(policy=policy.default).parsebytes(envelope.original_content or b"")
        delivery = Delivery(str(header["Message-ID"]), str(header["Subject"]), envelope.rcpt_tos[0])
        self.deliveries.append(delivery)
        self.on_delivery(delivery)
        return "250 2.0.0 Accepted"
