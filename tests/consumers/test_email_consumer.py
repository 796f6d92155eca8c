"""The e-mail consumer: what it sends, what it refuses, and that it sends once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import LogCapture

from auth_worker.config import EMAIL_JOB_TYPES, Settings
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.email import EmailExpiredError
from auth_worker.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EmailDispatchError,
)
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from support.email_jobs import DATA, MAGIC_LINK, VERIFICATION, MailRecorder, StoredProgress, a_consumer, a_job


@pytest.mark.parametrize("job_type", list(EMAIL_JOB_TYPES))
async def test_each_job_type_sends_its_mail(job_type: str) -> None:
    post = MailRecorder()
    result = await a_consumer(post)(a_job(DATA[job_type], type_=str(job_type)))
    (mail,) = post.sent
    assert result == {"status": "OK", "messageId": mail["Message-ID"]}
    assert mail["From"] == "Acme <no-reply@acme.example>"
    assert mail["To"].addresses[0].addr_spec == "alice@example.com"
    assert mail["Message-ID"].endswith("@acme.example>")
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        assert ("482913" if "code" in DATA[job_type] else "t0ps3cret") in body.get_content()


async def test_the_locale_of_the_job_chooses_the_language() -> None:
    post = MailRecorder()
    await a_consumer(post)(a_job(DATA[VERIFICATION] | {"locale": "de-AT"}))
    assert post.sent[0]["Subject"] == "Bestätigen Sie Ihre E-Mail-Adresse für Acme"


async def test_a_mail_accepted_once_is_not_sent_again() -> None:
    post, stored = MailRecorder(), StoredProgress()
    consumer = a_consumer(post)
    result = await consumer(a_job(DATA[VERIFICATION], stored=stored, timestamp=1_000))
    assert stored.progress == {"sent": result["messageId"]}
    assert await consumer(a_job(DATA[VERIFICATION], stored=stored, timestamp=1_000, attempt=2)) == result
    assert len(post.sent) == 1


async def test_the_marker_of_another_mail_does_not_stop_this_one() -> None:
    post, stored = MailRecorder(), StoredProgress()
    for progress in ({"sent": "<other@acme.example>"}, {"sent": None}, 50, None, "sent"):
        stored.progress = progress
        await a_consumer(post)(a_job(DATA[VERIFICATION], stored=stored))
    assert len(post.sent) == 5


async def test_a_marker_that_cannot_be_written_does_not_fail_a_sent_mail() -> None:
    post = MailRecorder()
    job = a_job(DATA[VERIFICATION], stored=StoredProgress(BrokerUnavailableError("gone")))
    logger = LogCapture()
    result = await a_consumer(post, logger)(job)
    assert result["status"] == "OK"
    assert len(post.sent) == 1
    assert WORKER_ERRORS.SENT_NOT_MARKED in [line["event"] for line in logger.entries]


async def test_an_expired_link_fails_with_its_reason() -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    produced = int((time.time() - 3600) * 1000)
    jobs = [
        a_job(DATA[VERIFICATION] | {"expiresAt": past.isoformat()}),
        a_job(DATA[VERIFICATION] | {"expiresAt": int(past.timestamp() * 1000)}),
        a_job(DATA[VERIFICATION] | {"expiresInMinutes": 30}, timestamp=produced),
    ]
    for job in jobs:
        post = MailRecorder()
        with pytest.raises(EmailExpiredError, match="expired") as caught:
            await a_consumer(post)(job)
        assert (caught.value.reason_class, caught.value.retryable) == ("expired", False)
        assert post.sent == []


async def test_minutes_count_from_when_the_job_was_to_run() -> None:
    post = MailRecorder()
    an_hour_ago = int((time.time() - 3600) * 1000)
    for fields in (
        {"timestamp": 0},
        {"timestamp": 10**18},
        {"timestamp": an_hour_ago, "opts": {"delay": 3_600_000}},
    ):
        await a_consumer(post)(a_job(DATA[MAGIC_LINK] | {"expiresInMinutes": 30}, type_=MAGIC_LINK, **fields))
    for mail in post.sent:
        body = mail.get_body(("plain",))
        assert body is not None
        assert "for 30 minutes" in body.get_content()


async def test_no_secret_and_no_address_reaches_the_log() -> None:
    post, stored = MailRecorder(), StoredProgress()
    logger = LogCapture()
    for job_type, data in DATA.items():
        for _ in range(2):
            await a_consumer(post, logger)(a_job(data, type_=job_type, stored=stored, id=job_type, timestamp=5))
        stored.progress = 0
    assert {line["event"] for line in logger.entries} == {
        WORKER_MESSAGES.EMAIL_SENT,
        WORKER_MESSAGES.EMAIL_ALREADY_SENT,
    }
    assert not [s for s in ("alice@example.com", "t0ps3cret", "482913", "Alice") if s in repr(logger.entries)]
    assert {line["to"] for line in logger.entries} == {"a***@example.com"}


async def test_an_error_of_the_service_is_retried() -> None:
    ours = EmailDispatchError("busy")
    with pytest.raises(EmailDispatchError) as caught:
        await a_consumer(MailRecorder(ours))(a_job(DATA[VERIFICATION]))
    assert caught.value is ours
    theirs = RuntimeError("broken")
    with pytest.raises(EmailDispatchError, match="RuntimeError") as caught:
        await a_consumer(MailRecorder(theirs))(a_job(DATA[VERIFICATION]))
    assert caught.value.cause is theirs


def test_a_consumer_needs_a_service_that_can_send() -> None:
    with pytest.raises(ConfigurationError, match="Email service required"):
        create_email_job_consumer(None)
    with pytest.raises(ConfigurationError, match="send"):
        create_email_job_consumer(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("product", ["", "  ", "x" * 61, "Acme\r\nBcc: eve@example.net"])
def test_a_product_name_must_fit_a_subject(product: str) -> None:
    with pytest.raises(ConfigurationError, match="AUTH_WORKER_EMAIL_PRODUCT_NAME"):
        create_email_job_consumer(MailRecorder(), from_address="a@example.org", product_name=product)


async def test_sender_and_product_come_from_the_settings_unless_given() -> None:
    post = MailRecorder()
    settings = Settings(email_from="Shop <shop@example.org>", email_product_name="Shop")
    await create_email_job_consumer(post, settings=settings)(a_job(DATA[VERIFICATION]))
    await create_email_job_consumer(post, settings=settings, product_name="Bazaar")(a_job(DATA[VERIFICATION]))
    assert [mail["From"] for mail in post.sent] == ["Shop <shop@example.org>"] * 2
    assert [mail["Subject"].rpartition(" ")[2] for mail in post.sent] == ["Shop", "Bazaar"]
