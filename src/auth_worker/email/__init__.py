"""E-mail: composes messages and delivers them, over SMTP or to an outbox folder."""

from auth_worker.core.extras import needs_extra

with needs_extra("email", "e-mail"):
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
