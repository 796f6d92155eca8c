"""What Node and the official Python producer put into the e-mail queue, this service delivers."""

from __future__ import annotations

import email
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import Any

import bullmq
import pytest

from auth_worker import EMAIL_JOB_TYPES, QUEUE_NAMES, Settings, WorkerService
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.email.outbox import OutboxEmailService
from interop.node_side import NodeSide, eventually

LINK = "https://example.com/verify?token=s3cret"
DATA: dict[str, dict[str, Any]] = {
    EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL: {"verificationLink": LINK},
    EMAIL_JOB_TYPES.SEND_PASSWORD_RESET_EMAIL: {"resetLink": LINK},
    EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL: {"magicLink": LINK},
    EMAIL_JOB_TYPES.SEND_ONE_TIME_CODE_EMAIL: {"code": "493021"},
}


def payload(job_type: str, to: str = "ada@example.com") -> dict[str, Any]:
    return {"type": job_type, "data": {"email": to, "name": "Ada", **DATA[job_type]}}


@pytest.fixture
async def outbox(tmp_path: Path, redis_url: str, settings: Settings) -> AsyncIterator[Path]:
    """The folder into which a running service delivers the mails of the e-mail queue."""
    folder = tmp_path / "outbox"
    service = WorkerService(redis_url, settings=settings)
    service.register_processor(
        queue_name=QUEUE_NAMES.EMAIL,
        processor=create_email_job_consumer(OutboxEmailService(folder), settings=settings),
        dead_letter_queue_name=QUEUE_NAMES.EMAIL_DEAD_LETTER,
    )
    async with service:
        yield folder


def mails(folder: Path) -> list[Message]:
    return [email.message_from_bytes(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]


def text_of(mail: Message) -> str:
    parts = [part.get_payload(decode=True) for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join(part.decode() for part in parts if isinstance(part, bytes))


@pytest.mark.parametrize("job_type", DATA)
async def test_the_mail_of_a_node_producer_is_delivered(node: NodeSide, outbox: Path, job_type: str) -> None:
    job_id = await node.add(QUEUE_NAMES.EMAIL, job_type, payload(job_type))
    await node.start_events(QUEUE_NAMES.EMAIL)
    result = await node.wait_until_finished(QUEUE_NAMES.EMAIL, job_id)
    (mail,) = mails(outbox)
    assert "ada@example.com" in mail["To"]
    assert ("493021" if "Code" in job_type else LINK) in text_of(mail)
    assert result == {"status": "OK", "messageId": mail["Message-ID"]}


async def test_the_mails_of_a_node_bulk_are_each_delivered_once(node: NodeSide, outbox: Path) -> None:
    name = EMAIL_JOB_TYPES.SEND_ONE_TIME_CODE_EMAIL
    receivers = {f"user{number}@example.com" for number in range(50)}
    await node.add_bulk(QUEUE_NAMES.EMAIL, [{"name": name, "data": payload(name, to)} for to in receivers])

    async def all_completed() -> bool:
        return await node.counts(QUEUE_NAMES.EMAIL) == {"completed": 50}

    await eventually(all_completed)
    delivered = mails(outbox)
    assert len(delivered) == 50
    assert all(any(to in mail["To"] for mail in delivered) for to in receivers)


async def test_the_mail_of_an_official_python_producer_is_delivered(
    node: NodeSide, outbox: Path, redis_url: str
) -> None:
    name = EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL
    producer = bullmq.Queue(QUEUE_NAMES.EMAIL, {"connection": redis_url})
    try:
        job = await producer.add(name, payload(name), {"attempts": 3, "removeOnComplete": False})
    finally:
        await producer.close()
    await node.start_events(QUEUE_NAMES.EMAIL)
    await node.wait_until_finished(QUEUE_NAMES.EMAIL, job.id)
    (mail,) = mails(outbox)
    assert LINK in text_of(mail)


@pytest.mark.parametrize(
    ("data", "reason_class"),
    [
        ({"type": "sendPostcard", "data": {}}, "unknown_job_type"),
        ({"type": "sendVerificationEmail", "data": {"email": "nobody", "name": "Ada"}}, "invalid_payload"),
        ("not an envelope", "invalid_payload"),
        (None, "invalid_payload"),
    ],
)
async def test_a_node_job_that_is_no_mail_fails_at_once_and_is_dead_lettered(
    node: NodeSide, outbox: Path, data: Any, reason_class: str
) -> None:
    job_id = await node.add(QUEUE_NAMES.EMAIL, "sendPostcard", data, attempts=5)

    async def letters() -> list[dict[str, Any]]:
        return await node.jobs(QUEUE_NAMES.EMAIL_DEAD_LETTER, "waiting")

    (letter,) = await eventually(letters)
    assert letter["data"]["originalJobId"] == job_id
    assert letter["data"]["reasonClass"] == reason_class
    assert (await node.get_job(QUEUE_NAMES.EMAIL, job_id))["attemptsMade"] == 1
    assert mails(outbox) == []
