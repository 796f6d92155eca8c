"""The SMS consumer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from auth_worker.consumers.sms import create_sms_job_consumer
from auth_worker.errors import ConfigurationError, InvalidJobDataError, UnknownJobTypeError
from auth_worker.job import Job
from support.email_jobs import StoredProgress

OTP = {"phone": "+4930123456", "code": "482913"}


class Phones:
    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self.error = error

    async def send_otp(self, phone: str, code: str) -> None:
        if self.error:
            raise self.error
        self.sent.append((phone, code))


def a_job(data: Any, progress: Any = 0, type_: str = "sendOtp") -> Job:
    return Job(
        id="7",
        name="sendOtp",
        data={"type": type_, "data": data},
        opts={},
        queue_name="smsQueue",
        timestamp=int(time.time()) // 3600,
        progress=progress,
        actions=StoredProgress(),
    )


async def test_a_code_is_sent_once() -> None:
    phones = Phones()
    consumer = create_sms_job_consumer(phones)
    job = a_job(OTP)
    assert await consumer(job) == {"status": "OK"}
    assert await consumer(a_job(OTP, progress=job.progress)) == {"status": "OK"}
    assert phones.sent == [("+4930123456", "482913")]


async def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownJobTypeError, match=r"^Unknown job type: sendFax$"):
        await create_sms_job_consumer(Phones())(a_job(OTP, type_="sendFax"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "030 123456"),
        ("phone", "+0123456789"),
        ("phone", "+49301234567890123"),
        ("phone", "+4930123456\n"),
        ("phone", "+٤٩٣٠١٢٣٤٥٦"),
        ("phone", 4930123456),
        ("code", "12"),
        ("code", "48 29 13; drop"),
        ("code", 482913),
    ],
)
async def test_a_bad_field_is_named_and_its_value_is_not(field: str, value: Any) -> None:
    phones = Phones()
    with pytest.raises(InvalidJobDataError) as caught:
        await create_sms_job_consumer(phones)(a_job(OTP | {field: value}))
    assert [problem["field"] for problem in caught.value.fields] == [field]
    assert str(value) not in str(caught.value)
    assert phones.sent == []


async def test_an_error_of_the_service_is_passed_on() -> None:
    error = RuntimeError("gateway down")
    with pytest.raises(RuntimeError) as caught:
        await create_sms_job_consumer(Phones(error))(a_job(OTP))
    assert caught.value is error


def test_a_consumer_needs_a_service_that_can_send() -> None:
    with pytest.raises(ConfigurationError, match="SMS service required"):
        create_sms_job_consumer(None)
    with pytest.raises(ConfigurationError, match="send_otp"):
        create_sms_job_consumer(object())  # type: ignore[arg-type]
