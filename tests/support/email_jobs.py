"""E-mail jobs, and a mail service that records what it is given."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from typing import Any

import structlog
from structlog.testing import LogCapture

from auth_worker.config import EMAIL_JOB_TYPES
from auth_worker.consumers.email import EmailJobConsumer, create_email_job_consumer
from auth_worker.core.clock import now_ms
from auth_worker.job import Job

LINK = "https://app.example.org/verify?token=t0ps3cret"
PERSON = {"email": "alice@example.com", "name": "Alice"}
DATA: dict[str, dict[str, Any]] = {
    EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL: PERSON | {"verificationLink": LINK},
    EMAIL_JOB_TYPES.SEND_PASSWORD_RESET_EMAIL: PERSON | {"resetLink": LINK},
    EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL: {"email": "alice@example.com", "magicLink": LINK},
    EMAIL_JOB_TYPES.SEND_ONE_TIME_CODE_EMAIL: {"email": "alice@example.com", "code": "482913"},
}
VERIFICATION = "sendVerificationEmail"
MAGIC_LINK = "sendMagicLinkEmail"


class MailRecorder:
    """A mail service that records what it is given. ``error`` makes it fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[EmailMessage] = []
        self.error = error

    async def send(self, message: EmailMessage) -> None:
        if self.error:
            raise self.error
        self.sent.append(message)


class StoredProgress:
    """The part of a job's hash in Redis that progress needs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.progress: Any = 0
        self.error = error

    async def update_progress(self, job: Job, value: Any) -> None:
        if self.error:
            raise self.error
        self.progress = value

    async def add_log(self, job: Job, row: str) -> int:
        raise NotImplementedError

    async def extend_lease(self, job: Job) -> None:
        raise NotImplementedError

    async def children_values(self, job: Job) -> dict[str, Any]:
        raise NotImplementedError

    async def children_failures(self, job: Job) -> dict[str, str]:
        raise NotImplementedError


def a_job(data: Any, *, type_: Any = VERIFICATION, stored: StoredProgress | None = None, **fields: Any) -> Job:
    stored = stored or StoredProgress()
    defaults = {
        "id": "42",
        "name": "job",
        "data": {"type": type_, "data": data},
        "opts": {},
        "queue_name": "emailQueue",
        "timestamp": now_ms(),
        "progress": stored.progress,
        "actions": stored,
    }
    return Job(**{**defaults, **fields})


def a_consumer(post: MailRecorder, capture: LogCapture | None = None) -> EmailJobConsumer:
    """The consumer of the product Acme, which logs to ``capture``."""
    logger = structlog.wrap_logger(None, processors=[capture or LogCapture()])
    return create_email_job_consumer(
        post, from_address="Acme <no-reply@acme.example>", product_name="Acme", logger=logger
    )
