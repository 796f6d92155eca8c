"""Redaction: what may be secret is masked, what is not stays readable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.core.redaction import LONGEST, redact
from support.secret_shapes import CANARY, SHAPES

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDYW5hcnkifQ.c2lnbmF0dXJl"
LONG = "Zm9vYmFyCanary7SecretZm9vYmFy0123456789"

NUMBERS = [
    "your code is {}",
    "your code is {}.",
    "({})",
    "code {}, valid for 10 minutes",
    "Code:{}",
    "'{}'",
    "#{}!",
    "{}",
    "got {}; expected none",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("around", ["{}", "connect failed: {}", "{} (attempt 2)", "[{}]", "a\n{}\nb"])
def test_a_secret_is_masked(shape: str, around: str) -> None:
    text = around.format(shape.format(CANARY, CANARY))
    assert CANARY not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize("code", ["4829", "482913", "48291377"])
@pytest.mark.parametrize("shape", NUMBERS)
def test_a_one_time_code_is_masked(shape: str, code: str) -> None:
    assert code not in redact(shape.format(code))


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        LONG,
        "0123456789abcdef01234567",
        "0123456789ABCDEF" * 4,
        "3f2b8a4e-1c5d-4e6f-8a7b-9c0d1e2f3a4b",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "Q2FuYXJ5N1NlY3JldA9xZw==",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dcABCD",
    ],
)
@pytest.mark.parametrize("around", ["{}", "bad value {} given", "({})", "'{}'", "key:{}", "{}, {}"])
def test_a_token_is_recognized_by_its_shape(secret: str, around: str) -> None:
    assert secret not in redact(around.format(secret, secret))


@pytest.mark.parametrize(
    "address", ["ann.smith@example.com", "jürgen.müller@example.com", "ann+tag@mail.example.org"]
)
def test_of_a_mail_address_only_the_first_letter_and_the_domain_survive(address: str) -> None:
    local, _, domain = address.partition("@")
    assert redact(f"550 no mailbox {address} here") == f"550 no mailbox {local[0]}***@{domain} here"


@pytest.mark.parametrize(
    "sentence",
    [
        "division by zero",
        "KeyError: 'email'",
        "[Errno 111] Connect call failed ('127.0.0.1', 80)",
        "[Errno 2] No such file or directory: '/usr/lib/python3.11/site-packages/auth_worker/run.py'",
        "550 5.1.1 user unknown",
        "Redis refused: OOM command not allowed when used memory > 'maxmemory'.",
        "no connection to redis://cache.internal:6379/0: not answering",
        "no connection to unix:///run/redis.sock?db=0",
        "UnicodeDecodeError: 'utf-8' can't decode byte 0xff in position 0",
        "job 17 has failed children and cannot complete",
        "the job exceeded its timeout and was cancelled",
        "at 2024-05-06T10:11:12.123456Z the queue was empty",
        "shipping: done, mapping: yes, spinning: no",
        "12 of 345 tests passed",
        "https://app.example.com",
        "the passenger: seat 12",
        "Error in auth_worker.consumers.email.create_email_job_consumer",
        "größer als erlaubt",
    ],
)
def test_an_ordinary_sentence_stays_as_it_is(sentence: str) -> None:
    assert redact(sentence) == sentence


def test_what_remains_of_a_link_says_where_it_led() -> None:
    assert redact("GET https://app.example.com:8443/verify?token=x: 404") == (
        "GET https://app.example.com:8443/*** 404"
    )
    assert redact("redis://user:pass@cache:6379/0 refused") == "redis://***@cache:6379/0 refused"


@given(text=st.text(max_size=3000))
def test_any_text_becomes_one_printable_line_within_the_limit(text: str) -> None:
    line = redact(text)
    assert len(line) <= LONGEST
    assert len(line.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)
    line.encode()


def test_line_ends_and_terminal_commands_are_written_out() -> None:
    assert redact("a\r\nb\x1b[31mc\u2028d\ud800") == "a\\r\\nb\\x1b[31mc\\u2028d\\ud800"


@given(before=st.integers(0, 9000), shape=st.sampled_from(SHAPES))
def test_a_secret_is_masked_wherever_the_text_is_cut(before: int, shape: str) -> None:
    assert CANARY[:8] not in redact("ab " * (before // 3) + shape.format(CANARY, CANARY))


@pytest.mark.parametrize("masked", [f"https://x.example/{'y' * 2600} ", "password='" + "y" * 2600 + "' "])
def test_a_secret_that_masking_exposes_is_masked_too(masked: str) -> None:
    for secret in (f"Bearer {CANARY}", f"https://x.example/{CANARY}", JWT):
        for fill in range(0, 300, 7):
            line = redact(masked * 3 + "z " * (fill // 2) + secret + " end")
            assert CANARY[:8] not in line
            assert JWT[:20] not in line


@pytest.mark.parametrize(
    "part",
    [
        *(
            "a",
            "a-",
            "a.",
            "a@",
            "a+",
            "1",
            "1-",
            "a1",
            "a1/",
            "://",
            "http://",
            "://a,",
            "://a.b:1,",
            "eyJ",
            "-eyJ",
        ),
        *(
            "pass",
            "password",
            "password ",
            "token=",
            'token="',
            'token="\\',
            "cookie",
            "code:",
            "bearer ",
            "\\",
            "'",
            " ",
        ),
        *("[", "://[::", "a@a.", "é", "A0a+/"),
    ],
)
def test_the_time_it_takes_is_bounded_for_any_text(part: str) -> None:
    started = time.process_time()
    for end in ("", "!", "\0"):
        redact(part * (7900 // len(part)) + end)
        redact(part * 100_000 + end)
    assert time.process_time() - started < 0.5
