"""What an e-mail job must contain, and how errors are reported."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from auth_worker.config import EMAIL_JOB_TYPES
from auth_worker.errors import InvalidJobDataError, UnknownJobTypeError
from support.email_jobs import DATA, VERIFICATION, MailRecorder, a_consumer, a_job

BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("email", {"email": None}),
    ("email", {"email": "secret-value"}),
    ("email", {"email": "alice@example.com\r\nBcc: secret-value@example.net"}),
    ("email", {"email": "alice@example.com,secret-value@example.net"}),
    ("email", {"email": ["secret-value"]}),
    ("name", {"name": 7}),
    ("name", {"name": "secret-value\n"}),
    ("name", {"name": "secret-value\ud800"}),
    ("name", {"name": "secret-value" * 50}),
    ("locale", {"locale": "../secret-value"}),
    ("expiresInMinutes", {"expiresInMinutes": 0}),
    ("expiresInMinutes", {"expiresInMinutes": -1}),
    ("expiresInMinutes", {"expiresInMinutes": True}),
    ("expiresInMinutes", {"expiresInMinutes": "secret-value"}),
    ("expiresInMinutes", {"expiresInMinutes": float("inf")}),
    ("expiresInMinutes", {"expiresInMinutes": float("nan")}),
    ("expiresInMinutes", {"expiresInMinutes": 10**30}),
    ("expiresAt", {"expiresAt": "secret-value"}),
    ("expiresAt", {"expiresAt": True}),
    ("expiresAt", {"expiresAt": float("nan")}),
    ("expiresAt", {"expiresAt": "9999-12-31T23:59:59-12:00"}),
]
BAD_LINKS: list[Any] = [
    None,
    "",
    "secret-value",
    "//app.example.org/secret-value",
    "http://app.example.org/secret-value",
    "http://localhost.evil.example/secret-value",
    "http://127.0.0.1.evil.example/secret-value",
    "http://10.0.0.1/secret-value",
    "javascript:secret-value",
    "data:text/html,secret-value",
    "https:///secret-value",
    "https://user:secret-value@app.example.org/",
    "https://app.example.org\\@evil.example/secret-value",
    "https://app.example.org:99999/secret-value",
    "https://[::1/secret-value",
    "https://app.example.org/ secret-value",
    " https://app.example.org/secret-value",
    "https://app.example.org/secret-value\n",
    "ht\ntps://app.example.org/secret-value",
    'https://app.example.org/"><secret-value>',
    "https://bücher.example/secret-value",
    "https://app.example.org/" + "secret-value" * 200,
]


@pytest.mark.parametrize(
    ("field", "change"), BAD_FIELDS + [("verificationLink", {"verificationLink": link}) for link in BAD_LINKS]
)
async def test_a_bad_field_is_named_and_its_value_is_not(field: str, change: dict[str, Any]) -> None:
    post = MailRecorder()
    with pytest.raises(InvalidJobDataError) as caught:
        await a_consumer(post)(a_job(DATA[VERIFICATION] | change))
    assert [problem["field"] for problem in caught.value.fields] == [field]
    assert caught.value.fields[0]["message"].startswith(("must", "is"))
    assert "secret-value" not in "".join(traceback.format_exception(caught.value))
    assert post.sent == []


async def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownJobTypeError, match=r"^Unknown job type: sendSMS$"):
        await a_consumer(MailRecorder())(a_job({}, type_="sendSMS"))


async def test_an_error_about_a_missing_envelope_names_what_was_expected_and_found() -> None:
    job = a_job({}, type_="x")
    object.__setattr__(job, "data", {"email": "ada@example.org", "magicLink": "https://x.example/y", "ada@x": 1})
    with pytest.raises(UnknownJobTypeError) as caught:
        await a_consumer(MailRecorder())(job)
    text = str(caught.value)
    assert text.startswith('Unknown job type: expected {"type": "sendVerificationEmail" or ')
    assert text.endswith('"data": {...}}, but the data is an object with the keys email, magicLink, ***')


@pytest.mark.parametrize("type_", [None, 7, ["sendVerificationEmail"], {"a": "t0ps3cret"}, "x" * 5000, "a\nb"])
async def test_a_type_that_is_not_a_name_is_refused_without_quoting_it(type_: Any) -> None:
    with pytest.raises(UnknownJobTypeError) as caught:
        await a_consumer(MailRecorder())(a_job({}, type_=type_))
    assert len(str(caught.value)) < 150
    assert "t0ps3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("job_type", list(EMAIL_JOB_TYPES))
async def test_every_missing_field_is_named(job_type: str) -> None:
    with pytest.raises(InvalidJobDataError) as caught:
        await a_consumer(MailRecorder())(a_job({}, type_=str(job_type)))
    expected = {"email", *DATA[job_type]}
    assert {problem["field"] for problem in caught.value.fields} == expected
    assert {problem["message"] for problem in caught.value.fields} == {"is required"}


@pytest.mark.parametrize("data", [None, "text", 7, [], ["a"]])
async def test_data_that_is_not_an_object_is_refused(data: Any) -> None:
    bare = a_job({})
    bare.data = data
    for job in (a_job(data), bare):
        with pytest.raises(InvalidJobDataError) as caught:
            await a_consumer(MailRecorder())(job)
        assert caught.value.fields[0]["field"] == "data"


@pytest.mark.parametrize("code", ["", "12", "1" * 33, "48<b>13", "482913\n", "٤٨٢٩١٣", 482913, None])
async def test_a_code_is_a_short_text(code: Any) -> None:
    with pytest.raises(InvalidJobDataError) as caught:
        await a_consumer(MailRecorder())(
            a_job({"email": "alice@example.com", "code": code}, type_="sendOneTimeCodeEmail")
        )
    assert [problem["field"] for problem in caught.value.fields] == ["code"]


@pytest.mark.parametrize(
    "link",
    ["http://localhost:3000/v?t=1", "http://127.0.0.1/v", "http://[::1]:8080/v", "https://app.example.org"],
)
async def test_a_link_may_be_https_or_lead_to_this_machine(link: str) -> None:
    post = MailRecorder()
    await a_consumer(post)(a_job(DATA[VERIFICATION] | {"verificationLink": link}))
    assert len(post.sent) == 1
