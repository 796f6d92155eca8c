"""The e-mail consumer: turns an e-mail job into a mail, and sends it once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from auth_worker.config import EMAIL_JOB_TYPES, Settings
from auth_worker.consumers.envelope import read_envelope, validated
from auth_worker.consumers.sent_marker import is_marked_sent, mark_sent
from auth_worker.core.exception_groups import deciding_error
from auth_worker.core.policy import natural
from auth_worker.email.addresses import refuse_unsendable, sender_from, shown_name
from auth_worker.email.errors import EmailExpiredError
from auth_worker.email.mail_redaction import mask_address
from auth_worker.email.message import compose, message_id_of
from auth_worker.email.payload import EMAIL_JOB_DATA, EmailJobData
from auth_worker.email.rendering import RenderedEmail, render
from auth_worker.email.service import EmailSender
from auth_worker.errors import AuthWorkerError, ConfigurationError, EmailDispatchError
from auth_worker.job import Job
from auth_worker.messages import WORKER_MESSAGES
from auth_worker.observability.logs import logger_of

EmailJobConsumer = Callable[[Job], Awaitable[dict[str, Any]]]

_LATEST_TIMESTAMP = 253_402_300_799_000 // 2
"""Beyond it (the year 5984) a job's timestamp is invalid, and adding a duration may overflow."""


def create_email_job_consumer(
    email_service: EmailSender | None,
    *,
    settings: Settings | None = None,
    from_address: str | None = None,
    product_name: str | None = None,
    logger: Any = None,
) -> EmailJobConsumer:
    """Create the consumer of the e-mail queue.

    ``from_address`` (``Name <address>``) and ``product_name`` default to ``email_from`` and ``email_product_name``
    of ``settings``, which default to the environment. ``logger`` (structlog or stdlib) defaults to the one of
    ``settings``; if their ``log_jobs`` is off, mails are logged at level debug. The consumer returns ``{"status":
    "OK", "messageId": ...}`` once the service has accepted the mail, marks the job as sent, and never sends the
    mail of a marked job again.

    Raises ``ConfigurationError`` for a missing service or one without ``send``, a wrong address or product. The
    consumer raises ``UnknownJobTypeError``, ``InvalidJobDataError``, ``EmailExpiredError`` and
    ``EmailRefusedError``, which end the job, and ``EmailDispatchError``, which a retry may help.
    """
    service = _checked_service(email_service)
    settings = settings or Settings()
    sender = sender_from(settings.email_from if from_address is None else from_address)
    product = _checked_product(settings.email_product_name if product_name is None else product_name)
    log = logger_of(logger, settings)
    log_mail = log.info if settings.log_jobs else log.debug

    async def consume_email_job(job: Job) -> dict[str, Any]:
        job_type, data = read_envelope(EMAIL_JOB_TYPES, job.data)
        payload = validated(EMAIL_JOB_DATA[job_type], data)
        message_id = message_id_of(job.queue_name, job.id, job.timestamp, sender.domain)
        result = {"status": "OK", "messageId": message_id}
        if is_marked_sent(job, message_id):
            log_mail(WORKER_MESSAGES.EMAIL_ALREADY_SENT, **_fields(job, payload, message_id))
            return result
        message = compose(
            sender=sender,
            to=payload.email,
            display_name=shown_name(payload.name),
            message_id=message_id,
            content=_rendered(payload, job, product),
        )
        await _send(service, message)
        await mark_sent(job, message_id, log)
        log_mail(WORKER_MESSAGES.EMAIL_SENT, **_fields(job, payload, message_id))
        return result

    return consume_email_job


def _checked_service(email_service: EmailSender | None) -> EmailSender:
    if email_service is None:
        raise ConfigurationError("Email service required")
    if not callable(getattr(email_service, "send", None)):
        raise ConfigurationError("Email service must have a method send(message)")
    return email_service


async def _send(service: EmailSender, message: EmailMessage) -> None:
    try:
        await service.send(message)
    except Exception as error:
        member = deciding_error(error)
        if isinstance(member, AuthWorkerError):
            raise
        raise EmailDispatchError(f"The mail service failed with {type(member).__name__}", error) from error


def _checked_product(product_name: str) -> str:
    try:
        product = refuse_unsendable(product_name).strip()
        if not 0 < len(product) <= 60:
            raise ValueError("must have 1 to 60 characters")
    except ValueError as error:
        raise ConfigurationError(
            f"product_name (email_product_name, AUTH_WORKER_EMAIL_PRODUCT_NAME) {error}"
        ) from None
    return product


def _rendered(payload: EmailJobData, job: Job, product: str) -> RenderedEmail:
    now = datetime.now(UTC)
    expires_at = payload.expiry(_produced_at(job, now))
    if expires_at is not None and expires_at <= now:
        what = "code" if payload.kind == "one_time_code" else "link"
        raise EmailExpiredError(f"The {what} expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}, before it could be sent")
    return render(
        payload.kind,
        product_name=product,
        secret=payload.secret,
        name=shown_name(payload.name),
        locale=payload.locale,
        expires_at=expires_at,
        now=now,
    )


def _produced_at(job: Job, now: datetime) -> datetime:
    """Return when the job was first due: a link's minutes count from there, not from a late attempt."""
    delay = natural(job.opts.get("delay")) or 0
    if not 0 < job.timestamp < _LATEST_TIMESTAMP:
        return now
    produced_at = datetime.fromtimestamp(job.timestamp / 1000, UTC)
    if 0 < delay < _LATEST_TIMESTAMP:
        produced_at += timedelta(milliseconds=delay)
    return produced_at


def _fields(job: Job, payload: EmailJobData, message_id: str) -> dict[str, Any]:
    return {
        "queue": job.queue_name,
        "job_id": job.id,
        "job_name": job.name,
        "attempt": job.attempt,
        "message_id": message_id,
        "to": mask_address(payload.email),
    }
