"""Messages: nothing in a job can become a header, and what was meant arrives."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth_worker.email.addresses import recipient_address, refuse_unsendable, sender_from, shown_name
from auth_worker.email.message import compose, message_id_of, serialized
from auth_worker.email.rendering import RenderedEmail
from auth_worker.errors import ConfigurationError, InvalidJobDataError

HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}
INJECTIONS = [
    "{}\r\nBcc: eve@example.net",
    "{}\nBcc: eve@example.net",
    "{}\r",
    "{}\n",
    "\n{}",
    "{}\r\n\r\nbody",
    "{}\n folded",
    "{}\x00",
    "{}\x0b",
    "{}\x1b[2J",
    "{}\x7f",
    "{}\x85",
    "{}\u2028Bcc: eve@example.net",
    "{}\u2029",
    "{}\ud800",
]
SENDER = sender_from('"Exämple, Inc." <no-reply@example.org>')
CONTENT = RenderedEmail("Subject", "<p>Hello</p>", "Hello\n")


def composed(
    *,
    to: str = "alice@example.com",
    name: str = "Alice",
    subject: str = "Subject",
    message_id: str = "<1@example.org>",
) -> EmailMessage:
    content = CONTENT._replace(subject=subject)
    return compose(sender=SENDER, to=to, display_name=name, message_id=message_id, content=content)


def read_back(message: EmailMessage) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(serialized(message))


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("header", ["to", "name", "subject", "message_id"])
def test_a_control_character_is_refused_in_any_position(header: str, injection: str) -> None:
    value = injection.format({"to": "alice@example.com"}.get(header, "value"))
    with pytest.raises(InvalidJobDataError) as caught:
        composed(**{header: value})
    assert "eve" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="AUTH_WORKER_EMAIL_FROM"):
        sender_from(injection.format("no-reply@example.org"))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "a@b, eve@example.net",
        "alice@example.com,",
        "Alice <alice@example.com>",
        "<alice@example.com>",
        '"a b@example.com',
        "alice@[127.0.0.1]",
        " alice@example.com",
        "alice@example.com ",
        "a..b@example.com",
        "alice@exa mple.com",
        "alice@-example.com",
        "alice@-.local",
        "alice@.local",
        "a b@localhost",
        "alice@nowhere.invalid",
        f"{'a' * 65}@example.com",
        "group:alice@example.com;",
    ],
)
def test_anything_but_one_plain_address_is_refused_without_quoting_it(value: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a valid e-mail address$"):
        recipient_address(value)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("alice@mail", "alice@mail"),
        ("alice@localhost", "alice@localhost"),
        ("alice@mail.CORP.local", "alice@mail.corp.local"),
        ("o'neil+tag@example.com", "o'neil+tag@example.com"),
    ],
)
def test_an_address_within_an_intranet_is_accepted(value: str, wire: str) -> None:
    assert recipient_address(value) == wire


def test_an_international_domain_goes_out_in_ascii() -> None:
    assert recipient_address("alice@bücher.example") == "alice@xn--bcher-kva.example"
    message = composed(to="alice@bücher.example", name="Ünal, Özge")
    assert serialized(message).isascii()
    (found,) = read_back(message)["To"].addresses
    assert (found.display_name, found.addr_spec) == ("Ünal, Özge", "alice@xn--bcher-kva.example")


def test_an_international_mailbox_survives() -> None:
    raw = serialized(composed(to="jürgen@bücher.example"))
    assert "jürgen@xn--bcher-kva.example" in raw.decode()


@pytest.mark.parametrize(
    "value", ["", "nobody", "a@example.org, b@example.org", "A <a@example.org", "ü@b.example"]
)
def test_a_sender_that_is_not_one_address_is_a_configuration_error(value: str) -> None:
    with pytest.raises(ConfigurationError, match="AUTH_WORKER_EMAIL_FROM"):
        sender_from(value)


def test_the_sender_of_the_default_settings_is_accepted() -> None:
    assert sender_from("Auth <no-reply@localhost>") == ("Auth", "no-reply@localhost", "localhost")


def test_a_message_is_marked_as_automatic() -> None:
    message = read_back(composed())
    assert set(message.keys()) == HEADERS
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Date"].datetime.tzinfo is not None


@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120),
    subject=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=200),
)
@settings(max_examples=150)
def test_no_name_or_subject_adds_a_header_or_a_recipient(name: str, subject: str) -> None:
    raw = serialized(composed(name=name, subject=subject))
    message = BytesParser(policy=policy.default).parsebytes(raw)
    assert set(message.keys()) == HEADERS
    assert [found.addr_spec for found in message["To"].addresses] == ["alice@example.com"]
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


@given(value=st.text())
def test_an_accepted_value_contains_no_line_break_of_any_kind(value: str) -> None:
    try:
        refuse_unsendable(value)
    except ValueError:
        return
    assert len(value.splitlines()) <= 1
    assert value.encode().decode() == value


@given(
    domain=st.from_regex(r"[a-z]([a-z0-9]{1,60})(\.[a-z]{2,60}){1,3}", fullmatch=True).filter(
        lambda d: len(d) < 200
    )
)
@settings(max_examples=50)
def test_a_message_id_is_never_folded_or_encoded(domain: str) -> None:
    message_id = message_id_of("emailQueue", "1", 1, domain)
    raw = serialized(composed(message_id=message_id))
    assert message_id.encode() in raw


def test_a_message_id_stays_the_same_over_attempts_and_differs_between_jobs() -> None:
    ids = [
        message_id_of(queue, job, timestamp, "example.org")
        for queue, job, timestamp in [
            ("emailQueue", "1", 1),
            ("emailQueue", "2", 1),
            ("otherQueue", "1", 1),
            ("emailQueue", "1", 2),
        ]
    ]
    assert len(set(ids)) == 4
    assert message_id_of("emailQueue", "1", 1, "example.org") == ids[0]


@pytest.mark.parametrize(
    "name",
    ["https://evil.example", "Win at www.evil", "evil.example", "a@b", "x" * 61, "Bob\u202egnp.exe", "  "],
)
def test_a_name_that_could_carry_an_advert_is_not_shown(name: str) -> None:
    assert shown_name(name) == ""


@pytest.mark.parametrize(
    "name", ["Alice", "Zoë Müller", "J. R. R. Tolkien", "O'Neil-Smith", "Sammy Jr.", "李小龍"]
)
def test_an_ordinary_name_is_shown(name: str) -> None:
    assert shown_name(f" {name} ") == name
