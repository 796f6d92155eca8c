"""Which refusals end a job, and what is reported of them."""

from __future__ import annotations

import aiosmtplib
import pytest

from auth_worker.email import EmailRefusedError
from auth_worker.email.mail_redaction import mask_address, mask_reply
from auth_worker.email.replies import delivery_error
from auth_worker.errors import EmailDispatchError

ALICE = "alice@example.com"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (550, "5.1.1 user unknown"),
        (550, "5.5.0 Requested action not taken: mailbox unavailable"),
        (550, "No such user here"),
        (553, "5.1.3 bad address syntax"),
        (556, "5.1.10 recipient address has null MX"),
        (552, "5.2.2 mailbox full"),
    ],
)
def test_a_5xx_about_the_recipient_ends_the_job(code: int, text: str) -> None:
    failure = delivery_error(aiosmtplib.SMTPRecipientRefused(code, text, ALICE), "mx:25", ALICE)
    assert isinstance(failure, EmailRefusedError)
    assert not failure.retryable
    assert f"recipient a***@example.com: {code} {text}" in str(failure)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (530, "5.7.0 Must issue a STARTTLS command first"),
        (503, "5.5.1 need MAIL first"),
        (550, "5.7.26 Unauthenticated email is not accepted due to DMARC policy"),
        (554, "5.7.1 <alice@example.com>: Relay access denied"),
        (550, "relaying prohibited"),
        (550, "SMTP authentication is required"),
        (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list"),
        (450, "4.2.0 greylisted"),
        (421, "4.3.2 shutting down"),
    ],
)
def test_a_refusal_of_us_or_a_temporary_one_is_retried(code: int, text: str) -> None:
    failure = delivery_error(aiosmtplib.SMTPRecipientRefused(code, text, ALICE), "mx:25", ALICE)
    assert isinstance(failure, EmailDispatchError)
    assert ALICE not in str(failure)
    assert ALICE not in repr(failure.cause)
    assert ("AUTH_WORKER_SMTP" in str(failure)) is (code >= 500)


def test_a_refused_sender_is_our_configuration_unless_the_message_is_too_big() -> None:
    refused = aiosmtplib.SMTPSenderRefused(550, "5.7.60 not your address", "no-reply@example.org")
    assert "AUTH_WORKER_EMAIL_FROM" in str(delivery_error(refused, "mx:25", ALICE))
    too_big = aiosmtplib.SMTPSenderRefused(552, "5.3.4 message too big", "no-reply@example.org")
    assert isinstance(delivery_error(too_big, "mx:25", ALICE), EmailRefusedError)


def test_a_refused_message_ends_the_job_without_quoting_its_link() -> None:
    text = "5.7.1 spam: https://example.org/verify?token=abc and code 482913 for alice@example.com"
    failure = delivery_error(aiosmtplib.SMTPDataError(554, text), "mx:25", ALICE)
    assert isinstance(failure, EmailRefusedError)
    assert "message for a***@example.com" in str(failure)
    assert not [secret for secret in ("token", "482913", ALICE) if secret in str(failure)]


def test_foreign_text_becomes_one_short_line_without_secrets() -> None:
    token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    text = mask_reply(f"a\r\nb\x00 <bob@example.net> {token} 550 5.7.1 www.evil.example/x " + "y " * 1000)
    assert text.startswith("a b <b***@example.net> *** 550 5.7.1 <link> y y")
    assert len(text) <= 300
    assert mask_address("nonsense") == "***"
