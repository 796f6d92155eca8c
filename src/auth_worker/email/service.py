"""The interface of mail services, and the choice of one by the settings."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Protocol, runtime_checkable

from auth_worker.config import Settings
from auth_worker.email.outbox import OutboxEmailService
from auth_worker.email.smtp import SmtpEmailService


@runtime_checkable
class EmailSender(Protocol):
    """What the e-mail consumer needs of a mail service."""

    async def send(self, message: EmailMessage) -> None:
        """Deliver a message with one sender and one recipient. Returns once it is accepted.

        Raises ``EmailDispatchError`` if a retry may help, and an ``UnrecoverableError`` (such as
        ``EmailRefusedError``) if it cannot.
        """


@runtime_checkable
class EmailService(EmailSender, Protocol):
    """A mail service that is also checked at start and closed at the end."""

    async def check(self) -> None:
        """Raise ``EmailDispatchError`` naming the remedy, unless a mail could be delivered now."""

    async def close(self) -> None:
        """Release the service's resources. Safe to call twice; nothing can be sent afterwards."""


def email_service_from(settings: Settings) -> EmailService:
    """Return the SMTP service if ``smtp_host`` is set, otherwise an outbox folder.

    The folder is ``outbox_dir``, or ``outbox`` in ``state_dir``. Opens no connection and creates no folder yet.
    Raises ``ConfigurationError`` if the SMTP settings contradict each other.
    """
    if settings.smtp_host is None:
        return OutboxEmailService(settings.outbox_dir or settings.state_dir / "outbox")

    password = settings.smtp_password
    return SmtpEmailService(
        settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=None if password is None else password.get_secret_value(),
        security=settings.smtp_security,
        ca_file=settings.smtp_ca_file,
        timeout=settings.smtp_timeout,
        connections=settings.smtp_connections,
    )
