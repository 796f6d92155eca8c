"""The SMS consumer: passes one-time codes to an SMS service."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_worker.config import SMS_JOB_TYPES, Settings
from auth_worker.consumers.envelope import read_envelope, validated
from auth_worker.consumers.sent_marker import is_marked_sent, mark_sent
from auth_worker.errors import ConfigurationError
from auth_worker.job import Job
from auth_worker.observability.logs import logger_of

SmsJobConsumer = Callable[[Job], Awaitable[dict[str, Any]]]

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CODE = re.compile(r"[A-Za-z0-9-]{3,16}")


class SmsService(Protocol):
    """A service that sends SMS."""

    async def send_otp(self, phone: str, code: str) -> None:
        """Send the code, and return once it is accepted. ``phone`` is in E.164 format, such as +4930123456.

        An exception costs the job an attempt; an ``UnrecoverableError`` ends it.
        """


def _phone(value: str) -> str:
    if not _E164.fullmatch(value):
        raise ValueError("must be a phone number in E.164 form, such as +4930123456")
    return value


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise ValueError("must be 3 to 16 ASCII letters or digits")
    return value


class _OtpData(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    phone: Annotated[str, AfterValidator(_phone)] = Field(repr=False)
    code: Annotated[str, AfterValidator(_code)] = Field(repr=False)


def create_sms_job_consumer(
    sms_service: SmsService | None, *, settings: Settings | None = None, logger: Any = None
) -> SmsJobConsumer:
    """Create the consumer of the SMS queue. It returns ``{"status": "OK"}`` once the code is accepted.

    Raises ``ConfigurationError`` for a missing service, or one without ``send_otp``. The consumer raises
    ``UnknownJobTypeError`` and ``InvalidJobDataError``, and what the service raises. A job whose code was accepted
    by an earlier attempt is not sent again. ``logger`` (structlog or stdlib) defaults to the one of ``settings``,
    which default to the environment.
    """
    if sms_service is None:
        raise ConfigurationError("SMS service required")
    if not callable(getattr(sms_service, "send_otp", None)):
        raise ConfigurationError("SMS service must have a method send_otp(phone, code)")
    log = logger_of(logger, settings or Settings())

    async def consume_sms_job(job: Job) -> dict[str, Any]:
        match read_envelope(SMS_JOB_TYPES, job.data):
            case SMS_JOB_TYPES.SEND_OTP, data:
                otp = validated(_OtpData, data)
                sent_id = _sent_id(job)
                if not is_marked_sent(job, sent_id):
                    await sms_service.send_otp(otp.phone, otp.code)
                    await mark_sent(job, sent_id, log)
        return {"status": "OK"}

    return consume_sms_job


def _sent_id(job: Job) -> str:
    identity = f"{job.queue_name}\0{job.id}\0{job.timestamp}".encode(errors="backslashreplace")
    return hashlib.sha256(identity).hexdigest()[:32]
