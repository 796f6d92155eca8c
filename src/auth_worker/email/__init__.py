"""E-mail: what hands messages over (SMTP, or an outbox folder), and how they are made."""

from auth_worker.email.errors import EmailExpiredError, EmailRefusedError
from auth_worker.email.outbox import OutboxEmailService
from auth_worker.email.service import EmailSender, EmailService, email_service_from
from auth_worker.email.smtp import SmtpEmailService

__all__ = [
    "EmailExpiredError",
    "EmailRefusedError",
    "EmailSender",
    "EmailService",
    "OutboxEmailService",
    "SmtpEmailService",
    "email_service_from",
]
