"""Refusals: ours are retried, those of recipient and message end the job, stale connections are replaced."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from auth_worker.email import EmailRefusedError
from auth_worker.email.refusals import Stage, Subject, subject_of
from auth_worker.errors import EmailDispatchError
from support.mail_servers import ScriptedServer, a_mail, plain

CONNECTION, ACCOUNT, RECIPIENT, MESSAGE = Subject
MAIL, RCPT, DATA = Stage
TABLE = [
    (MAIL, "421 4.7.0 try again later", CONNECTION),
    (MAIL, "451 4.7.0 Too many messages on this connection", CONNECTION),
    (MAIL, "452 4.5.3 Too many recipients in this session", CONNECTION),
    (RCPT, "450 4.7.1 Error: too many errors in one connection", CONNECTION),
    (MAIL, "530 5.7.0 Authentication required", CONNECTION),
    (MAIL, "530 5.7.57 Client not authenticated to send mail", CONNECTION),
    (MAIL, "454 4.7.0 Temporary authentication failure", CONNECTION),
    (MAIL, "503 5.5.1 Send hello first", CONNECTION),
    (RCPT, "503 5.5.1 need MAIL first", CONNECTION),
    (MAIL, "451 4.4.2 Timeout waiting for data from client", CONNECTION),
    (DATA, "550 5.4.5 Daily user sending limit exceeded", ACCOUNT),
    (RCPT, "550 5.4.5 Daily SMTP relay limit exceeded for user", ACCOUNT),
    (RCPT, "550 5.7.1 Sender address rejected: not owned by user", ACCOUNT),
    (DATA, "554 5.2.252 SendAsDenied; you@example.org not allowed to send as me@example.org", ACCOUNT),
    (RCPT, "535 5.7.8 Error: authentication failed", ACCOUNT),
    (DATA, "554 Message rejected: Email address is not verified", ACCOUNT),
    (DATA, "454 Throttling failure: Maximum sending rate exceeded", CONNECTION),
    (DATA, "554 Throttling failure: Daily message quota exceeded", ACCOUNT),
    (DATA, "550 5.7.705 Access denied, tenant has exceeded threshold", ACCOUNT),
    (RCPT, "550 5.7.501 Access denied, spam abuse detected", ACCOUNT),
    (DATA, "550 5.1.8 Access denied, bad outbound sender", ACCOUNT),
    (DATA, "550 5.1.90 Your message can't be sent because you've reached your daily limit", ACCOUNT),
    (DATA, "550 5.7.26 This mail is unauthenticated (DMARC)", ACCOUNT),
    (RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list", ACCOUNT),
    (RCPT, "550 Your account has been suspended", ACCOUNT),
    (RCPT, "550 Domain example.org has exceeded the max emails per hour (100/100 (100%)) allowed", ACCOUNT),
    (RCPT, "550 You have exceeded the number of emails you can send per hour", ACCOUNT),
    (RCPT, "550 Maximum credits exceeded", ACCOUNT),
    (DATA, "550 Your subscription has expired", ACCOUNT),
    (MAIL, "550 who knows", ACCOUNT),
    (
        RCPT,
        "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table",
        RECIPIENT,
    ),
    (RCPT, "550 5.1.1 The email account that you tried to reach does not exist", RECIPIENT),
    (RCPT, "550 5.2.1 The email account that you tried to reach is disabled", RECIPIENT),
    (RCPT, "552 5.2.2 The recipient's inbox is out of storage space", RECIPIENT),
    (RCPT, "550 No such user here", RECIPIENT),
    (RCPT, "552 Mailbox full: quota exceeded", RECIPIENT),
    (RCPT, "550 The mailbox quota has been exceeded", RECIPIENT),
    (RCPT, "550 Recipient's account is suspended", RECIPIENT),
    (DATA, "552 5.3.4 Your message exceeded the message size limits", MESSAGE),
    (MAIL, "552 5.3.4 Message size exceeds fixed limit", MESSAGE),
    (DATA, "552 5.7.0 blocked because its content presents a potential security issue", MESSAGE),
    (DATA, "554 5.6.0 Message content rejected", MESSAGE),
    (DATA, "550 5.7.1 This message was classified as spam", MESSAGE),
]


@pytest.mark.parametrize(("stage", "reply", "subject"), TABLE, ids=[reply for _, reply, _ in TABLE])
def test_a_refusal_is_classified_by_the_table(stage: Stage, reply: str, subject: Subject) -> None:
    code, _, text = reply.partition(" ")
    assert subject_of(stage, int(code), text) is subject


@pytest.fixture
def mail() -> EmailMessage:
    return a_mail()


@pytest.mark.parametrize(
    ("command", "reply"),
    [(stage.value, reply) for stage, reply, subject in TABLE if subject is CONNECTION]
    + [("DATA", "451 4.7.0 Too many messages on this connection"), ("END", "421 4.7.0 closing")],
)
async def test_a_mail_that_a_reused_connection_refuses_is_sent_over_a_new_one(
    command: str, reply: str, mail: EmailMessage
) -> None:
    first = {"DATA": "354 go"}.get(command, "250 ok")
    async with ScriptedServer(**{command: [first, reply, first]}) as server:
        service = plain(server.port)
        for _ in range(3):
            await service.send(mail)
        await service.close()
    assert server.connections == 2


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_mail_is_tried_on_only_one_new_connection(command: str, mail: EmailMessage) -> None:
    first = {"DATA": "354 go"}.get(command, "250 ok")
    async with ScriptedServer(**{command: [first, "530 5.7.0 log in"]}) as server:
        service = plain(server.port)
        await service.send(mail)
        with pytest.raises(EmailDispatchError, match="530"):
            await service.send(mail)
        await service.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    ("stage", "reply", "subject"), [entry for entry in TABLE if entry[1][0] == "5" and entry[2] is not CONNECTION]
)
async def test_only_refusals_of_the_recipient_or_the_message_end_the_job(
    stage: Stage, reply: str, subject: Subject, mail: EmailMessage
) -> None:
    kind = EmailRefusedError if subject in (RECIPIENT, MESSAGE) else EmailDispatchError
    async with ScriptedServer(**{"END" if stage is DATA else stage.value: reply}) as server:
        service = plain(server.port)
        with pytest.raises(kind) as refusal:
            await service.send(mail)
        await service.close()
    assert "alice" not in str(refusal.value)
